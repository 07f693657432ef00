//! What the server knows about a node besides its data.

use crate::wire::{put_int, put_long, DecodeError, Reader};

/// What the server knows about a node besides its data. Zxids are transaction ids, times are
/// milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Stat {
    /// Zxid of the creation.
    pub czxid: i64,
    /// Zxid of the last change of the data.
    pub mzxid: i64,
    /// Time of the creation.
    pub ctime: i64,
    /// Time of the last change of the data.
    pub mtime: i64,
    /// Changes of the data.
    pub version: i32,
    /// Changes of the children.
    pub cversion: i32,
    /// Changes of the access list.
    pub aversion: i32,
    /// Session of an ephemeral node, else 0 (containers and TTL nodes show 0 too).
    pub ephemeral_owner: i64,
    /// Length of the data in bytes.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
    /// Zxid of the last change of the children.
    pub pzxid: i64,
}

impl Stat {
    /// Bytes that the record takes.
    pub const LEN: usize = 68;

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_long(out, self.czxid);
        put_long(out, self.mzxid);
        put_long(out, self.ctime);
        put_long(out, self.mtime);
        put_int(out, self.version);
        put_int(out, self.cversion);
        put_int(out, self.aversion);
        put_long(out, self.ephemeral_owner);
        put_int(out, self.data_length);
        put_int(out, self.num_children);
        put_long(out, self.pzxid);
    }

    /// Reads the record.
    pub fn decode(from: &mut Reader) -> Result<Stat, DecodeError> {
        Ok(Stat {
            czxid: from.long("stat czxid")?,
            mzxid: from.long("stat mzxid")?,
            ctime: from.long("stat ctime")?,
            mtime: from.long("stat mtime")?,
            version: from.int("stat version")?,
            cversion: from.int("stat cversion")?,
            aversion: from.int("stat aversion")?,
            ephemeral_owner: from.long("stat ephemeralOwner")?,
            data_length: from.int("stat dataLength")?,
            num_children: from.int("stat numChildren")?,
            pzxid: from.long("stat pzxid")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn stat_both_ways() {
        let stat = Stat {
            czxid: 0x11,
            mzxid: 0x12,
            ctime: 0x13,
            mtime: 0x14,
            version: 0x15,
            cversion: 0x16,
            aversion: -1,
            ephemeral_owner: i64::MIN,
            data_length: 0x18,
            num_children: 0x19,
            pzxid: 0x1a,
        };
        let expected = b"\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0\x12\0\0\0\0\0\0\0\x13\
            \0\0\0\0\0\0\0\x14\0\0\0\x15\0\0\0\x16\xff\xff\xff\xff\
            \x80\0\0\0\0\0\0\0\0\0\0\x18\0\0\0\x19\0\0\0\0\0\0\0\x1a";
        let mut out = Vec::new();
        stat.encode(&mut out);
        assert_eq!(out, expected);
        assert_eq!(out.len(), Stat::LEN);
        let mut from = Reader::new(Bytes::from_static(expected));
        assert_eq!(Stat::decode(&mut from), Ok(stat));
        assert_eq!(from.left(), 0);
        let mut short = Reader::new(Bytes::from_static(&expected[..67]));
        let error = Stat::decode(&mut short).unwrap_err();
        assert_eq!(error.to_string(), "stat pzxid: 8 bytes needed, 7 left");
    }
}
