// SPDX-License-Identifier: GPL-2.0

//! How long a waiter waits for a queue that others use, too.
//!
//! A queue that finishes something works, however long it takes to come to one's own part; one
//! that finishes nothing for as long as the limit is broken. Progress extends the wait [`ROUNDS`]
//! times at most, so that every wait ends: some wait with interrupts off, and one that wants room
//! could see others take it for ever.

/// How many times the limit a wait may take in all.
pub const ROUNDS: u64 = 4;

/// The wait of one waiter, from its first look at the clock on.
#[derive(Clone, Copy, Debug)]
pub struct ProgressTimeout {
    started: u64,
    /// When the queue was last seen to have finished something.
    last_progress: u64,
    finished: u32,
}

impl ProgressTimeout {
    /// Begins to wait at the time `now`, in nanoseconds, for a queue that has `finished` so much.
    pub const fn start(now: u64, finished: u32) -> Self {
        Self {
            started: now,
            last_progress: now,
            finished,
        }
    }

    /// Whether the wait is over at the time `now`: nothing was finished for `limit` nanoseconds, or
    /// [`ROUNDS`] limits have passed in all. The caller then checks once more what it waits for, as
    /// the machine may have stood still since it last did.
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

    /// When a wait ends that is checked every `pace`, while the queue finishes something every `work`.
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
        // Time that runs backwards, or to its end, is no reason to panic.
        let mut timeout = ProgressTimeout::start(u64::MAX, 0);
        assert!(!timeout.has_expired(0, 0, LIMIT));
        assert!(!timeout.has_expired(u64::MAX, 0, u64::MAX));
        assert!(timeout.has_expired(u64::MAX, 1, 0));
    }
}
