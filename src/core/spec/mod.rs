// SPDX-License-Identifier: GPL-2.0

//! Types of the VT-d specification: registers, table entries, descriptors and
//! fault records.
//!
//! This module does not access hardware. An encoder builds each value that software writes, and
//! refuses what the field cannot hold. A decoder does not trust a value that hardware wrote.
//! Section numbers and names are those of the specification's revision 4.x. Older revisions number
//! the register chapter 10 instead of 11, and call "second-stage" "second-level".

pub(crate) mod bits;

pub mod address;
pub mod capability;
pub mod command;
pub mod context;
pub mod context_lookup;
pub mod descriptor;
pub mod fault;
pub mod first_stage;
pub mod interrupt;
pub mod invalidation;
pub mod level;
pub mod pasid;
pub mod pte;
pub mod queue;
pub mod registers;
pub mod root;
pub mod scalable_context;
pub mod scope;
pub mod status;
