//! Moves that are planned: to servers that can write, and to other lists of servers.

use super::server::Manners;
use super::user::Stage;
use super::{Event, Sim};
use zk_proto::connect_string::ConnectString;
use zk_proto::time::Time;

impl Sim {
    /// The session asks a server whether it can write.
    pub(super) fn probe(&mut self, user: usize, server: usize) {
        let number = self.serial();
        let u = &mut self.users[user];
        assert!(u.probe.is_none(), "two probes at a time");
        assert!(u.connected, "a probe without a connection");
        assert!(u.hosts.contains(&server), "a probe of what is none of user {user}'s list");
        assert!(
            u.conn.is_none_or(|conn| self.conns[conn].server != server),
            "a probe of the user's own server"
        );
        u.probe = Some(number);
        self.counts.bump("servers asked whether they can write");
        let s = &self.servers[server];
        let answers = s.up && !s.stopped && s.manners == Manners::Normal;
        // There are some that lie.
        let can_write = answers && (self.ensemble.quorum || self.rng.u32(0..8) == 0);
        if answers || s.manners != Manners::Unreachable {
            let at = self.now + self.latency();
            self.at(at, Event::Probed(user, number, can_write));
        }
    }

    pub(super) fn probed(&mut self, user: usize, number: u64, can_write: bool) {
        if self.users[user].probe != Some(number) || self.users[user].stopped {
            return;
        }
        self.users[user].probe = None;
        if can_write {
            self.counts.bump("servers found that can write");
        }
        let now = Time::from_micros(self.time_of(user));
        self.users[user].session.handle_probe(now, can_write);
        self.note_moving(user);
        self.settle(user);
    }

    /// The user hears of another list of servers.
    pub(super) fn set_hosts(&mut self, user: usize) {
        let some = self.rng.u64(..);
        let mut hosts: Vec<usize> = (0..self.servers.len()).filter(|i| some >> i & 1 == 1).collect();
        if hosts.is_empty() {
            hosts = (0..self.servers.len()).collect();
        }
        self.tell_hosts(user, hosts);
    }

    pub(super) fn tell_hosts(&mut self, user: usize, hosts: Vec<usize>) {
        let names: Vec<String> = hosts.iter().map(|i| format!("s{i}")).collect();
        let text = format!("{}{}", names.join(","), self.users[user].chroot);
        self.trace(|_| format!("user {user}: the servers are {text}"));
        self.counts.bump("lists of servers");
        let servers = ConnectString::parse(text.as_bytes()).expect("a connect string");
        let now = Time::from_micros(self.time_of(user));
        let u = &mut self.users[user];
        let there = u.conn.filter(|_| u.connected && !u.moving).map(|conn| self.conns[conn].server);
        u.session.set_servers(now, servers).expect("a list for a session that is not over");
        if let Some(there) = there {
            let moves = u.session.is_moving() || !u.session.is_connected();
            let added = hosts.iter().filter(|host| !u.hosts.contains(host)).count();
            if !hosts.contains(&there) {
                assert!(moves, "user {user} stays at a server that is not in the list any more");
                self.counts.bump("lists without the user's server");
            } else if added == 0 || hosts.len() <= u.hosts.len() {
                assert!(!moves, "user {user} leaves a server that has room for him");
                self.counts.bump("lists that move nobody");
            } else {
                self.counts.bump("lists with more servers");
            }
        }
        u.hosts = hosts;
        // What was learnt of other servers says nothing of these.
        u.attempts.drain(..u.attempts.len().saturating_sub(1));
        u.at_once = None;
        self.note_moving(user);
        self.settle(user);
    }

    fn note_moving(&mut self, user: usize) {
        let u = &mut self.users[user];
        let planned = u.connected && (u.session.is_moving() || !u.session.is_connected());
        if planned && !u.moving {
            u.moving = true;
            self.counts.bump("moves planned");
        }
    }

    /// The connection was left in good order: what waits is not lost, it waits for the next one.
    pub(super) fn wait_for_connection(&mut self, user: usize) {
        let at = self.time_of(user);
        let u = &mut self.users[user];
        let timeout = u.session.timeout().as_micros() as u64;
        for token in &u.waits {
            let asked = &mut u.asked[*token as usize - 1];
            asked.stage = Stage::Waits;
            asked.connect_by = asked.deadline.min(at + timeout);
        }
        if !u.waits.is_empty() {
            self.counts.bump("moves that took along what waited");
        }
    }
}
