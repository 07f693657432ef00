//! Logins by SASL: users who have one, servers that judge it, and what users hear of that.

use super::conn::{Note, Work};
use super::Sim;
use crate::sasl;
use zk_proto::record::decode_token;
use zk_proto::sasl::Login;
use zk_proto::session::Output;
use zk_proto::{Code, KeeperState};

const PASSWORD: &str = "right";

/// How far a login has got on a connection, by the server's book.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    Nothing,
    /// The nonce of the challenge.
    Challenged(String),
    Done,
}

impl Sim {
    /// What a new user logs in with.
    pub(super) fn some_login(&mut self) -> Option<Login> {
        if self.rng.u32(0..3) > 0 {
            return None;
        }
        let wrong = !self.plan.calm && self.rng.u32(0..12) == 0;
        let password = if wrong { "wrong" } else { PASSWORD };
        let mut entropy = [0; 32];
        self.rng.fill(&mut entropy);
        Some(Login { username: "sim".to_owned(), password: password.to_owned(), entropy })
    }

    /// Nothing but the end goes before the login of one who has one.
    pub(super) fn check_login(&self, conn: usize, work: &Work) {
        let c = &self.conns[conn];
        let user = &self.users[c.user];
        match work {
            Work::Hello(_) => {}
            Work::Sasl { .. } => {
                assert!(user.logs_in, "a login that nobody has asked for");
                assert!(c.auths_got == 0 && c.got == 0, "a login behind something else");
            }
            Work::Op { op: super::op::Op::Close, .. } => {}
            other => {
                assert!(!user.logs_in || c.login == Progress::Done, "{other:?} before the login");
            }
        }
    }

    /// The server's answer to a step.
    pub(super) fn log_in(&mut self, conn: usize, xid: i32, token: &[u8]) {
        let odd = if self.plan.calm || self.quiet { 99 } else { self.rng.u32(0..80) };
        if odd == 0 {
            self.counts.bump("logins that get no answer");
            return;
        }
        if odd == 1 && self.conns[conn].login == Progress::Nothing {
            self.counts.bump("logins at a server without SASL");
            let frame = crate::reply_frame(xid, 0, Code::OK, &[0xff; 4]);
            return self.send(conn, Note::Login { ok: false }, &frame);
        }
        let forged = !self.plan.calm && !self.quiet && self.rng.u32(0..40) == 0;
        let (token, note) = match self.conns[conn].login.clone() {
            Progress::Nothing => {
                assert!(token.is_empty(), "the first token is {token:x?}");
                let nonce = format!("n{}", self.serial());
                let token = sasl::challenge(&nonce);
                self.conns[conn].login = Progress::Challenged(nonce);
                (token, Note::Quiet)
            }
            Progress::Challenged(_) if forged => {
                self.counts.bump("logins at a server that does not know the password");
                (b"rspauth=0123456789abcdef0123456789abcdef".to_vec(), Note::Login { ok: false })
            }
            Progress::Challenged(nonce) => {
                let right = |user: &str| (user == "sim").then(|| PASSWORD.as_bytes().to_vec());
                let Some(proof) = sasl::verify(&nonce, token, right) else {
                    self.counts.bump("logins refused");
                    let code = [Code::AUTH_FAILED, Code::SESSION_CLOSED_REQUIRE_SASL_AUTH];
                    let code = code[self.rng.usize(0..2)];
                    let frame = crate::reply_frame(xid, 0, code, &[0xff; 4]);
                    self.send(conn, Note::Login { ok: false }, &frame);
                    return self.hang_up(conn);
                };
                self.counts.bump("logins");
                self.conns[conn].login = Progress::Done;
                (proof, Note::Login { ok: true })
            }
            Progress::Done => panic!("a second login on a connection"),
        };
        let body = [&(token.len() as i32).to_be_bytes()[..], &token].concat();
        self.send(conn, note, &crate::reply_frame(xid, 0, Code::OK, &body));
    }

    /// The end of a login has come to the user.
    pub(super) fn judge_login(&mut self, user: usize, conn: usize, ok: bool) {
        let u = &mut self.users[user];
        if u.closing {
            return;
        }
        u.auth_refused |= !ok;
        if ok {
            let read_only = u.logging_in.take().is_some_and(|(_, read_only)| read_only);
            self.judge_established(user, conn, read_only);
        }
    }

    /// The session counts as connected from now on.
    pub(super) fn judge_established(&mut self, user: usize, conn: usize, read_only: bool) {
        let at = self.time_of(user);
        let u = &mut self.users[user];
        u.connected = true;
        u.connected_at = at;
        if std::mem::replace(&mut u.only_read, read_only) && !read_only {
            self.counts.bump("users who found back from a server that only reads");
        }
        self.note_established(user, conn);
        let state = if read_only { KeeperState::CONNECTED_READ_ONLY } else { KeeperState::CONNECTED };
        self.expect(user, &Output::State(state));
    }

    /// The connection has gone.
    pub(super) fn leave_login(&mut self, user: usize) {
        let u = &mut self.users[user];
        if u.logging_in.take().is_some() {
            self.counts.bump("logins cut off");
        }
    }

    /// A step of a client's.
    pub(super) fn read_sasl(xid: i32, frame: bytes::Bytes) -> Work {
        let token = decode_token(frame).expect("a step of a login").expect("a token that is not null");
        Work::Sasl { xid, token }
    }
}
