//! A bucket that refills continuously: so much per minute, and at most a minute's worth at a time.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

/// What a bucket's level is counted in: the 60 billionth part of a piece, so that every nanosecond adds a whole number and no
/// rounding adds up.
const PARTS: i128 = 60_000_000_000;

/// Pieces (requests or tokens) that may still be used. The level may be below zero: what has been used counts, however much it was.
pub(super) struct Bucket {
    per_minute: NonZeroU32,
    /// In [`PARTS`] of a piece.
    level: i128,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(per_minute: NonZeroU32, now: Instant) -> Self {
        let mut bucket = Self {
            per_minute,
            level: 0,
            at: now,
        };
        bucket.level = bucket.capacity();
        bucket
    }

    pub(super) fn per_minute(&self) -> NonZeroU32 {
        self.per_minute
    }

    /// Another rate from now on; what has been used stays used.
    pub(super) fn change(&mut self, per_minute: NonZeroU32, now: Instant) {
        self.refill(now);
        let used = self.capacity() - self.level;
        self.per_minute = per_minute;
        self.level = self.capacity() - used;
    }

    /// Takes a whole piece, or says in how long there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.wait_for(PARTS, now)?;
        self.level -= PARTS;
        Ok(())
    }

    /// Passes while anything is left, or says in how long something will be.
    pub(super) fn check(&mut self, now: Instant) -> Result<(), Duration> {
        self.wait_for(1, now)
    }

    /// Takes pieces whether they are there or not.
    pub(super) fn charge(&mut self, pieces: usize, now: Instant) {
        self.refill(now);
        self.level -= pieces as i128 * PARTS;
    }

    /// Whole pieces that are left.
    pub(super) fn remaining(&mut self, now: Instant) -> u32 {
        self.refill(now);
        u32::try_from(self.level.max(0) / PARTS).unwrap_or(u32::MAX)
    }

    /// In how long it will be full if nothing more is taken.
    pub(super) fn full_in(&mut self, now: Instant) -> Duration {
        let full = self.capacity();
        self.wait_for(full, now).err().unwrap_or_default()
    }

    fn wait_for(&mut self, level: i128, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        let missing = level - self.level;
        if missing <= 0 {
            return Ok(());
        }
        let rate = i128::from(self.per_minute.get());
        let nanos = (missing + rate - 1) / rate;
        Err(Duration::from_nanos(
            u64::try_from(nanos).unwrap_or(u64::MAX),
        ))
    }

    fn capacity(&self) -> i128 {
        i128::from(self.per_minute.get()) * PARTS
    }

    /// Requests that run side by side may bring their moments out of order; time never runs back here.
    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_nanos();
        // A minute fills it, and debts are no longer than what was ever used.
        let gained = i128::try_from(elapsed)
            .unwrap_or(i128::MAX)
            .saturating_mul(i128::from(self.per_minute.get()));
        self.level = self.level.saturating_add(gained).min(self.capacity());
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bucket(per_minute: u32) -> (Bucket, Instant) {
        let now = Instant::now();
        (Bucket::new(NonZeroU32::new(per_minute).unwrap(), now), now)
    }

    #[test]
    fn a_minutes_worth_may_be_used_at_once_and_then_one_comes_at_a_time() {
        let (mut bucket, now) = bucket(60);
        for _ in 0..60 {
            bucket.take(now).unwrap();
        }
        assert_eq!(bucket.take(now), Err(SECOND));
        assert_eq!(
            bucket.take(now + SECOND / 2),
            Err(SECOND / 2),
            "half a piece is there"
        );
        bucket.take(now + SECOND).unwrap();
        assert_eq!(bucket.take(now + SECOND), Err(SECOND));
    }

    #[test]
    fn whoever_waits_as_long_as_told_is_let_in_and_a_nanosecond_earlier_is_not() {
        for per_minute in [1, 7, 59, 60, 61, 999, 1_000_000, u32::MAX] {
            let (mut bucket, now) = bucket(per_minute);
            bucket.charge(per_minute as usize, now);
            let wait = bucket.take(now).unwrap_err();
            let early = now + wait - Duration::from_nanos(1);
            assert!(bucket.take(early).is_err(), "{per_minute}");
            assert!(bucket.take(now + wait).is_ok(), "{per_minute}");
        }
    }

    #[test]
    fn debts_are_paid_before_anything_is_let_in() {
        let (mut bucket, now) = bucket(60);
        bucket.check(now).unwrap();
        bucket.charge(180, now);
        assert_eq!(bucket.remaining(now), 0);
        assert_eq!(bucket.full_in(now), 180 * SECOND);
        let wait = bucket.check(now).unwrap_err();
        assert_eq!(wait, 120 * SECOND + Duration::from_nanos(1));
        bucket.check(now + wait).unwrap();
    }

    #[test]
    fn it_never_holds_more_than_a_minutes_worth() {
        let (mut bucket, now) = bucket(10);
        bucket.charge(3, now);
        assert_eq!(bucket.remaining(now), 7);
        let later = now + Duration::from_secs(3600);
        assert_eq!(bucket.remaining(later), 10);
        assert_eq!(bucket.full_in(later), Duration::ZERO);
    }

    #[test]
    fn another_rate_forgives_nothing() {
        let (mut bucket, now) = bucket(10);
        bucket.charge(10, now);
        bucket.change(NonZeroU32::new(100).unwrap(), now);
        assert_eq!(bucket.remaining(now), 90);
        bucket.change(NonZeroU32::new(10).unwrap(), now);
        assert_eq!(bucket.remaining(now), 0);
    }

    #[test]
    fn a_moment_that_comes_out_of_order_gives_nothing_twice() {
        let (mut bucket, now) = bucket(60);
        bucket.charge(60, now);
        assert_eq!(bucket.remaining(now + SECOND), 1);
        assert_eq!(bucket.remaining(now), 1);
        assert_eq!(bucket.remaining(now + SECOND), 1);
    }
}
