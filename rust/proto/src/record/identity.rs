//! Who the session is, by one of its authentications.

use crate::wire::{put_count, put_string, DecodeError, Reader};
use bytes::Bytes;

/// Who the session is, by one of its authentications (`ClientInfo` of the protocol).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// `ip`, `digest`, …
    pub scheme: Bytes,
    /// An address, a user name, …
    pub user: Bytes,
}

impl Identity {
    /// Bytes that the shortest one takes.
    const MIN_LEN: usize = 8;

    /// Appends a vector.
    pub fn encode_list(list: &[Identity], out: &mut Vec<u8>) {
        put_count(out, list.len());
        for identity in list {
            put_string(out, &identity.scheme);
            put_string(out, &identity.user);
        }
    }

    /// Reads a vector.
    pub fn decode_list(from: &mut Reader) -> Result<Vec<Identity>, DecodeError> {
        let count = from.count("client info", Identity::MIN_LEN)?;
        // In one go, as for access lists.
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(Identity {
                scheme: from.string("client info authScheme")?,
                user: from.string("client info user")?,
            });
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_both_ways() {
        let bytes = b"\0\0\0\x02\0\0\0\x02ip\0\0\0\x031.2\0\0\0\x01d\0\0\0\0";
        let list = Identity::decode_list(&mut Reader::new(Bytes::from_static(bytes))).unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(list[0].scheme, b"ip"[..]);
        assert_eq!(list[0].user, b"1.2"[..]);
        assert_eq!(list[1].user, b""[..]);
        let mut out = Vec::new();
        Identity::encode_list(&list, &mut out);
        assert_eq!(out, bytes);
    }
}
