// SPDX-License-Identifier: GPL-2.0

//! Readers: reports that walk a domain's tables concurrently with maps and unmaps.
//!
//! A map or unmap holds its range, and a table is freed only by a thread that holds the whole range
//! of the table. A report holds no range, so a table that it walks may be unlinked and freed
//! concurrently. Therefore a report walks in short parts and begins each part at the top table, and
//! a thread that has unlinked a table waits for the end of the current part before the table can be
//! freed. A part that begins later does not find the table any more. Unmaps that free no table pay
//! nothing; those that do pay one fence and one load.

use super::atomic::{fence, AtomicBool, Ordering};

/// The readers of the tables of one domain. The caller has a lock for them.
pub struct Readers {
    walking: AtomicBool,
}

impl Readers {
    /// Creates the state, without a reader.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            walking: AtomicBool::new(false),
        }
    }

    /// Calls `part`, which walks a bounded number of tables from the top on. No table that it can
    /// find is freed before it returns. The caller holds the lock.
    pub fn walk<R>(&self, part: impl FnOnce() -> R) -> R {
        self.walking.store(true, Ordering::Relaxed);
        // Either this walk sees what was unlinked before `wait`, or `wait` sees this walk.
        fence(Ordering::SeqCst);
        let result = part();
        self.walking.store(false, Ordering::Release);
        result
    }

    /// Waits until no reader can be in a table that the caller has unlinked: calls `take_lock`,
    /// which takes the lock and releases it, if one may be. Called before such a table can be freed.
    pub fn wait(&self, take_lock: impl FnOnce()) {
        fence(Ordering::SeqCst);
        if self.walking.load(Ordering::Acquire) {
            take_lock();
        }
    }
}
