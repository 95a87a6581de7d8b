// SPDX-License-Identifier: GPL-2.0

//! The timeout of a wait for a queue that several threads use.
//!
//! A queue that completes descriptors works, even if it takes long to reach those of one waiter. A
//! queue that completes nothing for the time limit is broken. Progress extends a wait to at most
//! [`ROUNDS`] times the limit, so that every wait ends: some callers wait with interrupts off, and
//! other threads could take the free space again and again from a caller that waits for space.

/// The maximum length of a wait, as a multiple of the limit.
pub const ROUNDS: u64 = 4;

/// The timeout of one wait, from its first reading of the clock on.
#[derive(Clone, Copy, Debug)]
pub struct ProgressTimeout {
    started: u64,
    /// The time at which the queue was last seen to have completed something.
    last_progress: u64,
    finished: u32,
}

impl ProgressTimeout {
    /// Starts a wait at the time `now`, in nanoseconds, for a queue that has completed `finished`
    /// descriptors.
    pub const fn start(now: u64, finished: u32) -> Self {
        Self {
            started: now,
            last_progress: now,
            finished,
        }
    }

    /// Returns whether the wait has expired at the time `now`: the queue completed nothing for
    /// `limit` nanoseconds, or [`ROUNDS`] times the limit has passed in total.
    ///
    /// The caller then checks its condition once more, because the whole machine may have been
    /// stopped since the last check.
    pub fn has_expired(&mut self, now: u64, finished: u32, limit: u64) -> bool {
        if finished != self.finished {
            self.finished = finished;
            self.last_progress = now;
        }
        let passed = |last_progress: u64| now.saturating_sub(last_progress);
        passed(self.last_progress) >= limit || passed(self.started) >= limit.saturating_mul(ROUNDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1_000;

    /// Returns when a wait ends that is checked every `pace`, while the queue completes something
    /// every `work`.
    fn ends_at(pace: u64, work: u64) -> u64 {
        let start = 7;
        let mut timeout = ProgressTimeout::start(start, u32::MAX);
        let mut now = start;
        loop {
            now += pace;
            let finished = u32::MAX.wrapping_add(((now - start) / work) as u32);
            if timeout.has_expired(now, finished, LIMIT) {
                return now - start;
            }
        }
    }

    #[test]
    fn without_progress_the_wait_ends_at_the_limit() {
        assert_eq!(ends_at(1, u64::MAX), LIMIT);
        assert_eq!(ends_at(300, u64::MAX), 1_200);
    }

    #[test]
    fn progress_extends_the_wait() {
        for work in [1, 10, LIMIT - 1] {
            assert_eq!(ends_at(1, work), ROUNDS * LIMIT, "work {work}");
        }
    }

    #[test]
    fn the_limit_starts_again_at_the_last_progress() {
        let mut timeout = ProgressTimeout::start(0, 0);
        assert!(!timeout.has_expired(900, 1, LIMIT));
        assert!(!timeout.has_expired(1_899, 1, LIMIT));
        assert!(timeout.has_expired(1_900, 1, LIMIT));
    }

    #[test]
    fn every_wait_ends() {
        for pace in [1, 7, 999, 1_000, 5_000] {
            for work in [1, 3, 500, 999, 1_001, u64::MAX] {
                assert!(
                    ends_at(pace, work) <= ROUNDS * LIMIT + pace,
                    "{pace}, {work}"
                );
            }
        }
        // A clock that runs backwards or overflows causes no panic.
        let mut timeout = ProgressTimeout::start(u64::MAX, 0);
        assert!(!timeout.has_expired(0, 0, LIMIT));
        assert!(!timeout.has_expired(u64::MAX, 0, u64::MAX));
        assert!(timeout.has_expired(u64::MAX, 1, 0));
    }
}
