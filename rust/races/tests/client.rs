//! The client under many schedules, the same ones every time. `script/races` tries others, for as long as one likes.

use std::time::Duration;
use zk_races::{check, models, Effort};

#[test]
fn the_client_keeps_its_promises_in_every_order_that_is_tried() {
    let effort = Effort {
        seed: 1,
        schedules: 200,
        span: Duration::from_secs(3_600),
        keep: Some(env!("CARGO_TARGET_TMPDIR").into()),
    };
    let mut broken = Vec::new();
    for (name, model) in models() {
        let start = std::time::Instant::now();
        match check(model, &effort) {
            Ok(count) => println!("{name}: {count} schedules in {:?}", start.elapsed()),
            Err(words) => broken.push(format!("{name}: {words}")),
        }
    }
    assert!(broken.is_empty(), "{broken:#?}\nto see it: script/races --replay MODEL FILE");
}
