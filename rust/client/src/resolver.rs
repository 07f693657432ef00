//! Names to addresses, off the IO thread: a resolver may take many seconds, and the loop must go on.

use crate::forking;
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use zk_proto::connect_string::HostPort;

/// The C library may load modules (LDAP and the like) that are not frugal.
const STACK: usize = 1 << 20;
/// An answer that nobody has come for by then is forgotten.
const FRESH: Duration = Duration::from_secs(30);

/// What became of a name.
pub(crate) type Addresses = Result<Vec<SocketAddr>, String>;

/// A name's answer and when it came; `None` while it is under way.
type Found = Option<(Instant, Addresses)>;

/// Answers that have come and were not asked for yet, and questions under way (`None`).
///
/// An answer is used once: names are resolved again for every attempt to connect, because addresses
/// change. One that comes after its attempt was given up serves the next one.
#[derive(Clone, Default, Debug)]
pub(crate) struct Resolver {
    names: Arc<Mutex<HashMap<HostPort, Found>>>,
}

/// What [`Resolver::ask`] says.
pub(crate) enum Answer {
    /// Use it now.
    Ready(Addresses),
    /// `done` will be called.
    UnderWay,
}

impl Resolver {
    /// Asks for the addresses of a host. If they are not at hand, a thread of the name's own looks
    /// it up (at most one per name at a time) and calls `done`; then ask again.
    pub(crate) fn ask(&self, host: &HostPort, done: impl FnOnce() + Send + 'static) -> Answer {
        if let Some(literal) = host.literal() {
            return Answer::Ready(Ok(vec![literal]));
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        match names.remove(host) {
            Some(Some((since, answer))) if since.elapsed() < FRESH => return Answer::Ready(answer),
            Some(None) => {
                names.insert(host.clone(), None);
                return Answer::UnderWay;
            }
            Some(Some(_)) | None => {}
        }
        let this = self.clone();
        let asked = host.clone();
        let look_up = move || {
            let found = forking::outside_of_forks(|| look_up(&asked));
            this.names
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(asked, Some((Instant::now(), found)));
            done();
        };
        match std::thread::Builder::new().name("zk-resolver".into()).stack_size(STACK).spawn(look_up) {
            Ok(_) => {
                names.insert(host.clone(), None);
                Answer::UnderWay
            }
            Err(error) => Answer::Ready(Err(format!("cannot start a resolver thread: {error}"))),
        }
    }

    /// The next who asks for this host is to be sent here, where it has just answered.
    pub(crate) fn is_at(&self, host: HostPort, address: SocketAddr) {
        if host.literal().is_some() {
            return;
        }
        let found = Some((Instant::now(), Ok(vec![address])));
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(host, found);
    }
}

fn look_up(host: &HostPort) -> Addresses {
    let found: io::Result<Vec<SocketAddr>> =
        (host.host.as_str(), host.port).to_socket_addrs().map(Iterator::collect);
    match found {
        Ok(addresses) if addresses.is_empty() => Err(format!("{} has no address", host.host)),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn host(name: &str) -> HostPort {
        HostPort { host: name.into(), port: 2181 }
    }

    #[test]
    fn numbers_need_no_resolver() {
        let ask = Resolver::default().ask(&host("127.0.0.1"), || panic!("asked"));
        assert!(matches!(ask, Answer::Ready(Ok(a)) if a == ["127.0.0.1:2181".parse().unwrap()]));
    }

    #[test]
    fn where_a_host_has_answered_it_is_looked_for_once() {
        let (resolver, at) = (Resolver::default(), "127.0.0.9:2181".parse().unwrap());
        resolver.is_at(host("localhost"), at);
        let ask = resolver.ask(&host("localhost"), || panic!("asked"));
        assert!(matches!(ask, Answer::Ready(Ok(a)) if a == [at]));
        assert!(matches!(resolver.ask(&host("localhost"), || ()), Answer::UnderWay));
    }

    #[test]
    fn a_name_is_answered_later_and_the_answer_used_once() {
        let resolver = Resolver::default();
        let (done, is_done) = mpsc::channel();
        let again = done.clone();
        assert!(matches!(resolver.ask(&host("localhost"), move || done.send(()).unwrap()), Answer::UnderWay));
        is_done.recv_timeout(Duration::from_secs(20)).unwrap();
        match resolver.ask(&host("localhost"), || ()) {
            Answer::Ready(Ok(addresses)) => assert!(addresses.iter().all(|a| a.ip().is_loopback())),
            _ => panic!("localhost was not resolved"),
        }
        assert!(matches!(
            resolver.ask(&host("localhost"), move || again.send(()).unwrap()),
            Answer::UnderWay
        ));
        is_done.recv_timeout(Duration::from_secs(20)).unwrap();
    }
}
