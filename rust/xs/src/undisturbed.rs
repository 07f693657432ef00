//! A piece of Perl code that no signal handler gets into.
//!
//! For what is done once in a process, such as loading a module: perl never tries again to load what a handler's
//! exception has interrupted.

use crate::boot::Sub;
use crate::perl::callback;
use crate::perl::signals::{self, Mask};
use libperl_sys as sys;
use std::cell::Cell;
use std::ffi::c_void;

thread_local! {
    /// What was let in before this thread began with the outermost of such pieces.
    static BEFORE: Cell<Option<Mask>> = const { Cell::new(None) };
}

/// In a forked child, perhaps one that a module starts while it is loaded: it would keep all signals out for as
/// long as it lives, also as another program. Those that the parent has to wait for are none of its own.
pub(crate) fn forked() {
    if let Some(mask) = BEFORE.get() {
        mask.restore();
    }
}

pub(crate) const SUBS: &[Sub] = &[(c"ZooKeeper::XS::_undisturbed", Some(undisturbed))];

callback! {
    /// `_undisturbed($function)`: calls it, for nothing; handlers of signals that come meanwhile run afterwards. What it
    /// dies of comes out.
    fn undisturbed(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let function = perl.argument(call, 0);
        perl.push_scope();
        let outer = BEFORE.get();
        let mask = signals::block();
        BEFORE.set(outer.or(Some(mask)));
        perl.save_destructor(Some(restore), Box::into_raw(Box::new((mask, outer))).cast());
        // Of those that came before.
        if perl.signal_pending() {
            perl.dispatch_signals();
        }
        perl.push_mark();
        perl.call(function, false);
        perl.pop_scope();
        perl.leave(call, 0);
    }
}

callback! {
    /// However the scope ends.
    fn restore(_perl, before: *mut c_void) {
        // SAFETY: from Box::into_raw, and called once.
        let (mask, outer) = *unsafe { Box::from_raw(before.cast::<(Mask, Option<Mask>)>()) };
        BEFORE.set(outer);
        mask.restore(); // an unsafe handler may jump from here
    }
}
