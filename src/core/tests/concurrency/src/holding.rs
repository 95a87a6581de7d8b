// SPDX-License-Identifier: GPL-2.0

//! A page is unmapped, held and freed by its owner while a flush is in progress: it goes back to the
//! page allocator when the unit cannot reach it any more, and not later than with the next flush.

use crate::shim::hold::{Confirmed, Frame};
use loom::sync::atomic::Ordering;
use std::sync::Arc;
use vtd_core::pgtable::MemoryRun;
use vtd_core::spec::address::PhysAddr;

subjects! {
    holding holding_no_barrier holding_counted_late holding_all_taken holding_not_renewed
    holding_still_last holding_released_early holding_batch_left_out holding_lost_released
    holding_unbounded holding_not_wrapped holding_wrong_first
}

const MEMORY: [MemoryRun; 1] = [page(0x5000)];

const fn page(start: u64) -> MemoryRun {
    MemoryRun {
        start: PhysAddr::new(start),
        bytes: 0x1000,
    }
}

/// `$times`: how often the page is unmapped. In between it is mapped and used again.
macro_rules! never_free_and_reached {
    ($module:ident) => {
        never_free_and_reached!($module, 1);
        never_free_and_reached!($module, 2);
    };
    ($module:ident, $times:literal) => {
        crate::check(|| {
            let frame = Frame::renew();
            let holding = Arc::new($module::memory::Holding::new());
            let flush = {
                let (holding, frame) = (holding.clone(), frame.clone());
                move || {
                    holding.flush(|| {
                        frame.invalidate();
                        Some(Confirmed)
                    })
                }
            };
            // The driver's first use of a processor's records, which allocates them.
            assert!(holding.keep(&[]).is_ok());
            let other = loom::thread::spawn(flush.clone());
            for time in 0..$times {
                if time > 0 {
                    frame.map();
                }
                frame.entry.store(0, Ordering::Relaxed);
                assert!(holding.keep(&MEMORY).is_ok());
            }
            frame.put();
            other.join().unwrap();
            flush();
            assert_eq!(frame.references(), 0, "still held");
        })
    };
}

/// A flush releases more than one batch.
macro_rules! all_released {
    ($module:ident) => {
        crate::check(|| {
            let frame = Frame::renew();
            let holding = $module::memory::Holding::new();
            frame.entry.store(0, Ordering::Relaxed);
            for start in [0x5000, 0x7000, 0x9000] {
                assert!(holding.keep(&[page(start)]).is_ok());
            }
            assert_eq!(frame.references(), 4);
            let invalidate = || {
                frame.invalidate();
                Some(Confirmed)
            };
            holding.flush(invalidate);
            assert_eq!(frame.references(), 1, "still held");
        })
    };
}

/// More pages are unmapped than there are records for. Each record is released once, wherever in the
/// ring it is.
macro_rules! each_record_released {
    ($module:ident) => {
        crate::check(|| {
            let frame = Frame::renew();
            let holding = $module::memory::Holding::new();
            frame.entry.store(0, Ordering::Relaxed);
            let keep = |page: u64| holding.keep_page(PhysAddr::new(page << 12));
            let flush = || {
                holding.flush(|| {
                    frame.invalidate();
                    Some(Confirmed)
                });
                assert_eq!(frame.references(), 1, "not all were released");
            };
            assert!(keep(1).is_ok());
            flush();
            for page in [2, 3, 4] {
                assert!(keep(page).is_ok());
            }
            assert_eq!(frame.references(), 4, "not all are held");
            assert!(keep(5).is_err(), "held without room");
            flush();
            assert_eq!(holding.counts().now, 0);
        })
    };
}

/// A unit does not confirm a flush. What was held then is never free.
macro_rules! kept_for_good {
    ($module:ident) => {
        crate::check(|| {
            let frame = Frame::renew();
            let holding = $module::memory::Holding::new();
            frame.entry.store(0, Ordering::Relaxed);
            assert!(holding.keep(&MEMORY).is_ok());
            frame.put();
            assert_eq!(holding.flush(|| None), Some(1));
            assert_eq!(holding.flush(|| None), None);
            holding.flush(|| Some(Confirmed));
            assert_eq!(frame.references(), 1, "not kept");
        })
    };
}

laws! {
    no_page_is_free_while_a_unit_reaches_it: holding, never_free_and_reached;
    a_count_without_barrier_is_noticed: holding_no_barrier, "the unit reaches it";
    a_flush_that_is_counted_after_it_is_noticed: holding_counted_late, "the unit reaches it";
    a_record_of_a_later_unmap_that_is_taken_is_noticed: holding_all_taken, "the unit reaches it";
    a_second_unmap_that_is_not_recorded_is_noticed: holding_not_renewed, "the unit reaches it";
    a_last_record_that_was_released_is_noticed: holding_still_last, "the unit reaches it";
    a_release_before_the_flush_is_noticed: holding_released_early, "the unit reaches it";
}

laws! {
    a_flush_releases_everything: holding, all_released;
    a_batch_that_is_left_out_is_noticed: holding_batch_left_out, "still held";
}

laws! {
    records_are_released_wherever_they_are: holding, each_record_released;
    a_record_too_many_is_noticed: holding_unbounded, "held without room";
    a_ring_that_does_not_begin_again_is_noticed: holding_not_wrapped, "not all were released";
    a_release_that_begins_elsewhere_is_noticed: holding_wrong_first, "not all were released";
}

laws! {
    what_a_unit_may_still_reach_is_never_free: holding, kept_for_good;
    a_release_after_a_failure_is_noticed: holding_lost_released, "the unit reaches it";
}
