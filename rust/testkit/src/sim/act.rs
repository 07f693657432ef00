//! What users do, at random.

use super::op::{acl_for, inside, Op};
use super::user::{Asked, End, Stage};
use super::{Event, Sim};
use std::time::Duration;
use zk_proto::connect_string::ConnectString;
use zk_proto::op::WatcherType;
use zk_proto::record::Acl;
use zk_proto::session::Config;
use zk_proto::time::Time;
use zk_proto::Code;

const PATHS: [&str; 10] = ["/a", "/b", "/a/x", "/a/y", "/b/z", "/p1", "/p2", "/a/p1", "/q", "/"];
const CHROOTS: [&str; 6] = ["", "", "/a", "/c", "/c", "/nowhere"];

impl Sim {
    /// A user with a session of his own, or with somebody's id.
    pub(super) fn invite(&mut self) {
        let chroot = CHROOTS[self.rng.usize(0..CHROOTS.len())];
        let hosts: Vec<String> = self.known.iter().map(|i| format!("s{i}")).collect();
        let hosts = format!("{}{chroot}", hosts.join(","));
        let mut twin = false;
        let resume = self.some_session(&mut twin);
        let config = Config {
            servers: ConnectString::parse(hosts.as_bytes()).expect("a connect string"),
            session_timeout: Duration::from_millis(self.rng.u64(200..5_000)),
            resume,
            read_only: self.rng.u32(0..3) == 0,
            request_timeout: None,
            jute_maxbuffer: super::drive::LONGEST_REQUEST,
            max_in_flight: [1, 4, 12, 12][self.rng.usize(0..4)],
            expire_by_clock: self.rng.u32(0..5) == 0,
            sasl: self.some_login(),
            seed: self.rng.u64(..),
        };
        let user = self.new_user(config, chroot, twin);
        if self.rng.bool() {
            self.authenticate(user);
        }
        let at = self.now + self.rng.u64(0..100_000);
        self.at(at, Event::Act(user));
    }

    /// The user does something, and plans when to do the next thing.
    pub(super) fn act(&mut self, user: usize) {
        let u = &self.users[user];
        if self.quiet {
            return;
        }
        if u.over {
            if !u.closed && self.rng.u32(0..3) == 0 {
                self.close(user);
            }
            // His place is taken by another.
            if self.users.len() < 24 {
                self.invite();
            }
            return;
        }
        if u.closing && self.rng.u32(0..4) == 0 {
            // He does not wait for the server's word.
            self.counts.bump("closes cut short");
            self.users[user].session.end(Code::INVALID_STATE);
            self.settle(user);
        } else if !u.stopped && !u.closing {
            match self.rng.u32(0..100) {
                0 => self.close(user),
                1..=4 => self.authenticate(user),
                5..=9 => self.abandon(user),
                10..=12 => self.forget(user),
                13..=15 => {
                    let many = self.rng.u32(5..20);
                    (0..many).for_each(|_| self.ask_something(user));
                }
                16..=17 if !self.plan.calm => self.set_hosts(user),
                18 if self.rng.u32(0..3) == 0 => self.leave(user),
                _ => self.ask_something(user),
            }
            self.settle(user);
        }
        let at = self.now + self.rng.u64(0..2 * self.plan.act_every_us);
        self.at(at, Event::Act(user));
    }

    fn ask_something(&mut self, user: usize) {
        let op = self.some_op(user);
        if let Op::RemoveWatches { path, .. } = op {
            let (op, watcher) = self.some_removal(user, path);
            let within = self.some_span();
            return self.ask(user, op, watcher, within);
        }
        let watches = matches!(
            op,
            Op::Get { watch: true, .. }
                | Op::Exists { watch: true, .. }
                | Op::Children { watch: true, .. }
                | Op::AddWatch { .. }
        );
        let watcher = watches.then(|| self.some_watcher(user));
        let within = self.some_span();
        self.ask(user, op, watcher, within);
    }

    /// How long something may take.
    pub(super) fn some_span(&mut self) -> Option<Duration> {
        match self.rng.u32(0..15) {
            0 => Some(Duration::from_millis(self.rng.u64(0..50))),
            1 => Some(Duration::from_millis(self.rng.u64(0..20_000))),
            _ => None,
        }
    }

    /// A new watcher, or one that already listens to something.
    pub(super) fn some_watcher(&mut self, user: usize) -> u64 {
        let reuse = self.rng.u32(0..4) == 0;
        let u = &mut self.users[user];
        if reuse && u.last_watcher > 0 && !u.forgotten.contains(&u.last_watcher) {
            return u.last_watcher;
        }
        u.last_watcher += 1;
        u.last_watcher
    }

    fn some_op(&mut self, user: usize) -> Op {
        let chroot = self.users[user].chroot;
        let path = PATHS[self.rng.usize(0..PATHS.len())].to_owned();
        let full = inside(chroot, &path);
        let watch = self.rng.bool();
        match self.rng.u32(0..25) {
            24 if !self.plan.old || (!self.plan.calm && self.rng.u32(0..8) == 0) => {
                Op::RemoveWatches { path, kind: WatcherType::Any, local: false }
            }
            0..=4 => self.some_create(user, path),
            5..=7 => Op::Delete { path, version: self.some_version(&full) },
            8..=10 => Op::Set { path, data: self.some_data(user), version: self.some_version(&full) },
            11..=13 => Op::Get { path, watch },
            14..=15 => Op::Exists { path, watch },
            16..=17 => Op::Children { path, watch, stat: self.rng.bool() },
            18 => Op::GetAcl { path },
            19 => {
                let mut acl = acl_for(&full);
                if self.rng.bool() {
                    acl.push(Acl { perms: 31, scheme: b"sim".to_vec(), id: b"nobody".to_vec() });
                }
                Op::SetAcl { path, acl, version: self.rng.i32(-1..2) }
            }
            20 => Op::Sync { path },
            21 => {
                let parts = self.rng.usize(1..5);
                Op::Multi((0..parts).map(|_| self.some_part(user)).collect())
            }
            22 => {
                let reads = (0..self.rng.usize(1..4)).map(|_| {
                    let path = PATHS[self.rng.usize(0..PATHS.len())].to_owned();
                    match self.rng.bool() {
                        true => Op::Get { path, watch: false },
                        false => Op::Children { path, watch: false, stat: false },
                    }
                });
                Op::MultiRead(reads.collect())
            }
            // What an old server does not know is tried there now and then.
            _ if self.plan.old && (self.plan.calm || self.rng.u32(0..8) > 0) => Op::Get { path, watch },
            _ => Op::AddWatch { path, recursive: self.rng.bool() },
        }
    }

    fn some_part(&mut self, user: usize) -> Op {
        let path = PATHS[self.rng.usize(0..PATHS.len())].to_owned();
        let full = inside(self.users[user].chroot, &path);
        match self.rng.u32(0..4) {
            0 => self.some_create(user, path),
            1 => Op::Delete { path, version: self.some_version(&full) },
            2 => Op::Set { path, data: self.some_data(user), version: -1 },
            _ => Op::Check { path, version: self.some_version(&full) },
        }
    }

    fn some_create(&mut self, user: usize, path: String) -> Op {
        let mut flags = self.rng.i32(0..4);
        let mut path = path;
        if flags & 2 != 0 && path != "/" {
            path = format!("{path}/s-");
        } else if path == "/" && self.rng.bool() {
            flags &= 1;
        }
        let acl = acl_for(&inside(self.users[user].chroot, &path));
        Op::Create { path, data: self.some_data(user), acl, flags, stat: !self.plan.old && self.rng.bool() }
    }

    /// Data that no other request has.
    fn some_data(&mut self, user: usize) -> Option<Vec<u8>> {
        let mut data =
            format!("u{user} t{} {}", self.users[user].asked.len() + 1, self.serial()).into_bytes();
        match self.rng.u32(0..10) {
            0 => None,
            1 => {
                data.resize(self.rng.usize(1_000..12_000), b'.');
                Some(data)
            }
            _ => Some(data),
        }
    }

    fn some_version(&mut self, full: &str) -> i32 {
        match (self.rng.u32(0..6), self.ensemble.tree.get(full)) {
            (0, _) => self.rng.i32(0..4),
            (1..=2, Some(node)) => node.version,
            _ => -1,
        }
    }

    fn abandon(&mut self, user: usize) {
        let u = &mut self.users[user];
        let open: Vec<usize> = (0..u.asked.len()).filter(|i| u.asked[*i].stage != Stage::Done).collect();
        if open.is_empty() {
            return;
        }
        let index = open[self.rng.usize(0..open.len())];
        u.asked[index].end = Some(End::Abandoned);
        u.session.abandon(index as u64 + 1);
        self.note_done(user, index as u64 + 1);
        self.counts.bump("requests abandoned");
        self.trace(|_| format!("user {user} abandons {}", index + 1));
    }

    /// A watcher goes: whatever it listens to, or has asked to listen to.
    fn forget(&mut self, user: usize) {
        let last = self.users[user].last_watcher;
        if last == 0 {
            return;
        }
        let watcher = self.rng.u64(last.saturating_sub(5).max(1)..=last);
        let u = &mut self.users[user];
        u.session.forget_watcher(watcher);
        u.armed.retain(|armed| armed.watcher != watcher);
        u.forgotten.push(watcher);
        let wishes = |asked: &Asked| !matches!(asked.op, Op::RemoveWatches { .. });
        for asked in u.asked.iter_mut().filter(|asked| asked.watcher == Some(watcher) && wishes(asked)) {
            asked.watcher = None;
        }
        for auth in u.auths.iter_mut().filter(|auth| auth.watcher == Some(watcher)) {
            auth.watcher = None;
        }
        self.counts.bump("watchers forgotten");
        self.trace(|_| format!("user {user} forgets watcher {watcher}"));
    }

    pub(super) fn close(&mut self, user: usize) {
        let at = self.time_of(user);
        self.trace(|_| format!("user {user} closes"));
        self.counts.bump("closes");
        self.users[user].closing = true;
        self.users[user].session.close(Time::from_micros(at));
        self.settle(user);
    }
}
