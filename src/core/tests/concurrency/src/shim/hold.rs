// SPDX-License-Identifier: GPL-2.0

//! One page frame, its references, and a unit that may reach it.

use core::ops::Range;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::Mutex;
use std::cell::RefCell;
use std::sync::Arc;

/// The frame, which the page table maps or not, and what a unit has cached of that.
pub(crate) struct Frame {
    pub(crate) entry: AtomicU64,
    cached: Mutex<u64>,
    /// References: 1 by the owner.
    references: AtomicU64,
}

thread_local! {
    // A model and all of its threads run in one thread.
    static FRAME: RefCell<Option<Arc<Frame>>> = const { RefCell::new(None) };
}

/// Returns the frame of this run of the model.
pub(crate) fn frame() -> Arc<Frame> {
    FRAME.with_borrow(|frame| frame.clone().expect("a frame"))
}

impl Frame {
    /// Makes the frame of this run of the model: mapped and cached.
    pub(crate) fn renew() -> Arc<Self> {
        let new = Arc::new(Frame {
            entry: AtomicU64::new(1),
            cached: Mutex::new(1),
            references: AtomicU64::new(1),
        });
        FRAME.set(Some(new.clone()));
        new
    }

    /// Maps it again, and the unit makes a request.
    pub(crate) fn map(&self) {
        self.entry.store(1, Ordering::Relaxed);
        *self.cached.lock().unwrap() = 1;
    }

    /// Invalidates what the unit has cached; it makes a request immediately afterwards.
    pub(crate) fn invalidate(&self) {
        let mut cached = self.cached.lock().unwrap();
        *cached = self.entry.load(Ordering::Relaxed);
    }

    /// Gives a reference back. Returns whether it was the last one.
    pub(crate) fn put(&self) -> bool {
        let last = self.references.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            let cached = *self.cached.lock().unwrap();
            assert_eq!(cached, 0, "the page is free, and the unit reaches it");
        }
        last
    }

    pub(crate) fn references(&self) -> u64 {
        self.references.load(Ordering::Relaxed)
    }
}

pub(crate) struct HeldFolio;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotHeld {
    Slab,
    Other,
}

pub(crate) struct Attempt {
    pub(crate) folio: Option<HeldFolio>,
    pub(crate) order: u8,
    pub(crate) memory: Result<Range<u64>, NotHeld>,
}

impl HeldFolio {
    pub(crate) fn try_hold(phys: u64) -> Attempt {
        let frame = frame();
        let before = frame.references.fetch_add(1, Ordering::AcqRel);
        assert_ne!(before, 0, "a free page is held");
        Attempt {
            folio: Some(HeldFolio),
            order: 0,
            memory: Ok(phys..phys + 0x1000),
        }
    }

    pub(crate) fn keep_for_good(self, _: u32) {}
}

pub(crate) struct Batch<const N: usize>(usize);

impl<const N: usize> Batch<N> {
    pub(crate) fn new() -> Self {
        Self(0)
    }

    pub(crate) fn add(&mut self, _: HeldFolio) {
        self.0 += 1;
    }

    pub(crate) fn count(&self) -> usize {
        self.0
    }

    pub(crate) fn put(&mut self) -> u64 {
        let count = core::mem::take(&mut self.0);
        (0..count).map(|_| u64::from(frame().put())).sum()
    }
}

pub(crate) fn count_kept_for_good(_: u64) {}

pub(crate) fn may_keep_for_good() -> u64 {
    0
}

/// What only the flush in a test creates.
pub(crate) struct Confirmed;
