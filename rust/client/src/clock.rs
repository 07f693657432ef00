//! The one clock of the process, as the sessions count it.

use zk_proto::time::Time;

/// Now, on a clock that nobody sets. Where there is one, it goes on while the machine sleeps, for the servers' clocks do.
pub(crate) fn now() -> Time {
    // A second is added so that "a moment before the first one" exists.
    Time::from_micros(micros() + 1_000_000)
}

#[cfg(target_os = "linux")]
fn micros() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

#[cfg(not(target_os = "linux"))]
fn micros() -> u64 {
    use once_cell::sync::Lazy;
    use std::time::Instant;

    static START: Lazy<Instant> = Lazy::new(Instant::now);
    START.elapsed().as_micros() as u64
}
