//! What kind of thing a scalar is, asked without running Perl code.

use super::hash::Hash;
use super::{Perl, Sv};
use libperl_sys as sys;
use sys::thx;

/// What a reference refers to, as far as anybody here asks.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// The scalar is no reference.
    Plain,
    /// A reference to an array.
    Array(Array),
    /// A reference to a hash.
    Hash(Hash),
    /// A reference to something else.
    Other,
}

/// An array behind a reference.
#[derive(Clone, Copy)]
pub(crate) struct Array(*mut sys::AV);

impl Sv {
    /// What this scalar is a reference to. Its magic was got before.
    pub(crate) fn kind(self) -> Kind {
        let Some(referent) = self.referent() else {
            return Kind::Plain;
        };
        match referent.body_type() {
            t if t == sys::svtype::SVt_PVAV as u32 => Kind::Array(Array(referent.raw().cast())),
            // SAFETY: the type says that it is a hash.
            t if t == sys::svtype::SVt_PVHV as u32 => Kind::Hash(unsafe { Hash::from_sv(referent.raw()) }),
            _ => Kind::Other,
        }
    }

    /// True for an object whose class overloads conversion to a string, directly or by way of a
    /// number or truth value. (Asked by the names under which `overload` files its methods: the
    /// numbers of its table differ between perls.)
    pub(crate) fn overloads_string(self, perl: Perl) -> bool {
        let Some(referent) = self.referent().filter(|r| r.is_object()) else {
            return false;
        };
        [c"(\"\"", c"(0+", c"(bool", c"(nomethod"].into_iter().any(|name| {
            // SAFETY: an object's body begins with its stash; the lookup creates nothing.
            unsafe {
                let stash = thx::SvSTASH(perl.raw(), referent.raw());
                !thx::Perl_gv_fetchmeth_pvn(perl.raw(), stash, name.as_ptr(), name.to_bytes().len(), 0, 0)
                    .is_null()
            }
        })
    }
}

impl Array {
    /// How many elements there are. May run Perl code when the array is tied.
    pub(crate) fn len(self, perl: Perl) -> usize {
        // SAFETY: the array is kept alive by the caller's reference (see `args`).
        let last = unsafe { thx::Perl_av_len(perl.raw(), self.0) };
        usize::try_from(last + 1).unwrap_or(0)
    }

    /// Element `index`, undef when it isn't there. A tied array gives a mortal proxy, whose magic
    /// has still to be got.
    pub(crate) fn fetch(self, perl: Perl, index: usize) -> Sv {
        // SAFETY: as in len; av_fetch checks the index and answers null beyond the end.
        unsafe {
            let slot = thx::Perl_av_fetch(perl.raw(), self.0, index as isize, 0);
            if slot.is_null() || (*slot).is_null() {
                perl.undef()
            } else {
                Sv::from_raw(*slot)
            }
        }
    }

    /// Appends a value and takes over its reference count. For arrays made by us.
    pub(crate) fn push(self, perl: Perl, value: Sv) {
        // SAFETY: our own plain array.
        unsafe { thx::Perl_av_push(perl.raw(), self.0, value.raw()) }
    }
}

impl Perl {
    /// A new array and a mortal reference to it.
    pub(crate) fn new_array(self) -> (Array, Sv) {
        // SAFETY: fresh values; the reference owns the array.
        unsafe {
            let av = thx::Perl_newAV(self.raw());
            let reference = Sv::from_raw(thx::Perl_newRV_noinc(self.raw(), av.cast()));
            (Array(av), reference.mortal(self))
        }
    }
}
