//! Being called by perl, and calling it.

use super::{Perl, Sv};
use libperl_sys as sys;
use std::ffi::CStr;
use sys::thx;

/// Defines a function that perl calls, for perls with and without a context argument.
macro_rules! callback {
    ($(#[$meta:meta])* fn $name:ident($perl:ident $(, $arg:ident: $type:ty)*) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[cfg(perl_multiplicity)]
        pub(crate) unsafe extern "C" fn $name(
            my_perl: *mut libperl_sys::PerlInterpreter $(, $arg: $type)*
        ) $(-> $ret)? {
            // SAFETY: perl passes the interpreter that is running.
            let $perl = unsafe { $crate::perl::Perl::from_raw(my_perl) };
            $body
        }
        $(#[$meta])*
        #[cfg(not(perl_multiplicity))]
        pub(crate) unsafe extern "C" fn $name($($arg: $type),*) $(-> $ret)? {
            // SAFETY: this perl's interpreter is a set of globals, nobody reads the pointer.
            let $perl = unsafe { $crate::perl::Perl::from_raw(std::ptr::null_mut()) };
            $body
        }
    };
}
pub(crate) use callback;

impl Perl {
    /// Opens a scope of the savestack; what is saved in it is undone by [`Perl::pop_scope`], or by
    /// perl when an exception passes.
    pub(crate) fn push_scope(self) {
        // SAFETY: the interpreter is running; every push is popped by us or by perl's unwinding.
        unsafe { thx::Perl_push_scope(self.raw()) }
    }

    /// Closes the innermost scope, running what was saved in it.
    pub(crate) fn pop_scope(self) {
        // SAFETY: pairs with push_scope.
        unsafe { thx::Perl_pop_scope(self.raw()) }
    }

    /// `SAVETMPS`: temporaries made from here on are freed by [`Perl::free_tmps`] in this scope.
    pub(crate) fn save_tmps(self) {
        // SAFETY: within a scope that was pushed, whose end restores the floor.
        unsafe { thx::Perl_savetmps(self.raw()) }
    }

    /// `FREETMPS`. May run destructors written in Perl (whose exceptions perl keeps).
    pub(crate) fn free_tmps(self) {
        // SAFETY: the interpreter is running.
        unsafe { thx::Perl_free_tmps(self.raw()) }
    }

    /// Calls a function with what was pushed after [`Perl::push_mark`], for nothing. What it dies of passes
    /// through here by `longjmp`, unless it is `to_warn`: then it becomes a warning, as that of a destructor.
    pub(crate) fn call(self, function: Sv, to_warn: bool) {
        let quiet = if to_warn { sys::G_EVAL | sys::G_KEEPERR } else { 0 };
        // SAFETY: mark and arguments are on the stack; the function is alive as a temporary.
        unsafe {
            let flags = sys::G_VOID | sys::G_DISCARD | quiet;
            thx::Perl_call_sv(self.raw(), function.raw(), flags as sys::I32);
        }
    }

    /// Calls a Perl function of ours, which does not die, and gives its result, a mortal; undef without
    /// lib/.
    pub(crate) fn call_for_scalar(self, function: &CStr, arguments: &[Sv]) -> Sv {
        let bytes = function.to_bytes();
        // SAFETY: a lookup without autovivification (flags 0); the name is NUL-terminated.
        let cv = unsafe { thx::Perl_get_cvn_flags(self.raw(), function.as_ptr(), bytes.len(), 0) };
        if cv.is_null() {
            return self.undef();
        }
        self.push_mark();
        self.push(arguments);
        // SAFETY: mark and arguments are on the stack; cv is a CV, which is an SV. In scalar context there
        // is exactly one result on the stack, which is taken off.
        unsafe {
            thx::Perl_call_sv(self.raw(), cv.cast(), sys::G_SCALAR as sys::I32);
            let sp = sys::PL_stack_sp_ptr!(self.raw());
            let result = Sv::from_raw(**sp);
            *sp = (*sp).sub(1);
            result
        }
    }

    /// Calls a Perl function of ours on a stack of its own, for nothing: what it does can't reach the code around the
    /// call, but by an exception, or by ending the program.
    pub(crate) fn call_apart(self, function: &CStr, arguments: &[Sv]) {
        self.push_stack();
        self.push_scope();
        self.save_tmps();
        self.call_for_scalar(function, arguments);
        self.free_tmps();
        self.pop_scope();
        self.pop_stack();
    }

    /// Has `destructor(pointer)` called when the innermost scope ends, however it ends.
    pub(crate) fn save_destructor(self, destructor: sys::DESTRUCTORFUNC_t, pointer: *mut std::ffi::c_void) {
        // SAFETY: the pointer is handed over to the destructor, which runs exactly once.
        unsafe { thx::Perl_save_destructor_x(self.raw(), destructor, pointer) }
    }

    /// Has `callback` called when this interpreter is destroyed, after its objects are.
    pub(crate) fn at_exit(self, callback: sys::ATEXIT_t) {
        // SAFETY: the callback is a function of this library, which perl never unloads.
        unsafe { thx::Perl_call_atexit(self.raw(), callback, std::ptr::null_mut()) }
    }

    /// Calls a Perl function that dies. To be called last in an XSUB, with no value alive that has
    /// a destructor: control leaves by `longjmp`.
    pub(crate) fn call_to_die(self, function: &CStr, arguments: &[Sv]) -> ! {
        let bytes = function.to_bytes();
        // SAFETY: a lookup without autovivification (flags 0); the name is NUL-terminated.
        let cv = unsafe { thx::Perl_get_cvn_flags(self.raw(), function.as_ptr(), bytes.len(), 0) };
        if !cv.is_null() {
            self.push_mark();
            self.push(arguments);
            // SAFETY: mark and arguments are on the stack; cv is a CV, which is an SV.
            unsafe {
                thx::Perl_call_sv(self.raw(), cv.cast(), (sys::G_VOID | sys::G_DISCARD) as sys::I32);
            }
        }
        // Without lib/ (or with one that returns) the user still sees the facts.
        let mut text = self.new_bytes(bytes);
        for argument in arguments {
            // SAFETY: both are live scalars of this interpreter.
            unsafe {
                thx::Perl_sv_catpvn_flags(self.raw(), text.raw(), c" ".as_ptr(), 1, 0);
                if argument.is_defined() {
                    thx::Perl_sv_catsv_flags(self.raw(), text.raw(), argument.raw(), 0);
                }
            }
        }
        text = text.mortal(self);
        self.die(text)
    }

    /// Throws a scalar. Leaves by `longjmp`, as [`Perl::call_to_die`].
    pub(crate) fn die(self, exception: Sv) -> ! {
        // SAFETY: the exception is mortal; no destructor is pending in our frames.
        unsafe { thx::Perl_croak_sv(self.raw(), exception.raw()) }
    }
}
