//! What is told of a request's way to the server.

use zk_proto::op::Request;
use zk_proto::session::{Config, Sent};
use zk_proto::Code;
use zk_testkit::{config, Pair};

/// Eight bytes of header, four of the path's length, two of the path, and whether to watch.
const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };
const BYTES: usize = 8 + 4 + 2 + 1;

fn submit(pair: &mut Pair, token: u64) -> Sent {
    pair.session.submit(pair.now, &GET, token, None, None).unwrap();
    pair.session.last_sent()
}

#[test]
fn on_a_connection_the_number_is_known_at_once() {
    let mut pair = Pair::new(config("a"));
    pair.connect();
    assert_eq!(submit(&mut pair, 101), Sent { xid: Some(1), bytes: BYTES });
    assert_eq!(submit(&mut pair, 102), Sent { xid: Some(2), bytes: BYTES });
    assert_eq!(pair.sent().iter().map(|frame| frame.xid).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_request_that_waits_gets_its_number_later() {
    let mut pair = Pair::new(Config { max_in_flight: 2, ..config("a") });
    for token in 101..=104 {
        assert_eq!(submit(&mut pair, token), Sent { xid: None, bytes: BYTES });
    }
    for token in [101, 103, 104] {
        pair.session.follow(token);
    }
    pair.connect();
    assert_eq!(pair.session.fetch_xid(101), Some(1));
    assert_eq!(pair.session.fetch_xid(101), None, "once");
    assert_eq!(pair.session.fetch_xid(102), None, "nobody has asked for it");
    pair.reply(1, 1, Code::NO_NODE, b"");
    assert_eq!(pair.session.fetch_xid(103), Some(3), "it waited for room");
    pair.session.abandon(104);
    pair.reply(2, 1, Code::NO_NODE, b"");
    pair.reply(3, 1, Code::NO_NODE, b"");
    assert_eq!(pair.session.fetch_xid(104), None, "it was never sent");
}

#[test]
fn an_authentication_has_the_number_of_all() {
    let mut pair = Pair::new(config("a"));
    pair.connect();
    pair.outputs();
    pair.session.add_auth(b"digest", b"a:b", None).unwrap();
    let frames = pair.session.transmit().to_vec();
    let sent = Sent::authentication(b"digest", b"a:b");
    assert_eq!(frames[..4], (sent.bytes as u32).to_be_bytes());
    assert_eq!(frames[4..8], sent.xid.unwrap().to_be_bytes());
}
