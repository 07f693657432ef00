//! What Perl scalars mean: strings as bytes, numbers, durations. The scalars were settled before:
//! nothing here runs Perl code.

use crate::perl::{Perl, Sv};
use std::time::Duration;

/// Bytes of a settled scalar, without the borrow that Perl's rules don't fit into.
#[derive(Clone, Copy)]
pub(crate) struct Raw {
    start: *const u8,
    len: usize,
}

impl Raw {
    /// No bytes.
    pub(crate) const EMPTY: Raw = Raw { start: std::ptr::NonNull::dangling().as_ptr(), len: 0 };

    /// `/`
    pub(crate) const ROOT: Raw = Raw { start: b"/".as_ptr(), len: 1 };

    fn of(bytes: &[u8]) -> Raw {
        Raw { start: bytes.as_ptr(), len: bytes.len() }
    }

    /// # Safety
    /// No Perl code has run since this was taken.
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: see above: the scalar still has this buffer.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

/// A path, name or id, and whether what is to be shown of it is UTF-8 text.
///
/// Without `utf8` such strings are bytes, however Perl stores them; only what can't be bytes goes
/// out as UTF-8. With it they are characters, and always go out as UTF-8.
pub(crate) fn text(perl: Perl, sv: Sv, utf8: bool) -> (Raw, bool) {
    let sv = if sv.has_string() { sv } else { sv.stringified(perl) };
    let stored = sv.stored_bytes();
    match (sv.is_utf8(), utf8) {
        (false, false) => (Raw::of(stored), false),
        (true, true) => (Raw::of(stored), true),
        _ if stored.is_ascii() => (Raw::of(stored), utf8),
        (false, true) => {
            let copy = sv.copy(perl);
            copy.upgrade(perl);
            (Raw::of(copy.stored_bytes()), true)
        }
        (true, false) => match bytes(perl, sv) {
            Some(raw) => (raw, false),
            None => (Raw::of(stored), true),
        },
    }
}

/// Data: bytes. `None` when there are characters above 255.
pub(crate) fn bytes(perl: Perl, sv: Sv) -> Option<Raw> {
    let sv = if sv.has_string() { sv } else { sv.stringified(perl) };
    if !sv.is_utf8() {
        return Some(Raw::of(sv.stored_bytes()));
    }
    let copy = sv.copy(perl); // never change how the caller's scalar is stored
    copy.downgrade(perl).then(|| Raw::of(copy.stored_bytes()))
}

/// The whole number that a scalar is or spells, without Perl's warnings and roundings.
pub(crate) fn integer(sv: Sv) -> Option<i128> {
    if sv.is_reference() {
        return None;
    }
    if let Some(number) = sv.integer() {
        return Some(number);
    }
    if let Some(number) = sv.float() {
        let whole = number.trunc() == number && number.abs() < 1e18;
        return whole.then_some(number as i128);
    }
    std::str::from_utf8(sv.stored_bytes().trim_ascii()).ok()?.parse().ok()
}

/// A number of 32 bits, or what is wrong with it.
pub(crate) fn int32(perl: Perl, name: &str, sv: Sv) -> Result<i32, String> {
    let number = integer(sv).ok_or_else(|| format!("{name} '{}' is not an integer", shown(perl, sv)))?;
    i32::try_from(number).map_err(|_| format!("{name} {number} is out of range"))
}

/// The number of a watcher; undef and 0 are none.
pub(crate) fn watcher(perl: Perl, sv: Sv) -> Result<Option<u64>, String> {
    if !sv.is_defined() {
        return Ok(None);
    }
    match integer(sv).map(u64::try_from) {
        Some(Ok(number)) => Ok((number != 0).then_some(number)),
        _ => Err(format!("watcher '{}' is no number", shown(perl, sv))),
    }
}

/// Seconds, with fractions, as a span that a clock can take; undef is `None`.
pub(crate) fn seconds(perl: Perl, name: &str, sv: Sv) -> Result<Option<Duration>, String> {
    /// Thirty years: for ever, as far as anybody can tell, and no overflow in any clock.
    const LONG: f64 = 1e9;
    if !sv.is_defined() {
        return Ok(None);
    }
    let number = match (sv.is_reference(), sv.float(), sv.integer()) {
        (true, ..) => None,
        (_, Some(float), _) => Some(float),
        (_, _, Some(integer)) => Some(integer as f64),
        _ => std::str::from_utf8(sv.stored_bytes().trim_ascii()).ok().and_then(|text| text.parse().ok()),
    };
    match number {
        Some(n) if n >= 0.0 => Ok(Some(Duration::from_secs_f64(n.min(LONG)))),
        _ => Err(format!("{name} '{}' is not a number of seconds", shown(perl, sv))),
    }
}

/// A scalar for an error message.
pub(crate) fn shown(perl: Perl, sv: Sv) -> String {
    const ENOUGH: usize = 60;
    if !sv.is_defined() {
        return "undef".to_owned();
    }
    let sv = if sv.has_string() { sv } else { sv.stringified(perl) };
    let text = String::from_utf8_lossy(sv.stored_bytes());
    match text.char_indices().nth(ENOUGH) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}
