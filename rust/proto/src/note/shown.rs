//! Bytes as a line of a log shows them.

use crate::record::Acl;
use std::fmt::{self, Write as _};

/// Bytes of a path that are shown.
const PATH_BYTES: usize = 512;
/// Bytes of data that are shown.
const DATA_BYTES: usize = 64;
/// Schemes whose ids prove nothing. The id of a digest is a hash of the password, good for guessing
/// at it; what another scheme keeps there is not known.
const OPEN_SCHEMES: [&[u8]; 5] = [b"world", b"ip", b"host", b"x509", b"sasl"];

/// Text or bytes in printable ASCII, so that no path can end a line and begin another: a quote and a
/// backslash are escaped, and everything else as `\n`, `\r`, `\t` or `\xNN`. Long ones are cut.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a [u8]);

impl<'a> Shown<'a> {
    /// Of text.
    pub fn text(text: &'a str) -> Shown<'a> {
        Shown(text.as_bytes())
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, PATH_BYTES, f)
    }
}

/// A node's data: its beginning, quoted, and its length.
#[derive(Clone, Copy, Debug)]
pub struct Shortened<'a>(pub Option<&'a [u8]>);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0 else {
            return f.write_str("null");
        };
        f.write_char('\'')?;
        escape(bytes, DATA_BYTES, f)?;
        write!(f, "' ({} bytes)", bytes.len())
    }
}

/// A transaction id as servers log it.
#[derive(Clone, Copy, Debug)]
pub struct Zxid(pub i64);

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// An access list: scheme, id where it may be shown, and permissions.
#[derive(Clone, Copy, Debug)]
pub(super) struct AccessList<'a>(pub(super) &'a [Acl]);

impl fmt::Display for AccessList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ENOUGH: usize = 8;
        f.write_char('[')?;
        for (index, acl) in self.0.iter().take(ENOUGH).enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{} {:#x}", Id(&acl.scheme, &acl.id), acl.perms)?;
        }
        let more = self.0.len().saturating_sub(ENOUGH);
        if more > 0 {
            write!(f, ", and {more} more")?;
        }
        f.write_char(']')
    }
}

/// Who, by scheme and id; the id only where it proves nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id<'a>(pub(super) &'a [u8], pub(super) &'a [u8]);

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown(self.0))?;
        if OPEN_SCHEMES.contains(&self.0) {
            write!(f, ":{}", Shown(self.1))?;
        }
        Ok(())
    }
}

fn escape(bytes: &[u8], enough: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let shown = bytes.get(..enough).unwrap_or(bytes);
    for byte in shown {
        match byte {
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            b'\\' | b'\'' => write!(f, "\\{}", char::from(*byte))?,
            b' '..=b'~' => f.write_char(char::from(*byte))?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    if shown.len() < bytes.len() {
        f.write_str("...")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_printable_is_escaped() {
        let all: Vec<u8> = (0..=255).collect();
        let shown = Shown(&all).to_string();
        assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(Shown(b"/a\nb\r\t\0\x7f").to_string(), r"/a\nb\r\t\x00\x7f");
        assert_eq!(Shown::text("/\u{e4}").to_string(), r"/\xc3\xa4");
        assert_eq!(Shown(br"/it's \n").to_string(), r"/it\'s \\n", "no two paths look alike");
    }

    #[test]
    fn data_is_shortened_to_64_bytes_and_says_how_long_it_is() {
        let shown = |data: &[u8]| Shortened(Some(data)).to_string();
        assert_eq!(Shortened(None).to_string(), "null");
        assert_eq!(shown(b""), "'' (0 bytes)");
        assert_eq!(shown(&[b'x'; 64]), format!("'{}' (64 bytes)", "x".repeat(64)));
        assert_eq!(shown(&[b'x'; 65]), format!("'{}...' (65 bytes)", "x".repeat(64)));
        assert_eq!(shown(&[0xff; 1000]), format!("'{}...' (1000 bytes)", r"\xff".repeat(64)));
    }

    #[test]
    fn long_paths_are_cut() {
        assert_eq!(Shown(&[b'p'; 600]).to_string(), format!("{}...", "p".repeat(512)));
    }

    #[test]
    fn ids_that_may_hold_a_hash_are_not_shown() {
        let acl = |scheme: &str, id: &str| Acl { perms: 31, scheme: scheme.into(), id: id.into() };
        let list =
            [acl("world", "anyone"), acl("digest", "bob:HASH"), acl("super", "HASH"), acl("own", "HASH")];
        let shown = AccessList(&list).to_string();
        assert_eq!(shown, "[world:anyone 0x1f, digest 0x1f, super 0x1f, own 0x1f]");
        let many = vec![acl("ip", "10.0.0.1"); 20];
        assert!(AccessList(&many).to_string().ends_with("ip:10.0.0.1 0x1f, and 12 more]"));
    }
}
