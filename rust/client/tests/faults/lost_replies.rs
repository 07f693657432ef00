//! Connections that are reset when a request has been executed and before its answer is there: each request ends once,
//! and says whether it may have happened.

use crate::common::{Client, GET, SET};
use crate::keeper::{Keeper, ID};
use crate::{alone, close, patient, LONG};
use zk_client::{Delivery, Engine};
use zk_proto::op::{Create, CreateMode, MultiOp, Request};
use zk_proto::{opcode, Code, KeeperState};
use zk_testkit::proxy::Asked;
use zk_testkit::script::{expect, grant, handshake, handshake_for, reset, serve, Script};
use zk_testkit::Proxy;

const CREATE: Create<'_> =
    Create { path: b"/lock-", data: None, acl: &[], mode: CreateMode::EphemeralSequential, with_stat: false };

fn stage() -> (Keeper, Proxy, Client) {
    let keeper = Keeper::start(30_000, Code::NO_NODE);
    let proxy = Proxy::start(&keeper.server.hosts());
    let client = alone(&proxy.hosts());
    client.connected();
    (keeper, proxy, client)
}

/// The code of the next answer, and whether it may have happened all the same.
fn next(client: &Client) -> (u64, Code, bool) {
    match client.delivery() {
        Delivery::Completed { id, result: Err(failure) } => (id, failure.code, failure.maybe_applied),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_request_whose_answer_is_lost_and_those_behind_it_are_lost_once_each() {
    let (keeper, proxy, client) = stage();
    proxy.lose_reply(Asked::Opcode(opcode::SET_DATA), 1);
    let ops = [MultiOp::Check { path: b"/n", version: 1 }];
    let requests = [GET, SET, GET, Request::Create(CREATE), Request::Multi(&ops), GET];
    for (id, request) in requests.iter().enumerate() {
        client.handle.post(request, id as u64, None, None).unwrap();
    }
    client.handle.flush();
    assert_eq!(next(&client), (0, Code::NO_NODE, false), "it was answered before");
    for (id, request) in requests.iter().enumerate().skip(1) {
        let write = opcode::is_write(request.opcode());
        assert_eq!(next(&client), (id as u64, Code::CONNECTION_LOSS, write), "{request:?}");
    }
    assert_eq!(client.event().1.state, KeeperState::CONNECTING);
    assert_eq!(client.event().1.state, KeeperState::CONNECTED);
    assert_eq!(client.call(&GET), Code::NO_NODE);
    assert!(client.queue.is_empty(), "nothing is answered twice");
    assert_eq!(keeper.handshakes(), [0, ID]);
    assert_eq!(keeper.asked(opcode::SET_DATA), 1, "what may have happened is not sent again");
    assert_eq!(keeper.asked_on(1), [opcode::GET_DATA]);
    assert_eq!((proxy.counts().lost_replies, proxy.counts().connections), (1, 2));
}

#[test]
fn an_answer_that_is_lost_twice_is_two_losses_for_who_asks_again() {
    let (keeper, proxy, client) = stage();
    proxy.lose_reply(Asked::Opcode(opcode::CREATE), 2);
    for _ in 0..2 {
        let ticket = client.handle.submit(&Request::Create(CREATE), None, None).unwrap();
        let failure = client.handle.wait(ticket).unwrap_err();
        assert_eq!((failure.code, failure.maybe_applied), (Code::CONNECTION_LOSS, true));
    }
    assert_eq!(client.call(&Request::Create(CREATE)), Code::NO_NODE);
    assert_eq!(keeper.asked(opcode::CREATE), 3, "as often as it was asked for");
    assert_eq!(keeper.handshakes(), [0, ID, ID]);
}

#[test]
fn every_request_in_turn_may_be_the_one_whose_answer_is_lost() {
    let keeper = Keeper::start(30_000, Code::NO_NODE);
    let proxy = Proxy::start(&keeper.server.hosts());
    let engine = Engine::start().unwrap();
    for lost in 1..=10 {
        let client = patient(&engine, &proxy.hosts());
        client.connected();
        proxy.lose_reply(Asked::Number(lost), 1);
        for id in 1..=10 {
            client.handle.post(&SET, id, None, None).unwrap();
        }
        client.handle.flush();
        for id in 1..=10 {
            let answered = id < lost as u64;
            let expected = if answered { Code::NO_NODE } else { Code::CONNECTION_LOSS };
            assert_eq!(next(&client), (id, expected, !answered), "answer {lost} is lost");
        }
        assert_eq!(client.call(&GET), Code::NO_NODE);
        assert_eq!(client.event().1.state, KeeperState::CONNECTING);
        assert_eq!(client.event().1.state, KeeperState::CONNECTED);
        assert!(client.queue.is_empty());
        close(&client);
    }
    assert_eq!(keeper.handshakes(), [0, ID].repeat(10));
}

#[test]
fn an_answer_is_lost_and_then_the_session() {
    let server = Script::new()
        .connection([handshake_for(0), grant(30_000, ID), expect(opcode::CREATE), reset()])
        .connection([handshake_for(ID), grant(0, 0)])
        .start();
    let client = alone(&server.hosts());
    let ticket = client.handle.submit(&Request::Create(CREATE), None, None).unwrap();
    let failure = client.handle.wait(ticket).unwrap_err();
    assert_eq!((failure.code, failure.maybe_applied), (Code::CONNECTION_LOSS, true));
    let ticket = client.handle.submit(&Request::Create(CREATE), None, None);
    let failure = ticket.and_then(|ticket| client.handle.wait(ticket)).unwrap_err();
    assert_eq!((failure.code, failure.maybe_applied), (Code::SESSION_EXPIRED, false));
    server.finish(LONG).unwrap();
}

#[test]
fn a_reset_before_any_answer_is_no_reason_to_believe_in_the_session() {
    let server = Script::new()
        .connection([handshake(), reset()])
        .connection([handshake_for(0), grant(30_000, ID), expect(opcode::GET_DATA), reset()])
        .connection([handshake_for(ID), grant(30_000, ID), serve(Code::NO_NODE)])
        .start();
    let client = alone(&server.hosts());
    assert_eq!(client.call(&GET), Code::CONNECTION_LOSS);
    assert_eq!(client.call(&GET), Code::NO_NODE);
    assert_eq!(client.handle.client_id().unwrap().0, ID);
    close(&client);
    server.finish(LONG).unwrap();
}
