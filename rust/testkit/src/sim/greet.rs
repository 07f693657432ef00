//! The handshake, as servers of several kinds do it.

use super::conn::{Hello, Note, Work};
use super::ensemble::SessionRecord;
use super::server::Manners;
use super::Sim;
use zk_proto::op::Reply;
use zk_proto::record::ConnectResponse;
use zk_proto::Code;

/// Ids that a server without a quorum makes up: no other server knows them.
const MADE_UP: i64 = 0x6000_0000_0000_0000;

impl Sim {
    /// The connect request has come.
    pub(super) fn greet(&mut self, conn: usize, work: Work) {
        let Work::Hello(hello) = work else { return };
        self.check_hello(conn, &hello);
        let server = self.conns[conn].server;
        if hello.last_zxid > self.zxid_of(server) {
            self.counts.bump("clients refused by a server that lags behind");
            return self.hang_up(conn);
        }
        if self.ensemble.quorum {
            self.conns[conn].doing = Some(Work::Hello(hello));
            return self.pass_on(conn);
        }
        let pushes = self.plan.pushy && self.rng.bool();
        if !self.servers[server].reads_alone || !(hello.read_only || pushes) {
            self.counts.bump("clients refused for want of a quorum");
            return self.hang_up(conn);
        }
        self.conns[conn].read_only = true;
        let stranger = hello.id != 0 && self.rng.bool();
        if hello.id == 0 || stranger {
            self.counts.bump("sessions made up by a read-only server");
            let id = MADE_UP + self.ensemble.new_id();
            self.respond(conn, &hello, id, [7; 16]);
        } else if self.knows(&hello) {
            self.counts.bump("sessions resumed read-only");
            self.respond(conn, &hello, hello.id, hello.passwd);
        } else {
            self.refuse(conn, &hello);
        }
    }

    /// The leader decides about the session that is asked for.
    pub(super) fn grant(&mut self, conn: usize, hello: Hello) {
        let fresh = hello.id == 0;
        if fresh || (!self.knows(&hello) && self.plan.keeper) {
            if !fresh {
                self.counts.bump("sessions replaced instead of refused");
            }
            let id = self.ensemble.new_id();
            let mut passwd = [0; 16];
            self.rng.fill(&mut passwd);
            let timeout_us = self.granted_ms(&hello) as u64 * 1_000;
            let deadline = self.now + timeout_us;
            let record = SessionRecord { passwd, timeout_us, deadline, owner: conn, alive: true };
            let index = self.ensemble.open_session(id, record);
            self.conns[conn].session = id;
            self.conns[conn].waits_for = Some((index, Code::OK, Reply::Nothing));
            self.publish();
            return;
        }
        self.conns[conn].doing = None;
        if !self.knows(&hello) {
            return self.refuse(conn, &hello);
        }
        self.counts.bump("sessions resumed");
        let now = self.now;
        let timeout_us = self.granted_ms(&hello) as u64 * 1_000;
        if let Some(session) = self.ensemble.sessions.get_mut(&hello.id) {
            session.owner = conn;
            session.timeout_us = timeout_us;
            session.deadline = now + timeout_us;
        }
        for other in 0..self.conns.len() {
            let c = &self.conns[other];
            // A server that is stopped finds out when it goes on.
            if other != conn && c.server_open && c.session == hello.id && !self.servers[c.server].stopped {
                self.counts.bump("connections closed because their session had moved");
                self.hang_up(other);
            }
        }
        self.respond(conn, &hello, hello.id, hello.passwd);
    }

    /// A fresh session is in this server's log too.
    pub(super) fn welcome(&mut self, conn: usize, hello: &Hello, _zxid: i64) {
        let id = self.conns[conn].session;
        let passwd = self.ensemble.sessions[&id].passwd;
        self.counts.bump("sessions opened");
        self.respond(conn, hello, id, passwd);
    }

    fn knows(&self, hello: &Hello) -> bool {
        self.ensemble.sessions.get(&hello.id).is_some_and(|s| s.alive && s.passwd == hello.passwd)
    }

    fn granted_ms(&self, hello: &Hello) -> i32 {
        hello.timeout_ms.clamp(self.plan.least_timeout_ms, self.plan.most_timeout_ms)
    }

    fn respond(&mut self, conn: usize, hello: &Hello, id: i64, passwd: [u8; 16]) {
        let timeout_ms = self.granted_ms(hello);
        let read_only = self.conns[conn].read_only;
        let response = ConnectResponse { protocol_version: 0, timeout_ms, session_id: id, passwd, read_only };
        self.conns[conn].greeted = true;
        self.conns[conn].session = id;
        self.touch(conn);
        self.counts.bump("connects");
        self.say(conn, &response, Note::Hello { id, read_only });
    }

    /// The three ways to say that there is no such session.
    fn refuse(&mut self, conn: usize, hello: &Hello) {
        self.counts.bump("sessions refused");
        let (timeout_ms, session_id) = match self.rng.u32(0..4) {
            0 => (self.granted_ms(hello), 0),
            1 => (0, hello.id),
            _ => (0, 0),
        };
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id,
            passwd: [0; 16],
            read_only: false,
        };
        self.say(conn, &response, Note::Refusal);
        self.hang_up(conn);
    }

    fn say(&mut self, conn: usize, response: &ConnectResponse, note: Note) {
        let mut frame = Vec::new();
        response.encode(&mut frame);
        if self.plan.old {
            // Servers up to 3.3 know nothing of read-only.
            frame.pop();
            frame[3] -= 1;
        }
        if self.servers[self.conns[conn].server].manners == Manners::Stammers {
            self.counts.bump("connections closed amid the handshake");
            frame.truncate(self.rng.usize(0..frame.len()));
            self.send(conn, Note::Quiet, &frame);
            return self.hang_up(conn);
        }
        self.send(conn, note, &frame);
    }
}
