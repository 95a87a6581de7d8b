// SPDX-License-Identifier: GPL-2.0

//! Runs of leaves: the loops in which large requests spend their time.
//!
//! Implementations of [`TableMemory`](super::TableMemory) call these functions with the entries of
//! a table. The accesses are relaxed atomics, because hardware reads the entries concurrently and
//! must see each one whole. On x86 they are plain moves.

use super::format::{leaf_mark, Format};
use super::level::{Directory, TableLevel};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The number of entries that are first checked, then written together: one cache line.
const LINE: usize = 8;

/// Writes leaves of level `L` into `entries` until one is not 0. Returns how many were written.
///
/// The first leaf is `entry` with its [mark](leaf_mark), and each further one is
/// [`TableLevel::SPAN`] more.
#[inline(always)]
pub fn fill_run<F: Format, L: TableLevel>(entries: &[AtomicU64], entry: u64) -> usize {
    let value = entry | leaf_mark::<F, L>();
    // One page is the most frequent request.
    if let [slot] = entries {
        return fill_one(slot, value);
    }
    fill_many::<L>(entries, value)
}

#[inline(always)]
fn fill_one(slot: &AtomicU64, value: u64) -> usize {
    if slot.load(Relaxed) != 0 {
        return 0;
    }
    slot.store(value, Relaxed);
    1
}

/// Fills one line at a time while lines are empty, then entry by entry.
#[inline]
fn fill_many<L: TableLevel>(entries: &[AtomicU64], mut value: u64) -> usize {
    let mut done = 0usize;
    let lines = entries.chunks_exact(LINE);
    let rest = lines.remainder();
    for line in lines {
        let [a, b, c, d, e, f, g, h] = line else {
            return done;
        };
        let low = a.load(Relaxed) | b.load(Relaxed) | c.load(Relaxed) | d.load(Relaxed);
        let high = e.load(Relaxed) | f.load(Relaxed) | g.load(Relaxed) | h.load(Relaxed);
        if low | high != 0 {
            return done.wrapping_add(fill_singly::<L>(line, value));
        }
        for slot in [a, b, c, d, e, f, g, h] {
            slot.store(value, Relaxed);
            value = value.wrapping_add(L::SPAN);
        }
        done = done.wrapping_add(LINE);
    }
    done.wrapping_add(fill_singly::<L>(rest, value))
}

#[inline]
fn fill_singly<L: TableLevel>(entries: &[AtomicU64], mut value: u64) -> usize {
    let mut done = 0usize;
    for slot in entries {
        if fill_one(slot, value) == 0 {
            break;
        }
        value = value.wrapping_add(L::SPAN);
        done = done.wrapping_add(1);
    }
    done
}

/// Sets `entries` of a table of level `L` to 0 until one is not a leaf. Returns how many were
/// cleared.
#[inline(always)]
pub fn clear_run<F: Format, L: TableLevel>(entries: &[AtomicU64]) -> usize {
    if let [slot] = entries {
        return clear_one::<F, L>(slot);
    }
    clear_many::<F, L>(entries)
}

#[inline(always)]
fn clear_one<F: Format, L: TableLevel>(slot: &AtomicU64) -> usize {
    if !is_leaf::<F, L>(slot.load(Relaxed)) {
        return 0;
    }
    slot.store(0, Relaxed);
    1
}

/// Clears one line at a time while lines are full, then entry by entry.
#[inline]
fn clear_many<F: Format, L: TableLevel>(entries: &[AtomicU64]) -> usize {
    let mut done = 0usize;
    let lines = entries.chunks_exact(LINE);
    let rest = lines.remainder();
    for line in lines {
        let [a, b, c, d, e, f, g, h] = line else {
            return done;
        };
        let slots = [a, b, c, d, e, f, g, h];
        if !slots.iter().all(|slot| is_leaf::<F, L>(slot.load(Relaxed))) {
            return done.wrapping_add(clear_singly::<F, L>(line));
        }
        for slot in slots {
            slot.store(0, Relaxed);
        }
        done = done.wrapping_add(LINE);
    }
    done.wrapping_add(clear_singly::<F, L>(rest))
}

#[inline]
fn clear_singly<F: Format, L: TableLevel>(entries: &[AtomicU64]) -> usize {
    let mut done = 0usize;
    for slot in entries {
        if clear_one::<F, L>(slot) == 0 {
            break;
        }
        done = done.wrapping_add(1);
    }
    done
}

/// Returns whether an entry of a table of level `L` is a leaf, given that it is 0, a leaf or a
/// link.
#[inline(always)]
pub fn is_leaf<F: Format, L: TableLevel>(entry: u64) -> bool {
    match leaf_mark::<F, L>() {
        0 => entry != 0,
        mark => L::HAS_LEAVES && entry & mark != 0,
    }
}

/// Returns whether an entry of a table of level `L` is a link, given that it is 0, a leaf or a
/// link.
#[inline(always)]
pub fn is_link<F: Format, L: Directory>(entry: u64) -> bool {
    if L::HAS_LEAVES {
        // One comparison excludes 0 and leaves.
        entry & (F::LARGE | F::LINK) == F::LINK
    } else {
        entry != 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::SecondStage;
    use super::super::level::{L1, L2, L4};
    use super::*;

    /// Returns entries that are all `value`, except one at `place`.
    fn entries(count: usize, value: u64, place: usize, there: u64) -> [AtomicU64; 20] {
        core::array::from_fn(|index| {
            AtomicU64::new(match index {
                _ if index >= count => 0x5a,
                _ if index == place => there,
                _ => value,
            })
        })
    }

    #[test]
    fn a_fill_ends_at_the_first_entry_that_is_not_empty() {
        for count in 0..20 {
            for place in 0..=count {
                let entries = entries(count, 0, place, 0x77);
                let run = entries.get(..count).unwrap_or_default();
                assert_eq!(fill_run::<SecondStage, L2>(run, 0x4000_0003), place);
                for (index, entry) in entries.iter().enumerate() {
                    let expected = match index {
                        _ if index < place => 0x4000_0083 + 0x20_0000 * index as u64,
                        _ if index >= count => 0x5a,
                        _ if index == place => 0x77,
                        _ => 0,
                    };
                    assert_eq!(entry.load(Relaxed), expected, "{index} of {count}");
                }
            }
        }
    }

    #[test]
    fn a_clear_ends_at_the_first_entry_that_is_no_leaf() {
        for (leaf, other) in [(0x1003, 0), (0x20_0083, 0x3003), (0x20_0081, 0)] {
            for count in 0..20 {
                for place in 0..=count {
                    let entries = entries(count, leaf, place, other);
                    let run = entries.get(..count).unwrap_or_default();
                    let done = if leaf & 0x80 == 0 {
                        clear_run::<SecondStage, L1>(run)
                    } else {
                        clear_run::<SecondStage, L2>(run)
                    };
                    assert_eq!(done, place);
                    for (index, entry) in entries.iter().enumerate() {
                        let expected = match index {
                            _ if index < place => 0,
                            _ if index >= count => 0x5a,
                            _ if index == place => other,
                            _ => leaf,
                        };
                        assert_eq!(entry.load(Relaxed), expected, "{index} of {count}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_entry_is_empty_a_leaf_or_a_link() {
        for (entry, leaf, link) in [
            (0, false, false),
            (0x3003, false, true),
            (0x83, true, false),
        ] {
            assert_eq!(
                (
                    is_leaf::<SecondStage, L2>(entry),
                    is_link::<SecondStage, L2>(entry)
                ),
                (leaf, link)
            );
        }
        // A write-only page is not a link.
        assert_eq!(
            (
                is_leaf::<SecondStage, L2>(0x82),
                is_link::<SecondStage, L2>(0x82)
            ),
            (true, false)
        );
        assert_eq!(
            (
                is_leaf::<SecondStage, L4>(0x3003),
                is_link::<SecondStage, L4>(0x3003)
            ),
            (false, true)
        );
        assert_eq!(
            (is_leaf::<SecondStage, L4>(0), is_link::<SecondStage, L4>(0)),
            (false, false)
        );
        assert!(is_leaf::<SecondStage, L1>(2) && !is_leaf::<SecondStage, L1>(0));
    }
}
