//! The one clock of the process, as the sessions count it.

use once_cell::sync::Lazy;
use std::time::Instant;
use zk_proto::time::Time;

static START: Lazy<Instant> = Lazy::new(Instant::now);

/// Now, on the monotonic clock.
pub(crate) fn now() -> Time {
    // A second is added so that "a moment before the first one" exists.
    Time::from_micros(START.elapsed().as_micros() as u64 + 1_000_000)
}
