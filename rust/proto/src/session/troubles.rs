//! Why there is no connection: the last failure of each server, for whoever waited in vain.

use super::Session;
use crate::connect_string::HostPort;

/// So many servers are named; with more of them, those that failed last.
const NAMED: usize = 3;

/// Oldest first, each server once.
#[derive(Default, Debug)]
pub(super) struct Troubles(Vec<(HostPort, String)>);

impl Troubles {
    /// There is a connection.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The servers are others from now on.
    pub(super) fn keep(&mut self, servers: &[HostPort]) {
        self.0.retain(|(server, _)| servers.contains(server));
    }

    fn add(&mut self, server: HostPort, why: String) {
        self.0.retain(|(other, _)| *other != server);
        if self.0.len() == NAMED {
            self.0.remove(0);
        }
        self.0.push((server, why));
    }
}

impl Session {
    /// Why the attempt at the present server fails, or its connection ended before there was a session on
    /// it: call it before [`handle_closed`](Self::handle_closed). Of an established connection nothing is
    /// kept: what was lost with it says so.
    pub fn blame(&mut self, why: impl Into<String>) {
        if let (false, Some(server)) = (self.is_connected(), &self.server) {
            self.troubles.add(server.clone(), why.into());
        }
    }

    /// Why the last attempts failed, if there is no connection: `server: reason; server: reason`.
    pub fn trouble(&self) -> Option<String> {
        let told: Vec<String> =
            self.troubles.0.iter().map(|(server, why)| format!("{server}: {why}")).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_named_once_with_its_last_failure_and_the_latest_stay() {
        let mut troubles = Troubles::default();
        for (port, why) in [(1, "old"), (2, "b"), (1, "new"), (3, "c"), (4, "d")] {
            troubles.add(HostPort { host: "h".into(), port }, why.to_owned());
        }
        let left: Vec<(u16, &str)> = troubles.0.iter().map(|(h, why)| (h.port, why.as_str())).collect();
        assert_eq!(left, [(1, "new"), (3, "c"), (4, "d")]);
    }
}
