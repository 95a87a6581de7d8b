// SPDX-License-Identifier: GPL-2.0

//! The driver's own files under loom. `build.rs` says which and what is replaced in them; the tests
//! say what must hold, in every order, and which mistakes break it.

#![cfg(test)]
#![allow(dead_code, unused_imports)]
// What is unsafe in the kernel is safe in `shim`.
#![allow(unused_unsafe)]
// Mistakes drop what they should have kept.
#![allow(dropping_references, unused_mut)]

mod shim;

/// The driver's file as it is, and with mistakes; each a module.
macro_rules! subjects {
    ($($name:ident)+) => {$(
        mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        }
    )+};
}

/// One test that the file passes, and one that each mistake fails.
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

/// Tries every order with at most three preemptions.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

mod attachments;
mod growth;
mod ids;
mod ownership;
mod queue;
mod readers;
mod state;
mod tables;
