//! What a server does with the frames of a connection, in their order.

use super::conn::{Conn, Done, Note, Work};
use super::ensemble::Asker;
use super::op::Op;
use super::{Event, Sim};
use std::rc::Rc;
use zk_proto::op::Reply;
use zk_proto::record::{AuthPacket, ConnectRequest, RequestHeader};
use zk_proto::xid::reserved;
use zk_proto::{opcode, Code};

impl Sim {
    /// Bytes for a server that runs.
    pub(super) fn take_in(&mut self, conn: usize, bytes: &[u8]) {
        self.conns[conn].frames.extend_from_slice(bytes);
        while self.conns[conn].server_open {
            if self.is_too_long(conn) {
                return;
            }
            let Some(mut frame) = self.conns[conn].next_frame() else { break };
            let first = !self.conns[conn].greeted && self.conns[conn].queue.is_empty();
            let work = if first && self.conns[conn].doing.is_none() {
                let hello = ConnectRequest::decode(frame, |r| super::conn::Hello {
                    last_zxid: r.last_zxid_seen,
                    id: r.session_id,
                    passwd: *r.passwd,
                    timeout_ms: r.timeout_ms,
                    read_only: r.read_only,
                });
                Work::Hello(hello.expect("a connect request"))
            } else {
                assert!(self.conns[conn].greeted, "a frame before the answer to the connect request");
                let header = RequestHeader::decode(&mut frame).expect("a request header");
                // What authenticates does not renew the session.
                if !matches!(header.opcode, opcode::AUTH | opcode::SASL) {
                    self.touch(conn);
                }
                match (header.xid, header.opcode) {
                    (reserved::PING, opcode::PING) => Work::Ping,
                    (reserved::AUTH, opcode::AUTH) => {
                        let (scheme, credentials) = AuthPacket::decode(frame).expect("auth");
                        assert_eq!(scheme, "sim");
                        Work::Auth { credentials }
                    }
                    (xid, opcode::SASL) => Self::read_sasl(xid, frame),
                    (reserved::SET_WATCHES, opcode) => Conn::read_set_watches(opcode, frame),
                    (xid, opcode) => {
                        assert!(xid > 0, "xid {xid} of an ordinary request");
                        let op = Op::decode(opcode, frame);
                        let token = self.expect_request(conn, &op);
                        Work::Op { xid, token, op }
                    }
                }
            };
            self.check_login(conn, &work);
            self.check_order(conn, &work);
            self.conns[conn].queue.push_back(work);
            self.pump(conn);
        }
    }

    /// Works on the queue until something has to wait for the leader.
    fn pump(&mut self, conn: usize) {
        while self.conns[conn].doing.is_none() {
            let Some(work) = self.conns[conn].queue.pop_front() else { return };
            let read_only = self.conns[conn].read_only;
            match work {
                Work::Hello(_) => return self.greet(conn, work),
                Work::Ping => {
                    self.counts.bump("pings");
                    self.simple_reply(conn, reserved::PING, Code::OK, Note::Pong);
                }
                Work::Auth { credentials } => {
                    let ok = credentials != "bad";
                    let code = if ok { Code::OK } else { Code::AUTH_FAILED };
                    self.counts.bump(if ok { "authentications" } else { "authentications refused" });
                    self.simple_reply(conn, reserved::AUTH, code, Note::Auth { ok });
                    if ok {
                        self.conns[conn].ids.push(credentials);
                    } else {
                        if !self.conns[conn].ids.is_empty() {
                            self.counts.bump("authentications refused behind one that was accepted");
                        }
                        self.hang_up(conn);
                    }
                }
                Work::Sasl { xid, token } => self.log_in(conn, xid, &token),
                Work::SetWatches { relative_zxid, kinds } => self.set_watches(conn, relative_zxid, kinds),
                Work::Op { xid, token, op } => {
                    let unknown = matches!(
                        op,
                        Op::AddWatch { .. } | Op::RemoveWatches { .. } | Op::Create { stat: true, .. }
                    );
                    if self.plan.old && unknown {
                        self.counts.bump("requests unknown to an old server");
                        self.finish(conn, xid, token, Code::UNIMPLEMENTED, Reply::Nothing);
                        self.hang_up(conn);
                    } else if read_only && (op.is_write() || matches!(op, Op::Sync { .. })) {
                        self.counts.bump("writes refused by a read-only server");
                        self.finish(conn, xid, token, Code::NOT_READ_ONLY, Reply::Nothing);
                    } else if read_only && op == Op::Close {
                        self.simple_reply(conn, xid, Code::OK, Note::Closing);
                        self.hang_up(conn);
                    } else if op.is_write() || matches!(op, Op::Sync { .. } | Op::Close) {
                        self.conns[conn].doing = Some(Work::Op { xid, token, op });
                        self.pass_on(conn);
                    } else {
                        let (code, reply) = self.read(conn, &op);
                        self.finish(conn, xid, token, code, reply);
                    }
                }
            }
        }
    }

    /// What is under way goes to the leader.
    pub(super) fn pass_on(&mut self, conn: usize) {
        let at = self.now + self.latency();
        self.at(at, Event::Commit(conn));
    }

    /// The leader has what a connection is doing.
    pub(super) fn commit(&mut self, conn: usize) {
        let server = self.conns[conn].server;
        let known = self.servers[server].up && self.servers[server].conns.contains(&conn);
        let lost = !self.ensemble.quorum || (!known && self.rng.bool());
        if lost || self.conns[conn].waits_for.is_some() {
            self.conns[conn].doing = None;
            return;
        }
        let Some(work) = self.conns[conn].doing.take() else { return };
        let (token, op) = match &work {
            Work::Hello(hello) => {
                let hello = *hello;
                if known && self.conns[conn].server_open {
                    self.conns[conn].doing = Some(work);
                    self.grant(conn, hello);
                }
                return;
            }
            Work::Op { token, op, .. } => (*token, op.clone()),
            other => unreachable!("{other:?} is not for the leader"),
        };
        let Conn { session: id, user, .. } = self.conns[conn];
        let session = &self.ensemble.sessions[&id];
        let origin = (user, token);
        let (index, code, reply) = if !session.alive {
            self.counts.bump("requests of an ended session");
            (self.ensemble.log.len() - 1, Code::SESSION_EXPIRED, Reply::Nothing)
        } else if session.owner != conn {
            self.counts.bump("requests of a session that had moved");
            (self.ensemble.log.len() - 1, Code::SESSION_MOVED, Reply::Nothing)
        } else {
            let time = self.millis();
            match op {
                Op::Sync { path } => (self.ensemble.log.len() - 1, Code::OK, Reply::Path(path.into())),
                Op::Close => {
                    self.counts.bump("sessions closed by their client");
                    if (0..self.users.len())
                        .any(|u| u != user && self.users[u].id == id && !self.users[u].over)
                    {
                        self.counts.bump("sessions that another user closed");
                    }
                    (self.ensemble.end_session(id, time, None), Code::OK, Reply::Nothing)
                }
                op => {
                    let ids = self.conns[conn].ids.clone();
                    let asker = Asker { session: id, ids: &ids, stat_in_multi: self.plan.stat_in_multi };
                    let (index, code, reply) = self.ensemble.write(&op, &asker, time, origin);
                    let done = self.ensemble.log[index].origin.is_some();
                    self.counts.bump(if done { "writes done" } else { "writes refused" });
                    self.trace(|sim| {
                        let zxid = sim.ensemble.log[index].zxid;
                        format!("zxid {zxid:x}: {op:?} of user {user}, token {token}: {code:?}")
                    });
                    (index, code, reply)
                }
            }
        };
        if !known {
            self.counts.bump("writes carried out whose server had gone");
            self.publish();
            return;
        }
        self.conns[conn].doing = Some(work);
        self.conns[conn].waits_for = Some((index, code, reply));
        self.publish();
        if self.servers[server].applied > index {
            self.answer(conn);
        }
    }

    /// The server has applied what the connection waited for.
    pub(super) fn answer(&mut self, conn: usize) {
        let Some((index, code, reply)) = self.conns[conn].waits_for.take() else { return };
        match self.conns[conn].doing.take() {
            Some(Work::Hello(hello)) => self.welcome(conn, &hello, self.ensemble.log[index].zxid),
            Some(Work::Op { xid, op: Op::Close, .. }) if code == Code::OK => {
                self.simple_reply(conn, xid, code, Note::Closing);
                self.hang_up(conn);
            }
            Some(Work::Op { xid, token, .. }) => {
                self.finish(conn, xid, token, code, reply);
                if matches!(code, Code::SESSION_EXPIRED | Code::SESSION_MOVED) {
                    self.hang_up(conn);
                }
            }
            other => unreachable!("{other:?} does not wait"),
        }
        self.pump(conn);
    }

    fn finish(&mut self, conn: usize, xid: i32, token: u64, code: Code, reply: Reply) {
        let server = self.conns[conn].server;
        let (zxid, applied) = (self.zxid_of(server), self.servers[server].applied);
        let mut body = Vec::new();
        if code == Code::OK {
            reply.encode(&mut body);
        }
        let frame = crate::reply_frame(xid, zxid, code, &body);
        let done = Rc::new(Done { code, reply, zxid, applied });
        let note = if token == 0 { Note::Quiet } else { Note::Reply { token, done } };
        self.send(conn, note, &frame);
    }
}
