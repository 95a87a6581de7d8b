// SPDX-License-Identifier: GPL-2.0

//! Tables of one page each, small enough for a model. No table is ever freed and links are looked
//! up, so nothing here is unsafe.

use crate::shim::atomic::{LocklessU64 as AtomicU64, Ordering};
use loom::sync::Mutex;
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    // A model and all of its threads run in one thread. Tables are few, and never freed.
    static ALL: RefCell<HashMap<u64, &'static Cells>> = RefCell::default();
}

/// Fewer entries than in a real table: the tests map only the first ones.
pub(crate) const ENTRIES: usize = 4;

pub(crate) struct Cells {
    pub(crate) entries: [AtomicU64; ENTRIES],
    /// The entries as a unit that does not snoop sees them. One processor at a time writes a line
    /// back, which the lock models.
    hardware: Mutex<[u64; ENTRIES]>,
}

impl Cells {
    /// Allocates a table.
    pub(crate) fn zeroed() -> &'static Self {
        let page = Page(Cells {
            entries: core::array::from_fn(|_| AtomicU64::new(0)),
            hardware: Mutex::new([0; ENTRIES]),
        });
        let table = &Box::leak(Box::new(page)).0;
        ALL.with_borrow_mut(|all| all.insert(table.phys(), table));
        table
    }

    /// Returns the table that a link points to.
    pub(crate) fn at(link: u64) -> &'static Self {
        ALL.with_borrow(|all| all[&(link & 0x000f_ffff_ffff_f000)])
    }

    pub(crate) fn phys(&self) -> u64 {
        core::ptr::from_ref(self) as u64
    }

    /// Returns what a unit reads.
    pub(crate) fn hardware(&self, index: usize) -> u64 {
        self.hardware.lock().unwrap()[index]
    }

    pub(crate) fn write_back(&self, first: usize, count: usize) {
        let mut hardware = self.hardware.lock().unwrap();
        for index in first..(first + count).min(ENTRIES) {
            hardware[index] = self.entries[index].load(Ordering::Relaxed);
        }
    }
}

/// Aligned, so that a link can hold its address.
#[repr(align(4096))]
struct Page(Cells);
