//! Every request against bytes that were put together by hand from the protocol's tables, so that
//! an encoder and a recording made with it can't be wrong together.

use zk_proto::chroot::Chroot;
use zk_proto::op::{AddWatchMode, Create, CreateMode, MultiOp, ReadOp, Request, WatcherType};
use zk_proto::record::Acl;

const ACL: &[u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";

fn open_acl() -> Vec<Acl> {
    vec![Acl { perms: 31, scheme: b"world".to_vec(), id: b"anyone".to_vec() }]
}

/// Encodes with xid 7 and takes length, xid and opcode off, having looked at them.
fn body(opcode: i32, request: &Request<'_>, chroot: &str) -> Vec<u8> {
    let chroot = Chroot::new(chroot.as_bytes()).unwrap();
    let mut out = b"before".to_vec();
    let length = request.encode(7, &chroot, &mut out);
    assert_eq!(request.opcode(), opcode);
    let frame = out.strip_prefix(b"before").unwrap();
    assert_eq!(length, frame.len() - 4);
    assert_eq!(frame[..4], u32::try_from(length).unwrap().to_be_bytes());
    assert_eq!(frame[4..8], *b"\0\0\0\x07");
    assert_eq!(frame[8..12], opcode.to_be_bytes());
    frame[12..].to_vec()
}

/// The same request without a chroot and with the chroot `/r`.
fn check(opcode: i32, request: &Request<'_>, plain: &[&[u8]], chrooted: &[&[u8]]) {
    assert_eq!(body(opcode, request, ""), plain.concat(), "{request:?}");
    assert_eq!(body(opcode, request, "/r"), chrooted.concat(), "{request:?} in a chroot");
}

const A: &[u8] = b"\0\0\0\x02/a";
const RA: &[u8] = b"\0\0\0\x04/r/a";

#[test]
fn a_whole_frame() {
    let mut out = Vec::new();
    let request = Request::GetData { path: b"/a", watch: true };
    request.encode(0x0102_0304, &Chroot::none(), &mut out);
    assert_eq!(out, b"\0\0\0\x0f\x01\x02\x03\x04\0\0\0\x04\0\0\0\x02/a\x01");
}

#[test]
fn creates() {
    use CreateMode::*;
    let acl = open_acl();
    let make =
        |path, data, mode, with_stat| Request::Create(Create { path, data, acl: &acl, mode, with_stat });
    let data: &[u8] = b"\0\0\0\x03\0x\xff";
    let null: &[u8] = b"\xff\xff\xff\xff";
    let empty: &[u8] = b"\0\0\0\0";
    for (mode, with_stat, opcode, flags) in [
        (Persistent, false, 1, &b"\0\0\0\0"[..]),
        (Ephemeral, false, 1, b"\0\0\0\x01"),
        (PersistentSequential, false, 1, b"\0\0\0\x02"),
        (EphemeralSequential, false, 1, b"\0\0\0\x03"),
        (Persistent, true, 15, b"\0\0\0\0"),
        (EphemeralSequential, true, 15, b"\0\0\0\x03"),
        (Container, false, 19, b"\0\0\0\x04"),
        (Container, true, 19, b"\0\0\0\x04"),
        (PersistentWithTtl(1), true, 21, b"\0\0\0\x05\0\0\0\0\0\0\0\x01"),
        (PersistentSequentialWithTtl(0xff_ffff_ffff), false, 21, b"\0\0\0\x06\0\0\0\xff\xff\xff\xff\xff"),
    ] {
        let request = make(b"/a", Some(b"\0x\xff"), mode, with_stat);
        check(opcode, &request, &[A, data, ACL, flags], &[RA, data, ACL, flags]);
    }
    let flags: &[u8] = b"\0\0\0\0";
    let request = make(b"/a", None, Persistent, false);
    check(1, &request, &[A, null, ACL, flags], &[RA, null, ACL, flags]);
    let request = make(b"/a", Some(b""), Persistent, false);
    check(1, &request, &[A, empty, ACL, flags], &[RA, empty, ACL, flags]);
    // A nameless sequential node belongs inside the chroot, not beside it.
    let flags: &[u8] = b"\0\0\0\x02";
    let request = make(b"/", None, PersistentSequential, false);
    let (root, inside): (&[u8], &[u8]) = (b"\0\0\0\x01/", b"\0\0\0\x03/r/");
    check(1, &request, &[root, null, ACL, flags], &[inside, null, ACL, flags]);
}

#[test]
fn requests_about_one_path() {
    let path: &[u8] = b"/a";
    let watch = true;
    for (opcode, request, rest) in [
        (2, Request::Delete { path, version: -1 }, &b"\xff\xff\xff\xff"[..]),
        (3, Request::Exists { path, watch }, b"\x01"),
        (3, Request::Exists { path, watch: false }, b"\0"),
        (4, Request::GetData { path, watch }, b"\x01"),
        (5, Request::SetData { path, data: Some(b"d"), version: 2 }, b"\0\0\0\x01d\0\0\0\x02"),
        (5, Request::SetData { path, data: None, version: -1 }, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        (6, Request::GetAcl { path }, b""),
        (8, Request::GetChildren { path, watch }, b"\x01"),
        (12, Request::GetChildren2 { path, watch: false }, b"\0"),
        (9, Request::Sync { path }, b""),
        (103, Request::GetEphemerals { prefix: path }, b""),
        (104, Request::GetAllChildrenNumber { path }, b""),
        (106, Request::AddWatch { path, mode: AddWatchMode::Persistent }, b"\0\0\0\0"),
        (106, Request::AddWatch { path, mode: AddWatchMode::PersistentRecursive }, b"\0\0\0\x01"),
        (18, Request::RemoveWatches { path, kind: WatcherType::Children, local: false }, b"\0\0\0\x01"),
        (18, Request::RemoveWatches { path, kind: WatcherType::Data, local: false }, b"\0\0\0\x02"),
        (18, Request::RemoveWatches { path, kind: WatcherType::Any, local: false }, b"\0\0\0\x03"),
        (17, Request::CheckWatches { path, kind: WatcherType::Persistent }, b"\0\0\0\x04"),
        (17, Request::CheckWatches { path, kind: WatcherType::PersistentRecursive }, b"\0\0\0\x05"),
    ] {
        check(opcode, &request, &[A, rest], &[RA, rest]);
        assert_eq!(request.path(), Some(path));
    }
    let acl = open_acl();
    let request = Request::SetAcl { path, acl: &acl, version: 3 };
    check(7, &request, &[A, ACL, b"\0\0\0\x03"], &[RA, ACL, b"\0\0\0\x03"]);
}

#[test]
fn the_root_of_a_chroot_is_the_chroot() {
    let request = Request::Sync { path: b"/" };
    check(9, &request, &[b"\0\0\0\x01/"], &[b"\0\0\0\x02/r"]);
}

#[test]
fn requests_without_a_path_of_the_user() {
    let config: &[u8] = b"\0\0\0\x11/zookeeper/config\x01";
    check(4, &Request::GetConfig { watch: true }, &[config], &[config]);
    check(107, &Request::WhoAmI, &[], &[]);
    check(-11, &Request::CloseSession, &[], &[]);
    let joining = Request::Reconfig {
        joining: Some(b"server.2=h"),
        leaving: Some(b"3"),
        members: None,
        config_version: -1,
    };
    let bytes = b"\0\0\0\x0aserver.2=h\0\0\0\x013\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    check(16, &joining, &[bytes], &[bytes]);
    let members = Request::Reconfig {
        joining: None,
        leaving: None,
        members: Some(b"m"),
        config_version: 0x1_0000_0000,
    };
    let bytes = b"\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01m\0\0\0\x01\0\0\0\0";
    check(16, &members, &[bytes], &[bytes]);
}

#[test]
fn transactions() {
    let acl = open_acl();
    let create =
        |mode, with_stat| MultiOp::Create(Create { path: b"/a", data: None, acl: &acl, mode, with_stat });
    let end: &[u8] = b"\xff\xff\xff\xff\x01\xff\xff\xff\xff";
    let null: &[u8] = b"\xff\xff\xff\xff";
    for (op, head, rest) in [
        (
            create(CreateMode::Persistent, false),
            b"\0\0\0\x01\0\xff\xff\xff\xff",
            &[null, ACL, b"\0\0\0\0"].concat()[..],
        ),
        (
            create(CreateMode::Ephemeral, true),
            b"\0\0\0\x0f\0\xff\xff\xff\xff",
            &[null, ACL, b"\0\0\0\x01"].concat(),
        ),
        (
            create(CreateMode::Container, true),
            b"\0\0\0\x13\0\xff\xff\xff\xff",
            &[null, ACL, b"\0\0\0\x04"].concat(),
        ),
        (
            create(CreateMode::PersistentWithTtl(256), true),
            b"\0\0\0\x15\0\xff\xff\xff\xff",
            &[null, ACL, b"\0\0\0\x05\0\0\0\0\0\0\x01\0"].concat(),
        ),
        (MultiOp::Delete { path: b"/a", version: 1 }, b"\0\0\0\x02\0\xff\xff\xff\xff", b"\0\0\0\x01"),
        (
            MultiOp::SetData { path: b"/a", data: Some(b""), version: -1 },
            b"\0\0\0\x05\0\xff\xff\xff\xff",
            b"\0\0\0\0\xff\xff\xff\xff",
        ),
        (MultiOp::Check { path: b"/a", version: 0 }, b"\0\0\0\x0d\0\xff\xff\xff\xff", b"\0\0\0\0"),
    ] {
        let ops = [op, op];
        let request = Request::Multi(&ops);
        let plain = [head, A, rest].concat();
        let chrooted = [head, RA, rest].concat();
        check(14, &request, &[&plain, &plain, end], &[&chrooted, &chrooted, end]);
    }
    check(14, &Request::Multi(&[]), &[end], &[end]);
}

#[test]
fn reads_at_once() {
    let ops = [ReadOp::GetData { path: b"/a" }, ReadOp::GetChildren { path: b"/a" }];
    let (data, children) = (b"\0\0\0\x04\0\xff\xff\xff\xff", b"\0\0\0\x08\0\xff\xff\xff\xff");
    let end: &[u8] = b"\xff\xff\xff\xff\x01\xff\xff\xff\xff";
    check(
        22,
        &Request::MultiRead(&ops),
        &[data, A, b"\0", children, A, b"\0", end],
        &[data, RA, b"\0", children, RA, b"\0", end],
    );
}
