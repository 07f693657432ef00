//! Bytes as no server would send them. Decoders may refuse them or make something of them; they
//! must not panic, and must not believe a count or length before they have seen the bytes.

use crate::records;
use crate::stored::Seen;
use bytes::Bytes;
use zk_proto::chroot::Chroot;
use zk_proto::op::{Reply, ReplyKind};
use zk_proto::record::{ConnectResponse, ReplyHeader, SaslToken, WatcherEvent};
use zk_proto::wire::DecodeError;

fn decode(seen: &Seen, body: impl Into<Bytes>) -> Result<Reply, DecodeError> {
    Reply::decode(seen.kind.clone(), body.into(), &seen.chroot)
}

fn seen() -> impl Iterator<Item = Seen> {
    records().into_iter().flat_map(|stored| stored.seen)
}

#[test]
fn replies_cut_short_are_refused() {
    for seen in seen() {
        let whole = decode(&seen, seen.body.clone()).unwrap();
        for length in 0..seen.body.len() {
            match decode(&seen, seen.body.slice(..length)) {
                Err(_) => {}
                // What is missing is a part that was not asked for.
                Ok(reply) => {
                    assert_eq!(reply, whole, "{} cut to {length}", seen.name);
                    assert_eq!(seen.name, "create_ttl_sequential");
                }
            }
        }
    }
}

#[test]
fn replies_with_a_byte_too_many_are_read() {
    for seen in seen() {
        let whole = decode(&seen, seen.body.clone()).unwrap();
        let longer = [&seen.body[..], b"\xff"].concat();
        assert_eq!(decode(&seen, longer).as_ref(), Ok(&whole), "{}", seen.name);
    }
}

/// Some flips make a different valid reply; then it must hold together: encoding reads it all.
#[test]
fn replies_with_flipped_bytes_do_no_harm() {
    let (mut read, mut refused) = (0, 0);
    for seen in seen() {
        for at in 0..seen.body.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut body = seen.body.to_vec();
                body[at] ^= mask;
                let length = body.len();
                match decode(&seen, body) {
                    Ok(reply) => {
                        let mut out = Vec::new();
                        reply.encode(&mut out);
                        assert!(out.len() <= length + 9, "{}: {out:?}", seen.name);
                        read += 1;
                    }
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused");
}

/// Frames of all kinds, read as every kind of record that stands alone.
#[test]
fn no_frame_breaks_a_record_that_it_is_not() {
    for (name, frame) in records().into_iter().flat_map(|stored| stored.frames) {
        for length in 0..=frame.len() {
            let cut = frame.slice(..length);
            let response = ConnectResponse::decode(cut.clone());
            if name.starts_with("connect") {
                // All but the readOnly byte at the end is needed.
                assert_eq!(response.is_ok(), length + 1 >= frame.len(), "{name} cut to {length}");
            }
            let mut body = cut.clone();
            let header = ReplyHeader::decode(&mut body);
            assert_eq!(header.is_ok(), length >= 16, "{name} cut to {length}");
            let event = WatcherEvent::decode(body.clone());
            if event.is_ok() {
                assert!(body.len() >= 12, "{name} cut to {length}");
            }
        }
    }
}

#[test]
fn counts_that_lie_are_refused_before_anything_is_allocated() {
    use ReplyKind::*;
    for kind in [Acl, Children, ChildrenStat, Paths, Identities] {
        for count in [i32::MAX, 100_000_000, 5, -2, i32::MIN] {
            let mut body = vec![0; 20];
            body[..4].copy_from_slice(&count.to_be_bytes());
            let error = Reply::decode(kind.clone(), body.into(), &Chroot::none()).unwrap_err();
            let DecodeError::Count { count: found, left, .. } = error else {
                panic!("{kind:?} {count}: {error:?}");
            };
            assert_eq!((found, left), (count, 16), "{kind:?}");
        }
    }
    for kind in [Path, PathStat, Data] {
        for length in [i32::MAX, 17, -2, i32::MIN] {
            let mut body = vec![0; 20];
            body[..4].copy_from_slice(&length.to_be_bytes());
            let error = Reply::decode(kind.clone(), body.into(), &Chroot::none()).unwrap_err();
            let DecodeError::Length { length: found, left, .. } = error else {
                panic!("{kind:?} {length}: {error:?}");
            };
            assert_eq!((found, left), (length, 16), "{kind:?}");
        }
    }
}

#[test]
fn transactions_have_as_many_results_as_operations_and_an_end() {
    let delete = b"\0\0\0\x02\0\0\0\0\0";
    let check = b"\0\0\0\x0d\0\0\0\0\0";
    let error = b"\xff\xff\xff\xff\0\xff\xff\xff\x9b\xff\xff\xff\x9b";
    let end = b"\xff\xff\xff\xff\x01\xff\xff\xff\xff";
    let read = |types: &[i32], parts: &[&[u8]]| {
        let body = parts.concat().into();
        Reply::decode(ReplyKind::Multi(types.to_vec()), body, &Chroot::none())
    };
    assert!(read(&[2, 13], &[delete, check, end]).is_ok());
    assert!(read(&[2, 13], &[error, error, end]).is_ok());
    assert!(read(&[], &[end]).is_ok());
    for (types, parts) in [
        (&[2, 13][..], &[&delete[..], end][..]),
        (&[2], &[delete, check, end]),
        (&[2], &[delete, delete, end]),
        (&[2], &[delete]),
        (&[2], &[check, end]),
        (&[1], &[delete, end]),
        (&[2], &[b"\0\0\0\x04\0\0\0\0\0", end]),
        (&[], &[]),
        (&[], &[delete, end]),
    ] {
        assert!(read(types, parts).is_err(), "{types:?} {parts:?}");
    }
    // The number of operations is our own, but even so nothing is set aside for a body without any.
    assert!(read(&vec![2; 10_000_000], &[end]).is_err());
}

#[test]
fn tokens_of_no_length() {
    let mut out = Vec::new();
    SaslToken(b"x").encode(1, &mut out);
    let body = Bytes::from(out).slice(12..);
    assert!(zk_proto::record::decode_token(body.clone()).is_ok());
    assert!(zk_proto::record::decode_token(body.slice(..4)).is_err());
}
