//! What stands before every operation and result of a transaction, and at its end.

use crate::wire::{put_bool, put_int, DecodeError, Reader};

/// What stands before every operation and result of a transaction, and at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MultiHeader {
    /// Opcode of the operation, or -1 for an error and for the end.
    pub opcode: i32,
    /// This is the end.
    pub done: bool,
    /// -1 in requests; in results what the result itself says.
    pub err: i32,
}

impl MultiHeader {
    /// Bytes that the record takes.
    pub const LEN: usize = 9;

    /// The end of a transaction.
    pub const END: MultiHeader = MultiHeader { opcode: -1, done: true, err: -1 };

    /// What stands before an operation in a request.
    pub const fn request(opcode: i32) -> MultiHeader {
        MultiHeader { opcode, done: false, err: -1 }
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.opcode);
        put_bool(out, self.done);
        put_int(out, self.err);
    }

    /// Reads the record.
    pub fn decode(from: &mut Reader) -> Result<MultiHeader, DecodeError> {
        Ok(MultiHeader {
            opcode: from.int("multi header type")?,
            done: from.boolean("multi header done")?,
            err: from.int("multi header err")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn multi_header_both_ways() {
        for (header, bytes) in [
            (MultiHeader::request(13), b"\0\0\0\x0d\0\xff\xff\xff\xff"),
            (MultiHeader::END, b"\xff\xff\xff\xff\x01\xff\xff\xff\xff"),
        ] {
            let mut out = Vec::new();
            header.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(out.len(), MultiHeader::LEN);
            let mut from = Reader::new(Bytes::from_static(bytes));
            assert_eq!(MultiHeader::decode(&mut from), Ok(header));
        }
    }
}
