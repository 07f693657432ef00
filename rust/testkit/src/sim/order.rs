//! What a session may send, and in which order: the server's side of the checks.

use super::conn::{Hello, WatchTable, Work};
use super::op::Op;
use super::user::{Kind, Stage};
use super::Sim;

impl Sim {
    /// The connect request says who the session is and what it has seen.
    pub(super) fn check_hello(&mut self, conn: usize, hello: &Hello) {
        let user = &self.users[self.conns[conn].user];
        assert_eq!(hello.read_only, user.reads_only_too);
        assert_eq!(hello.timeout_ms as u128, user.wished_ms);
        assert!(hello.last_zxid <= user.last_zxid, "it has not seen so much");
        if user.conn == Some(conn) {
            assert_eq!(hello.id, user.id, "session id of the connect request");
            assert_eq!(hello.last_zxid, user.last_zxid, "last zxid of the connect request");
        }
    }

    /// The next request of a connection is the next one that was handed to it, whole and unchanged;
    /// what was not asked for, was abandoned in time or has failed for good is never sent. Answers
    /// with its token, 0 for closeSession.
    pub(super) fn expect_request(&mut self, conn: usize, op: &Op) -> u64 {
        let c = &mut self.conns[conn];
        let user = &self.users[c.user];
        if *op == Op::Close {
            assert!(user.closing && !user.has_left, "closeSession without having been asked to");
            assert_eq!(c.got, c.handed.len(), "closeSession before a request");
            return 0;
        }
        let token = *c.handed.get(c.got).unwrap_or_else(|| panic!("{op:?} was never handed over"));
        let overtaken = c.auths_at.get(c.auths_got).is_some_and(|at| *at <= c.got);
        assert!(!overtaken, "request {token} of user {} overtook an authentication", c.user);
        c.got += 1;
        let asked = &user.asked[token as usize - 1];
        if let (Op::RemoveWatches { path, .. }, Op::RemoveWatches { path: other, kind, .. }) =
            (&asked.full, op)
        {
            assert_eq!(path, other, "request {token} of user {}", c.user);
            c.removals.insert(token, *kind);
            return token;
        }
        if asked.full != *op {
            // A one-shot watch is spared where a persistent one hears the same.
            assert_eq!(asked.full.without_watch(), *op, "request {token} of user {}", c.user);
            let path = asked.full.path();
            let covers = |op: &Op| matches!(op, Op::AddWatch { path: other, .. } if other == path);
            // Or nobody is to hear of it any more.
            let added = asked.watcher.is_none() || user.asked.iter().any(|asked| covers(&asked.full));
            assert!(added, "request {token} of user {} has lost its watch", c.user);
            self.counts.bump("one-shot watches covered by persistent ones");
        }
        token
    }

    /// After the handshake: every authentication, then every watch, then the rest.
    pub(super) fn check_order(&mut self, conn: usize, work: &Work) {
        let c = &mut self.conns[conn];
        match work {
            Work::Hello(_) | Work::Sasl { .. } => return,
            Work::Auth { credentials } => {
                let index = *c.auths.get(c.auths_got).expect("an authentication that was not added");
                let auth = &self.users[c.user].auths[index];
                assert_eq!(auth.credentials.as_bytes(), credentials, "authentications out of order");
                assert!(c.got >= c.auths_at[c.auths_got], "an authentication overtook a request");
                if c.auths_at[c.auths_got] < c.handed.len() {
                    self.counts.bump("authentications with requests behind them");
                }
                c.auths_got += 1;
                return;
            }
            _ => assert!(c.auths_got >= c.auths_first, "{work:?} before the authentications"),
        }
        if let Work::SetWatches { relative_zxid, kinds } = work {
            // What is owed from an earlier connection comes behind the others.
            let owed = *c.armed_from.get_or_insert(*relative_zxid) > *relative_zxid;
            let whole = c.to_arm.as_ref().is_none_or(|to_arm| *to_arm == c.armed);
            if whole || owed {
                // Persistent watches may have displaced others on their path, or covered them. They come along, lest
                // they be displaced in their turn.
                let how =
                    ["one-shot watches armed again in between", "arming owed from an earlier connection"];
                self.counts.bump(how[usize::from(c.to_arm.is_some())]);
                c.armed_again.extend(kinds.iter().flatten().cloned());
                return;
            }
            let user = &self.users[c.user];
            if user.conn == Some(conn) {
                assert_eq!(*relative_zxid, user.last_zxid, "relative zxid of setWatches");
            }
            for (kind, paths) in kinds.iter().enumerate() {
                for path in paths {
                    assert!(c.armed[kind].insert(path.clone()), "{path} is armed twice");
                }
            }
            return;
        }
        if let Some(to_arm) = c.to_arm.take() {
            assert_eq!(c.armed, to_arm, "setWatches of user {}", c.user);
        }
    }

    /// The session is established on a connection: what it owes it from now on.
    pub(super) fn note_established(&mut self, user: usize, conn: usize) {
        let auths = self.replayed_auths(user);
        let u = &mut self.users[user];
        let c = &mut self.conns[conn];
        c.auths = auths;
        c.auths_first = c.auths.len();
        c.auths_at = vec![0; c.auths.len()];
        let mut table = WatchTable::default();
        for armed in &u.armed {
            table[armed.kind as usize].insert(armed.path.clone());
        }
        if table.iter().any(|paths| !paths.is_empty()) {
            self.counts.bump("watches set again on a new connection");
        }
        if !table[Kind::Persistent as usize].is_empty() || !table[Kind::Recursive as usize].is_empty() {
            self.counts.bump("persistent watches set again on a new connection");
        }
        c.to_arm = Some(table);
        for token in &u.waits {
            self.counts.bump("requests that waited for a connection");
            u.asked[*token as usize - 1].stage = Stage::Crowded(conn);
        }
        self.hand_over(user, conn);
    }
}
