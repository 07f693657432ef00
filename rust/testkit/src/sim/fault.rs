//! What goes wrong, at random, and how it is mended.

use super::net::Way;
use super::server::Manners;
use super::{Event, Sim};

/// What is to be undone later.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mend {
    Server(usize),
    Pause(usize),
    Manners(usize),
    Lag(usize),
    User(usize),
    Block(usize, Way),
    Split,
    Timers(usize),
}

impl Sim {
    pub(super) fn fault(&mut self) {
        if self.quiet {
            return;
        }
        let at = self.now + self.rng.u64(0..2 * self.plan.fault_every_us);
        self.at(at, Event::Fault);
        let server = self.rng.usize(0..self.servers.len());
        let user = self.rng.usize(0..self.users.len());
        let timeout = self.users[user].session.timeout().as_micros() as u64;
        // Now and then just long enough, now and then far too long.
        let span = match self.rng.u32(0..3) {
            0 => self.rng.u64(0..timeout / 2),
            1 => self.rng.u64(0..timeout * 3 / 2),
            _ => self.rng.u64(0..timeout * 3),
        };
        let (what, mend) = match self.rng.u32(0..24) {
            0..=4 => {
                let Some(conn) = self.users[user].conn else { return };
                self.conns[conn].server_open.then(|| self.cut_both(conn));
                ("faults: connection cut", None)
            }
            5 | 6 if self.servers[server].up => {
                self.kill(server);
                ("faults: server killed", Some(Mend::Server(server)))
            }
            7 | 8 if !self.servers[server].stopped => {
                self.servers[server].stopped = true;
                ("faults: server stopped", Some(Mend::Pause(server)))
            }
            9 | 10 if !self.users[user].stopped => {
                self.users[user].stopped = true;
                if span > timeout {
                    self.users[user].slept = true;
                    self.counts.bump("clients stopped for longer than their session lives");
                }
                ("faults: client stopped", Some(Mend::User(user)))
            }
            11 | 12 => {
                let Some(conn) = self.users[user].conn else { return };
                let way = if self.rng.bool() { Way::ToServer } else { Way::ToClient };
                if self.rng.bool() {
                    self.block(conn, Way::ToServer, true);
                    self.block(conn, Way::ToClient, true);
                    self.at(self.now + span, Event::Mend(Mend::Block(conn, Way::ToServer)));
                    self.at(self.now + span, Event::Mend(Mend::Block(conn, Way::ToClient)));
                    ("faults: black hole, both ways", None)
                } else {
                    self.block(conn, way, true);
                    ("faults: black hole, one way", Some(Mend::Block(conn, way)))
                }
            }
            13 | 14 if self.servers[server].manners == Manners::Normal => {
                let all = [
                    Manners::Refuses,
                    Manners::Silent,
                    Manners::Slams,
                    Manners::Stammers,
                    Manners::Unreachable,
                ];
                let manners = all[self.rng.usize(0..all.len())];
                self.servers[server].manners = manners;
                ("faults: server with bad manners", Some(Mend::Manners(server)))
            }
            15 if !self.ensemble.split => {
                self.ensemble.split = true;
                self.count_votes();
                ("faults: servers split", Some(Mend::Split))
            }
            16 => {
                let id = self.users[user].id;
                if !self.ensemble.sessions.get(&id).is_some_and(|s| s.alive) || !self.ensemble.quorum {
                    return;
                }
                self.ensemble.end_session(id, self.millis(), None);
                self.publish();
                ("faults: session expired by force", None)
            }
            17 if !self.users[user].stopped => {
                self.users[user].offset += span;
                self.users[user].disturbed = self.time_of(user);
                self.settle(user);
                ("faults: clock jumped", None)
            }
            20 | 21 if self.users[user].timers_late == 0 => {
                self.users[user].timers_late = self.rng.u64(1..timeout);
                ("faults: timers late", Some(Mend::Timers(user)))
            }
            22 | 23 => {
                let Some(conn) = self.users[user].conn else { return };
                self.conns[conn].spoil = Some(self.some_spoil());
                ("faults: rubbish to come", None)
            }
            18 | 19 if self.servers[server].lag_us == 0 => {
                self.servers[server].lag_us = self.rng.u64(0..3_000_000);
                ("faults: server lags", Some(Mend::Lag(server)))
            }
            _ => return,
        };
        self.trace(|_| format!("{what}: server {server}, user {user}, {span} us"));
        self.counts.bump(what);
        if let Some(mend) = mend {
            self.at(self.now + span, Event::Mend(mend));
        }
    }

    fn cut_both(&mut self, conn: usize) {
        self.cut(conn, Way::ToServer);
        self.cut(conn, Way::ToClient);
    }

    pub(super) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Server(server) if !self.servers[server].up => self.restart(server),
            Mend::Server(_) => {}
            Mend::Pause(server) => {
                self.servers[server].stopped = false;
                self.take_in_held(server);
                self.at(self.now, Event::Apply(server, self.ensemble.log.len()));
            }
            Mend::Manners(server) => {
                self.servers[server].manners = Manners::Normal;
                self.take_in_held(server);
            }
            Mend::Lag(server) => self.servers[server].lag_us = 0,
            Mend::User(user) if self.users[user].stopped => self.resume(user),
            Mend::User(_) => {}
            Mend::Block(conn, way) => self.block(conn, way, false),
            Mend::Timers(user) => {
                self.users[user].timers_late = 0;
                self.users[user].disturbed = self.time_of(user);
                self.settle(user);
            }
            Mend::Split => {
                self.ensemble.split = false;
                self.count_votes();
            }
        }
    }

    /// Everything is mended at once.
    pub(super) fn heal(&mut self) {
        for server in 0..self.servers.len() {
            for mend in [Mend::Server(server), Mend::Pause(server), Mend::Manners(server), Mend::Lag(server)]
            {
                self.mend(mend);
            }
        }
        self.mend(Mend::Split);
        for user in 0..self.users.len() {
            self.mend(Mend::User(user));
            self.mend(Mend::Timers(user));
        }
        for conn in 0..self.conns.len() {
            self.conns[conn].spoil = None;
            self.block(conn, Way::ToServer, false);
            self.block(conn, Way::ToClient, false);
        }
    }
}
