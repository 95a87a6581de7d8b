// SPDX-License-Identifier: GPL-2.0

//! Types of the VT-d specification: registers, table entries, descriptors and
//! fault records.
//!
//! Nothing in here touches hardware. A value that software writes is built by
//! an encoder that refuses what the field cannot hold; a value that hardware
//! wrote is decoded without trusting it. Section numbers are those of the
//! specification's revision 4.x (older revisions number the register chapter 10
//! instead of 11), whose names are used throughout: "second-stage" is what older text
//! calls "second-level".

pub(crate) mod bits;

pub mod address;
pub mod capability;
pub mod command;
pub mod context;
pub mod context_lookup;
pub mod descriptor;
pub mod fault;
pub mod level;
pub mod pte;
pub mod registers;
pub mod root;
pub mod scope;
pub mod status;
