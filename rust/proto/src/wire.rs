//! The primitive types of the wire: reading them from a frame, writing them to a buffer.
//!
//! All integers are big endian. A buffer and a string are an int32 length and that many bytes,
//! length -1 standing for null; a vector is an int32 count and its items, -1 likewise.
//! Source: jute's `BinaryInputArchive` and `BinaryOutputArchive` in Apache ZooKeeper.

mod strings;

use bytes::{Buf, Bytes};

pub use strings::{ByteStrings, ByteStringsIter};

/// Why bytes from the other side could not be read. `what` names the field or record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end in the middle of a field of fixed size.
    #[error("{what}: {wanted} bytes needed, {left} left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes the field takes.
        wanted: usize,
        /// Bytes that were there.
        left: usize,
    },
    /// A length is negative (and not -1), or longer than what is left of the frame.
    #[error("{what}: length {length} with {left} bytes left")]
    Length {
        /// What was being read.
        what: &'static str,
        /// The length as it came.
        length: i32,
        /// Bytes left behind it.
        left: usize,
    },
    /// The count of a vector is negative (and not -1), or more than what is left can hold.
    #[error("{what}: count {count} with {left} bytes left")]
    Count {
        /// What was being read.
        what: &'static str,
        /// The count as it came.
        count: i32,
        /// Bytes left behind it.
        left: usize,
    },
    /// A number has a value that it can't have here.
    #[error("{what}: unexpected value {value}")]
    Value {
        /// What was being read.
        what: &'static str,
        /// The value as it came.
        value: i32,
    },
}

/// Reads one field after the other from a frame.
///
/// Every length is checked against the bytes that are left before anything is allocated; byte
/// strings are handed out as slices of the frame, not copied. What is left over at the end is
/// nobody's fault: newer servers append fields to old records.
#[derive(Clone, Debug)]
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    /// Starts at the front of `frame`.
    pub fn new(frame: Bytes) -> Reader {
        Reader { rest: frame }
    }

    /// Bytes not yet read.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Everything not yet read.
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    /// A boolean: one byte, anything but 0 is true.
    pub fn boolean(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        Ok(self.array::<1>(what)? != [0])
    }

    /// An int32.
    pub fn int(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array(what)?))
    }

    /// An int64.
    pub fn long(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array(what)?))
    }

    /// A buffer; `None` is null, which is not the same as empty.
    pub fn buffer(&mut self, what: &'static str) -> Result<Option<Bytes>, DecodeError> {
        let length = self.int(what)?;
        if length == -1 {
            return Ok(None);
        }
        let left = self.left();
        match usize::try_from(length) {
            Ok(n) if n <= left => Ok(Some(self.rest.split_to(n))),
            _ => Err(DecodeError::Length { what, length, left }),
        }
    }

    /// A string, not checked to be UTF-8. No record gives null a meaning of its own, so null reads
    /// as empty.
    pub fn string(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        Ok(self.buffer(what)?.unwrap_or_default())
    }

    /// The count of a vector whose items take at least `min_item` bytes each; null counts as 0.
    /// What comes back is never more than what is left can hold, so it is safe to allocate for.
    pub fn count(&mut self, what: &'static str, min_item: usize) -> Result<usize, DecodeError> {
        let count = self.int(what)?;
        if count == -1 {
            return Ok(0);
        }
        let left = self.left();
        match usize::try_from(count) {
            Ok(n) if n <= left / min_item.max(1) => Ok(n),
            _ => Err(DecodeError::Count { what, count, left }),
        }
    }

    /// A vector of strings, walked once to check it and then left where it is.
    pub fn strings(&mut self, what: &'static str) -> Result<ByteStrings, DecodeError> {
        let count = self.count(what, 4)?;
        ByteStrings::split_off(&mut self.rest, count, what)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        match self.rest.first_chunk::<N>() {
            Some(&chunk) => {
                self.rest.advance(N);
                Ok(chunk)
            }
            None => Err(DecodeError::Truncated { what, wanted: N, left: self.rest.len() }),
        }
    }
}

/// Appends a boolean.
pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// Appends an int32.
pub fn put_int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends an int64.
pub fn put_long(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a buffer; `None` is null.
pub fn put_buffer(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(bytes) => put_string(out, bytes),
        None => put_int(out, -1),
    }
}

/// Appends a string that is not null.
pub fn put_string(out: &mut Vec<u8>, value: &[u8]) {
    put_count(out, value.len());
    out.extend_from_slice(value);
}

/// Appends a length or count. One that int32 can't hold is written as the largest: no frame of that
/// size is ever sent, because the caller holds frames against a limit that is an int32 itself.
pub fn put_count(out: &mut Vec<u8>, value: usize) {
    put_int(out, saturated(value));
}

/// Appends a frame: four bytes of length, then what `body` appends. Returns that length, which is
/// what `jute.maxbuffer` is held against.
pub fn put_frame(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) -> usize {
    let start = out.len();
    put_int(out, 0);
    body(out);
    let length = out.len().saturating_sub(start + 4);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&saturated(length).to_be_bytes());
    }
    length
}

fn saturated(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(Bytes::from_static(bytes))
    }

    #[test]
    fn numbers() {
        let mut from = reader(b"\xff\xff\xff\xfe\0\0\0\0\0\0\x01\x02\x01\x07\0rest");
        assert_eq!(from.int("i"), Ok(-2));
        assert_eq!(from.long("l"), Ok(258));
        assert_eq!(from.boolean("b"), Ok(true));
        assert_eq!(from.boolean("b"), Ok(true));
        assert_eq!(from.boolean("b"), Ok(false));
        assert_eq!(from.left(), 4);
        assert_eq!(from.into_rest(), "rest");
    }

    #[test]
    fn numbers_cut_short() {
        let error = reader(b"\0\0\0").int("version").unwrap_err();
        assert_eq!(error.to_string(), "version: 4 bytes needed, 3 left");
        assert!(reader(b"\0\0\0\0\0\0\0").long("l").is_err());
        assert!(reader(b"").boolean("b").is_err());
    }

    #[test]
    fn buffers_may_be_null_or_empty() {
        let mut from = reader(b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x01x");
        assert_eq!(from.buffer("b"), Ok(None));
        assert_eq!(from.buffer("b"), Ok(Some(Bytes::new())));
        assert_eq!(from.buffer("b"), Ok(Some(Bytes::from_static(b"x"))));
        assert_eq!(reader(b"\xff\xff\xff\xff").string("s"), Ok(Bytes::new()));
    }

    #[test]
    fn buffers_are_not_copied() {
        let frame = Bytes::from(b"\0\0\0\x03abc".to_vec());
        let buffer = Reader::new(frame.clone()).buffer("b").unwrap().unwrap();
        assert_eq!(buffer.as_ptr(), frame[4..].as_ptr());
    }

    #[test]
    fn lengths_that_lie() {
        for head in [2, i32::MAX, -2, i32::MIN] {
            let frame = [&head.to_be_bytes()[..], b"x"].concat();
            let error = Reader::new(frame.into()).buffer("data").unwrap_err();
            assert_eq!(error.to_string(), format!("data: length {head} with 1 bytes left"));
        }
    }

    #[test]
    fn counts_are_held_against_the_bytes_left() {
        let count = |count: i32, left: usize, min_item| {
            let frame = [&count.to_be_bytes()[..], &vec![0; left]].concat();
            Reader::new(frame.into()).count("acl", min_item)
        };
        assert_eq!(count(-1, 0, 4), Ok(0));
        assert_eq!(count(0, 0, 4), Ok(0));
        assert_eq!(count(2, 8, 4), Ok(2));
        assert_eq!(count(2, 7, 4).unwrap_err().to_string(), "acl: count 2 with 7 bytes left");
        assert!(count(i32::MAX, 20, 12).is_err());
        assert!(count(-2, 20, 4).is_err());
    }

    #[test]
    fn frames_behind_one_another() {
        let mut out = Vec::new();
        assert_eq!(put_frame(&mut out, |out| put_int(out, 1)), 4);
        assert_eq!(put_frame(&mut out, |_| {}), 0);
        assert_eq!(out, [0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0]);
    }
}
