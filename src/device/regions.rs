// SPDX-License-Identifier: GPL-2.0

//! The reserved IOVA regions of a device.
//!
//! They are determined once, when the device is probed, because a probe can fail. The core queries
//! them repeatedly, and there is no way to report to it that memory ran out. If a region were
//! missing then, a device that firmware continues to use would look like one that can be given to a
//! user.

use super::topology::PciPath;
use kernel::prelude::*;
use kernel_ext::iommu::RegionKind;
use kernel_ext::pci::PciDevice;
use vtd_core::dmar::Dmar;
use vtd_core::reserved_memory::{is_used_at_run_time, keeps_users_away};

/// Writes to this window are interrupt requests (VT-d 3.14) and are never translated.
pub(crate) const MSI_WINDOW: (u64, u64) = (0xfee0_0000, 0x10_0000);

/// The range that devices behind an ISA bridge can address by themselves: 24 address lines. The
/// first page is excluded: the kernel never allocates it, and its own check of mappings takes
/// address 0 for an error.
const ISA_WINDOW: (u64, u64) = (0x1000, (1 << 24) - 0x1000);

/// Whether devices use [`ISA_WINDOW`]: the kernel's floppy driver bypasses the DMA API and gives
/// them physical addresses. Where that driver is not built, the window would only open the kernel's
/// lowest memory to a bridge.
const ISA_WINDOW_IS_USED: bool = cfg!(CONFIG_BLK_DEV_FD);

const CLASS_ISA_BRIDGE: u32 = 0x0601;
/// The class of USB host controllers.
pub(crate) const CLASS_USB: u32 = 0x0c03;

/// One reserved region.
pub(crate) struct ReservedRegion {
    /// Its first byte.
    pub(crate) start: u64,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// Its kind, as reported to the core.
    pub(crate) kind: RegionKind,
    /// Whether firmware uses it while the system runs.
    pub(crate) in_use: bool,
}

/// Returns the reserved regions of `pci`, whose path is `path`. If it `is_relaxed`, a region that
/// firmware uses does not keep users away.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails.
pub(super) fn reserved_regions_of(
    dmar: &Dmar<'_>,
    pci: &PciDevice,
    path: &PciPath,
    is_relaxed: bool,
) -> Result<KVec<ReservedRegion>> {
    let properties = pci.properties();
    let class = properties.class;
    let mut regions = KVec::new();
    let mut add = |start, bytes, kind, in_use| {
        let region = ReservedRegion {
            start,
            bytes,
            kind,
            in_use,
        };
        regions.push(region, GFP_KERNEL)
    };
    // Firmware lists physical functions only, and uses only those.
    let has_rmrrs = !properties.is_virtual_function;
    for rmrr in dmar
        .regions_for(path.segment, &path.functions)
        .filter(|_| has_rmrrs)
    {
        let kind = if keeps_users_away(class, is_relaxed) {
            RegionKind::Direct
        } else {
            RegionKind::DirectRelaxable
        };
        let in_use = is_used_at_run_time(class);
        add(rmrr.base.raw(), rmrr.bytes(), kind, in_use)?;
    }
    if ISA_WINDOW_IS_USED && class >> 8 == CLASS_ISA_BRIDGE {
        add(
            ISA_WINDOW.0,
            ISA_WINDOW.1,
            RegionKind::DirectRelaxable,
            false,
        )?;
    }
    add(MSI_WINDOW.0, MSI_WINDOW.1, RegionKind::Msi, false)?;
    Ok(regions)
}
