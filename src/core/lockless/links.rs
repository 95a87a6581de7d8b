// SPDX-License-Identifier: GPL-2.0

//! Links to tables, which maps of several ranges find and write concurrently.
//!
//! A unit that does not snoop (`COHERENT` is false) sees a link only after it was written back to
//! memory. The bit [`Format::IGNORED`] of a link is set after that. A thread that finds a link
//! without it writes the link back first, so that the unit can reach what the thread then maps below
//! it.

use super::atomic::{AtomicU64, Ordering};
use crate::pgtable::run::{is_leaf, is_link};
use crate::pgtable::{Directory, Format};

/// Loads an entry of a directory: a leaf or a link, or [`None`] if it is not present. `write_back` is
/// given a link that may not have been written back.
#[inline(always)]
pub fn load_entry<F: Format, L: Directory, const COHERENT: bool>(
    slot: &AtomicU64,
    write_back: impl FnOnce(u64),
) -> Option<u64> {
    let entry = slot.load(Ordering::Acquire);
    if entry == 0 {
        return None;
    }
    if !COHERENT && !is_leaf::<F, L>(entry) && entry & F::IGNORED == 0 {
        write_back(entry);
    }
    Some(entry)
}

/// Loads an entry, if it is a link.
#[inline(always)]
pub fn load_link<F: Format, L: Directory, const COHERENT: bool>(
    slot: &AtomicU64,
    write_back: impl FnOnce(u64),
) -> Option<u64> {
    let entry = slot.load(Ordering::Acquire);
    if !is_link::<F, L>(entry) {
        return None;
    }
    if !COHERENT && entry & F::IGNORED == 0 {
        write_back(entry);
    }
    Some(entry)
}

/// Stores a `link` to a table that is complete, if the entry is not present.
///
/// # Errors
///
/// The entry that is there instead.
pub fn store<F: Format, L: Directory, const COHERENT: bool>(
    slot: &AtomicU64,
    link: u64,
    write_back: impl FnOnce(u64),
) -> Result<(), u64> {
    let linked = slot.compare_exchange(0, link, Ordering::Release, Ordering::Acquire);
    // The thread that loses the race continues below the winner's link, which may not have been
    // written back yet.
    let there = linked.err().unwrap_or(link);
    if !COHERENT && is_link::<F, L>(there) && there & F::IGNORED == 0 {
        write_back(there);
    }
    linked.map(|_| ())
}

/// Calls `write_back`, which writes an entry that had the `link` back to memory, and notes that in
/// the entry. Not if the entry has changed since: this can happen if the caller is a reader, which
/// holds no range.
pub fn note_written_back<F: Format>(slot: &AtomicU64, link: u64, write_back: impl FnOnce()) {
    write_back();
    let noted = link | F::IGNORED;
    let _ = slot.compare_exchange(link, noted, Ordering::Release, Ordering::Relaxed);
}
