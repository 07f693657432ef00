//! What must be true once everything is mended and at rest.

use super::user::{End, Stage};
use super::Sim;
use std::collections::{BTreeMap, BTreeSet};

impl Sim {
    /// Mends everything, lets it come to rest, and looks.
    pub(super) fn finish_run(&mut self) {
        self.quiet = true;
        self.heal();
        // Two users with one session take it from each other for ever.
        for user in 0..self.users.len() {
            if self.users[user].twin && !self.users[user].over && !self.users[user].closing {
                self.close(user);
            }
        }
        let longest = u64::from(self.plan.most_timeout_ms.unsigned_abs()) * 1_000;
        self.run_until(self.now + 4 * longest + 5_000_000);
        let conns = self.conns.len();
        self.judge_log();
        self.judge_users();
        if self.plan.crowd {
            self.judge_spread();
        }
        // Nobody loses anything while nothing goes wrong.
        self.run_until(self.now + 3 * longest);
        assert_eq!(self.conns.len(), conns, "somebody connected again, though nothing was wrong");
        self.judge_users();
        for user in 0..self.users.len() {
            if !self.users[user].over {
                self.close(user);
            }
        }
        self.run_until(self.now + longest);
        assert!(self.users.iter().all(|u| u.closed || u.session.over().is_some()), "a close without an end");
        assert!(self.ensemble.sessions.iter().all(|(_, s)| !s.alive || self.is_orphan(s.owner)));
        assert_eq!(self.conns.len(), conns, "an attempt after the end");
    }

    /// A session that its user never heard of (the connection went before the answer came).
    fn is_orphan(&self, owner: usize) -> bool {
        let conn = &self.conns[owner];
        self.users[conn.user].id != conn.session
    }

    fn judge_log(&mut self) {
        let mut done: BTreeMap<(usize, u64), u32> = BTreeMap::new();
        for origin in self.ensemble.log.iter().filter_map(|txn| txn.origin) {
            *done.entry(origin).or_default() += 1;
        }
        for (user, u) in self.users.iter().enumerate() {
            for (token, asked) in (1..).zip(&u.asked) {
                let times = done.get(&(user, token)).copied().unwrap_or_default();
                assert!(times <= 1, "request {token} of user {user} was carried out {times} times");
                let end = asked.end.unwrap_or_else(|| panic!("request {token} of user {user} has no answer"));
                if !asked.op.is_write() {
                    continue;
                }
                match end {
                    End::Answered { done } => {
                        assert_eq!(times == 1, done, "request {token} of user {user}");
                    }
                    End::Failed => {
                        assert_eq!(times, 0, "{token} of user {user} was carried out all the same")
                    }
                    End::Unknown => self.counts.bump(if times == 1 {
                        "writes with unknown outcome that were done"
                    } else {
                        "writes with unknown outcome that were not done"
                    }),
                    End::Abandoned => {}
                }
            }
        }
    }

    fn judge_users(&mut self) {
        for (user, u) in self.users.iter().enumerate() {
            assert!(u.asked.iter().all(|asked| asked.stage == Stage::Done) && u.waits.is_empty());
            assert!(u.auths.iter().all(|auth| auth.asked.is_none()), "user {user} waits for an outcome");
            assert!(u.session.transmit().is_empty() && u.outputs.is_empty());
            assert_eq!(u.session.outstanding(), 0, "user {user} at rest");
            if u.over {
                continue;
            }
            assert!(u.connected, "user {user} has not found back");
            let Some(conn) = u.conn else { panic!("user {user} has no connection") };
            let c = &self.conns[conn];
            assert!(c.server_open && !c.read_only, "user {user} clings to a dead connection");
            assert!(u.hosts.contains(&c.server), "user {user} is with none of his servers");
            let now = self.ensemble.log.len();
            let watchers: BTreeSet<u64> = u.armed.iter().map(|armed| armed.watcher).collect();
            assert!(u.session.armed_watchers().iter().eq(&watchers), "what user {user} has armed");
            for armed in &u.armed {
                let served = c.watches.serves(armed.kind, &armed.path, u.mixed.contains(&armed.path));
                assert!(served, "the server of user {user} knows nothing of {armed:?}");
                let seen = self.ensemble.seen(&armed.path, now);
                assert!(armed.kept(&seen), "user {user} was never told of what {armed:?} was to tell");
                self.counts.bump("watches armed at rest");
            }
        }
    }
}
