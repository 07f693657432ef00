//! Answers to multi and multiRead of every wrong kind.

use crate::{answers, lost, still_works};
use bytes::Bytes;
use zk_proto::op::{Create, CreateMode, MultiOp, OpResult, ReadOp, ReadResult, Reply, Request};
use zk_proto::record::Stat;
use zk_proto::session::Failure;
use zk_proto::{Code, KeeperState};
use zk_testkit::{reply_frame, Pair};

const PLAIN: Create<'_> =
    Create { path: b"/n", data: None, acl: &[], mode: CreateMode::Persistent, with_stat: false };

/// One operation of each kind.
const OPS: &[MultiOp<'_>] = &[
    MultiOp::Create(PLAIN),
    MultiOp::Create(Create { with_stat: true, ..PLAIN }),
    MultiOp::Create(Create { mode: CreateMode::Container, ..PLAIN }),
    MultiOp::Create(Create { mode: CreateMode::PersistentWithTtl(1), ..PLAIN }),
    MultiOp::Delete { path: b"/n", version: -1 },
    MultiOp::SetData { path: b"/n", data: None, version: -1 },
    MultiOp::Check { path: b"/n", version: -1 },
];

const READS: &[ReadOp<'_>] = &[ReadOp::GetData { path: b"/n" }, ReadOp::GetChildren { path: b"/n" }];

const END: &[u8] = b"\xff\xff\xff\xff\x01\xff\xff\xff\xff";

fn header(kind: i32) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &[0; 5]].concat()
}

fn path() -> Vec<u8> {
    b"\0\0\0\x02/n".to_vec()
}

fn stat() -> Vec<u8> {
    vec![0; Stat::LEN]
}

fn error(code: i32) -> Vec<u8> {
    [&b"\xff\xff\xff\xff\0"[..], &code.to_be_bytes(), &code.to_be_bytes()].concat()
}

/// What a server answers to [`OPS`]: containers, TTL nodes and create2 alike with type 15.
fn results() -> Vec<Vec<u8>> {
    let created = |kind, stat: Vec<u8>| [header(kind), path(), stat].concat();
    vec![
        created(1, Vec::new()),
        created(15, stat()),
        created(15, stat()),
        created(15, stat()),
        header(2),
        [header(5), stat()].concat(),
        header(13),
    ]
}

fn answer(request: &Request<'_>, code: Code, body: &[u8]) -> (Result<Reply, Failure>, KeeperState) {
    let mut pair = Pair::connected();
    let token = pair.submit(request, None);
    pair.sent();
    pair.reply(1, 1, code, body);
    let mut answers = answers(&pair.outputs());
    assert_eq!(answers.len(), 1, "{answers:?}");
    let (answered, result) = answers.remove(0);
    assert_eq!(answered, token);
    let state = pair.session.state();
    if state == KeeperState::CONNECTING {
        still_works(&mut pair);
    }
    (result, state)
}

#[test]
fn a_transaction_that_went_well() {
    let created = |stat| OpResult::Create(Bytes::from_static(b"/n"), stat);
    let zeros = Some(Stat::default());
    let expected = vec![
        created(None),
        created(zeros),
        created(zeros),
        created(zeros),
        OpResult::Delete,
        OpResult::SetData(Stat::default()),
        OpResult::Check,
    ];
    for behind in [&b""[..], b"bytes of the future"] {
        let body = [&results().concat()[..], END, behind].concat();
        let (result, _) = answer(&Request::Multi(OPS), Code::OK, &body);
        assert_eq!(result, Ok(Reply::Multi(expected.clone())));
    }
}

/// All were fine before the culprit, and not tried behind it; the header says nothing of it.
#[test]
fn a_transaction_that_failed_has_an_error_for_each_operation() {
    for culprit in 0..OPS.len() {
        for code in [-101, -999, 1] {
            let codes: Vec<i32> = (0..OPS.len())
                .map(|at| match at.cmp(&culprit) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Equal => code,
                    std::cmp::Ordering::Greater => -2,
                })
                .collect();
            let body = [codes.iter().flat_map(|code| error(*code)).collect(), END.to_vec()].concat();
            let (result, state) = answer(&Request::Multi(OPS), Code::OK, &body);
            let errors = codes.iter().map(|code| OpResult::Error(Code(*code))).collect();
            assert_eq!(result, Ok(Reply::Multi(errors)));
            assert_eq!(state, KeeperState::CONNECTED);
        }
    }
}

#[test]
fn a_transaction_refused_as_a_whole_has_no_body() {
    for code in [-5, -112, -119, -124, -127, -999] {
        for body in [&b""[..], b"rubbish", &[0xff; 100]] {
            let (result, state) = answer(&Request::Multi(OPS), Code(code), body);
            assert_eq!(result, Err(Failure::new(Code(code))));
            // With -124 the server demands another authentication.
            let over = code == Code::SESSION_CLOSED_REQUIRE_SASL_AUTH.0;
            assert_eq!(state, if over { KeeperState::AUTH_FAILED } else { KeeperState::CONNECTED });
        }
    }
}

#[test]
fn results_that_do_not_fit_the_operations_drop_the_connection() {
    let whole = results();
    let mut bodies: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: String, parts: &[&[u8]]| bodies.push((what, parts.concat()));
    let all = whole.concat();
    add("nothing".into(), &[]);
    add("only the end".into(), &[END]);
    add("no end".into(), &[&all]);
    add("a result instead of the end".into(), &[&all, &header(2), END]);
    add("an error instead of the end".into(), &[&all, &error(-101), END]);
    for at in 0..whole.len() {
        let (front, one, back) = (&whole[..at].concat(), &whole[at], &whole[at + 1..].concat());
        add(format!("without result {at}"), &[front, back, END]);
        add(format!("result {at} twice"), &[front, one, one, back, END]);
        add(format!("the end at {at}"), &[front, END, back, END]);
        for kind in [0, 2, 4, 8, 14, 16, 99, -2, i32::MAX, i32::MIN] {
            if one[..4] != i32::to_be_bytes(kind) {
                let other = [header(kind), path(), stat()].concat();
                add(format!("type {kind} at {at}"), &[front, &other, back, END]);
            }
        }
    }
    for (what, body) in bodies {
        let (result, state) = answer(&Request::Multi(OPS), Code::OK, &body);
        // It may have been executed, whatever this says.
        assert_eq!(result, lost(true), "{what}");
        assert_eq!(state, KeeperState::CONNECTING, "{what}");
    }
}

#[test]
fn reads_fail_each_for_itself() {
    let data = [header(4), b"\0\0\0\x01x".to_vec(), stat()].concat();
    let names = [header(8), b"\0\0\0\x01\0\0\0\x01y".to_vec()].concat();
    let read = |parts: &[&[u8]]| answer(&Request::MultiRead(READS), Code::OK, &parts.concat()).0;
    match read(&[&error(-101), &names, END]) {
        Ok(Reply::MultiRead(results)) => {
            assert_eq!(results[0], ReadResult::Error(Code::NO_NODE));
            assert!(matches!(&results[1], ReadResult::Children(names) if names.len() == 1));
        }
        other => panic!("{other:?}"),
    }
    assert!(read(&[&data, &error(-102), END]).is_ok());
    for parts in [
        &[&data[..], &names][..],
        &[&data, END],
        &[&names, &data, END],
        &[&data, &names, &names, END],
        &[&header(2), &names, END],
        &[&data, b"\0\0\0\x08\0\0\0\0\0\x7f\xff\xff\xff", END],
    ] {
        assert_eq!(read(parts), lost(false), "{parts:x?}");
    }
}

#[test]
fn a_transaction_of_nothing_is_answered_by_nothing() {
    let (result, _) = answer(&Request::Multi(&[]), Code::OK, END);
    assert_eq!(result, Ok(Reply::Multi(Vec::new())));
    let (result, state) = answer(&Request::Multi(&[]), Code::OK, &[&header(2)[..], END].concat());
    assert_eq!((result, state), (lost(true), KeeperState::CONNECTING));
}

#[test]
fn results_of_a_transaction_come_to_nobody_else() {
    let mut pair = Pair::connected();
    let multi = pair.submit(&Request::Multi(OPS), None);
    let read = pair.submit(&crate::GET, None);
    pair.sent();
    // The read's answer under the transaction's number.
    pair.feed(&reply_frame(1, 1, Code::OK, &[&[0xff; 4][..], &stat()].concat()));
    assert_eq!(answers(&pair.outputs()), [(multi, lost(true)), (read, lost(false))]);
    still_works(&mut pair);
}
