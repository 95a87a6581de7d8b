// SPDX-License-Identifier: GPL-2.0

//! What the driver's files want of the kernel, made of loom's parts.

pub(crate) mod atomic;
pub(crate) mod clock;
pub(crate) mod lock;
pub(crate) mod pages;
pub(crate) mod prelude;
pub(crate) mod queue_errors;
pub(crate) mod radix;
pub(crate) mod registers;
pub(crate) mod run;
pub(crate) mod steps;
pub(crate) mod unit;
