//! Scalars: what they hold, and making new ones.

use super::Perl;
use libperl_sys as sys;
use sys::thx;

/// A scalar of the interpreter. See the module's rule on how long it lives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sv(*mut sys::SV);

/// Flags that say "there is a value": every OK bit, public and private.
const ANY_OK: u32 = 0xff00;

impl Sv {
    /// # Safety
    /// `raw` points to a live scalar of the running interpreter.
    pub(crate) unsafe fn from_raw(raw: *mut sys::SV) -> Sv {
        Sv(raw)
    }

    /// For calls of libperl-sys.
    pub(crate) fn raw(self) -> *mut sys::SV {
        self.0
    }

    fn flags(self) -> u32 {
        // SAFETY: an Sv is live.
        unsafe { (*self.0).sv_flags }
    }

    /// True when reading the value runs `mg_get`: tied, `$1`, an element not there yet, tainted.
    pub(crate) fn has_get_magic(self) -> bool {
        self.flags() & sys::SVs_GMG != 0
    }

    /// True for a reference (its magic was got before).
    pub(crate) fn is_reference(self) -> bool {
        self.flags() & sys::SVf_ROK != 0
    }

    /// True when there is a value (its magic was got before).
    pub(crate) fn is_defined(self) -> bool {
        self.flags() & ANY_OK != 0 || self.is_glob()
    }

    /// True when the string is stored in characters.
    pub(crate) fn is_utf8(self) -> bool {
        self.flags() & sys::SVf_UTF8 != 0
    }

    /// True when there is a string to point to.
    pub(crate) fn has_string(self) -> bool {
        self.flags() & sys::SVf_POK != 0
    }

    /// The integer of a scalar that is one publicly.
    pub(crate) fn integer(self) -> Option<i128> {
        let flags = self.flags();
        if flags & sys::SVf_IOK == 0 || flags & sys::SVf_ROK != 0 {
            return None;
        }
        // SAFETY: IOK promises a body with an IV or UV.
        unsafe {
            let body = (*self.0).sv_any.cast::<sys::xpviv>();
            Some(if flags & sys::SVf_IVisUV != 0 {
                i128::from((*body).xiv_u.xivu_uv)
            } else {
                i128::from((*body).xiv_u.xivu_iv)
            })
        }
    }

    /// The float of a scalar that is one publicly.
    pub(crate) fn float(self) -> Option<f64> {
        let flags = self.flags();
        if flags & sys::SVf_NOK == 0 || flags & sys::SVf_ROK != 0 {
            return None;
        }
        // SAFETY: NOK promises a body with an NV.
        Some(unsafe {
            let body = (*self.0).sv_any.cast::<sys::xpvnv>();
            (*body).xnv_u.xnv_nv
        })
    }

    /// The bytes of the string as they are stored, empty when there is none. They stay valid until
    /// Perl code runs or the scalar is changed.
    pub(crate) fn stored_bytes<'a>(self) -> &'a [u8] {
        if !self.has_string() {
            return &[];
        }
        // SAFETY: POK promises a PV of that length.
        unsafe {
            let body = (*self.0).sv_any.cast::<sys::xpv>();
            let start = (*self.0).sv_u.svu_pv;
            std::slice::from_raw_parts(start.cast_const().cast(), (*body).xpv_cur)
        }
    }

    /// What a reference refers to.
    pub(crate) fn referent(self) -> Option<Sv> {
        // SAFETY: ROK promises a referent.
        self.is_reference().then(|| Sv(unsafe { (*self.0).sv_u.svu_rv }))
    }

    /// True for a function itself (not a reference to one).
    pub(crate) fn is_function(self) -> bool {
        self.body_type() == sys::svtype::SVt_PVCV as u32
    }

    pub(super) fn body_type(self) -> u32 {
        self.flags() & sys::SVTYPEMASK
    }

    pub(super) fn can_have_magic(self) -> bool {
        self.body_type() >= sys::svtype::SVt_PVMG as u32
    }

    /// True for what was blessed (not a reference to it).
    pub(crate) fn is_object(self) -> bool {
        self.flags() & sys::SVs_OBJECT != 0
    }

    fn is_glob(self) -> bool {
        self.body_type() == sys::svtype::SVt_PVGV as u32
    }

    /// One more owner.
    pub(crate) fn retain(self) -> Sv {
        // SAFETY: live; a count beyond 2^32 would need as many owners.
        unsafe { (*self.0).sv_refcnt += 1 };
        self
    }

    /// One owner less, who is not the last: somebody else holds it for sure. Runs nothing.
    pub(crate) fn give_back(self) {
        // SAFETY: the caller owned one count, and another one is left.
        unsafe { (*self.0).sv_refcnt -= 1 };
    }

    /// One owner less. May run a destructor written in Perl (whose exceptions perl keeps).
    pub(crate) fn release(self, perl: Perl) {
        // SAFETY: the caller owned one count.
        unsafe { thx::Perl_SvREFCNT_dec(perl.raw(), self.0) }
    }

    /// Gives one count to the temporaries of the statement that runs.
    pub(crate) fn mortal(self, perl: Perl) -> Sv {
        // SAFETY: the caller owned one count.
        Sv(unsafe { thx::Perl_sv_2mortal(perl.raw(), self.0) })
    }

    /// Runs get magic. May run Perl code, and die.
    pub(crate) fn get_magic(self, perl: Perl) {
        if self.has_get_magic() {
            // SAFETY: live.
            unsafe { thx::Perl_mg_get(perl.raw(), self.0) };
        }
    }

    /// Its truth (its magic was got before). May run Perl code for an overloaded object.
    pub(crate) fn is_true(self, perl: Perl) -> bool {
        // SAFETY: live; flags 0 leaves magic alone.
        unsafe { thx::Perl_sv_2bool_flags(perl.raw(), self.0, 0) }
    }

    /// A mortal copy of the value as it stands, without running get magic again.
    pub(crate) fn copy(self, perl: Perl) -> Sv {
        // SAFETY: live; flags 0 leaves magic alone.
        Sv(unsafe { thx::Perl_sv_mortalcopy_flags(perl.raw(), self.0, 0) })
    }

    /// A mortal copy of the value as a string. Runs Perl code for an overloaded object only.
    pub(crate) fn stringified(self, perl: Perl) -> Sv {
        // SAFETY: both live; flags 0 leaves magic alone.
        unsafe {
            let copy = thx::Perl_sv_newmortal(perl.raw());
            thx::Perl_sv_copypv_flags(perl.raw(), copy, self.0, 0);
            Sv(copy)
        }
    }

    /// Stores the string in bytes if its characters allow it. For copies of ours.
    pub(crate) fn downgrade(self, perl: Perl) -> bool {
        // SAFETY: live and ours; fail_ok: it doesn't croak.
        unsafe { thx::Perl_sv_utf8_downgrade(perl.raw(), self.0, true) }
    }

    /// Stores the string in characters. For copies of ours.
    pub(crate) fn upgrade(self, perl: Perl) {
        // SAFETY: live and ours.
        unsafe {
            thx::Perl_sv_utf8_upgrade_flags_grow(perl.raw(), self.0, 0, 0);
        }
    }
}

/// The scalars that are one for all, in the order in which perl keeps them.
#[derive(Clone, Copy)]
enum Immortal {
    Yes,
    Undef,
    No,
}

impl Perl {
    #[cfg(perl_multiplicity)]
    fn immortal(self, which: Immortal) -> Sv {
        Sv(match which {
            Immortal::Yes => sys::PL_sv_yes_ptr!(self.raw()),
            Immortal::Undef => sys::PL_sv_undef_ptr!(self.raw()),
            Immortal::No => sys::PL_sv_no_ptr!(self.raw()),
        })
    }

    /// Where the interpreter is a set of globals, these are an array.
    #[cfg(not(perl_multiplicity))]
    fn immortal(self, which: Immortal) -> Sv {
        // SAFETY: an index below four.
        Sv(unsafe { (&raw mut sys::PL_sv_immortals).cast::<sys::SV>().add(which as usize) })
    }

    /// The one undef.
    pub(crate) fn undef(self) -> Sv {
        self.immortal(Immortal::Undef)
    }

    /// The one true or false value.
    pub(crate) fn boolean(self, value: bool) -> Sv {
        self.immortal(if value { Immortal::Yes } else { Immortal::No })
    }

    /// A new string of bytes; the caller owns it.
    pub(crate) fn new_bytes(self, bytes: &[u8]) -> Sv {
        // SAFETY: perl copies them.
        Sv(unsafe { thx::Perl_newSVpvn(self.raw(), bytes.as_ptr().cast(), bytes.len()) })
    }

    /// A new string of characters from UTF-8; the caller owns it.
    pub(crate) fn new_text(self, text: &str) -> Sv {
        if text.is_ascii() {
            return self.new_bytes(text.as_bytes());
        }
        // SAFETY: perl copies them, and they are UTF-8.
        Sv(unsafe { thx::Perl_newSVpvn_flags(self.raw(), text.as_ptr().cast(), text.len(), sys::SVf_UTF8) })
    }

    /// A new string from the wire; the caller owns it. Characters when `decode` is wanted and the
    /// bytes are UTF-8: what isn't UTF-8 has no characters to give, and must not be lost.
    pub(crate) fn new_string(self, bytes: &[u8], decode: bool) -> Sv {
        match std::str::from_utf8(bytes) {
            Ok(text) if decode => self.new_text(text),
            _ => self.new_bytes(bytes),
        }
    }

    /// A new undef, for places that want a scalar of their own; the caller owns it.
    pub(crate) fn new_undef(self) -> Sv {
        // SAFETY: a null buffer makes an undefined scalar.
        Sv(unsafe { thx::Perl_newSVpvn(self.raw(), std::ptr::null(), 0) })
    }

    /// A new integer; the caller owns it.
    pub(crate) fn new_integer(self, value: i64) -> Sv {
        // SAFETY: a fresh scalar.
        Sv(unsafe { thx::Perl_newSViv(self.raw(), value as sys::IV) })
    }

    /// A new unsigned integer; the caller owns it.
    pub(crate) fn new_unsigned(self, value: u64) -> Sv {
        // SAFETY: a fresh scalar.
        Sv(unsafe { thx::Perl_newSVuv(self.raw(), value as sys::UV) })
    }

    /// A new reference; the caller owns it, and gives it his count of the referent.
    pub(crate) fn new_reference(self, referent: Sv) -> Sv {
        // SAFETY: live.
        Sv(unsafe { thx::Perl_newRV_noinc(self.raw(), referent.raw()) })
    }

    /// A mortal, blessed reference to a new undef.
    pub(crate) fn new_object(self, class: Sv) -> Sv {
        // SAFETY: fresh values; the mortal reference owns the referent before it is blessed.
        unsafe {
            let referent = self.new_undef();
            let reference = Sv(thx::Perl_newRV_noinc(self.raw(), referent.raw())).mortal(self);
            let stash = thx::Perl_gv_stashsv(self.raw(), class.raw(), sys::GV_ADD as _);
            Sv(thx::Perl_sv_bless(self.raw(), reference.raw(), stash))
        }
    }
}
