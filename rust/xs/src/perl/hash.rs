//! Hash keys whose hash values are computed once per process.
//!
//! Only the numbers are kept: shared key scalars would belong to one interpreter. Perl's hash seed
//! is one for the process and fixed before any module is loaded. A stat hash of eleven keys is made
//! in two thirds of the time this way, with the buckets allocated beforehand.

use super::{Perl, Sv};
use libperl_sys as sys;
use std::sync::atomic::{AtomicU32, Ordering};
use sys::thx;

/// A constant hash key.
pub(crate) struct Key {
    name: &'static str,
    hash: AtomicU32,
}

impl Key {
    /// A key whose hash is not known yet; perl computes it then for each use.
    pub(crate) const fn new(name: &'static str) -> Key {
        Key { name, hash: AtomicU32::new(0) }
    }

    /// Computes the hash. At boot: later it would be right too, only slower until then.
    pub(crate) fn prepare(&self, perl: Perl) {
        // SAFETY: a scalar of shared string kind: its PV points into a HEK, whose header holds the
        // hash; we free it again.
        unsafe {
            let len = self.name.len();
            let sv = thx::Perl_newSVpvn_share(perl.raw(), self.name.as_ptr().cast(), len as _, 0);
            let text = (*sv).sv_u.svu_pv.cast_const();
            let hek = text.sub(std::mem::offset_of!(sys::hek, hek_key)).cast::<sys::hek>();
            self.hash.store((*hek).hek_hash, Ordering::Relaxed);
            thx::Perl_SvREFCNT_dec(perl.raw(), sv);
        }
    }
}

impl Perl {
    /// A new hash with room for `keys` keys, and a mortal reference to it.
    pub(crate) fn new_hash(self, keys: usize) -> (Hash, Sv) {
        // SAFETY: fresh values; the reference owns the hash, and is mortal before it is filled.
        unsafe {
            let hv = thx::Perl_newHV(self.raw());
            let reference = Sv::from_raw(thx::Perl_newRV_noinc(self.raw(), hv.cast()));
            let reference = reference.mortal(self);
            if keys > 8 {
                // The default of eight buckets would be split while it is filled.
                thx::Perl_hv_ksplit(self.raw(), hv, 16);
            }
            (Hash(hv), reference)
        }
    }
}

/// A hash, made by us or found behind a reference.
#[derive(Clone, Copy)]
pub(crate) struct Hash(*mut sys::HV);

impl Hash {
    /// # Safety
    /// `sv` is a hash.
    pub(super) unsafe fn from_sv(sv: *mut sys::SV) -> Hash {
        Hash(sv.cast())
    }

    /// Stores a value and takes over its reference count. For hashes made by us: no magic.
    pub(crate) fn store(self, perl: Perl, key: &Key, value: Sv) {
        // SAFETY: the hash is ours and plain, so that nothing of Perl runs; the hash value is perl's
        // own for this key, or 0, which makes perl compute it.
        unsafe {
            thx::Perl_hv_common(
                perl.raw(),
                self.0,
                std::ptr::null_mut(),
                key.name.as_ptr().cast(),
                key.name.len(),
                0,
                (sys::HV_FETCH_ISSTORE | sys::HV_FETCH_JUST_SV) as _,
                value.raw(),
                key.hash.load(Ordering::Relaxed),
            );
        }
    }

    /// The value of a key, undef when it isn't there. May run Perl code when the hash is tied, and
    /// then gives a mortal proxy, whose magic has still to be got.
    pub(crate) fn fetch(self, perl: Perl, key: &Key) -> Sv {
        // SAFETY: with JUST_SV the answer is a pointer to the value's slot, or null.
        unsafe {
            let slot = thx::Perl_hv_common(
                perl.raw(),
                self.0,
                std::ptr::null_mut(),
                key.name.as_ptr().cast(),
                key.name.len(),
                0,
                sys::HV_FETCH_JUST_SV as _,
                std::ptr::null_mut(),
                key.hash.load(Ordering::Relaxed),
            )
            .cast::<*mut sys::SV>();
            if slot.is_null() {
                perl.undef()
            } else {
                Sv::from_raw(*slot)
            }
        }
    }
}
