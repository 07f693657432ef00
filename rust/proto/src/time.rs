//! Moments and spans, given from outside: this crate never reads a clock.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment, in microseconds since some moment that the caller chose (monotonic).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(u64);

impl Time {
    /// The moment `us` microseconds after the caller's zero.
    pub const fn from_micros(us: u64) -> Time {
        Time(us)
    }

    /// Microseconds since the caller's zero.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long it is from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, span: Duration) -> Time {
        let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(us))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, span: Duration) -> Time {
        let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Time(self.0.saturating_sub(us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let t = Time::from_micros(5);
        assert_eq!(t + Duration::from_micros(7), Time::from_micros(12));
        assert_eq!(t - Duration::from_secs(1), Time::from_micros(0));
        assert_eq!(t + Duration::MAX, Time::from_micros(u64::MAX));
        assert_eq!(t.since(Time::from_micros(9)), Duration::ZERO);
    }
}
