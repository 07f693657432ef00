//! What XSLoader calls.

use crate::perl::Perl;
use crate::{
    acl, channel, connect, engine, fork, guard, life, logging, results, secure, session, table, trace,
    undisturbed,
};
use libperl_sys as sys;
use std::ffi::CStr;
use sys::thx;

const API_VERSION: &str = env!("PERL_API_VERSION");
const XS_VERSION: &str = env!("XS_VERSION");
const API_VERSION_C: &str = concat!(env!("PERL_API_VERSION"), "\0");
const XS_VERSION_C: &str = concat!(env!("XS_VERSION"), "\0");

/// A Perl sub and the function behind it.
pub(crate) type Sub = (&'static CStr, sys::XSUBADDR_t);

#[cfg(perl_multiplicity)]
type Context = sys::PerlInterpreter;
#[cfg(not(perl_multiplicity))]
type Context = sys::PerlHandShakeInterpreter;

/// `HS_KEY(TRUE, TRUE, api, version)` of perl.h: the size of the interpreter stands for its layout,
/// so that a library built for another perl is refused with perl's own message.
const fn handshake_key() -> u32 {
    const SETXSUBFN: u32 = 0x20;
    const POPMARK: u32 = 0x40;
    const IMPLICIT_CONTEXT: u32 = if cfg!(perl_multiplicity) { 0x80 } else { 0 };
    assert!(API_VERSION.len() < 0x20 && XS_VERSION.len() <= 0xff);
    ((std::mem::size_of::<Context>() as u32) << 16)
        | ((XS_VERSION.len() as u32) << 8)
        | SETXSUBFN
        | POPMARK
        | IMPLICIT_CONTEXT
        | API_VERSION.len() as u32
}

/// The entry point, named after the module that XSLoader is asked for.
///
/// # Safety
/// Called by perl.
#[cfg(perl_multiplicity)]
#[no_mangle]
pub(crate) unsafe extern "C" fn boot_ZooKeeper(my_perl: *mut sys::PerlInterpreter, _cv: *mut sys::CV) {
    // SAFETY: perl calls with its interpreter, which is the handshake's context here.
    unsafe { start(Perl::from_raw(my_perl), my_perl.cast()) }
}

/// The entry point, named after the module that XSLoader is asked for.
///
/// # Safety
/// Called by perl.
#[cfg(not(perl_multiplicity))]
#[no_mangle]
pub(crate) unsafe extern "C" fn boot_ZooKeeper(cv: *mut sys::CV) {
    // SAFETY: without a context argument the handshake goes by the CV.
    unsafe { start(Perl::from_raw(std::ptr::null_mut()), cv.cast()) }
}

/// # Safety
/// Called in a boot XSUB; `context` is what this perl's handshake wants.
unsafe fn start(perl: Perl, context: *mut std::ffi::c_void) {
    // SAFETY: key, context, and the two strings that the lengths in the key announce. It takes the
    // mark, and croaks on a mismatch.
    let ax = unsafe {
        sys::Perl_xs_handshake(
            const { handshake_key() },
            context,
            c"rust/xs".as_ptr(),
            API_VERSION_C.as_ptr(),
            XS_VERSION_C.as_ptr(),
        )
    };
    guard::install_hook();
    trace::install();
    fork::install();
    for prepare in [
        acl::prepare_keys,
        channel::prepare_keys,
        connect::prepare_keys,
        life::prepare_keys,
        results::prepare_keys,
        secure::prepare_keys,
    ] {
        prepare(perl);
    }
    table::define_commands(perl);
    let subs = [
        channel::SUBS,
        connect::SUBS,
        guard::SUBS,
        life::SUBS,
        logging::SUBS,
        secure::SUBS,
        session::SUBS,
        trace::SUBS,
        undisturbed::SUBS,
    ];
    for subs in subs {
        for (name, function) in subs {
            define(perl, name, *function);
        }
    }
    engine::at_exit(perl);
    // SAFETY: ends the boot XSUB with a true value.
    unsafe { thx::Perl_xs_boot_epilog(perl.raw(), ax) }
}

/// Creates a sub; gives its CV, for those that carry an index.
pub(crate) fn define(perl: Perl, name: &CStr, function: sys::XSUBADDR_t) -> *mut sys::CV {
    // SAFETY: the name is copied; the function lives as long as the process.
    unsafe { thx::Perl_newXS_deffile(perl.raw(), name.as_ptr(), function) }
}
