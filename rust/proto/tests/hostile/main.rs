//! Servers that lie, break off, and answer what nobody asked. The connection is dropped and tried
//! again at its pace, callers get their errors once, and memory stays within what has arrived.
//!
//! Decoders by themselves are in `tests/golden/hostile.rs`; here are whole sessions.

mod authentication;
mod handshakes;
mod lengths;
mod memory;
// Its items are public because the fuzzer's programs use them too.
#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/meter.rs"]
mod meter;
mod numbers;
mod pace;
mod records;
mod transactions;

use bytes::Bytes;
use zk_proto::op::{
    AddWatchMode, ByteStrings, Create, CreateMode, Identity, MultiOp, OpResult, ReadOp, ReadResult, Reply,
    Request,
};
use zk_proto::record::{Acl, Stat};
use zk_proto::session::{Action, Failure, Output};
use zk_proto::{opcode, Code, KeeperState};
use zk_testkit::Pair;

#[global_allocator]
static METER: meter::Meter = meter::Meter;

const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };
const SET: Request<'_> = Request::SetData { path: b"/n", data: None, version: -1 };

/// A request for each shape that an answer can have, and such an answer.
fn shapes() -> Vec<(Request<'static>, Reply)> {
    const CREATE: Create<'_> =
        Create { path: b"/n", data: None, acl: &[], mode: CreateMode::Persistent, with_stat: false };
    const OPS: &[MultiOp<'_>] = &[
        MultiOp::Create(CREATE),
        MultiOp::Create(Create { mode: CreateMode::Container, ..CREATE }),
        MultiOp::SetData { path: b"/n", data: None, version: -1 },
        MultiOp::Check { path: b"/n", version: -1 },
    ];
    const READS: &[ReadOp<'_>] = &[ReadOp::GetData { path: b"/n" }, ReadOp::GetChildren { path: b"/n" }];
    let stat = Stat { czxid: 1, version: -1, num_children: 2, ..Stat::default() };
    let path = Bytes::from_static(b"/n");
    let data = Some(Bytes::from_static(b"data"));
    let names = ByteStrings::from_iter(["x", "", "yz"]);
    let acl = Acl { perms: 31, scheme: b"world".to_vec(), id: b"anyone".to_vec() };
    let identity = Identity { scheme: Bytes::from_static(b"ip"), user: Bytes::from_static(b"::1") };
    let results = vec![
        OpResult::Create(path.clone(), None),
        OpResult::Create(path.clone(), Some(stat)),
        OpResult::SetData(stat),
        OpResult::Error(Code::NO_NODE),
    ];
    let reads = vec![ReadResult::Data(data.clone(), stat), ReadResult::Children(names.clone())];
    let add_watch = Request::AddWatch { path: b"/n", mode: AddWatchMode::Persistent };
    vec![
        (Request::Create(CREATE), Reply::Path(path.clone())),
        (Request::Create(Create { with_stat: true, ..CREATE }), Reply::PathStat(path, stat)),
        (Request::Exists { path: b"/n", watch: true }, Reply::Stat(stat)),
        (GET, Reply::Data(data, stat)),
        (Request::GetAcl { path: b"/n" }, Reply::Acl(vec![acl.clone(), acl], stat)),
        (Request::GetChildren { path: b"/n", watch: true }, Reply::Children(names.clone())),
        (Request::GetChildren2 { path: b"/n", watch: false }, Reply::ChildrenStat(names.clone(), stat)),
        (Request::Multi(OPS), Reply::Multi(results)),
        (Request::MultiRead(READS), Reply::MultiRead(reads)),
        (Request::GetEphemerals { prefix: b"/" }, Reply::Paths(names)),
        (Request::GetAllChildrenNumber { path: b"/n" }, Reply::Count(5)),
        (Request::WhoAmI, Reply::Identities(vec![identity.clone(), identity])),
        (add_watch, Reply::Outcome(Code::OK)),
    ]
}

fn body(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    reply.encode(&mut out);
    out
}

/// The answers among `outputs`.
fn answers(outputs: &[Output]) -> Vec<(u64, Result<Reply, Failure>)> {
    let completed = |output: &Output| match output {
        Output::Completed { token, result } => Some((*token, result.clone())),
        _ => None,
    };
    outputs.iter().filter_map(completed).collect()
}

fn lost(maybe_applied: bool) -> Result<Reply, Failure> {
    Err(Failure { maybe_applied, ..Failure::new(Code::CONNECTION_LOSS) })
}

/// With `request` under way, `bytes` must make the session drop the connection, answer the request
/// with connection loss, and go on with another connection.
#[track_caller]
fn dropped(request: &Request<'_>, bytes: &[u8]) {
    let mut pair = Pair::connected();
    let token = pair.submit(request, None);
    pair.sent();
    pair.feed(bytes);
    let write = opcode::is_write(request.opcode());
    assert_eq!(answers(&pair.outputs()), [(token, lost(write))], "{request:?}, then {bytes:x?}");
    assert_eq!(pair.session.state(), KeeperState::CONNECTING);
    assert_eq!(pair.actions()[0].1, Action::Disconnect);
    still_works(&mut pair);
}

/// The session connects and serves, and what was before comes to nobody any more.
#[track_caller]
fn still_works(pair: &mut Pair) {
    pair.connect();
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
    pair.outputs();
    pair.sent();
    let token = pair.submit(&GET, None);
    let xid = pair.sent().pop().expect("the request").xid;
    pair.reply(xid, 1, Code::NO_NODE, b"");
    assert_eq!(answers(&pair.outputs()), [(token, Err(Failure::new(Code::NO_NODE)))]);
}
