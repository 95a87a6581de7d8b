// SPDX-License-Identifier: GPL-2.0

//! The pages that hardware reads, by their addresses.

use super::prelude::Result;
use loom::sync::atomic::{AtomicU64, Ordering};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Copy)]
pub(crate) struct Gfp;

impl Gfp {
    pub(crate) const KERNEL: Self = Self;
}

#[derive(Clone, Copy)]
pub(crate) struct NumaNode;

/// The first words of some pages. A processor and a unit see each other's stores in order.
#[derive(Clone)]
pub(crate) struct Pages {
    words: Arc<[AtomicU64; 9]>,
    phys: u64,
}

thread_local! {
    // A model and all of its threads run in one thread.
    static ALL: RefCell<HashMap<u64, Pages>> = RefCell::default();
}

/// Removes all pages after a run of the model.
pub(crate) fn clear_all() {
    ALL.with_borrow_mut(HashMap::clear);
}

/// Returns the page at an address.
pub(crate) fn at(phys: u64) -> Pages {
    let page = ALL.with_borrow(|all| all.get(&(phys & !0xfff)).cloned());
    page.expect("hardware reads a free table")
}

impl Pages {
    pub(crate) fn new(_: NumaNode, _: u32, _: Gfp) -> Result<Self> {
        let words = Arc::new(core::array::from_fn(|_| AtomicU64::new(0)));
        Ok(ALL.with_borrow_mut(|all| {
            // A freed page is not used again.
            let phys = all.keys().max().map_or(1 << 12, |last| last + (1 << 12));
            let pages = Self { words, phys };
            all.insert(phys, pages.clone());
            pages
        }))
    }

    pub(crate) fn zeroed() -> Self {
        Self::new(NumaNode, 0, Gfp).unwrap()
    }

    pub(crate) fn free(&self) {
        ALL.with_borrow_mut(|all| all.remove(&self.phys));
    }

    pub(crate) fn phys(&self) -> u64 {
        self.phys
    }

    pub(crate) fn read(&self, index: usize) -> u64 {
        self.words[index].load(Ordering::Relaxed)
    }

    pub(crate) fn read_acquire(&self, index: usize) -> u64 {
        self.words[index].load(Ordering::Acquire)
    }

    pub(crate) fn write(&self, index: usize, value: u64) {
        self.words[index].store(value, Ordering::Release)
    }

    /// A model's units snoop.
    pub(crate) fn flush(&self, _: usize, _: usize) {}
}
