// SPDX-License-Identifier: GPL-2.0

//! Reserved regions of a device.
//!
//! They are found once, when the device is probed, which can fail. The core asks for them again and
//! again and has no way to be told that memory ran out: a region that was missing then would make a
//! device that firmware goes on to use look like one that can be given to a user.

use super::topology::PciPath;
use kernel::prelude::*;
use kernel_ext::iommu::RegionKind;
use kernel_ext::pci::PciDevice;
use vtd_core::dmar::Dmar;

/// Writes in this window are interrupt requests (VT-d 3.14) and are never translated.
pub(crate) const MSI_WINDOW: (u64, u64) = (0xfee0_0000, 0x10_0000);

/// What an ISA bridge's devices may reach by themselves: 24 address lines. Not the first page, which
/// the kernel gives to nobody (and its own check of mappings takes address 0 for an error).
const ISA_WINDOW: (u64, u64) = (0x1000, (1 << 24) - 0x1000);

/// Whether they do: the kernel's floppy driver gives them physical addresses, past the DMA API.
/// Where it is not built, the window would only open the kernel's lowest memory to a bridge.
const ISA_WINDOW_IS_USED: bool = cfg!(CONFIG_BLK_DEV_FD);

const CLASS_ISA_BRIDGE: u32 = 0x0601;
const CLASS_USB: u32 = 0x0c03;
const BASE_CLASS_DISPLAY: u32 = 0x03;

/// One region.
pub(crate) struct ReservedRegion {
    /// Its first byte.
    pub(crate) start: u64,
    /// How many bytes it has.
    pub(crate) bytes: u64,
    /// What it is for.
    pub(crate) kind: RegionKind,
}

/// The regions of `pci`, to which `path` leads. [`ENOMEM`].
pub(super) fn reserved_regions_of(
    dmar: &Dmar<'_>,
    pci: &PciDevice,
    path: &PciPath,
) -> Result<KVec<ReservedRegion>> {
    let properties = pci.properties();
    let class = properties.class;
    let mut regions = KVec::new();
    let mut add =
        |start, bytes, kind| regions.push(ReservedRegion { start, bytes, kind }, GFP_KERNEL);
    // Firmware knows physical functions only, and what it does, it does with those.
    let has_rmrrs = !properties.is_virtual_function;
    for rmrr in dmar
        .regions_for(path.segment, &path.functions)
        .filter(|_| has_rmrrs)
    {
        // What firmware does with these two ends when their driver takes over.
        let relaxable = class >> 8 == CLASS_USB || class >> 16 == BASE_CLASS_DISPLAY;
        let kind = if relaxable {
            RegionKind::DirectRelaxable
        } else {
            RegionKind::Direct
        };
        add(rmrr.base.raw(), rmrr.bytes(), kind)?;
    }
    if ISA_WINDOW_IS_USED && class >> 8 == CLASS_ISA_BRIDGE {
        add(ISA_WINDOW.0, ISA_WINDOW.1, RegionKind::DirectRelaxable)?;
    }
    add(MSI_WINDOW.0, MSI_WINDOW.1, RegionKind::Msi)?;
    Ok(regions)
}
