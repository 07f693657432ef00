//! Rust values owned by Perl objects, through extension magic.
//!
//! The magic is found by the address of its table, so that no other module's magic is taken for
//! ours, and no Perl code can forge it (a number in a blessed scalar could be forged).

use super::{Perl, Sv};
use libperl_sys as sys;
use std::ptr::null_mut;
use sys::thx;

/// `PERL_MAGIC_ext`
const EXT: i32 = b'~' as i32;
/// `MGf_DUP`: call `svt_dup` when an ithread is cloned.
const MGF_DUP: u8 = 0x10;

/// A Rust value that a Perl object can own. Implemented by [`attachable!`].
pub(crate) trait Attachable: Sized + 'static {
    /// The table by which the magic is known.
    fn table() -> &'static sys::MGVTBL;
    /// The object goes: `self` is the value that it owned.
    fn detached(self, perl: Perl);
}

/// What [`Perl::attached`] found.
#[derive(Clone, Copy)]
pub(crate) enum Found<T> {
    /// The scalar is no reference, or what it refers to has nothing of ours.
    Nothing,
    /// A copy that came into being with an ithread: the value belongs to another thread.
    Inert,
    /// The value; it lives as long as the magic does.
    Live(*const T),
}

/// Implements [`Attachable`] for a type: the table, and the callbacks that perl finds in it.
macro_rules! attachable {
    ($type:ty, $detached:path) => {
        const _: () = {
            $crate::perl::callback! {
                fn free(perl, _sv: *mut libperl_sys::SV, mg: *mut libperl_sys::MAGIC)
                    -> std::os::raw::c_int
                {
                    // SAFETY: perl frees this magic; the pointer was stored by `attach`, and is
                    // taken out first, so that what the value's end runs finds nothing.
                    let value = unsafe {
                        std::mem::replace(&mut (*mg).mg_ptr, std::ptr::null_mut()).cast::<$type>()
                    };
                    if !value.is_null() {
                        // An object may go between a system call of the program and its look at $!.
                        let errno = $crate::perl::signals::Errno::now();
                        // SAFETY: it came from Box::into_raw in `attach`.
                        $detached(*unsafe { Box::from_raw(value) }, perl);
                        errno.restore();
                    }
                    0
                }
            }
            $crate::perl::callback! {
                fn duplicate(
                    _perl,
                    mg: *mut libperl_sys::MAGIC,
                    _param: *mut libperl_sys::CLONE_PARAMS
                ) -> std::os::raw::c_int {
                    // The clone must not share the value: it belongs to the first thread.
                    // SAFETY: this is the new thread's own copy of the magic.
                    unsafe { (*mg).mg_ptr = std::ptr::null_mut() };
                    0
                }
            }
            static TABLE: libperl_sys::MGVTBL = libperl_sys::MGVTBL {
                svt_get: None,
                svt_set: None,
                svt_len: None,
                svt_clear: None,
                svt_free: Some(free),
                svt_copy: None,
                svt_dup: Some(duplicate),
                svt_local: None,
            };
            impl $crate::perl::Attachable for $type {
                fn table() -> &'static libperl_sys::MGVTBL {
                    &TABLE
                }
                fn detached(self, perl: $crate::perl::Perl) {
                    $detached(self, perl)
                }
            }
        };
    };
}
pub(crate) use attachable;

impl Perl {
    /// The value that an object owns.
    pub(crate) fn attached<T: Attachable>(self, object: Sv) -> Found<T> {
        match self.find::<T>(object) {
            None => Found::Nothing,
            // SAFETY: find gave a live magic.
            Some(mg) => match unsafe { (*mg).mg_ptr } {
                p if p.is_null() => Found::Inert,
                p => Found::Live(p.cast_const().cast()),
            },
        }
    }

    /// Gives a value to an object, in place of a former one, which ends first. False when
    /// `object` is no reference.
    pub(crate) fn attach<T: Attachable>(self, object: Sv, value: Box<T>) -> bool {
        let Some(referent) = object.referent() else {
            return false;
        };
        match self.find::<T>(object) {
            Some(mg) => {
                // SAFETY: the magic is live and ours; the former value came from Box::into_raw.
                unsafe {
                    let former = (*mg).mg_ptr.cast::<T>();
                    (*mg).mg_ptr = Box::into_raw(value).cast();
                    if !former.is_null() {
                        Box::from_raw(former).detached(self);
                    }
                }
            }
            // SAFETY: sv_magicext upgrades the referent to a type that can have magic; the table
            // is static; length 0 makes perl leave the pointer to us.
            None => unsafe {
                let mg = thx::Perl_sv_magicext(
                    self.raw(),
                    referent.raw(),
                    null_mut(),
                    EXT,
                    T::table(),
                    Box::into_raw(value).cast(),
                    0,
                );
                (*mg).mg_flags |= MGF_DUP;
            },
        }
        true
    }

    fn find<T: Attachable>(self, object: Sv) -> Option<*mut sys::MAGIC> {
        let referent = object.referent()?;
        if !referent.can_have_magic() {
            return None; // mg_findext would read a body that isn't there
        }
        // SAFETY: the type has a magic list.
        let mg = unsafe { thx::Perl_mg_findext(self.raw(), referent.raw(), EXT, T::table()) };
        (!mg.is_null()).then_some(mg)
    }
}
