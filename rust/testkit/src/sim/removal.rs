//! Watches that their user takes off before their time, and what he is told of it; and what persistent watches owe him.

use super::op::{outside, Op};
use super::user::{Armed, End, Kind, Stage};
use super::Sim;
use zk_proto::op::{Reply, WatcherType};
use zk_proto::session::{Failure, Output};
use zk_proto::{Code, EventType};

const TYPES: [WatcherType; 5] = [
    WatcherType::Children,
    WatcherType::Data,
    WatcherType::Any,
    WatcherType::Persistent,
    WatcherType::PersistentRecursive,
];

/// A request that makes the server forget watches of others on its path, until this side, which learns of it by the
/// reply, arms them again.
#[derive(Debug)]
pub(super) struct Gap {
    path: String,
    /// Its place among those that were handed to the connection.
    nth: usize,
    /// With whose answer it ends: its own, or that of a later addWatch on the path, for which all that is armed again waits.
    closes: usize,
    /// That of the first request that was handed over after its reply had come.
    until: Option<usize>,
    removes: bool,
}

/// What a removal means.
#[derive(Debug, Default)]
struct Concerned {
    /// Who is told, in no order.
    told: Vec<(u64, EventType)>,
    /// Requests under way that leave no watch any more.
    wishes: Vec<u64>,
}

pub(super) fn kind_of(number: i32) -> WatcherType {
    TYPES.into_iter().find(|kind| *kind as i32 == number).expect("a kind of watches")
}

fn covers(asked: WatcherType, kind: Kind) -> bool {
    match asked {
        WatcherType::Any => true,
        WatcherType::Children => kind == Kind::Child,
        WatcherType::Data => matches!(kind, Kind::Data | Kind::Exist),
        WatcherType::Persistent => kind == Kind::Persistent,
        WatcherType::PersistentRecursive => kind == Kind::Recursive,
    }
}

fn said_of(kind: Kind) -> EventType {
    match kind {
        Kind::Data | Kind::Exist => EventType::DATA_WATCH_REMOVED,
        Kind::Child => EventType::CHILD_WATCH_REMOVED,
        Kind::Persistent | Kind::Recursive => EventType::PERSISTENT_WATCH_REMOVED,
    }
}

pub(super) fn is_said_of_removal(kind: EventType) -> bool {
    [Kind::Data, Kind::Child, Kind::Persistent].into_iter().any(|of| said_of(of) == kind)
}

/// What a request may leave.
fn wished(op: &Op) -> &'static [Kind] {
    match op {
        Op::Get { watch: true, .. } => &[Kind::Data],
        Op::Exists { watch: true, .. } => &[Kind::Data, Kind::Exist],
        Op::Children { watch: true, .. } => &[Kind::Child],
        Op::AddWatch { recursive: false, .. } => &[Kind::Persistent],
        Op::AddWatch { recursive: true, .. } => &[Kind::Recursive],
        _ => &[],
    }
}

impl Sim {
    /// Of something that is armed, as a rule; and the one whose watches alone are meant.
    pub(super) fn some_removal(&mut self, user: usize, path: String) -> (Op, Option<u64>) {
        let armed = match self.users[user].armed.len() {
            0 => None,
            count => self.users[user].armed.get(self.rng.usize(0..count)).cloned(),
        };
        let armed = armed.filter(|_| self.rng.u32(0..5) > 0);
        let path = armed.as_ref().map_or(path, |armed| outside(self.users[user].chroot, &armed.path));
        let kind = TYPES[self.rng.usize(0..TYPES.len())];
        let kind = match &armed {
            Some(armed) if self.rng.bool() => {
                TYPES.into_iter().find(|kind| covers(*kind, armed.kind)).unwrap_or(kind)
            }
            _ => kind,
        };
        let watcher = armed.map(|armed| armed.watcher).filter(|_| self.rng.bool());
        let local = self.rng.u32(0..3) == 0;
        (Op::RemoveWatches { path, kind, local }, watcher)
    }

    /// Whom a removal concerns: of those that are armed, and if so of those that are to come.
    fn concerned(&self, user: usize, op: &Op, whose: Option<u64>, to_come: bool) -> Concerned {
        let Op::RemoveWatches { path, kind: asked, .. } = op else { return Concerned::default() };
        let u = &self.users[user];
        let mut concerned = Concerned::default();
        let meant = |kind: Kind, watcher: u64| covers(*asked, kind) && whose.is_none_or(|one| one == watcher);
        for armed in u.armed.iter().filter(|a| a.path == *path && meant(a.kind, a.watcher)) {
            concerned.told.push((armed.watcher, said_of(armed.kind)));
        }
        if to_come {
            for (token, kinds, watcher) in self.wishes(user, path) {
                if kinds.iter().any(|kind| meant(*kind, watcher)) {
                    concerned.told.push((watcher, said_of(kinds[0])));
                    concerned.wishes.push(token);
                }
            }
        }
        concerned.told.sort_unstable_by_key(|(watcher, kind)| (*watcher, kind.0));
        concerned
    }

    /// Requests under way that may leave a watch on a path.
    fn wishes<'a>(
        &'a self,
        user: usize,
        path: &'a str,
    ) -> impl Iterator<Item = (u64, &'static [Kind], u64)> + 'a {
        let u = &self.users[user];
        let conn = u.conn.filter(|_| u.session.is_connected());
        let unanswered = conn.map_or(&[][..], |conn| &self.conns[conn].handed[self.conns[conn].replied..]);
        unanswered.iter().chain(&u.waits).filter_map(move |token| {
            let asked = &u.asked[*token as usize - 1];
            let kinds = wished(&asked.full);
            let watcher = asked.watcher.filter(|_| !kinds.is_empty() && asked.full.path() == path)?;
            Some((*token, kinds, watcher))
        })
    }

    /// A removal was asked for. Whether it is done: without a server, or not at all.
    pub(super) fn removed_at_once(
        &mut self,
        user: usize,
        token: u64,
        full: &Op,
        whose: Option<u64>,
        result: &Result<(), Failure>,
    ) -> bool {
        let concerned = self.concerned(user, full, whose, true);
        if concerned.told.is_empty() {
            assert_eq!(*result, Err(Failure::new(Code::NO_WATCHER)), "{full:?}");
            self.counts.bump("removals of watches that there are none of");
            return true;
        }
        assert_eq!(*result, Ok(()), "{full:?}");
        self.collect(user);
        let done = Output::Completed { token, result: Ok(Reply::Nothing) };
        if !self.users[user].outputs.contains(&done) {
            return false;
        }
        self.hear_of_removal(user, full, &concerned);
        self.expect(user, &done);
        self.users[user].armed.retain(|armed| !is_meant(armed, full, whose));
        for wish in &concerned.wishes {
            self.users[user].asked[*wish as usize - 1].watcher = None;
            self.counts.bump("watches taken off before they were set");
        }
        self.counts.bump("removals without a server");
        true
    }

    /// All whose watches were taken off are told so, once for each, and nobody else is.
    fn hear_of_removal(&mut self, user: usize, full: &Op, concerned: &Concerned) {
        let u = &mut self.users[user];
        let path = outside(u.chroot, full.path());
        let mut told = Vec::new();
        for _ in &concerned.told {
            let Some(Output::Watch { watcher, event, stays: None }) = u.outputs.pop_front() else {
                panic!("{:?} are to hear of {full:?}", concerned.told);
            };
            assert_eq!(event.path.as_deref(), Some(path.as_bytes()));
            told.push((watcher, event.kind));
        }
        told.sort_unstable_by_key(|(watcher, kind)| (*watcher, kind.0));
        assert_eq!(told, concerned.told, "user {user} hears of {full:?}");
        for (_, kind) in told {
            self.counts.bump(match kind {
                EventType::DATA_WATCH_REMOVED => "watches taken off: data",
                EventType::CHILD_WATCH_REMOVED => "watches taken off: child",
                _ => "watches taken off: persistent",
            });
        }
    }

    /// The server has answered a removal, whoever still waits for it: what its user is to be answered.
    pub(super) fn judge_removal(&mut self, user: usize, token: u64, code: Code) -> Result<Reply, Failure> {
        let u = &self.users[user];
        let asked = &u.asked[token as usize - 1];
        let (full, whose) = (asked.full.clone(), asked.watcher);
        let Op::RemoveWatches { local, .. } = full else { panic!("{full:?} is no removal") };
        let asked_for = u.conn.and_then(|conn| self.conns[conn].removals.get(&token)).copied();
        let lasting = matches!(asked_for, Some(WatcherType::Persistent | WatcherType::PersistentRecursive));
        let unknown = code == Code::MARSHALLING_ERROR && lasting;
        if unknown {
            self.counts.bump("removals that an old server can't read");
        }
        if code != Code::OK && code != Code::NO_WATCHER && !unknown && !local {
            return Err(Failure::new(code));
        }
        let concerned = self.concerned(user, &full, whose, false);
        self.hear_of_removal(user, &full, &concerned);
        self.users[user].armed.retain(|armed| !is_meant(armed, &full, whose));
        self.counts.bump("removals that a server was asked for");
        match code {
            Code::OK => Ok(Reply::Nothing),
            _ if !concerned.told.is_empty() => Ok(Reply::Nothing),
            code => Err(Failure::new(code)),
        }
    }

    /// A removal is done that no server has answered.
    pub(super) fn judge_removal_alone(&mut self, user: usize) {
        let ends = |output: &Output| matches!(output, Output::Completed { .. });
        let end = self.users[user].outputs.iter().find(|output| ends(output)).cloned();
        let Some(Output::Completed { token, result: Ok(Reply::Nothing) }) = end else {
            panic!("user {user} hears of a removal that has no end: {:?}", self.users[user].outputs);
        };
        let asked = &self.users[user].asked[token as usize - 1];
        assert_ne!(asked.stage, Stage::Done, "request {token} of user {user} is answered again");
        let (full, whose) = (asked.full.clone(), asked.watcher);
        assert!(
            matches!(full, Op::RemoveWatches { local: true, .. }),
            "{full:?} is done, and no server said so"
        );
        let concerned = self.concerned(user, &full, whose, false);
        self.hear_of_removal(user, &full, &concerned);
        self.users[user].outputs.pop_front();
        self.users[user].armed.retain(|armed| !is_meant(armed, &full, whose));
        self.note_end(user, token, End::Answered { done: true });
        self.counts.bump("removals that a lost connection did not keep");
    }

    /// A request was handed to a connection.
    pub(super) fn note_handed(&mut self, user: usize, conn: usize, token: u64) {
        let at = self.time_of(user);
        let c = &mut self.conns[conn];
        let nth = c.handed.len();
        c.handed.push(token);
        c.handed_at.push(at);
        let asked = &mut self.users[user].asked[token as usize - 1];
        asked.stage = Stage::Handed(conn, nth);
        let removes = matches!(asked.full, Op::RemoveWatches { .. });
        let displaces = self.plan.one_mode && matches!(asked.full, Op::AddWatch { recursive: true, .. });
        if removes || displaces {
            let path = asked.full.path().to_owned();
            c.gaps.push(Gap { path, nth, closes: nth, until: None, removes });
        }
    }

    /// A reply has come, which may close a gap.
    pub(super) fn note_gap(&mut self, conn: usize) {
        let c = &self.conns[conn];
        let (nth, until) = (c.replied, c.handed.len());
        let asked = &self.users[c.user].asked;
        let op = |nth: usize| &asked[c.handed[nth] as usize - 1].full;
        let path = op(nth).path();
        // What is armed again waits for an addWatch on its path that is under way.
        let adds = |nth: &usize| matches!(op(*nth), Op::AddWatch { .. }) && op(*nth).path() == path;
        let later = (nth + 1..until).find(adds);
        for gap in self.conns[conn].gaps.iter_mut().filter(|gap| gap.closes == nth) {
            match later {
                Some(later) => gap.closes = later,
                None => gap.until = Some(until),
            }
        }
    }

    /// Whether the reply that has just come was made while the server knew nothing of such a watch.
    pub(super) fn is_in_gap(&self, conn: usize, armed: &Armed) -> bool {
        let c = &self.conns[conn];
        let here = |gap: &&Gap| gap.path == armed.path && gap.nth <= c.replied;
        c.gaps.iter().filter(here).any(|gap| gap.until.is_none_or(|until| c.replied < until))
    }

    /// An addWatch was asked for: on a path with one of the other kind?
    pub(super) fn note_mixture(&mut self, user: usize, full: &Op) {
        let Op::AddWatch { path, recursive } = full else { return };
        let [own, other] = match recursive {
            true => [Kind::Recursive, Kind::Persistent],
            false => [Kind::Persistent, Kind::Recursive],
        };
        let has = |kind: Kind| {
            let armed = self.users[user].armed.iter().any(|a| a.path == *path && a.kind == kind);
            armed || self.wishes(user, path).any(|(_, kinds, _)| kinds.contains(&kind))
        };
        let (has_own, has_other) = (has(own), has(other));
        let mixed = &mut self.users[user].mixed;
        if has_other {
            mixed.insert(path.clone());
            self.counts.bump("persistent watches of both kinds on one path");
        } else if !has_own {
            mixed.remove(path);
        }
    }

    /// A server tells a connection of a change, or does not: then nothing persistent may wait for it.
    pub(super) fn check_persistent(&mut self, conn: usize, kind: EventType, path: &str, told: bool) {
        let c = &self.conns[conn];
        let u = &self.users[c.user];
        if told || !c.server_open || u.conn != Some(conn) || c.to_arm.is_some() {
            return;
        }
        for armed in &u.armed {
            let hears = match armed.kind {
                Kind::Persistent => armed.path == path,
                Kind::Recursive => {
                    kind != EventType::CHILD && super::server::upwards(path).any(|p| p == armed.path)
                }
                _ => false,
            };
            let here = armed.on == Some(conn) || c.armed[armed.kind as usize].contains(&armed.path);
            let going = c.gaps.iter().any(|gap| gap.removes && gap.path == armed.path && gap.until.is_none());
            let mixed = self.plan.one_mode && u.mixed.contains(&armed.path);
            assert!(
                !hears || !here || going || mixed,
                "user {} is not told of {kind:?} {path}, which {armed:?} waits for",
                c.user
            );
        }
    }
}

fn is_meant(armed: &Armed, full: &Op, whose: Option<u64>) -> bool {
    let Op::RemoveWatches { path, kind, .. } = full else { return false };
    armed.path == *path && covers(*kind, armed.kind) && whose.is_none_or(|one| one == armed.watcher)
}
