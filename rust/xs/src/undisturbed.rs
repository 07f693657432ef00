//! A piece of Perl code that no signal handler gets into.
//!
//! For what is done once in a process, such as loading a module: perl never tries again to load what a handler's
//! exception has interrupted.

use crate::boot::Sub;
use crate::perl::callback;
use crate::perl::signals::{self, Mask};
use libperl_sys as sys;
use std::ffi::c_void;

pub(crate) const SUBS: &[Sub] = &[(c"ZooKeeper::XS::_undisturbed", Some(undisturbed))];

callback! {
    /// `_undisturbed($function)`: calls it, for nothing; handlers of signals that come meanwhile run afterwards. What it
    /// dies of comes out.
    fn undisturbed(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let function = perl.argument(call, 0);
        perl.push_scope();
        perl.save_destructor(Some(restore), Box::into_raw(Box::new(signals::block())).cast());
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
    fn restore(_perl, mask: *mut c_void) {
        // SAFETY: from Box::into_raw, and called once.
        unsafe { Box::from_raw(mask.cast::<Mask>()) }.restore();
    }
}
