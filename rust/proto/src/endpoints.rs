//! Which server to try next, and when: a shuffled list and growing, jittered pauses.

use crate::connect_string::HostPort;
use crate::rebalance;
use crate::time::Time;
use std::time::Duration;

/// A connection that lived this long counts as good: the next loss starts with a retry at once.
/// Without it a server that accepts and then drops every connection would be called in a loop.
const STABLE_AFTER: Duration = Duration::from_secs(1);
/// The first pause that is not zero: at most five attempts a second.
const FIRST_PAUSE_MS: u64 = 200;
/// Pauses grow to this, before jitter.
const LONGEST_PAUSE_MS: u64 = 1_000;

/// The servers of a connect string in an order of this client's own, and where it is in it.
#[derive(Debug)]
pub(crate) struct Endpoints {
    hosts: Vec<HostPort>,
    next: usize,
    failures: u32,
}

impl Endpoints {
    /// Shuffles, so that many clients with one connect string spread over the servers.
    pub(crate) fn new(mut hosts: Vec<HostPort>, rng: &mut fastrand::Rng) -> Endpoints {
        rng.shuffle(&mut hosts);
        Endpoints { hosts, next: 0, failures: 0 }
    }

    /// The server to try now. Going round, every server is tried once before any is tried again.
    pub(crate) fn next(&mut self) -> Option<HostPort> {
        let host = self.hosts.get(self.next).cloned();
        self.next = (self.next + 1) % self.hosts.len().max(1);
        host
    }

    /// The server that [`next`](Self::next) would give.
    pub(crate) fn peek(&self) -> Option<&HostPort> {
        self.hosts.get(self.next)
    }

    /// Takes another list in place of the present one. `current` is where the client is or is about to go;
    /// `in_use` says which of the two. False if it has to move (or to go somewhere else): to `next`, at once.
    pub(crate) fn replace(
        &mut self,
        hosts: &[HostPort],
        current: Option<&HostPort>,
        in_use: bool,
        rng: &mut fastrand::Rng,
    ) -> bool {
        let placement = rebalance::place(&self.hosts, hosts, current, rng);
        self.hosts = placement.order;
        // Where it is already it is tried last.
        self.next = usize::from(placement.stays && in_use) % self.hosts.len().max(1);
        if !placement.stays {
            self.failures = 0;
        }
        placement.stays
    }

    /// Makes a server the next to be tried, if it is one of the list.
    pub(crate) fn prefer(&mut self, host: &HostPort) {
        if let Some(index) = self.hosts.iter().position(|h| h == host) {
            self.next = index;
        }
    }

    /// All servers but one, in an order by chance.
    pub(crate) fn others(&self, than: Option<&HostPort>, rng: &mut fastrand::Rng) -> Vec<HostPort> {
        let mut others: Vec<HostPort> = self.hosts.iter().filter(|h| Some(*h) != than).cloned().collect();
        rng.shuffle(&mut others);
        others
    }

    /// A connection or an attempt ended; `up_since` is when the session was established on it.
    /// Answers when the next attempt may start: the first at once, then after 0.2 s, 0.4 s, 0.8 s
    /// and from then on 1 s, each stretched by up to a half.
    pub(crate) fn failed(&mut self, now: Time, up_since: Option<Time>, rng: &mut fastrand::Rng) -> Time {
        if up_since.is_some_and(|since| now.since(since) >= STABLE_AFTER) {
            self.failures = 0;
        }
        let pause_ms = match self.failures {
            0 => 0,
            n => {
                let base = FIRST_PAUSE_MS.saturating_mul(1 << (n - 1).min(8)).min(LONGEST_PAUSE_MS);
                base + rng.u64(0..=base / 2)
            }
        };
        self.failures = self.failures.saturating_add(1);
        now + Duration::from_millis(pause_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(n: u16) -> Vec<HostPort> {
        (1..=n).map(|port| HostPort { host: "h".into(), port }).collect()
    }

    #[test]
    fn every_server_is_tried_once_before_any_is_tried_again() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut e = Endpoints::new(hosts(5), &mut rng);
        for _ in 0..3 {
            let mut round: Vec<u16> = (0..5).map(|_| e.next().unwrap().port).collect();
            round.sort_unstable();
            assert_eq!(round, [1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn the_first_server_differs_between_clients() {
        let firsts: std::collections::HashSet<u16> = (0..100)
            .map(|seed| Endpoints::new(hosts(3), &mut fastrand::Rng::with_seed(seed)).next().unwrap().port)
            .collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn pauses_start_at_zero_and_grow_to_a_second_and_a_half_at_most() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut e = Endpoints::new(hosts(3), &mut rng);
            let now = Time::from_micros(1_000_000);
            let pauses: Vec<u128> =
                (0..8).map(|_| e.failed(now, None, &mut rng).since(now).as_millis()).collect();
            assert_eq!(pauses[0], 0);
            for (n, range) in
                [(1, 200..=300), (2, 400..=600), (3, 800..=1200), (4, 1000..=1500), (7, 1000..=1500)]
            {
                assert!(range.contains(&pauses[n]), "seed {seed}: pause {n} is {} ms", pauses[n]);
            }
        }
    }

    #[test]
    fn only_a_connection_that_lasted_resets_the_pauses() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut e = Endpoints::new(hosts(1), &mut rng);
        let now = Time::from_micros(10_000_000);
        assert_eq!(e.failed(now, None, &mut rng), now);
        assert!(e.failed(now, Some(now - Duration::from_millis(10)), &mut rng) > now);
        assert!(e.failed(now, Some(now - Duration::from_millis(999)), &mut rng) > now);
        assert_eq!(e.failed(now, Some(now - Duration::from_secs(1)), &mut rng), now);
    }
}
