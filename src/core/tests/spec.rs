// SPDX-License-Identifier: GPL-2.0

//! Tests of the specification's types against values computed by hand.
//!
//! Two implementations of the specification agree on the bits of the values:
//! drivers/iommu/intel/iommu.h of Linux and hw/i386/intel_iommu_internal.h of QEMU.

mod spec_capability;
mod spec_entries;
mod spec_fault;
mod spec_first_stage;
mod spec_interrupt;
mod spec_invalidate;
mod spec_machines;
mod spec_registers;
mod spec_scalable;
mod spec_stages;
