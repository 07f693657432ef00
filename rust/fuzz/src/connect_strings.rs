//! Lists of servers: exactly those are taken that the manual describes, for what it says they mean; what is
//! understood is written so that it is understood again; and all of it takes no more memory than the list is long.

use super::meter;
use std::net::Ipv6Addr;
use zk_proto::connect_string::{ConnectString, HostPort, DEFAULT_PORT};
use zk_proto::path;

/// Bytes that any list may take, and for each byte of it: a server of one letter and a comma is a `HostPort`, three times
/// while the vector of them moves to a larger place.
const ROOM: usize = 4096;
const EACH: usize = 64;

/// Input: the list.
pub fn run(data: &[u8]) {
    let (parsed, used) = meter::peak(|| ConnectString::parse(data));
    assert!(used <= EACH * data.len() + ROOM, "{used} bytes for {}", data.len());
    let wanted = described(data);
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            assert_eq!(wanted, None, "{error}");
            let text = error.to_string();
            assert!(text.starts_with("hosts"), "{text}");
            // What can't be shown becomes three bytes. A part may be named beside another one.
            assert!(text.len() <= 6 * data.len() + 200, "{} bytes for {}", text.len(), data.len());
            return;
        }
    };
    let servers = parsed.hosts.iter().map(|server| (server.host.clone(), server.port)).collect();
    assert_eq!(Some((servers, parsed.chroot.as_bytes())), wanted);
    for server in &parsed.hosts {
        if let Some(address) = server.literal() {
            assert_eq!(address.port(), server.port);
        }
    }
    // A chroot may be any bytes, which a text can't always show.
    let mut written = list(&parsed.hosts);
    written.extend_from_slice(parsed.chroot.as_bytes());
    assert_eq!(ConnectString::parse(&written).as_ref(), Ok(&parsed), "{parsed:?}");
    if std::str::from_utf8(parsed.chroot.as_bytes()).is_ok() {
        assert_eq!(parsed.to_string().as_bytes(), written);
    }
}

fn list(hosts: &[HostPort]) -> Vec<u8> {
    hosts.iter().map(HostPort::to_string).collect::<Vec<_>>().join(",").into_bytes()
}

type Servers = Vec<(String, u16)>;

/// What the manual makes of a list: servers and chroot; `None` if no connection could ever be made to it.
fn described(text: &[u8]) -> Option<(Servers, &[u8])> {
    let end = text.iter().take_while(|byte| **byte != b'/').count();
    let (places, chroot) = (std::str::from_utf8(&text[..end]).ok()?, &text[end..]);
    let is_space = |c: char| c.is_ascii_whitespace();
    let mut servers = Vec::new();
    for place in places.split(',').map(|place| place.trim_matches(is_space)) {
        if !place.is_empty() {
            servers.push(server(place)?);
        }
    }
    let chroot = match chroot {
        b"/" => b"",
        b"" => chroot,
        _ => path::validate(chroot, false).ok().map(|()| chroot)?,
    };
    (!servers.is_empty()).then_some((servers, chroot))
}

/// `name`, `name:port`, `[address]` or `[address]:port`, the address perhaps with a zone.
fn server(place: &str) -> Option<(String, u16)> {
    let (host, rest) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(host, _)| is_address(host))?,
        None => place.find(':').map_or((place, ""), |colon| place.split_at(colon)),
    };
    if !place.starts_with('[') && !is_name(host) {
        return None;
    }
    let port = match rest {
        "" => DEFAULT_PORT,
        _ => port(rest.strip_prefix(':')?)?,
    };
    Some((host.to_owned(), port))
}

fn is_address(host: &str) -> bool {
    let mut parts = host.splitn(2, '%');
    let address = parts.next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    let zone = parts.next().is_none_or(|zone| !zone.is_empty() && zone.chars().all(|c| c.is_ascii_graphic()));
    address && zone
}

/// Labels between dots, of which one may stand at the end.
fn is_name(host: &str) -> bool {
    let is_of_labels = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    is_of_labels && !host.is_empty() && host != "." && !host.starts_with('.') && !host.contains("..")
}

/// From 1 to 65535, in digits.
fn port(digits: &str) -> Option<u16> {
    if digits.is_empty() || digits.contains(|c: char| !c.is_ascii_digit()) {
        return None;
    }
    let number = digits.trim_start_matches('0');
    (1..=5).contains(&number.len()).then(|| number.parse::<u32>().ok())??.try_into().ok()
}
