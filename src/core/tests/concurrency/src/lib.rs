// SPDX-License-Identifier: GPL-2.0

//! The driver's own files under loom: those of `vtd_core` as they are, and those that
//! `holding_subject.rs` adapts. The tests state what must hold in every order, and which mistakes break
//! it.

#![cfg(test)]
#![allow(dead_code, unused_imports)]
// Functions that are unsafe in the kernel are safe in `shim`.
#![allow(unused_unsafe)]
// The mistakes drop values that they should have kept.
#![allow(dropping_references, unused_mut, unused_variables)]

mod shim;

// What the files of `vtd_core` use of their crate.
use vtd_core::{install, invalidation, pgtable, progress_timeout, spec};

/// The driver's lock-free files as they are.
#[path = "../../../lockless"]
mod lockless {
    /// Loom's atomics.
    pub(crate) mod atomic {
        pub(crate) use crate::shim::atomic::LocklessU64 as AtomicU64;
        pub(crate) use crate::shim::atomic::{fence, AtomicBool, AtomicU32, AtomicU8, Ordering};
    }

    pub(crate) mod device_tlb;
    pub(crate) mod flush_list;
    pub(crate) mod links;
    pub(crate) mod readers;
    pub(crate) mod unit_state;
}

/// The files with locks as they are.
#[path = "../../../concurrent"]
mod concurrent {
    use crate::lockless::atomic;

    pub(crate) mod attach;
    pub(crate) mod attachments;
    pub(crate) mod domain_ids;
    pub(crate) mod group_record;
    pub(crate) mod interrupt_entries;
    pub(crate) mod interrupts;
    pub(crate) mod queue;
    pub(crate) mod register_commands;
}

/// Declares a module for a file of `vtd_core` with each mistake.
macro_rules! mistakes {
    ($($name:ident)+) => {
        use crate::lockless::atomic;
        $(
            mod $name {
                include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
            }
        )+
    };
}

/// Declares a module for the driver's file as it is, and one for each mistake.
macro_rules! subjects {
    ($($name:ident)+) => {$(
        mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        }
    )+};
}

/// Defines one test that the file passes, and for each mistake one test that it fails.
macro_rules! laws {
    ($(#[$known:meta])* $law:ident: $right:ident, $model:ident;
     $($noticed:ident: $wrong:ident, $why:literal;)+) => {
        #[test]
        $(#[$known])*
        fn $law() {
            $model!($right);
        }
        $(
            #[test]
            #[should_panic(expected = $why)]
            fn $noticed() {
                $model!($wrong);
            }
        )+
    };
}

/// Runs a model in every order with at most three preemptions.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

mod attachments;
mod device_tlb;
mod flush_list;
mod group_devices;
mod growth;
mod holding;
mod ids;
mod interrupts;
mod ownership;
mod queue;
mod readers;
mod registers;
mod tables;
mod unit_state;
