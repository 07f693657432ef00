//! The engine of this process: made when the first handle needs it, left behind by a fork.

use crate::guard::guarded;
use crate::handle::parted;
use crate::perl::{callback, signals, Perl};
use libperl_sys as sys;
use once_cell::sync::OnceCell;
use std::io;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;
use zk_client::Engine;

/// How long the sessions that are still open at exit may take to say goodbye, all together.
const FAREWELL: Duration = Duration::from_secs(1);

type Slot = OnceCell<Arc<Engine>>;

/// Never freed: a forked child can't know whether a lock inside is held by a thread that it hasn't.
static CURRENT: AtomicPtr<Slot> = AtomicPtr::new(null_mut());

/// The engine, started if it has to be.
pub(crate) fn engine() -> io::Result<&'static Arc<Engine>> {
    let mut slot = CURRENT.load(Ordering::Acquire);
    if slot.is_null() {
        let fresh = Box::into_raw(Box::new(Slot::new()));
        match CURRENT.compare_exchange(null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => slot = fresh,
            Err(winner) => {
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(fresh) });
                slot = winner;
            }
        }
    }
    // SAFETY: slots that were published are never freed.
    unsafe { &*slot }.get_or_try_init(|| {
        // The IO thread inherits the mask: perl's signal handlers must not run on it, since they
        // look for an interpreter that only perl's own threads have.
        let mask = signals::block();
        let engine = Engine::start();
        mask.restore();
        engine
    })
}

/// The engine, if there is one.
fn current() -> Option<&'static Arc<Engine>> {
    // SAFETY: as in engine().
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }.and_then(OnceCell::get)
}

/// In a forked child: the parent's engine is not ours. An atomic store only.
pub(crate) fn forget() {
    CURRENT.store(null_mut(), Ordering::Release);
}

/// Has the sessions closed that are still open when the program ends.
pub(crate) fn at_exit(perl: Perl) {
    static ONCE: Once = Once::new();
    perl.at_exit(Some(end));
    ONCE.call_once(|| {
        // SAFETY: a function of this library, which perl never unloads.
        unsafe { libc::atexit(end_of_process) };
    });
}

/// Called by the C library. Nothing is left to do if the interpreter has ended in good order; but
/// when an ithread calls `exit`, it has not.
extern "C" fn end_of_process() {
    if let Some(engine) = current() {
        // Told, and not waited for: this thread has lost its local storage by now.
        let _ = guarded(|| std::mem::forget(engine.farewell(FAREWELL)));
    }
}

callback! {
    /// Runs after the objects are gone: for handles that lived until then, or that no destructor reached
    /// (cycles).
    fn end(perl, _pointer: *mut std::ffi::c_void) {
        // Ithreads inherit the list of exit callbacks, but their end isn't the program's.
        if !is_main(perl) {
            return;
        }
        if let Some(engine) = current() {
            let _ = guarded(|| {
                engine.shutdown(FAREWELL);
                parted();
            });
        }
    }
}

/// Whether the program is ending: [`end`] is still to come, and closes all sessions at once instead
/// of one after the other.
pub(crate) fn ends_soon(perl: Perl) -> bool {
    // SAFETY: an enum of perl's own that perl keeps.
    let phase = unsafe { *sys::PL_phase_ptr!(perl.raw()) };
    phase == sys::perl_phase::PERL_PHASE_DESTRUCT && is_main(perl)
}

fn is_main(perl: Perl) -> bool {
    // SAFETY: written once, when the first interpreter was made.
    cfg!(not(perl_multiplicity)) || perl.raw() == unsafe { sys::PL_curinterp }
}
