//! Authentications: asked for with or without somebody who waits for the outcome, and what becomes of them.

use super::Sim;
use zk_proto::op::Reply;
use zk_proto::session::{Failure, Output};
use zk_proto::time::Time;
use zk_proto::Code;

/// Tokens from here on are of authentications.
const TOKENS: u64 = 1 << 32;

#[derive(Debug)]
pub(super) struct Auth {
    pub(super) credentials: &'static str,
    /// Who has not been told of the outcome yet.
    pub(super) watcher: Option<u64>,
    /// Somebody waits for the outcome.
    pub(super) asked: Option<Limits>,
}

impl Auth {
    fn is_settled(&self) -> bool {
        self.watcher.is_none() && self.asked.is_none()
    }
}

/// How long he does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    at: u64,
    /// Without a connection then he is told so.
    connect_by: u64,
    deadline: u64,
}

/// Which authentication of its user it is, if the token is one's.
pub(super) fn of_token(token: u64) -> Option<usize> {
    token.checked_sub(TOKENS).map(|index| index as usize)
}

impl Sim {
    pub(super) fn authenticate(&mut self, user: usize) {
        let at = self.time_of(user);
        let bad = !self.plan.calm && self.rng.u32(0..40) == 0;
        let credentials = if bad { "bad" } else { ["u1", "u2"][self.rng.usize(0..2)] };
        let watcher = self.rng.bool().then(|| self.some_watcher(user));
        let waits = self.rng.bool();
        let within = self.some_span();
        let u = &mut self.users[user];
        let index = u.auths.len();
        let (now, bytes) = (Time::from_micros(at), credentials.as_bytes());
        let timeout = u.session.timeout().as_micros() as u64;
        let deadline = at + within.map_or(timeout * 3, |w| w.as_micros() as u64);
        let limits = Limits { at, connect_by: at + timeout, deadline };
        let result = match waits {
            true => u.session.authenticate(now, b"sim", bytes, watcher, TOKENS + index as u64, within),
            false => u.session.add_auth(b"sim", bytes, watcher),
        };
        assert_eq!(result, Ok(()));
        if let Some(conn) = u.conn.filter(|_| u.session.is_connected()) {
            let behind = self.conns[conn].handed.len();
            self.conns[conn].auths.push(index);
            self.conns[conn].auths_at.push(behind);
        }
        u.auths.push(Auth { credentials, watcher, asked: waits.then_some(limits) });
        self.keep_auth(user, index);
        self.trace(|_| format!("user {user} authenticates as {credentials}"));
    }

    /// The session has one more, or one that it has instead of the same one: nobody is to hear of that any more.
    fn keep_auth(&mut self, user: usize, index: usize) {
        let u = &mut self.users[user];
        let sent = u.conn.map_or(&[][..], |conn| {
            let c = &self.conns[conn];
            &c.auths[c.auths_answered..]
        });
        let is_free = |kept: &usize| {
            let auth = &u.auths[*kept];
            !sent.contains(kept) && auth.is_settled() && auth.credentials == u.auths[index].credentials
        };
        match u.auths_kept.iter().position(is_free) {
            Some(place) => {
                self.counts.bump("authentications that were added again");
                u.auths_kept[place] = index;
            }
            None => u.auths_kept.push(index),
        }
    }

    /// What a new connection is to get.
    pub(super) fn replayed_auths(&mut self, user: usize) -> Vec<usize> {
        let u = &mut self.users[user];
        let mut kept: Vec<usize> = Vec::new();
        for index in std::mem::take(&mut u.auths_kept) {
            let auth = &u.auths[index];
            let is_there = kept.iter().any(|other| u.auths[*other].credentials == auth.credentials);
            if !auth.is_settled() || !is_there {
                kept.push(index);
            }
        }
        u.auths_kept.clone_from(&kept);
        kept
    }

    /// A server has given its opinion: all who want to hear it do, once.
    pub(super) fn judge_auth(&mut self, user: usize, index: usize, code: Code) {
        let auth = &mut self.users[user].auths[index];
        let (watcher, asked) = (auth.watcher.take(), auth.asked.take());
        if let Some(watcher) = watcher {
            self.counts.bump("outcomes of authentications told");
            self.expect(user, &Output::Auth { watcher, code });
        }
        if asked.is_some() {
            self.counts.bump("authentications answered");
            let result = if code == Code::OK { Ok(Reply::Nothing) } else { Err(Failure::new(code)) };
            self.expect(user, &Output::Completed { token: TOKENS + index as u64, result });
        }
        self.users[user].auth_refused |= code != Code::OK;
    }

    /// An authentication that no server has answered.
    pub(super) fn judge_auth_failure(&mut self, user: usize, index: usize, failure: &Failure) {
        let at = self.time_of(user);
        let limits = self.users[user].auths[index].asked.take();
        let limits =
            limits.unwrap_or_else(|| panic!("authentication {index} is answered again: {failure:?}"));
        let u = &self.users[user];
        assert!(!failure.maybe_applied);
        let slack = 4_000;
        let timely =
            at <= limits.deadline + slack || u.disturbed >= limits.at || failure.code == Code::CLOSING;
        assert!(timely, "authentication {index} of user {user} was answered late");
        match failure.code {
            Code::CONNECTION_LOSS => {
                assert!(!u.session.is_connected(), "authentication {index} lost, and there is a connection");
                assert!(at >= limits.connect_by, "authentication {index} given up too early");
                self.counts.bump("authentications given up for want of a connection");
            }
            Code::OPERATION_TIMEOUT => {
                assert!(at >= limits.deadline, "authentication {index} timed out too early");
                self.counts.bump("authentications timed out");
            }
            Code::SESSION_EXPIRED => assert!(self.may_expire(user), "expired without a word of the server"),
            Code::AUTH_FAILED => assert!(u.auth_refused, "refused without a word of the server"),
            Code::CLOSING => assert!(u.closing, "failed by a close that was not asked for"),
            code => panic!("authentication {index} failed with {code:?}, and no server said so"),
        }
    }
}
