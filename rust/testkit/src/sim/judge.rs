//! Holds what a session tells its user against what the servers told the session.

use super::conn::{Done, Note};
use super::op::{outside, Op};
use super::user::{Armed, End, Kind, Stage};
use super::Sim;
use bytes::Bytes;
use std::collections::BTreeSet;
use zk_proto::op::{OpResult, Reply};
use zk_proto::session::{Failure, Output};
use zk_proto::{Code, EventType, KeeperState};

impl Sim {
    /// Frames that have come to the user in whole: each has its outcome, in their order.
    pub(super) fn judge_notes(&mut self, user: usize, conn: usize) {
        loop {
            let c = &mut self.conns[conn];
            let note = match c.notes.get(c.noted) {
                Some((end, note)) if *end <= c.heard => note.clone(),
                _ => break,
            };
            c.noted += 1;
            let rubbish = match note {
                Note::Hello { read_only, .. } => read_only && !self.users[user].reads_only_too,
                ref note => matches!(note, Note::Rubbish),
            };
            self.judge_note(user, conn, note);
            // The frame may have been the session's last, or the connection's.
            if rubbish || self.users[user].over {
                break;
            }
        }
    }

    fn judge_note(&mut self, user: usize, conn: usize, note: Note) {
        self.trace(|_| format!("user {user} hears {note:?}"));
        match note {
            Note::Quiet => {}
            Note::Pong => self.judge_pong(user, conn),
            Note::Rubbish => self.judge_rubbish(user, conn),
            Note::Closing => {
                assert!(self.users[user].closing);
                self.expect(user, &Output::Closed);
                self.users[user].closed = true;
                self.users[user].over = true;
                self.counts.bump("sessions closed and told so");
            }
            Note::Hello { id, read_only } => {
                let at = self.time_of(user);
                let u = &mut self.users[user];
                if read_only && !u.reads_only_too {
                    assert!(!u.session.wants_bytes(), "user {user} stays at a server that only reads");
                    self.counts.bump("greetings of read-only servers that were not wanted");
                    return;
                }
                if u.id == id && u.connected_at == 0 {
                    self.counts.bump("sessions that came to another user");
                }
                // A server without a quorum may not know the session, which lives on all the same.
                if u.id != 0 && id != u.id && !read_only {
                    assert!(self.plan.keeper, "another id");
                    u.refused = true;
                    return;
                }
                if !read_only {
                    u.id = id;
                    self.judge_grant(user, conn);
                }
                let u = &mut self.users[user];
                if u.logs_in {
                    u.logging_in = Some((at, read_only));
                } else {
                    self.judge_established(user, conn, read_only);
                }
            }
            Note::Login { ok } => self.judge_login(user, conn, ok),
            Note::Refusal => self.users[user].refused = self.users[user].id != 0,
            Note::Auth { ok } => {
                let c = &mut self.conns[conn];
                let index = c.auths[c.auths_answered];
                c.auths_answered += 1;
                self.judge_auth(user, index, if ok { Code::OK } else { Code::AUTH_FAILED });
            }
            Note::Event { kind, path, applied } => self.judge_event(user, kind, &path, applied),
            Note::Reply { token, done } => {
                self.judge_reply(user, conn, token, &done);
                self.judge_confirmed(user, conn, done.code);
                self.note_room(user, conn);
            }
        }
    }

    fn judge_event(&mut self, user: usize, kind: EventType, path: &str, applied: usize) {
        let is = self.ensemble.seen(path, applied);
        let u = &mut self.users[user];
        let mut watchers = BTreeSet::new();
        // Such a watch is armed from the moment at which it was found to need it, and a request that was under way
        // then may have left one that knows more.
        let armed_again = u.conn.is_some_and(|conn| self.conns[conn].armed_again.contains(path));
        u.armed.retain(|armed| {
            let here = armed.path == path;
            let (hears, stays) = match armed.kind {
                Kind::Data | Kind::Exist => (here && kind != EventType::CHILD, false),
                Kind::Child => (here && matches!(kind, EventType::CHILD | EventType::DELETED), false),
                Kind::Persistent => (here, true),
                Kind::Recursive => {
                    let above = super::server::upwards(path).any(|above| above == armed.path);
                    (above && kind != EventType::CHILD, true)
                }
            };
            // What was made and removed in one transaction leaves nothing to see.
            if hears && !stays && armed.kind != Kind::Exist {
                let knew = armed.kept(&is);
                assert!(!knew || armed_again, "user {user} hears {kind:?} {path}, which {armed:?} knew");
            }
            if hears {
                watchers.insert(armed.watcher);
            }
            !hears || stays
        });
        self.counts.bump(if watchers.is_empty() { "events for nobody" } else { "events told" });
        while !watchers.is_empty() {
            match self.users[user].outputs.pop_front() {
                Some(Output::Watch { watcher, event, .. }) => {
                    assert!(watchers.remove(&watcher), "watcher {watcher} hears of {kind:?} {path}");
                    assert_eq!(event.kind, kind);
                    assert_eq!(event.state, KeeperState::CONNECTED);
                    let told = outside(self.users[user].chroot, path);
                    assert_eq!(event.path.as_deref(), Some(told.as_bytes()));
                }
                other => panic!("user {user}: {kind:?} {path} is for {watchers:?}, found {other:?}"),
            }
        }
    }

    fn judge_reply(&mut self, user: usize, conn: usize, token: u64, done: &Done) {
        let u = &mut self.users[user];
        assert!(done.applied >= u.applied, "a read that went back in time");
        u.applied = done.applied;
        u.last_zxid = u.last_zxid.max(done.zxid);
        assert!(u.session.last_zxid() >= done.zxid, "the session forgot a zxid");
        let u = &self.users[user];
        for armed in &u.armed {
            let seen = self.ensemble.seen(&armed.path, done.applied);
            if !armed.kept(&seen) && self.is_in_gap(conn, armed) {
                self.counts.bump("states seen before the event while a watch was being armed again");
                continue;
            }
            assert!(
                armed.kept(&seen),
                "user {user} sees a state from before which {armed:?} was to warn him"
            );
        }
        let u = &mut self.users[user];
        let asked = &u.asked[token as usize - 1];
        if let Some((watcher, kind)) = asked.watcher.zip(watch_of(&asked.full, done.code)) {
            let path = asked.full.path().to_owned();
            let known = u.armed.iter().any(|a| (a.watcher, a.kind, &a.path) == (watcher, kind, &path));
            if !known {
                let seen = self.ensemble.seen(&path, done.applied);
                u.armed.push(Armed { watcher, kind, path, seen, on: Some(conn) });
                self.counts.bump(match kind {
                    Kind::Data => "watches set: data",
                    Kind::Exist => "watches set: exist",
                    Kind::Child => "watches set: child",
                    Kind::Persistent => "watches set: persistent",
                    Kind::Recursive => "watches set: recursive",
                });
            }
        }
        let removal = matches!(self.users[user].asked[token as usize - 1].full, Op::RemoveWatches { .. });
        let removed = removal.then(|| self.judge_removal(user, token, done.code));
        let u = &self.users[user];
        if u.asked[token as usize - 1].stage == Stage::Done {
            self.counts.bump("answers that nobody waited for any more");
            return;
        }
        let result = removed.unwrap_or_else(|| match done.code {
            Code::OK => Ok(unchrooted(&done.reply, u.chroot)),
            code => Err(Failure::new(code)),
        });
        let failed =
            matches!(&done.reply, Reply::Multi(r) if r.iter().any(|r| matches!(r, OpResult::Error(_))));
        self.counts.bump(if done.code == Code::OK && !failed {
            "requests that succeeded"
        } else {
            "requests refused"
        });
        self.expect(user, &Output::Completed { token, result });
        self.note_end(user, token, End::Answered { done: done.code == Code::OK && !failed });
    }

    pub(super) fn expect(&mut self, user: usize, expected: &Output) {
        let found = self.users[user].outputs.pop_front();
        assert_eq!(found.as_ref(), Some(expected), "user {user}");
    }
}

/// The watch that a request leaves when it is answered so.
fn watch_of(op: &Op, code: Code) -> Option<Kind> {
    match (op, code) {
        (Op::Get { watch: true, .. } | Op::Exists { watch: true, .. }, Code::OK) => Some(Kind::Data),
        (Op::Exists { watch: true, .. }, Code::NO_NODE) => Some(Kind::Exist),
        (Op::Children { watch: true, .. }, Code::OK) => Some(Kind::Child),
        (Op::AddWatch { recursive: false, .. }, Code::OK) => Some(Kind::Persistent),
        (Op::AddWatch { recursive: true, .. }, Code::OK) => Some(Kind::Recursive),
        _ => None,
    }
}

/// The answer as a client in this chroot is to see it.
fn unchrooted(reply: &Reply, chroot: &str) -> Reply {
    let strip = |path: &Bytes| -> Bytes { outside(chroot, &String::from_utf8_lossy(path)).into() };
    match reply {
        Reply::Path(path) => Reply::Path(strip(path)),
        Reply::PathStat(path, stat) => Reply::PathStat(strip(path), *stat),
        Reply::Multi(results) => {
            let results = results.iter().map(|result| match result {
                OpResult::Create(path, stat) => OpResult::Create(strip(path), *stat),
                other => other.clone(),
            });
            Reply::Multi(results.collect())
        }
        other => other.clone(),
    }
}
