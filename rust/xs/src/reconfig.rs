//! What makes a reconfiguration senseless before any server is asked.
//!
//! Measured on 3.8.0 and 3.9.3: beside `members` the servers take no notice of `joining` and `leaving`; without any of
//! the three they write the configuration anew, as if something had been changed; empty `members`, and what is no
//! number in `leaving`, is a marshalling error to them.

/// What is wrong with these lists of servers.
pub(crate) fn refusal(
    joining: Option<&[u8]>,
    leaving: Option<&[u8]>,
    members: Option<&[u8]>,
) -> Option<&'static str> {
    match (joining, leaving, members) {
        (None, None, None) => Some("none of joining, leaving and members is given"),
        (None, None, Some(members)) => is_blank(members).then_some("members is empty"),
        (_, _, Some(_)) => Some("members goes with neither joining nor leaving"),
        (_, leaving, None) => {
            let only_ids = leaving.unwrap_or_default().split(|byte| *byte == b',').all(is_id_or_blank);
            (!only_ids).then_some("leaving must be numbers of servers, with commas between them")
        }
    }
}

fn is_id_or_blank(item: &[u8]) -> bool {
    let item = item.trim_ascii();
    item.strip_prefix(b"-").unwrap_or(item).iter().all(u8::is_ascii_digit)
}

fn is_blank(list: &[u8]) -> bool {
    list.iter().all(|byte| *byte == b',' || byte.is_ascii_whitespace())
}
