//! The list of servers as users write it: `host[:port][,host[:port]…][/chroot]`.

use crate::chroot::Chroot;
use crate::path::PathError;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The port of a server that none is given for.
pub const DEFAULT_PORT: u16 = 2181;

/// The servers of an ensemble and the part of its tree to work in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectString {
    /// In the order given, at least one.
    pub hosts: Vec<HostPort>,
    /// None for `/` and if none is given.
    pub chroot: Chroot,
}

/// A server: a name or address, and a port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostPort {
    /// A name or a numeric address; IPv6 without brackets, perhaps with a zone (`fe80::1%eth0`).
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// Why a list of servers can't be used; the text is a sentence about `hosts`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConnectStringError {
    /// Nothing before the chroot.
    #[error("hosts is empty")]
    Empty,
    /// Only commas and spaces before the chroot.
    #[error("hosts '{0}' names no server")]
    NoServer(String),
    /// A port without a host.
    #[error("hosts: no host before the port in '{0}'")]
    NoHost(String),
    /// A host that is no name and no address.
    #[error("hosts: '{0}' is not a host name")]
    HostName(String),
    /// More than one colon, without brackets.
    #[error("hosts: '{0}' has more than one colon; write an IPv6 address in brackets, as in [::1]:2181")]
    UnbracketedIpv6(String),
    /// Brackets that do not match, or with something else than an IPv6 address in them.
    #[error("hosts: '{0}' is not an IPv6 address in brackets, as in [::1]:2181")]
    Brackets(String),
    /// A port that is no number.
    #[error("hosts: port '{port}' of '{host}' is not a number")]
    PortSyntax {
        /// The port as given.
        port: String,
        /// Its host.
        host: String,
    },
    /// A port that is 0 or more than 65535.
    #[error("hosts: port {port} of '{host}' is not between 1 and 65535")]
    PortRange {
        /// The port as given.
        port: String,
        /// Its host.
        host: String,
    },
    /// The part from the first slash on is no valid path.
    #[error("hosts: chroot '{chroot}' is not valid: {source}")]
    Chroot {
        /// The chroot as given.
        chroot: String,
        /// What is wrong with it.
        source: PathError,
    },
}

impl ConnectString {
    /// Reads a list of servers. Spaces around the commas, and empty places between them, do no
    /// harm (as in the C client). The chroot begins at the first slash; it may be any bytes that
    /// are a valid path.
    pub fn parse(text: &[u8]) -> Result<ConnectString, ConnectStringError> {
        let slash = text.iter().position(|&byte| byte == b'/');
        let (list, chroot) = text.split_at(slash.unwrap_or(text.len()));
        if list.trim_ascii().is_empty() {
            return Err(ConnectStringError::Empty);
        }
        let hosts = list
            .split(|&byte| byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|server| !server.is_empty())
            .map(HostPort::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if hosts.is_empty() {
            return Err(ConnectStringError::NoServer(lossy(list)));
        }
        let chroot = Chroot::new(chroot)
            .map_err(|source| ConnectStringError::Chroot { chroot: lossy(chroot), source })?;
        Ok(ConnectString { hosts, chroot })
    }
}

impl HostPort {
    /// The socket address, if the host is numeric: nothing is looked up.
    pub fn literal(&self) -> Option<SocketAddr> {
        match self.host.parse::<IpAddr>() {
            Ok(address) => Some(SocketAddr::new(address, self.port)),
            // A numeric zone is only known to the parser of whole socket addresses.
            Err(_) => self.to_string().parse().ok(),
        }
    }

    fn parse(server: &[u8]) -> Result<HostPort, ConnectStringError> {
        let (host, port) = match server {
            [b'[', rest @ ..] => split_brackets(rest),
            _ => split_colon(server),
        }?;
        let Some(port) = port else {
            return Ok(HostPort { host, port: DEFAULT_PORT });
        };
        if port.is_empty() || !port.iter().all(u8::is_ascii_digit) {
            return Err(ConnectStringError::PortSyntax { port: lossy(port), host });
        }
        let port = lossy(port);
        match port.parse::<u16>() {
            Ok(number) if number > 0 => Ok(HostPort { host, port: number }),
            _ => Err(ConnectStringError::PortRange { port, host }),
        }
    }
}

/// `host:port`, with brackets around an IPv6 address.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// `a,b:2182/chroot`, as [`ConnectString::parse`] takes it.
impl fmt::Display for ConnectString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, server) in self.hosts.iter().enumerate() {
            write!(f, "{}{server}", if i == 0 { "" } else { "," })?;
        }
        f.write_str(&String::from_utf8_lossy(self.chroot.as_bytes()))
    }
}

type HostAndPort<'a> = (String, Option<&'a [u8]>);

/// `name` or `name:port`.
fn split_colon(server: &[u8]) -> Result<HostAndPort<'_>, ConnectStringError> {
    let mut parts = server.splitn(3, |&byte| byte == b':');
    let (host, port) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        return Err(ConnectStringError::UnbracketedIpv6(lossy(server)));
    }
    if host.is_empty() {
        return Err(ConnectStringError::NoHost(lossy(server)));
    }
    let label = |label: &[u8]| {
        let ok = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        !label.is_empty() && label.iter().all(ok)
    };
    // One dot at the end is how resolvers spell a complete name.
    let name = host.strip_suffix(b".").unwrap_or(host);
    match std::str::from_utf8(host) {
        Ok(text) if name.split(|&byte| byte == b'.').all(label) => Ok((text.to_owned(), port)),
        _ => Err(ConnectStringError::HostName(lossy(host))),
    }
}

/// `address]` or `address]:port`.
fn split_brackets(rest: &[u8]) -> Result<HostAndPort<'_>, ConnectStringError> {
    let bad = || ConnectStringError::Brackets(format!("[{}", lossy(rest)));
    let close = rest.iter().position(|&byte| byte == b']').ok_or_else(bad)?;
    let (host, tail) = rest.split_at(close);
    let port = match tail {
        [b']'] => None,
        [b']', b':', port @ ..] => Some(port),
        _ => return Err(bad()),
    };
    let host = std::str::from_utf8(host).map_err(|_| bad())?;
    let (address, zone) = match host.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (host, None),
    };
    let zone_ok = |zone: &str| !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic());
    if address.parse::<Ipv6Addr>().is_err() || !zone.is_none_or(zone_ok) {
        return Err(bad());
    }
    Ok((host.to_owned(), port))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<String> {
        let parsed = ConnectString::parse(text.as_bytes()).unwrap();
        parsed.hosts.iter().map(HostPort::to_string).collect()
    }

    fn error(text: &[u8]) -> String {
        ConnectString::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn lists_of_servers() {
        assert_eq!(hosts("localhost"), ["localhost:2181"]);
        assert_eq!(hosts("a:1,b,c.example.:65535"), ["a:1", "b:2181", "c.example.:65535"]);
        assert_eq!(hosts("  a:1 ,\tb:2  , c:3 "), ["a:1", "b:2", "c:3"]);
        assert_eq!(hosts("a,,b,"), ["a:2181", "b:2181"]);
        assert_eq!(hosts("a , b /app"), ["a:2181", "b:2181"]);
        assert_eq!(hosts("a:02181"), ["a:2181"]);
        assert_eq!(hosts("[::1],[fe80::1%eth0]:7"), ["[::1]:2181", "[fe80::1%eth0]:7"]);
        assert_eq!(hosts("zk_1.my-host"), ["zk_1.my-host:2181"]);
    }

    #[test]
    fn chroots() {
        let chroot = |text: &[u8]| ConnectString::parse(text).unwrap().chroot;
        assert_eq!(chroot(b"a"), Chroot::none());
        assert_eq!(chroot(b"a/"), Chroot::none());
        assert_eq!(chroot(b"a:1,b/app/x y").as_bytes(), b"/app/x y");
        // A comma behind the slash belongs to the chroot.
        assert_eq!(chroot(b"a/b,c").as_bytes(), b"/b,c");
        assert_eq!(chroot(b"a/caf\xe9").as_bytes(), b"/caf\xe9");
    }

    #[test]
    fn display_reads_back() {
        let text = "a:1,[::1]:2/x/y";
        let parsed = ConnectString::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.to_string(), text);
    }

    #[test]
    fn numeric_addresses_need_no_resolver() {
        let literal = |text: &str| {
            let parsed = ConnectString::parse(text.as_bytes()).unwrap();
            parsed.hosts[0].literal().map(|address| address.to_string())
        };
        assert_eq!(literal("127.0.0.1:5").as_deref(), Some("127.0.0.1:5"));
        assert_eq!(literal("[::1]").as_deref(), Some("[::1]:2181"));
        assert_eq!(literal("[fe80::1%3]:4").as_deref(), Some("[fe80::1%3]:4"));
        assert_eq!(literal("[fe80::1%eth0]:4"), None);
        assert_eq!(literal("localhost"), None);
        assert_eq!(literal("1.2.3.4.example"), None);
    }

    #[test]
    fn strings_that_no_connection_could_be_made_to() {
        let range = "is not between 1 and 65535";
        let ipv6 = "is not an IPv6 address in brackets, as in [::1]:2181";
        for (text, want) in [
            ("", "hosts is empty".to_owned()),
            ("  ", "hosts is empty".to_owned()),
            ("/app", "hosts is empty".to_owned()),
            (", ,", "hosts ', ,' names no server".to_owned()),
            ("a:0", format!("hosts: port 0 of 'a' {range}")),
            ("a:65536", format!("hosts: port 65536 of 'a' {range}")),
            ("a,b:99999999999999999999", format!("hosts: port 99999999999999999999 of 'b' {range}")),
            ("a:", "hosts: port '' of 'a' is not a number".to_owned()),
            ("a:+1", "hosts: port '+1' of 'a' is not a number".to_owned()),
            ("a:-1", "hosts: port '-1' of 'a' is not a number".to_owned()),
            ("a: 1", "hosts: port ' 1' of 'a' is not a number".to_owned()),
            ("a:2181x", "hosts: port '2181x' of 'a' is not a number".to_owned()),
            (":2181", "hosts: no host before the port in ':2181'".to_owned()),
            ("a b:1", "hosts: 'a b' is not a host name".to_owned()),
            ("a;b", "hosts: 'a;b' is not a host name".to_owned()),
            ("a..b", "hosts: 'a..b' is not a host name".to_owned()),
            (".", "hosts: '.' is not a host name".to_owned()),
            ("a\0b", "hosts: 'a\0b' is not a host name".to_owned()),
            ("h\u{f6}st", "hosts: 'h\u{f6}st' is not a host name".to_owned()),
            (
                "::1:2181",
                "hosts: '::1:2181' has more than one colon; \
                 write an IPv6 address in brackets, as in [::1]:2181"
                    .to_owned(),
            ),
            ("[::1", format!("hosts: '[::1' {ipv6}")),
            ("[::1]2181", format!("hosts: '[::1]2181' {ipv6}")),
            ("[127.0.0.1]:1", format!("hosts: '[127.0.0.1]:1' {ipv6}")),
            ("[fe80::1%]:1", format!("hosts: '[fe80::1%]:1' {ipv6}")),
            ("[]:1", format!("hosts: '[]:1' {ipv6}")),
            ("a/b/", "hosts: chroot '/b/' is not valid: path must not end with '/'".to_owned()),
            ("a//", "hosts: chroot '//' is not valid: path must not end with '/'".to_owned()),
            ("a//b", "hosts: chroot '//b' is not valid: path contains an empty component".to_owned()),
        ] {
            assert_eq!(error(text.as_bytes()), want, "{text:?}");
        }
        assert_eq!(error(b"h\xffst"), "hosts: 'h\u{fffd}st' is not a host name");
    }
}
