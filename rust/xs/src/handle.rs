//! The handle that a ZooKeeper object owns.

use crate::blocking::{Buffers, Held};
use crate::engine::ends_soon;
use crate::fork::generation;
use crate::guard::{caught, guarded};
use crate::logging;
use crate::perl::signals::{self, Woken};
use crate::perl::{attachable, Call, Found, Perl, Sv};
use crate::posted::Calls;
use crate::thrown::Thrown;
use crate::trace::{self, About, Level};
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::time::{Duration, Instant};
use zk_client::{Handle, Step};
use zk_proto::Code;

/// How long the session of a destroyed object may take to say goodbye.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);
/// How long it may take in any case: more than a server needs that is well.
const SHORT_FAREWELL: Duration = Duration::from_millis(10);

thread_local! {
    /// When an object of this thread last waited for a goodbye in vain.
    static IN_VAIN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// How long the next one may wait. Objects tend to go in a row, and a server that stands still must
/// not take a second of each: after one that waited in vain, no longer than it has been since. (The
/// server has been told; what is not waited for is its answer.)
fn patience() -> Duration {
    let since = IN_VAIN.get().map_or(FAREWELL, |last| last.elapsed());
    since.clamp(SHORT_FAREWELL, FAREWELL)
}

/// A session, as the calls on it share it: a call keeps it alive although its object may go.
pub(crate) struct Client {
    handle: ManuallyDrop<Handle>,
    generation: u32,
    /// Paths, names and ids are text.
    pub(crate) utf8: bool,
    /// How many calls wait in it: more than one when signal handlers make calls.
    pub(crate) waiting: Cell<u32>,
    spare: Cell<Option<Box<Buffers>>>,
    /// Where calls are kept that nobody waits for, and how many of them are this client's.
    pub(crate) calls: Rc<Calls>,
    pub(crate) posted: Cell<usize>,
    /// Requests are held back.
    pub(crate) holding: Cell<bool>,
}

impl Client {
    /// What a forked child is told.
    pub(crate) const FOREIGN: &str = "this handle belongs to the parent process: reopen it";

    pub(crate) fn new(handle: Handle, utf8: bool, calls: Rc<Calls>) -> Client {
        Client {
            handle: ManuallyDrop::new(handle),
            generation: generation(),
            utf8,
            waiting: Cell::new(0),
            spare: Cell::new(None),
            calls,
            posted: Cell::new(0),
            holding: Cell::new(false),
        }
    }

    /// The client that a command is for, or why there is none. May run Perl code, in a forked child.
    pub(crate) fn of(perl: Perl, call: Call, op: &'static str) -> Result<&'static Rc<Client>, Thrown> {
        let inert = "a handle can't be used in another thread";
        let code = Code::INVALID_STATE.0;
        match perl.attached::<Attached>(perl.argument(call, 0)) {
            Found::Nothing => Err(Thrown::not_initialised(perl, op, "ZooKeeper")),
            Found::Inert => Err(Thrown::raise(perl, op, code, Some(inert))),
            Found::Live(attached) => {
                // SAFETY: lives until Perl code runs; the frame takes a share before that.
                let client = unsafe { &(*attached).0 };
                if client.is_foreign() {
                    client.disown_inherited(perl, perl.argument(call, 0));
                    return Err(Thrown::raise(perl, op, code, Some(Client::FOREIGN)));
                }
                Ok(client)
            }
        }
    }

    /// In a forked child: what the parent has asked for is answered here as well, and the loop of this
    /// process has to know where. May run Perl code.
    pub(crate) fn disown_inherited(&self, perl: Perl, object: Sv) {
        if guarded(|| self.calls.disown_inherited()).unwrap_or(false) {
            perl.call_for_scalar(c"ZooKeeper::_inherited", &[object]);
        }
    }

    /// The engine's handle. Not to be touched in another process than the one that opened it.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Who this is, for the trace; nobody while there is none, and in a forked child, which must not
    /// touch the handle.
    pub(crate) fn about(&self) -> About {
        if !trace::wants(Level::Error) || self.is_foreign() {
            return About::default();
        }
        guarded(|| self.handle.about()).unwrap_or_default()
    }

    /// True in a forked child.
    pub(crate) fn is_foreign(&self) -> bool {
        let foreign = self.generation != generation();
        if foreign {
            trace::forked(generation());
        }
        foreign
    }

    /// Memory of an earlier call.
    pub(crate) fn spare_buffers(&self) -> Box<Buffers> {
        self.spare.take().unwrap_or_default()
    }

    /// Memory for a later call.
    pub(crate) fn keep_buffers(&self, buffers: Box<Buffers>) {
        self.spare.set(Some(buffers));
    }

    /// Ends the session without letting signals in: for destruction, where nobody could be told of
    /// anything.
    fn close_quietly(&self) {
        if self.is_foreign() {
            return;
        }
        let _ = guarded(|| {
            if self.waiting.get() > 0 {
                self.handle.release_lead();
            }
            let (start, patience) = (Instant::now(), patience());
            // The engine keeps to the time itself; this is the bound in case it does not.
            let limit = start + 2 * patience;
            let ticket = self.handle.close(patience);
            while let Step::Wait { fd, timeout } = self.handle.step(ticket) {
                let rest = limit.saturating_duration_since(Instant::now());
                let timeout = timeout.map_or(rest, |t| t.min(rest));
                let woken = signals::wait_blocked(fd, Some(timeout));
                if rest.is_zero() || matches!(woken, Woken::Failed(_)) {
                    self.handle.abandon(ticket);
                    break;
                }
            }
            if start.elapsed() >= patience {
                IN_VAIN.set(Some(Instant::now()));
            }
        });
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // In a forked child the handle is left as it is: its locks may be taken for ever, and its
        // descriptors were closed by the atfork handler.
        if !self.is_foreign() {
            // SAFETY: dropped here only.
            let _ = caught(|| unsafe { ManuallyDrop::drop(&mut self.handle) });
        }
    }
}

/// What the object's magic owns.
pub(crate) struct Attached(pub(crate) Rc<Client>);

attachable!(Attached, freed);

fn freed(attached: Attached, perl: Perl) {
    if ends_soon(perl) && !attached.0.is_foreign() {
        // Many handles on a server that has stalled must not take a second each.
        let client = attached.0;
        let _ = guarded(|| {
            let _ = client.handle().close(FAREWELL);
        });
        PARTING.with(|parting| parting.borrow_mut().push(client));
        return;
    }
    attached.0.close_quietly();
}

thread_local! {
    /// Clients whose objects went while the program was ending: the engine waits for all of them,
    /// once. Without a destructor: it would run at a time when nobody waits for anything.
    static PARTING: ManuallyDrop<RefCell<Vec<Rc<Client>>>> = const { ManuallyDrop::new(RefCell::new(Vec::new())) };
}

/// The engine has waited.
pub(crate) fn parted() {
    drop(PARTING.with(|parting| parting.take()));
}

/// Ends the session that an object has, if any: it is about to get another. Which one it was, if
/// somebody wants to know.
pub(crate) fn close_former(perl: Perl, object: Sv) -> Option<About> {
    let Found::Live(attached) = perl.attached::<Attached>(object) else { return None };
    // SAFETY: live, and nothing of Perl runs here.
    let client = unsafe { &(*attached).0 };
    if client.is_foreign() {
        let _ = guarded(|| client.calls.disown_inherited());
    }
    client.close_quietly();
    Some(client.about())
}

/// The object is going, and not because the program ends: its session is closed, and who has asked for
/// something is answered now, for nobody may be there later to take the answers out of the channel.
pub(crate) fn part(perl: Perl, object: Sv) {
    let Found::Live(attached) = perl.attached::<Attached>(object) else { return };
    // SAFETY: live: perl keeps an object whose destructor runs.
    let client = unsafe { &(*attached).0 };
    let logs = client.calls.channel().is_some_and(|channel| channel.log.level().is_some());
    if client.is_foreign() || client.posted.get() == 0 && !logs {
        return;
    }
    // A callback may open the object anew, and with that take its client away.
    let held = Held::open(perl, client, "DESTROY");
    client.close_quietly();
    let client = &held.frame().client;
    client.calls.part(perl, client);
    logging::after_call(perl, held);
    held.close(perl);
}
