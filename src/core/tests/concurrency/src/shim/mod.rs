// SPDX-License-Identifier: GPL-2.0

//! The parts of the kernel that the driver's files use, built with loom.

pub(crate) mod atomic;
pub(crate) mod clock;
pub(crate) mod group_unit;
pub(crate) mod hold;
pub(crate) mod late;
pub(crate) mod lock;
pub(crate) mod pages;
pub(crate) mod percpu;
pub(crate) mod prelude;
pub(crate) mod registers;
pub(crate) mod run;
pub(crate) mod steps;
pub(crate) mod table_pages;
pub(crate) mod unit;
