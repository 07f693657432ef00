//! Arms watches again on a new connection.

use super::RequestHeader;
use crate::opcode;
use crate::wire::{put_frame, put_int, put_long, put_string, ByteStrings, DecodeError, Reader};
use crate::xid::reserved;
use bytes::Bytes;

/// Header, zxid and five counts.
const OVERHEAD: usize = 8 + 8 + 5 * 4;

/// A batch of watches for the server to set. It compares with a zxid and sends at once the events
/// of one-shot watches that were missed since; persistent ones are only armed.
///
/// Kinds are counted in the order of the record: 0 data, 1 exist, 2 child, 3 persistent,
/// 4 persistent recursive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetWatches {
    relative_zxid: i64,
    kinds: [(i32, Vec<u8>); 5],
}

impl SetWatches {
    /// An empty batch, to be compared with `relative_zxid`.
    pub fn new(relative_zxid: i64) -> SetWatches {
        SetWatches { relative_zxid, kinds: Default::default() }
    }

    /// Adds the server's path of a watch of this kind, 0 to 4. Other numbers name no kind and are
    /// left out.
    pub fn add(&mut self, kind: usize, path: impl AsRef<[u8]>) {
        if let Some((count, paths)) = self.kinds.get_mut(kind) {
            *count += 1;
            put_string(paths, path.as_ref());
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.kinds.iter().all(|(count, _)| *count == 0)
    }

    /// How long the packet with one more path of this length would be, without the four bytes of the
    /// length and at the most.
    pub fn length_with(&self, path: usize) -> usize {
        let paths: usize = self.kinds.iter().map(|(_, paths)| paths.len()).sum();
        OVERHEAD + paths + 4 + path
    }

    /// setWatches2, or setWatches, which older servers know too, if there is no persistent watch.
    pub fn opcode(&self) -> i32 {
        match &self.kinds {
            [_, _, _, (0, _), (0, _)] => opcode::SET_WATCHES,
            _ => opcode::SET_WATCHES2,
        }
    }

    /// Appends the frame, with header and the reserved xid.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let opcode = self.opcode();
        let kinds = if opcode == opcode::SET_WATCHES { 3 } else { 5 };
        put_frame(out, |out| {
            let header = RequestHeader { xid: reserved::SET_WATCHES, opcode };
            header.encode(out);
            put_long(out, self.relative_zxid);
            for (count, paths) in self.kinds.iter().take(kinds) {
                put_int(out, *count);
                out.extend_from_slice(paths);
            }
        });
    }

    /// Reads the body (what follows the header) of either operation into zxid and kinds: what a
    /// scripted server does.
    pub fn decode(opcode: i32, body: Bytes) -> Result<(i64, [ByteStrings; 5]), DecodeError> {
        let mut from = Reader::new(body);
        let relative_zxid = from.long("setWatches relativeZxid")?;
        let mut kinds: [ByteStrings; 5] = Default::default();
        let present = if opcode == opcode::SET_WATCHES { 3 } else { 5 };
        for kind in kinds.iter_mut().take(present) {
            *kind = from.strings("setWatches paths")?;
        }
        Ok((relative_zxid, kinds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shot_kinds_alone_use_the_old_operation() {
        let mut batch = SetWatches::new(0x10);
        assert!(batch.is_empty());
        batch.add(0, b"/d");
        batch.add(2, b"/c");
        batch.add(2, b"/cc");
        let mut out = Vec::new();
        batch.encode(&mut out);
        let expected = b"\0\0\0\x2f\xff\xff\xff\xf8\0\0\0\x65\0\0\0\0\0\0\0\x10\
            \0\0\0\x01\0\0\0\x02/d\0\0\0\0\0\0\0\x02\0\0\0\x02/c\0\0\0\x03/cc";
        assert_eq!(out, expected);
        let body = Bytes::from_static(&expected[12..]);
        let (zxid, kinds) = SetWatches::decode(opcode::SET_WATCHES, body).unwrap();
        assert_eq!(zxid, 16);
        let kinds = kinds.map(|kind| kind.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
        let none: Vec<Vec<u8>> = vec![];
        let child = vec![b"/c".to_vec(), b"/cc".to_vec()];
        assert_eq!(kinds, [vec![b"/d".to_vec()], none.clone(), child, none.clone(), none]);
    }

    #[test]
    fn a_persistent_kind_takes_the_new_operation() {
        let mut batch = SetWatches::new(1);
        batch.add(4, b"/r");
        batch.add(5, b"/no such kind");
        let mut out = Vec::new();
        batch.encode(&mut out);
        let expected = b"\0\0\0\x2a\xff\xff\xff\xf8\0\0\0\x69\0\0\0\0\0\0\0\x01\
            \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x02/r";
        assert_eq!(out, expected);
        let body = Bytes::from_static(&expected[12..]);
        let (_, kinds) = SetWatches::decode(opcode::SET_WATCHES2, body).unwrap();
        assert_eq!(kinds.map(|kind| kind.len()), [0, 0, 0, 0, 1]);
    }
}
