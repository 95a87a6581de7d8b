// SPDX-License-Identifier: GPL-2.0

//! The TLB of a device: cutting it off races with an attach, and a flush races with an attach.

use crate::lockless::device_tlb;
use loom::sync::atomic::{fence, AtomicU64, Ordering};
use loom::sync::Mutex;
use std::sync::Arc;
use vtd_core::invalidation::CacheTag;
use vtd_core::spec::address::{DomainId, SourceId};

mistakes! { device_tlb_weak_join device_tlb_withdrawn_before_marked
device_tlb_no_fence_before_withdrawal device_tlb_no_fence_before_look
device_tlb_not_withdrawn_again }

/// The present bit of a context entry.
struct Entry(AtomicU64);

/// Implements the entry for each file.
macro_rules! entries {
    ($($module:ident)+) => {$(
        impl $module::DeviceEntry for Arc<Entry> {
            fn is_gone(&self) -> bool {
                false
            }

            fn withdraw(&self) -> bool {
                let before = self.0.load(Ordering::Relaxed);
                self.0.store(0, Ordering::Relaxed);
                before != 0
            }
        }
    )+};
}

entries! { device_tlb device_tlb_weak_join device_tlb_withdrawn_before_marked
device_tlb_no_fence_before_withdrawal device_tlb_no_fence_before_look
device_tlb_not_withdrawn_again }

macro_rules! tlb {
    ($module:ident, $entry:expr) => {{
        let source = SourceId::from_raw(1);
        let address = $module::DeviceTlbAddress {
            source,
            physical_function: source,
            queue_depth: 0,
        };
        Arc::new($module::DeviceTlb::new(address, $entry))
    }};
}

/// A device is cut off while an attach writes its entry.
macro_rules! cut_off {
    ($module:ident) => {
        crate::check(|| {
            let entry = Arc::new(Entry(AtomicU64::new(0)));
            let tlb = tlb!($module, entry.clone());
            let other = {
                let tlb = tlb.clone();
                loom::thread::spawn(move || tlb.lose())
            };
            entry.0.store(1, Ordering::Relaxed);
            tlb.withdraw_if_lost();
            assert!(other.join().unwrap(), "cut off once");
            assert_eq!(entry.0.load(Ordering::Relaxed), 0, "still present");
        })
    };
}

/// A device is attached, and gets a translation, while that is removed.
macro_rules! flushed {
    ($module:ident) => {
        crate::check(|| {
            let tag = CacheTag::SecondStage(DomainId::new(1));
            let tlb = tlb!($module, Arc::new(Entry(AtomicU64::new(0))));
            let table = Arc::new(AtomicU64::new(7));
            // What the device has cached.
            let cached = Arc::new(Mutex::new(0));
            let other = {
                let (tlb, table, cached) = (tlb.clone(), table.clone(), cached.clone());
                loom::thread::spawn(move || {
                    table.store(0, Ordering::Relaxed);
                    fence(Ordering::SeqCst);
                    if tlb.has(tag) {
                        *cached.lock().unwrap() = 0;
                    }
                })
            };
            assert!(tlb.join(tag));
            {
                let mut cached = cached.lock().unwrap();
                *cached = table.load(Ordering::Relaxed);
            }
            other.join().unwrap();
            assert_eq!(*cached.lock().unwrap(), 0, "not reached");
        })
    };
}

laws! {
    a_device_that_is_cut_off_stays_blocked: device_tlb, cut_off;
    a_mark_after_the_withdrawal_is_noticed: device_tlb_withdrawn_before_marked, "still present";
    a_missing_fence_is_noticed: device_tlb_no_fence_before_withdrawal, "still present";
    a_missing_fence_before_the_look_is_noticed: device_tlb_no_fence_before_look, "still present";
    an_entry_that_is_not_withdrawn_again_is_noticed: device_tlb_not_withdrawn_again, "still present";
}

laws! {
    a_flush_reaches_the_device: device_tlb, flushed;
    a_weak_join_is_noticed: device_tlb_weak_join, "not reached";
}
