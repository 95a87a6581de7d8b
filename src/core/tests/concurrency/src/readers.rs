// SPDX-License-Identifier: GPL-2.0

//! A report walks the tables while a table is unlinked and freed: no walk reads a freed table.

use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use crate::lockless::readers;
use crate::shim::lock;

mistakes! {
    readers_silent readers_no_fence_before_walk readers_no_fence_before_check readers_no_wait
}

macro_rules! alive {
    ($module:ident) => {
        crate::check(|| {
            let readers = Arc::new(($module::Readers::new(), lock::new((), c"readers")));
            let link = Arc::new(AtomicU64::new(1));
            let is_free = Arc::new(AtomicBool::new(false));
            let unmap = {
                let (readers, link, is_free) = (readers.clone(), link.clone(), is_free.clone());
                move || {
                    link.store(0, Ordering::Relaxed);
                    let (readers, lock) = &*readers;
                    readers.wait(|| lock.with(|()| ()));
                    is_free.store(true, Ordering::Relaxed);
                }
            };
            let other = loom::thread::spawn(unmap);
            for _ in 0..2 {
                let walk = || {
                    if link.load(Ordering::Acquire) != 0 {
                        assert!(!is_free.load(Ordering::Relaxed), "a free table is read");
                    }
                };
                readers.1.with(|()| readers.0.walk(walk));
            }
            other.join().unwrap();
        })
    };
}

laws! {
    no_report_reads_a_table_that_is_free: readers, alive;
    a_walk_that_is_not_announced_is_noticed: readers_silent, "a free table is read";
    a_walk_without_fence_is_noticed: readers_no_fence_before_walk, "a free table is read";
    a_check_for_walks_without_fence_is_noticed: readers_no_fence_before_check, "a free table is read";
    a_missing_wait_is_noticed: readers_no_wait, "a free table is read";
}
