//! The little of Perl's C API that this extension needs, as values that are [`Copy`].
//!
//! Why not macros of libperl-sys: those that an XSUB needs most (stack, marks, scopes) are not
//! generated, and its `SvPV` family is wrong. Why everything here is `Copy`: Perl's `die` is a
//! `longjmp`, and a jump over a live value with a destructor leaks it, or worse.
//!
//! # The rule that makes the safe methods of [`Perl`] and [`Sv`] sound
//!
//! A [`Perl`] is made only from what perl passes to a callback, and an [`Sv`] only from what that
//! perl handed out. Neither is kept beyond the callback, except where a reference count is held
//! (queued scalars). Between the moment when an `Sv` is taken and its last use, either no Perl code
//! runs, or the scalar is mortal, counted or an argument that was protected (see `args`).

mod call;
mod class;
pub(crate) mod files;
mod hash;
mod magic;
mod scalar;
pub(crate) mod signals;
mod stack;

pub(crate) use call::callback;
pub(crate) use class::Kind;
pub(crate) use hash::Key;
pub(crate) use magic::{attachable, Attachable, Found};
pub(crate) use scalar::Sv;
pub(crate) use stack::Call;

use libperl_sys as sys;

/// The interpreter that runs on this thread; a null pointer in a perl without multiplicity, whose
/// interpreter is a set of globals.
#[derive(Clone, Copy)]
pub(crate) struct Perl(*mut sys::PerlInterpreter);

impl Perl {
    /// # Safety
    /// `raw` came from perl in the callback that is running now.
    pub(crate) unsafe fn from_raw(raw: *mut sys::PerlInterpreter) -> Perl {
        Perl(raw)
    }

    /// For calls of libperl-sys.
    pub(crate) fn raw(self) -> *mut sys::PerlInterpreter {
        self.0
    }
}
