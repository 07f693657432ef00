//! Records: what can be read from arbitrary bytes can be written, and reads as the same again.

use super::input::Input;
use super::meter;
use bytes::Bytes;
use zk_proto::chroot::Chroot;
use zk_proto::op::{Identity, Reply, ReplyKind};
use zk_proto::opcode;
use zk_proto::record::{
    decode_token, Acl, AuthPacket, ConnectRequest, ConnectResponse, MultiHeader, ReplyHeader, RequestHeader,
    SaslToken, SetWatches, Stat, WatcherEvent,
};
use zk_proto::wire::{put_string, DecodeError, Reader};

/// Input: a string of types that a transaction may ask for, and a body that is read as everything.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choices = input.string();
    let body = Bytes::copy_from_slice(input.0);

    let types = |known: &[i32]| choices.iter().map(|c| known[usize::from(*c) % known.len()]).collect();
    let writes: Vec<i32> =
        types(&[opcode::CREATE, opcode::CREATE2, opcode::DELETE, opcode::SET_DATA, opcode::CHECK]);
    let reads: Vec<i32> = types(&[opcode::GET_DATA, opcode::GET_CHILDREN]);
    for kind in [
        ReplyKind::Nothing,
        ReplyKind::Path,
        ReplyKind::PathStat,
        ReplyKind::Stat,
        ReplyKind::Data,
        ReplyKind::Acl,
        ReplyKind::Children,
        ReplyKind::ChildrenStat,
        ReplyKind::Multi(writes),
        ReplyKind::MultiRead(reads),
        ReplyKind::Paths,
        ReplyKind::Count,
        ReplyKind::Identities,
        ReplyKind::Outcome,
    ] {
        reply(&kind, &body);
    }
    handshakes(&body);
    headers(&body);
    lists(&body);
    packets(&body);
}

/// What decoding may hold at most: an access list takes 12 bytes an entry on the wire and 56 here,
/// and a vector that grows holds its old and its new self for a moment.
fn bounded<T>(body: &Bytes, decode: impl FnOnce() -> Result<T, DecodeError>) -> Option<T> {
    let (result, used) = meter::peak(decode);
    assert!(used <= 16 * body.len() + 1024, "{used} bytes for {}", body.len());
    match result {
        Ok(record) => Some(record),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

fn reply(kind: &ReplyKind, body: &Bytes) {
    let (again, asked) = (kind.clone(), kind.clone());
    let none = Chroot::none();
    if let Some(read) = bounded(body, || Reply::decode(asked, body.clone(), &none)) {
        let mut out = Vec::new();
        read.encode(&mut out);
        assert!(out.len() <= body.len(), "{read:?}");
        assert_eq!(Reply::decode(again, out.into(), &none).as_ref(), Ok(&read));
    }
    let (again, asked) = (kind.clone(), kind.clone());
    let app = Chroot::new(b"/app").expect("a chroot");
    if let Some(read) = bounded(body, || Reply::decode(asked, body.clone(), &app)) {
        let mut out = Vec::new();
        read.encode(&mut out);
        assert!(out.len() <= body.len(), "{read:?}");
        assert_eq!(Reply::decode(again, out.into(), &none).as_ref(), Ok(&read));
    }
}

/// A frame's body: what stands behind the four bytes of length.
fn framed(encode: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::new();
    encode(&mut out);
    let (length, frame) = out.split_first_chunk::<4>().expect("a length");
    assert_eq!(usize::try_from(i32::from_be_bytes(*length)), Ok(frame.len()));
    Bytes::copy_from_slice(frame)
}

fn handshakes(body: &Bytes) {
    let written = |request: &ConnectRequest<'_>| (framed(|out| request.encode(out)), format!("{request:?}"));
    if let Some((frame, shown)) = bounded(body, || ConnectRequest::decode(body.clone(), written)) {
        assert_eq!(frame.len(), 45);
        let again = ConnectRequest::decode(frame.clone(), written).expect("our own frame");
        assert_eq!(again, (frame, shown));
    }
    if let Some(response) = bounded(body, || ConnectResponse::decode(body.clone())) {
        let frame = framed(|out| response.encode(out));
        assert_eq!(frame.len(), 37);
        assert_eq!(ConnectResponse::decode(frame), Ok(response));
    }
}

fn headers(body: &Bytes) {
    let mut rest = body.clone();
    if let Some(header) = bounded(body, || RequestHeader::decode(&mut rest)) {
        assert_eq!(rest.len(), body.len() - 8);
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(out, body[..8]);
    }
    let mut rest = body.clone();
    if let Some(header) = bounded(body, || ReplyHeader::decode(&mut rest)) {
        assert_eq!(rest.len(), body.len() - 16);
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(out, body[..16]);
        assert!(!header.code.to_string().is_empty());
    }
    let mut from = Reader::new(body.clone());
    if let Some(header) = bounded(body, || MultiHeader::decode(&mut from)) {
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(MultiHeader::decode(&mut Reader::new(out.into())), Ok(header));
    }
    let mut from = Reader::new(body.clone());
    if let Some(stat) = bounded(body, || Stat::decode(&mut from)) {
        let mut out = Vec::new();
        stat.encode(&mut out);
        assert_eq!(out, body[..Stat::LEN]);
    }
    if let Some(event) = bounded(body, || WatcherEvent::decode(body.clone())) {
        assert!(!event.kind.text().is_empty() && !event.state.text().is_empty());
        let mut out = Vec::new();
        event.encode(&mut out);
        assert_eq!(WatcherEvent::decode(out.into()), Ok(event));
    }
}

fn lists(body: &Bytes) {
    let mut from = Reader::new(body.clone());
    if let Some(list) = bounded(body, || Acl::decode_list(&mut from)) {
        let mut out = Vec::new();
        Acl::encode_list(&list, &mut out);
        assert_eq!(out.len(), body.len() - from.left());
        assert_eq!(Acl::decode_list(&mut Reader::new(out.into())), Ok(list));
    }
    let mut from = Reader::new(body.clone());
    if let Some(list) = bounded(body, || Identity::decode_list(&mut from)) {
        let mut out = Vec::new();
        Identity::encode_list(&list, &mut out);
        assert_eq!(out.len(), body.len() - from.left());
        assert_eq!(Identity::decode_list(&mut Reader::new(out.into())), Ok(list));
    }
    let mut from = Reader::new(body.clone());
    if let Some(strings) = bounded(body, || from.strings("strings")) {
        assert_eq!(strings.iter().count(), strings.len());
        assert_eq!(strings.iter().len(), strings.len());
        assert_eq!(strings.is_empty(), strings.iter().next().is_none());
        assert!(!format!("{strings:?}").is_empty());
        let again: zk_proto::op::ByteStrings = strings.iter().collect();
        assert!(again.iter().eq(strings.iter()));
    }
}

fn packets(body: &Bytes) {
    if let Some((scheme, credentials)) = bounded(body, || AuthPacket::decode(body.clone())) {
        let packet = AuthPacket { scheme: &scheme, credentials: &credentials };
        let frame = framed(|out| packet.encode(out));
        assert_eq!(AuthPacket::decode(frame.slice(8..)), Ok((scheme, credentials)));
    }
    if let Some(Some(token)) = bounded(body, || decode_token(body.clone())) {
        let frame = framed(|out| SaslToken(&token).encode(1, out));
        assert_eq!(decode_token(frame.slice(8..)), Ok(Some(token)));
    }
    for opcode in [opcode::SET_WATCHES, opcode::SET_WATCHES2] {
        let Some((zxid, kinds)) = bounded(body, || SetWatches::decode(opcode, body.clone())) else {
            continue;
        };
        let mut batch = SetWatches::new(zxid);
        for (kind, paths) in kinds.iter().enumerate() {
            paths.iter().for_each(|path| batch.add(kind, path));
        }
        let frame = framed(|out| batch.encode(out));
        let (zxid_again, kinds_again) =
            SetWatches::decode(batch.opcode(), frame.slice(8..)).expect("our own frame");
        assert_eq!(zxid_again, zxid);
        assert!(kinds_again.iter().flatten().eq(kinds.iter().flatten()));
        assert_eq!(batch.is_empty(), kinds.iter().all(|paths| paths.is_empty()));
    }
    let mut from = Reader::new(body.clone());
    if let Some(string) = bounded(body, || from.string("string")) {
        let mut out = Vec::new();
        put_string(&mut out, &string);
        assert_eq!(out.len(), 4 + string.len());
    }
}
