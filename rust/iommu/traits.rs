// SPDX-License-Identifier: GPL-2.0

//! What a driver implements: [`Driver`] for its devices, [`Paging`] for domains with page tables,
//! and what these take and return.
//!
//! Methods have the names of the C operations that they stand for (`include/linux/iommu.h`).

use super::attach_args::AttachArgs;
use super::gather::Gather;
use super::group::Group;
use super::held::Held;
use super::region::Regions;
use super::slot::DriverSlot;
use super::unit::Unit;
use crate::bindings;
use crate::device::Device;
use crate::pages::{Charge, Gfp, NumaNode};
use core::pin::Pin;
use kernel::prelude::*;
use kernel::sync::Arc;

/// What the core may ask about a device (`enum iommu_cap`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// DMA is coherent with processor caches.
    CacheCoherency,
    /// Firmware used the unit before the system started, and asks for the same.
    PreBootProtection,
    /// A domain can force the device's accesses to snoop.
    EnforceCacheCoherency,
    /// Unmapping does not flush by itself.
    DeferredFlush,
}

/// The default domain that a driver asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DefaultDomain {
    /// Any: the user's choice holds.
    Any,
    /// The DMA API with strict flushing, and nothing else.
    StrictDma,
    /// The DMA API with deferred flushing.
    LazyDma,
    /// One to one.
    Identity,
}

/// What iommufd reports to a user of the hardware behind a device.
pub struct HardwareInfo {
    /// `enum iommu_hw_info_type` of the user-space interface.
    pub kind: u32,
    /// The structure of that type, in words.
    pub words: [u64; 3],
}

/// What a mapping permits: the core's bits.
#[derive(Clone, Copy)]
pub struct Protection(pub(super) u32);

impl Protection {
    /// Returns whether the device may read.
    #[inline(always)]
    pub fn read(self) -> bool {
        self.0 & bindings::IOMMU_READ != 0
    }

    /// Returns whether the device may write.
    #[inline(always)]
    pub fn write(self) -> bool {
        self.0 & bindings::IOMMU_WRITE != 0
    }
}

/// The addresses that a domain can translate.
pub struct Aperture {
    /// Highest IOVA, inclusive.
    pub last: u64,
    /// Bit mask of page sizes in bytes.
    pub page_sizes: u64,
}

/// A domain with page tables.
///
/// Map, unmap, flush and sync are called in any context and by several threads concurrently; that
/// ranges of concurrent maps and unmaps do not overlap is what [`Held`] stands for.
pub trait Paging: Send + Sync + Sized + 'static {
    /// What the driver keeps for each device, see [`Driver::Device`].
    type Device: Send + Sync + 'static;

    /// Its tables. They lie in the core's domain, so that a [`Held`] range is one of these and of
    /// no other domain's.
    type Tables: Send + Sync + 'static;

    /// Lets `dev` use this domain instead of the one it uses now.
    ///
    /// # Errors
    ///
    /// Any; it has changed nothing then.
    ///
    /// # Context
    ///
    /// The core holds the mutex of the device's group; may sleep.
    fn attach_dev(&self, dev: &Device, data: &Self::Device, args: &AttachArgs) -> Result;

    /// Maps the range to `phys`; all of it, or an error and nothing. Any context; sleeps only if
    /// `gfp` lets it.
    fn map_range(
        &self,
        range: Held<'_, Self::Tables>,
        phys: u64,
        prot: Protection,
        gfp: Gfp,
    ) -> Result;

    /// Unmaps up to the whole range from its start on, and adds to `gather` what to invalidate.
    /// Returns how many bytes were unmapped; the first hole ends it. Any context.
    fn unmap_range(&self, range: Held<'_, Self::Tables>, gather: Pin<&mut Gather>) -> u64;

    /// Invalidates every translation of the domain. Any context.
    fn flush_iotlb_all(&self);

    /// Invalidates what `gather` holds. When it returns, memory and tables are reused. Any context.
    fn iotlb_sync(&self, gather: Pin<&mut Gather>);

    /// Makes hardware see new mappings, where it does not by itself. Any context.
    ///
    /// # Errors
    ///
    /// Any; the core then unmaps the range.
    fn iotlb_sync_map(&self, iova: u64, len: u64) -> Result;

    /// Returns the physical address that the start of the range, one byte, is mapped to. Any
    /// context.
    fn iova_to_phys(&self, byte: &Held<'_, Self::Tables>) -> Option<u64>;

    /// Makes every access snoop, from now on and whatever the device asks. Returns whether it could
    /// be done.
    fn enforce_cache_coherency(&self, tables: &Self::Tables) -> bool;
}

/// A paging domain about to be handed to the core.
pub struct NewPaging<P: Paging> {
    /// The driver's part.
    pub paging: P,
    /// Its tables.
    pub tables: P::Tables,
    /// What it can translate.
    pub aperture: Aperture,
    /// NUMA node of its tables.
    pub node: NumaNode,
    /// Whom what is left to allocate is charged to.
    pub charge: Charge,
}

/// The answer to a probe.
pub struct Probed<D: Driver> {
    /// The unit that serves the device; it must be [listed](Unit::is_listed).
    pub unit: Arc<Unit<D::UnitData>>,
    /// What the driver keeps for the device.
    pub data: Arc<D::Device>,
}

/// An IOMMU driver.
pub trait Driver: Send + Sync + Sized + 'static {
    /// What it keeps for each device behind a unit.
    type Device: Send + Sync + 'static;
    /// What the sysfs attributes of a unit show.
    type UnitData: Send + Sync + 'static;
    /// Its paging domains.
    type Paging: Paging<Device = Self::Device>;

    /// Returns a static of the module, always the same one.
    fn slot() -> &'static DriverSlot<Self>;

    /// Returns the unit that serves `dev`, and what the driver keeps for it.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if no unit serves it; any other error undoes a registration.
    ///
    /// # Context
    ///
    /// The core holds the lock of its probes; may sleep.
    fn probe_device(&self, dev: &Device) -> Result<Probed<Self>>;

    /// Accepts a probed device as a member of `group`. The last chance for it to need memory: the
    /// core cannot cope with a first attach that fails.
    ///
    /// # Errors
    ///
    /// Any; it undoes the probe.
    fn device_group(&self, data: &Self::Device, group: Group) -> Result;

    /// Releases the device for good.
    fn release_device(&self, dev: &Device, data: &Self::Device);

    /// Returns whether `capability` holds for the device.
    fn capable(&self, data: &Self::Device, capability: Capability) -> bool;

    /// Returns what a user may know of the hardware.
    fn hw_info(&self, data: &Self::Device) -> HardwareInfo;

    /// Returns which default domain the device needs. The core holds the mutex of its group.
    fn def_domain_type(&self, dev: &Device, data: &Self::Device) -> DefaultDomain;

    /// Adds the device's reserved regions to `regions`. Cannot fail: what the core does not know of
    /// is free.
    fn get_resv_regions(&self, dev: &Device, data: &Self::Device, regions: Pin<&mut Regions>);

    /// Makes a paging domain that suits the device.
    ///
    /// # Errors
    ///
    /// Any; the caller of the core gets it.
    fn domain_alloc_paging(
        &self,
        dev: &Device,
        data: &Self::Device,
    ) -> Result<NewPaging<Self::Paging>>;

    /// Lets the device reach all of memory. As [`Paging::attach_dev`].
    fn attach_identity(&self, dev: &Device, data: &Self::Device, args: &AttachArgs) -> Result;

    /// Blocks the device. As [`Paging::attach_dev`], but must not fail unless the hardware does.
    fn attach_blocked(&self, dev: &Device, data: &Self::Device, args: &AttachArgs) -> Result;
}
