//! When things happen: attempts, timers, pings, the leaving of dead servers.

use super::Sim;
use zk_proto::time::Time;

const SECOND: u64 = 1_000_000;
/// Timers may be that late.
const SLACK: u64 = 4_000;

impl Sim {
    /// An attempt starts: the first at once, then at most five a second, falling to one.
    pub(super) fn judge_attempt(&mut self, user: usize) {
        let at = self.time_of(user);
        let u = &mut self.users[user];
        assert!(!u.over && !u.closing, "an attempt after the end");
        if let Some(lost) = u.at_once.take() {
            assert!(at <= lost + SLACK || u.disturbed >= lost, "the first attempt has to be at once");
        }
        u.attempts.push_back(at);
        while u.attempts.front().is_some_and(|first| first + 10 * SECOND < at) {
            u.attempts.pop_front();
        }
        let within = |span: u64| u.attempts.iter().filter(|t| **t + span > at).count();
        assert!(within(SECOND) <= 5, "attempts at {:?}", u.attempts);
        let unlucky = !u.connected && u.connected_at + 10 * SECOND < at;
        let bound = if unlucky { 14 } else { 30 };
        assert!(u.attempts.len() <= bound, "attempts at {:?}", u.attempts);
    }

    /// Rules that hold whenever the session has been drained.
    pub(super) fn judge_state(&mut self, user: usize) {
        let at = self.time_of(user);
        let u = &self.users[user];
        let next = u.session.poll_timeout().map(|t| t.as_micros());
        if u.over {
            assert!(u.session.transmit().is_empty(), "something to send after the end");
            assert_eq!(next, None, "a timer after the end");
            assert!(u.session.over().is_some());
            return;
        }
        assert_eq!(u.session.is_connected(), u.connected, "what the user was told of his connection");
        let next = next.expect("a session that is not over has a timer");
        let timeout = u.session.timeout().as_micros() as u64;
        if u.connected && !u.stopped {
            let dead = u.last_heard + (timeout * 2 / 3).max(20_000);
            assert!(at <= dead + SLACK || u.disturbed >= u.last_heard, "a dead server was not left");
            assert!(next <= dead, "a timer that is too late for a dead server");
        }
        if let Some(lease) = u.lease.filter(|_| u.by_clock && !u.closing) {
            let timely =
                at <= lease.ends().max(lease.came) + SLACK || u.disturbed >= lease.confirmed || u.stopped;
            assert!(timely, "not expired by the clock");
            assert!(
                u.stopped || next <= lease.ends(),
                "a timer that is too late for the expiry by the clock"
            );
        }
        let suspect = u.lease.is_some_and(|lease| lease.ends() <= at);
        assert_eq!(u.session.is_suspect(Time::from_micros(at)), suspect, "suspicion");
        if u.conn.is_none() {
            assert!(next <= at + SECOND * 3 / 2, "a pause of more than a second and a half");
        }
        if u.conn.is_some() && !u.connected {
            // A login has a third of the timeout from the handshake on, if that is less.
            let began = u.attempts.back().copied().unwrap_or_default();
            let began = u.logging_in.map_or(began, |(since, _)| since);
            let deadline = began + (timeout / 3).max(100_000);
            assert!(next <= deadline, "an attempt without an end");
            assert!(at <= deadline + SLACK || u.disturbed >= began || u.stopped, "an attempt for too long");
        }
        let life = (self.now - u.born) / SECOND + 1;
        // Pings, pauses and attempts, deadlines of requests (each may be looked at in vain once).
        let bound = 40 + life * (10 + 8 * SECOND / timeout.max(1)) + 3 * u.asked.len() as u64;
        assert!(u.timers < bound, "{} timers in {life} s", u.timers);
    }
}
