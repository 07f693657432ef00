//! Vectors of strings, such as the names of children.

use super::{put_count, put_string, DecodeError};
use bytes::Bytes;

/// A vector of strings, checked once and then read in place, so that 100,000 names cost no
/// allocation of their own.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ByteStrings {
    /// The items as they stand in the frame: int32 length and bytes, one after the other.
    items: Bytes,
    /// How many there are.
    count: usize,
}

impl ByteStrings {
    /// Takes `count` strings off the front of `frame`.
    pub(super) fn split_off(
        frame: &mut Bytes,
        count: usize,
        what: &'static str,
    ) -> Result<ByteStrings, DecodeError> {
        let mut rest: &[u8] = frame;
        for _ in 0..count {
            let (length, tail) = split_int(rest, what)?;
            let n = if length == -1 { 0 } else { length };
            rest = usize::try_from(n).ok().and_then(|n| tail.get(n..)).ok_or(DecodeError::Length {
                what,
                length,
                left: tail.len(),
            })?;
        }
        let used = frame.len() - rest.len();
        Ok(ByteStrings { items: frame.split_to(used), count })
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The strings, in the server's order.
    pub fn iter(&self) -> ByteStringsIter<'_> {
        ByteStringsIter { rest: &self.items, left: self.count }
    }

    /// Appends the vector as it came.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_count(out, self.count);
        out.extend_from_slice(&self.items);
    }
}

impl<'a> IntoIterator for &'a ByteStrings {
    type Item = &'a [u8];
    type IntoIter = ByteStringsIter<'a>;

    fn into_iter(self) -> ByteStringsIter<'a> {
        self.iter()
    }
}

/// Mostly for scripted servers and tests: a vector of its own from loose strings.
impl<P: AsRef<[u8]>> FromIterator<P> for ByteStrings {
    fn from_iter<I: IntoIterator<Item = P>>(strings: I) -> ByteStrings {
        let mut items = Vec::new();
        let mut count = 0;
        for string in strings {
            put_string(&mut items, string.as_ref());
            count += 1;
        }
        ByteStrings { items: items.into(), count }
    }
}

impl std::fmt::Debug for ByteStrings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

/// Walks over [`ByteStrings`].
#[derive(Clone, Debug)]
pub struct ByteStringsIter<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for ByteStringsIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        let (&length, tail) = self.rest.split_first_chunk::<4>()?;
        // Null (-1) reads as empty; other negative lengths did not get past `Reader::strings`.
        let n = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
        let (string, rest) = tail.split_at_checked(n)?;
        self.rest = rest;
        self.left -= 1;
        Some(string)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ByteStringsIter<'_> {}

fn split_int<'a>(bytes: &'a [u8], what: &'static str) -> Result<(i32, &'a [u8]), DecodeError> {
    match bytes.split_first_chunk::<4>() {
        Some((&chunk, tail)) => Ok((i32::from_be_bytes(chunk), tail)),
        None => Err(DecodeError::Truncated { what, wanted: 4, left: bytes.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Reader;

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(Bytes::from_static(bytes))
    }

    #[test]
    fn strings_in_place() {
        let frame = b"\0\0\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\x02bc!";
        let mut from = reader(frame);
        let strings = from.strings("children").unwrap();
        assert_eq!(strings.len(), 3);
        assert_eq!(strings.iter().len(), 3);
        assert_eq!(strings.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"bc"]);
        assert_eq!(format!("{strings:?}"), r#"["a", "", "bc"]"#);
        assert_eq!(from.into_rest(), "!");
        let mut out = Vec::new();
        strings.encode(&mut out);
        assert_eq!(out, frame[..frame.len() - 1]);
    }

    #[test]
    fn strings_without_any() {
        for frame in [&b"\0\0\0\0"[..], b"\xff\xff\xff\xff"] {
            let strings = reader(frame).strings("children").unwrap();
            assert!(strings.is_empty());
            assert_eq!(strings.iter().next(), None);
            assert_eq!(strings, ByteStrings::default());
        }
    }

    #[test]
    fn strings_that_run_over_the_end() {
        for frame in [
            &b"\0\0\0\x02\0\0\0\x01a\0\0\0"[..],
            b"\0\0\0\x02\0\0\0\x01a\0\0\0\x02b",
            b"\0\0\0\x01\xff\xff\xff\xfe",
            b"\0\0\0\x01\x7f\xff\xff\xff",
            b"\0\0\0\x01",
            b"\0\0",
        ] {
            assert!(reader(frame).strings("children").is_err(), "{frame:?}");
        }
    }

    #[test]
    fn loose_strings_make_a_vector() {
        let strings: ByteStrings = ["x", "", "yz"].into_iter().collect();
        let mut out = Vec::new();
        strings.encode(&mut out);
        let back = Reader::new(out.into()).strings("children").unwrap();
        assert_eq!(back, strings);
        assert_eq!((&back).into_iter().last(), Some(&b"yz"[..]));
    }
}
