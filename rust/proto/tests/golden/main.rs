//! Our bytes and our reading of theirs against what real servers accepted and answered.

mod hostile;
// Its items are public because the fuzzer's programs use them too.
#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/meter.rs"]
mod meter;
mod script;
mod stored;
mod turned;

use bytes::Bytes;
use stored::Stored;
use zk_proto::chroot::Chroot;
use zk_proto::op::Reply;

#[global_allocator]
static METER: meter::Meter = meter::Meter;

/// Every record, run through.
fn records() -> Vec<Stored> {
    let versions = Stored::versions();
    assert!(versions.len() >= 2, "{versions:?}");
    let run = |version: &String| {
        let mut stored = Stored::new(version);
        script::run(&mut stored);
        stored
    };
    versions.iter().map(run).collect()
}

/// The assertions about requests and replies stand in the script itself.
#[test]
fn every_recorded_frame_is_what_we_send_and_understand() {
    for stored in records() {
        let mut names = stored.names.clone();
        names.sort();
        assert_eq!(names, stored.files(), "each file is read once");
    }
}

#[test]
fn replies_encode_to_what_the_server_sent() {
    let mut count = 0;
    for seen in records().into_iter().flat_map(|stored| stored.seen) {
        // The chroot would be lost, so it stays on.
        let reply = Reply::decode(seen.kind, seen.body.clone(), &Chroot::none()).unwrap();
        let mut out = Vec::new();
        reply.encode(&mut out);
        let sent = match &*seen.name {
            // Nobody asked for the stat that the server sends.
            "create_ttl_sequential" => &seen.body[..out.len()],
            _ => &seen.body[..],
        };
        assert_eq!(Bytes::from(out), sent, "{}", seen.name);
        count += 1;
    }
    assert!(count > 100, "{count}");
}
