// SPDX-License-Identifier: GPL-2.0

//! Reserved regions of a device.

use super::info::DeviceInfo;
use super::topology::Chain;
use kernel::prelude::*;
use kernel_ext::iommu::{RegionKind, Regions};
use vtd_core::dmar::Dmar;

/// Writes in this window are interrupt requests (VT-d 3.14) and are never translated.
const MSI_WINDOW: (u64, u64) = (0xfee0_0000, 0x10_0000);

/// What an ISA bridge's devices may reach by themselves: 24 address lines.
const ISA_WINDOW: (u64, u64) = (0, 1 << 24);

const CLASS_ISA_BRIDGE: u32 = 0x0601;
const CLASS_USB: u32 = 0x0c03;
const BASE_CLASS_DISPLAY: u32 = 0x03;

/// Tells the regions of the device that `info` describes.
pub(crate) fn regions(dmar: &Dmar<'_>, info: &DeviceInfo, to: &mut Regions) -> Result {
    let facts = info.pci.facts();
    let class = facts.class;
    let chain = Chain::of(&info.pci)?;
    // Firmware knows physical functions only, and what it does, it does with those.
    let named = !facts.is_virtual_function;
    for rmrr in dmar
        .regions_for(chain.segment, &chain.functions)
        .filter(|_| named)
    {
        // What firmware does with these two ends when their driver takes over.
        let relaxable = class >> 8 == CLASS_USB || class >> 16 == BASE_CLASS_DISPLAY;
        let kind = if relaxable {
            RegionKind::DirectRelaxable
        } else {
            RegionKind::Direct
        };
        to.add(rmrr.base.raw(), rmrr.bytes(), kind)?;
    }
    if class >> 8 == CLASS_ISA_BRIDGE {
        to.add(ISA_WINDOW.0, ISA_WINDOW.1, RegionKind::DirectRelaxable)?;
    }
    to.add(MSI_WINDOW.0, MSI_WINDOW.1, RegionKind::Msi)
}
