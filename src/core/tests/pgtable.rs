// SPDX-License-Identifier: GPL-2.0

//! Tests of page tables.

mod pgtable_arena;
mod pgtable_counts;
mod pgtable_edges;
mod pgtable_first_stage;
mod pgtable_gather;
mod pgtable_memory;
mod pgtable_model;
mod pgtable_random;
mod pgtable_threads;
mod pgtable_trace;
mod pgtable_walker;

use pgtable_model::Page;
use vtd_core::pgtable::Geometry;
use vtd_core::spec::level::AddressWidth;

/// A unit with all features: the widest of QEMU's, with large pages and snoop control.
const FULL: Geometry = Geometry {
    width: AddressWidth::Bits48,
    input_bits: 48,
    output_bits: 46,
    large_2m: true,
    large_1g: true,
    snoop_control: true,
};

/// Memory at `phys` for reading and writing; the model chooses `bytes`.
const fn rw(phys: u64) -> Page {
    Page {
        bytes: 0,
        phys,
        read: true,
        write: true,
        snoop: false,
    }
}
