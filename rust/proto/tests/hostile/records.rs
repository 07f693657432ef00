//! Each kind of record by itself, cut short, with more behind it, and with numbers in it that lie.

use crate::meter;
use bytes::Bytes;
use zk_proto::op::Identity;
use zk_proto::record::{
    decode_token, encode_ping, Acl, AuthPacket, ConnectRequest, ConnectResponse, MultiHeader, ReplyHeader,
    RequestHeader, SaslToken, SetWatches, Stat, WatcherEvent,
};
use zk_proto::wire::{DecodeError, Reader};
use zk_proto::{opcode, Code, EventType, KeeperState};

type Decode = fn(Bytes) -> Result<(), DecodeError>;

struct Record {
    name: &'static str,
    bytes: Bytes,
    decode: Decode,
    /// Bytes at the end that may be missing.
    optional: usize,
}

/// Without length and header, where there are any.
fn records() -> Vec<Record> {
    let made = |skip: usize, encode: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        encode(&mut out);
        Bytes::from(out.split_off(skip))
    };
    let record = |name, bytes, decode| Record { name, bytes, decode, optional: 0 };
    let acl = || Acl { perms: 31, scheme: b"world".to_vec(), id: b"anyone".to_vec() };
    let identity = || Identity { scheme: Bytes::from_static(b"ip"), user: Bytes::from_static(b"::1") };
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 1,
        timeout_ms: 2,
        session_id: 3,
        passwd: &[4; 16],
        read_only: true,
    };
    let response = ConnectResponse {
        protocol_version: 0,
        timeout_ms: 2,
        session_id: 3,
        passwd: [4; 16],
        read_only: true,
    };
    let event = WatcherEvent {
        kind: EventType::CHANGED,
        state: KeeperState::CONNECTED,
        path: Bytes::from_static(b"/n"),
    };
    let watches = |kinds: std::ops::Range<usize>| {
        let mut packet = SetWatches::new(1);
        kinds.for_each(|kind| packet.add(kind, format!("/{kind}")));
        packet
    };
    let auth = AuthPacket { scheme: b"digest", credentials: b"ann:secret" };
    vec![
        Record {
            optional: 1,
            ..record("connect request", made(4, &|out| request.encode(out)), |bytes| {
                ConnectRequest::decode(bytes, |_| ())
            })
        },
        Record {
            optional: 1,
            ..record("connect response", made(4, &|out| response.encode(out)), |bytes| {
                ConnectResponse::decode(bytes).map(drop)
            })
        },
        record("request header", made(4, &|out| encode_ping(out)), |mut bytes| {
            RequestHeader::decode(&mut bytes).map(drop)
        }),
        record(
            "reply header",
            made(0, &|out| ReplyHeader { xid: 1, zxid: 2, code: Code::OK }.encode(out)),
            |mut bytes| ReplyHeader::decode(&mut bytes).map(drop),
        ),
        record("event", made(0, &|out| event.encode(out)), |bytes| WatcherEvent::decode(bytes).map(drop)),
        record("header in a transaction", made(0, &|out| MultiHeader::END.encode(out)), |bytes| {
            MultiHeader::decode(&mut Reader::new(bytes)).map(drop)
        }),
        record("stat", made(0, &|out| Stat::default().encode(out)), |bytes| {
            Stat::decode(&mut Reader::new(bytes)).map(drop)
        }),
        record("entry of an access list", made(0, &|out| acl().encode(out)), |bytes| {
            Acl::decode(&mut Reader::new(bytes)).map(drop)
        }),
        record("access list", made(0, &|out| Acl::encode_list(&[acl(), acl()], out)), |bytes| {
            Acl::decode_list(&mut Reader::new(bytes)).map(drop)
        }),
        record(
            "identities",
            made(0, &|out| Identity::encode_list(&[identity(), identity()], out)),
            |bytes| Identity::decode_list(&mut Reader::new(bytes)).map(drop),
        ),
        record("authentication", made(12, &|out| auth.encode(out)), |bytes| {
            AuthPacket::decode(bytes).map(drop)
        }),
        record("SASL token", made(12, &|out| SaslToken(b"token").encode(1, out)), |bytes| {
            decode_token(bytes).map(drop)
        }),
        record("watches", made(12, &|out| watches(0..3).encode(out)), |bytes| {
            SetWatches::decode(opcode::SET_WATCHES, bytes).map(drop)
        }),
        record("watches of all kinds", made(12, &|out| watches(0..5).encode(out)), |bytes| {
            SetWatches::decode(opcode::SET_WATCHES2, bytes).map(drop)
        }),
    ]
}

#[test]
fn every_record_cut_short_anywhere_is_refused() {
    for Record { name, bytes, decode, optional } in records() {
        for length in 0..bytes.len() {
            let read = decode(bytes.slice(..length));
            assert_eq!(read.is_ok(), length + optional >= bytes.len(), "{name}, {length} bytes of it");
        }
        assert_eq!(decode(bytes), Ok(()), "{name}");
    }
}

#[test]
fn every_record_is_read_whatever_stands_behind_it() {
    for Record { name, bytes, decode, .. } in records() {
        for behind in [&b"\0"[..], b"\xff", &[0; 100], &[0xff; 100]] {
            assert_eq!(decode([&bytes[..], behind].concat().into()), Ok(()), "{name}");
        }
    }
}

/// Wherever a number of four bytes may stand it lies: nobody makes room for what has not come.
#[test]
fn no_record_believes_a_number() {
    let mut refused = 0;
    for Record { name, bytes, decode, .. } in records() {
        for at in 0..=bytes.len() - 4 {
            for lie in [-1, -2, i32::MIN, i32::MAX, 0x1000_0000, 1_000_000, bytes.len() as i32 + 1] {
                let mut lying = bytes.to_vec();
                lying[at..at + 4].copy_from_slice(&lie.to_be_bytes());
                let lying = Bytes::from(lying);
                let (read, used) = meter::peak(|| decode(lying));
                assert!(used <= 16 * bytes.len() + 256, "{name}, {lie} at {at}: {used} bytes of memory");
                refused += usize::from(read.is_err());
            }
        }
    }
    assert!(refused > 300, "{refused}");
}
