//! An entry of an access list.

use crate::wire::{put_count, put_int, put_string, DecodeError, Reader};

/// An entry of an access list: who may do what.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Acl {
    /// Bits: READ 1, WRITE 2, CREATE 4, DELETE 8, ADMIN 16.
    pub perms: i32,
    /// `world`, `digest`, `ip`, `auth`, `sasl`, `x509`, …
    pub scheme: Vec<u8>,
    /// Who, in the scheme's own words.
    pub id: Vec<u8>,
}

impl Acl {
    /// Bytes that the shortest entry takes.
    const MIN_LEN: usize = 12;

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.perms);
        put_string(out, &self.scheme);
        put_string(out, &self.id);
    }

    /// Reads the record.
    pub fn decode(from: &mut Reader) -> Result<Acl, DecodeError> {
        Ok(Acl {
            perms: from.int("acl perms")?,
            scheme: from.string("acl scheme")?.to_vec(),
            id: from.string("acl id")?.to_vec(),
        })
    }

    /// Appends a vector of entries.
    pub fn encode_list(list: &[Acl], out: &mut Vec<u8>) {
        put_count(out, list.len());
        for acl in list {
            acl.encode(out);
        }
    }

    /// Reads a vector of entries.
    pub fn decode_list(from: &mut Reader) -> Result<Vec<Acl>, DecodeError> {
        let count = from.count("acl", Acl::MIN_LEN)?;
        // In one go, because the bytes left can hold so many: a vector that doubles would take up to
        // three times that.
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(Acl::decode(from)?);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn access_lists_both_ways() {
        let list = [
            Acl { perms: 31, scheme: b"world".to_vec(), id: b"anyone".to_vec() },
            Acl { perms: 0, scheme: b"auth".to_vec(), id: b"".to_vec() },
        ];
        let expected = b"\0\0\0\x02\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone\
            \0\0\0\0\0\0\0\x04auth\0\0\0\0";
        let mut out = Vec::new();
        Acl::encode_list(&list, &mut out);
        assert_eq!(out, expected);
        let mut from = Reader::new(Bytes::from_static(expected));
        assert_eq!(Acl::decode_list(&mut from).unwrap(), list);
    }

    #[test]
    fn a_null_list_is_empty() {
        let mut from = Reader::new(Bytes::from_static(b"\xff\xff\xff\xff"));
        assert_eq!(Acl::decode_list(&mut from), Ok(vec![]));
    }
}
