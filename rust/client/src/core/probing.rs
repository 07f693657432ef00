//! Asking other servers whether they can write, beside the connection.

use super::Core;
use crate::probe::{Asking, Probe};
use crate::resolver::Answer;
use zk_proto::connect_string::HostPort;
use zk_proto::time::Time;

impl Core {
    /// The session wants a server to be asked.
    pub(super) fn start_probe(&mut self, host: HostPort, now: Time) {
        let (engine, id) = (self.engine.clone(), self.id);
        match self.resolver.ask(&host, move || engine.shared.nudge(id)) {
            Answer::Ready(Ok(addresses)) => {
                let key = self.next_key();
                // One of them will do: the next round takes another.
                let peer = addresses.get(fastrand::usize(..addresses.len().max(1)));
                let asking = peer.map(|peer| Asking::open(self.engine.shared.poller(), key, &host, *peer));
                match asking {
                    Some(Ok(asking)) => self.probe = Some(Probe::Asking(asking)),
                    _ => self.session.handle_probe(now, false),
                }
            }
            Answer::Ready(Err(_)) => self.session.handle_probe(now, false),
            Answer::UnderWay => self.probe = Some(Probe::Resolving(host)),
        }
    }

    /// The IO thread was asked to look here: the name may have been resolved, whoever leads. (What has to be
    /// done next is done by whoever settles.)
    pub(super) fn go_on_probing(&mut self, now: Time) {
        match self.probe.take() {
            Some(Probe::Resolving(host)) => {
                self.start_probe(host, now);
                self.settle(now);
            }
            other => self.probe = other,
        }
    }

    /// The poller has reported something. False if it is not about a probe.
    pub(super) fn handle_probe_io(&mut self, now: Time, key: u64) -> bool {
        let Some(Probe::Asking(asking)) = &mut self.probe else { return false };
        if !asking.reported(key) {
            return false;
        }
        if let Some(can_write) = asking.go_on(self.engine.shared.poller(), self.tls.as_ref()) {
            if can_write {
                // The session goes there now. Were the name resolved anew, that might fail or take too long.
                self.resolver.is_at(asking.host.clone(), asking.peer);
            }
            self.probe = None;
            self.session.handle_probe(now, can_write);
            self.settle(now);
        }
        true
    }
}
