//! Lengths and counts that lie; bodies that end early, go on for too long, or have a bit turned.

use crate::{answers, body, dropped, meter, shapes, still_works, GET};
use zk_proto::op::Request;
use zk_proto::session::{Config, Output};
use zk_proto::{Code, KeeperState};
use zk_testkit::{config, frame, reply_frame, Pair};

/// The longest frame that is accepted when `jute_maxbuffer` is no greater.
const LIMIT: i32 = 64 << 20;

#[test]
fn frame_lengths_are_refused_before_their_frame_has_come() {
    for (head, refused) in [
        (-1, true),
        (-2, true),
        (i32::MIN, true),
        (i32::MAX, true),
        (LIMIT + 1, true),
        (LIMIT, false),
        (0xf_ffff, false),
        (16, false),
    ] {
        let head = head.to_be_bytes();
        let expected = if refused { KeeperState::CONNECTING } else { KeeperState::CONNECTED };
        for split in 0..4 {
            let mut pair = Pair::connected();
            pair.feed(&head[..split]);
            assert_eq!(pair.session.state(), KeeperState::CONNECTED);
            pair.feed(&head[split..]);
            assert_eq!(pair.session.state(), expected, "{head:x?} in two parts, {split} bytes first");
        }
        if refused {
            dropped(&GET, &head);
        }

        let expected = if refused { KeeperState::CONNECTING } else { KeeperState::ASSOCIATING };
        let mut pair = Pair::new(config("a"));
        pair.accept();
        pair.feed(&head);
        assert_eq!(pair.session.state(), expected, "{head:x?} instead of a handshake");

        let mut pair = Pair::connected();
        pair.session.close(pair.now);
        pair.feed(&head);
        assert_eq!(pair.outputs().contains(&Output::Closed), refused, "{head:x?} instead of a farewell");
    }
}

#[test]
fn frames_too_short_for_a_header_are_refused() {
    for length in 0..16 {
        dropped(&GET, &frame(&vec![0; length]));
        dropped(&GET, &frame(&vec![0xff; length]));
    }
}

#[test]
fn a_greater_jute_maxbuffer_raises_the_limit_and_a_smaller_one_does_not_lower_it() {
    for (jute_maxbuffer, limit) in [(100 << 20, 100 << 20), (1000, LIMIT)] {
        for (head, state) in [(limit, KeeperState::CONNECTED), (limit + 1, KeeperState::CONNECTING)] {
            let mut pair = Pair::new(Config { jute_maxbuffer, ..config("a") });
            pair.connect();
            pair.feed(&head.to_be_bytes());
            assert_eq!(pair.session.state(), state, "{head} with {jute_maxbuffer}");
        }
    }
}

#[test]
fn an_answer_cut_short_anywhere_is_a_lost_connection() {
    for (request, reply) in shapes() {
        let body = body(&reply);
        for length in 0..body.len() {
            dropped(&request, &reply_frame(1, 5, Code::OK, &body[..length]));
        }
    }
}

#[test]
fn bytes_behind_an_answer_do_no_harm() {
    for (request, reply) in shapes() {
        let longer = [&body(&reply)[..], &[0xff; 100]].concat();
        let mut pair = Pair::connected();
        let token = pair.submit(&request, None);
        pair.reply(1, 5, Code::OK, &longer);
        assert_eq!(answers(&pair.outputs()), [(token, Ok(reply))]);
    }
}

/// Every first number of an answer that is a length or a count, lying, in a frame of twenty bytes.
#[test]
fn counts_and_lengths_inside_answers_are_refused() {
    let mut tried = 0;
    for (request, reply) in shapes() {
        use zk_proto::op::Reply::{Acl, Children, ChildrenStat, Data, Identities, Path, PathStat, Paths};
        if !matches!(
            reply,
            Acl(..)
                | Children(_)
                | ChildrenStat(..)
                | Data(..)
                | Identities(_)
                | Path(_)
                | PathStat(..)
                | Paths(_)
        ) {
            continue;
        }
        for lie in [i32::MAX, 0x1000_0000, 17, -2, i32::MIN] {
            let mut body = vec![0; 20];
            body[..4].copy_from_slice(&lie.to_be_bytes());
            dropped(&request, &reply_frame(1, 5, Code::OK, &body));
            tried += 1;
        }
    }
    assert_eq!(tried, 8 * 5);
}

/// Header and count fill a frame of twenty bytes.
#[test]
fn a_count_of_two_thousand_million_with_nothing_behind_it_is_refused() {
    for (request, _) in shapes() {
        let bytes = reply_frame(1, 5, Code::OK, &i32::MAX.to_be_bytes());
        assert_eq!(bytes[..4], 20u32.to_be_bytes());
        if matches!(request, Request::GetAllChildrenNumber { .. } | Request::AddWatch { .. }) {
            continue; // which have nothing but a number in their answers
        }
        let ((), used) = meter::peak(|| dropped(&request, &bytes));
        assert!(used <= 64 << 10, "{request:?}: {used} bytes of memory");
    }
}

/// Some flips change nothing that can be noticed. Whatever they do: one answer, little memory, and a
/// session that goes on.
#[test]
fn an_answer_with_any_byte_turned_is_an_answer_or_a_lost_connection() {
    let (mut understood, mut refused, mut waiting) = (0, 0, 0);
    for (request, reply) in shapes() {
        let whole = reply_frame(1, 5, Code::OK, &body(&reply));
        for at in 0..whole.len() {
            for mask in [0x01, 0x40, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= mask;
                let mut pair = Pair::connected();
                let token = pair.submit(&request, None);
                let ((), used) = meter::peak(|| pair.feed(&bytes));
                assert!(used <= 16 * bytes.len() + 16_384, "{used} bytes for {bytes:x?}");
                match pair.session.state() {
                    KeeperState::CONNECTED if pair.session.outstanding() == 0 => understood += 1,
                    KeeperState::CONNECTED => waiting += 1,
                    _ => refused += 1,
                }
                if pair.session.is_connected() {
                    pair.cut();
                }
                let answers = answers(&pair.outputs());
                assert_eq!(answers.len(), 1, "{bytes:x?}: {answers:?}");
                assert_eq!(answers[0].0, token);
                still_works(&mut pair);
            }
        }
    }
    // A longer length waits for what never comes; a shorter one leaves rubbish behind.
    assert!(understood > 1_000 && refused > 500 && waiting > 20, "{understood} {refused} {waiting}");
}
