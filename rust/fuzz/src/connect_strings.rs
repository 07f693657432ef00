//! Lists of servers: what is understood is written so that it is understood again.

use zk_proto::connect_string::{ConnectString, HostPort};

/// Input: the list.
pub fn run(data: &[u8]) {
    let parsed = match ConnectString::parse(data) {
        Ok(parsed) => parsed,
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("hosts"), "{text}");
            return;
        }
    };
    assert!(!parsed.hosts.is_empty());
    assert_ne!(parsed.chroot.as_bytes(), b"/");
    for server in &parsed.hosts {
        assert_ne!(server.port, 0);
        assert!(!server.host.is_empty() && server.host.is_ascii(), "{server:?}");
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
