// SPDX-License-Identifier: GPL-2.0

//! The types of the specification, against values computed by hand.
//!
//! Two readings of the specification agree on the bits that the values are made
//! of: drivers/iommu/intel/iommu.h of Linux and hw/i386/intel_iommu_internal.h of QEMU.

mod spec_capability;
mod spec_entries;
mod spec_fault;
mod spec_invalidate;
mod spec_machines;
mod spec_registers;
