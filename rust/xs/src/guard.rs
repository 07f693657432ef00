//! Panics: a bug of ours must end as a Perl exception, not as a dead process.

use crate::boot::Sub;
use crate::perl::{callback, signals};
use crate::thrown::Thrown;
use libperl_sys as sys;
use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

/// A panic was caught; [`last_panic`] tells what it said.
#[derive(Clone, Copy)]
pub(crate) struct Panicked;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs pure Rust: asynchronous signals blocked (an unsafe handler's `longjmp` would leave locks
/// taken), panics caught. The result is `Copy`, since the caller may be left by `longjmp` later.
#[inline(never)]
pub(crate) fn guarded<T: Copy>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let mask = signals::block();
    let result = caught(work);
    mask.restore();
    result
}

/// [`guarded`] for callers that have blocked the signals already.
#[inline(never)]
pub(crate) fn caught<T: Copy>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let outer = GUARDED.replace(true);
    // A panic may leave the engine's state half changed: locks are poisoned then, and the next
    // call says so. Nothing of this crate's own is left broken.
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|payload| {
        // Words go; the destructor of anything else could panic again.
        if !payload.is::<&str>() && !payload.is::<String>() {
            std::mem::forget(payload);
        }
        Panicked
    })
}

/// What the last panic on this thread said, and where.
pub(crate) fn last_panic() -> String {
    SAID.with_borrow(String::clone)
}

/// Keeps the words of a caught panic for the exception instead of printing them. This library has
/// a standard library of its own, so no hook of anybody else is replaced.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                return print(info);
            }
            let payload = info.payload();
            let words = payload
                .downcast_ref::<&str>()
                .map(|s| (*s).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "panic".to_owned());
            let text = match info.location() {
                Some(at) => format!("{words} ({}:{})", at.file(), at.line()),
                None => words,
            };
            // A thread at its very end has nowhere to keep it.
            let _ = SAID.try_with(|said| said.replace(text));
        }));
    });
}

pub(crate) const SUBS: &[Sub] = &[(c"ZooKeeper::XS::_panic", Some(panic_now))];

callback! {
    /// For the test that a panic becomes an exception: there is no other way to cause one.
    fn panic_now(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        match guarded(|| panic!("asked to")) {
            Ok(()) => perl.leave(call, 0),
            Err(panicked) => Thrown::panic(perl, panicked).throw(perl),
        }
    }
}
