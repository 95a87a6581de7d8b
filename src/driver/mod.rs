// SPDX-License-Identifier: GPL-2.0

//! The driver as a whole: load, unload, hot-plug, and the operations that the IOMMU core calls.

mod hot_plug;
mod interrupts;
mod load;
mod operations;
mod options;
mod survey;
mod unload;
mod viability;
mod watch;

pub(crate) use load::Loaded;
pub(crate) use options::LoadOptions;
