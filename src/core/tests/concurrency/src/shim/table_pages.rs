// SPDX-License-Identifier: GPL-2.0

//! Tables of one page each, small enough for a model. No table is ever freed and links are looked
//! up, so nothing here is unsafe.

use super::atomic::{AtomicU64, Ordering};
use super::pages::Gfp;
use loom::sync::Mutex;
use std::cell::RefCell;
use std::collections::HashMap;
use vtd_core::pgtable::OutOfMemory;

thread_local! {
    // A model and all of its threads run in one thread. Tables are few, and never freed.
    static ALL: RefCell<HashMap<u64, &'static Cells>> = RefCell::default();
}

/// Fewer entries than in a real table: the tests map only the first ones.
pub(crate) const ENTRIES: usize = 4;

pub(crate) struct Cells {
    entries: [AtomicU64; ENTRIES],
    /// The entries as a unit that does not snoop sees them. One processor at a time writes a line
    /// back, which the lock models.
    hardware: Mutex<[u64; ENTRIES]>,
}

#[derive(Clone, Copy)]
pub(crate) struct TablePage(&'static Cells);

impl TablePage {
    pub(crate) fn entries(&self) -> &'static [AtomicU64; ENTRIES] {
        &self.0.entries
    }

    /// Returns what a unit reads.
    pub(crate) fn hardware(&self, index: usize) -> u64 {
        self.0.hardware.lock().unwrap()[index]
    }
}

#[derive(Clone, Copy)]
pub(crate) struct TablePages;

impl TablePages {
    pub(crate) fn alloc(&self, _: Gfp) -> Result<TablePage, OutOfMemory> {
        let page = Page(Cells {
            entries: core::array::from_fn(|_| AtomicU64::new(0)),
            hardware: Mutex::new([0; ENTRIES]),
        });
        let table = TablePage(&Box::leak(Box::new(page)).0);
        ALL.with_borrow_mut(|all| all.insert(self.phys(table), table.0));
        Ok(table)
    }

    pub(crate) fn free(&self, _: TablePage) {}

    pub(crate) fn phys(&self, table: TablePage) -> u64 {
        core::ptr::from_ref(table.0) as u64
    }

    pub(crate) fn follow(&self, link: u64) -> TablePage {
        TablePage(ALL.with_borrow(|all| all[&(link & 0x000f_ffff_ffff_f000)]))
    }
}

pub(crate) fn write_back(table: TablePage, first: usize, count: usize) {
    let mut hardware = table.0.hardware.lock().unwrap();
    for index in first..(first + count).min(ENTRIES) {
        hardware[index] = table.0.entries[index].load(Ordering::Relaxed);
    }
}

/// Aligned, so that a link can hold its address.
#[repr(align(4096))]
struct Page(Cells);
