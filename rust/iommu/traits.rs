// SPDX-License-Identifier: GPL-2.0

//! The traits that a driver implements: [`Driver`] for its devices, [`Paging`] for domains with
//! page tables; and the types of their arguments and results.
//!
//! Methods have the names of the C operations that they implement (`include/linux/iommu.h`).

use super::attach_args::AttachArgs;
use super::gather::Gather;
use super::group::Group;
use super::held::Held;
use super::region::Regions;
use super::slot::DriverSlot;
use super::unit::IommuUnit;
use crate::bindings;
use crate::device::Device;
use crate::pages::{Charge, Gfp, NumaNode};
use core::pin::Pin;
use kernel::prelude::*;
use kernel::sync::Arc;

/// A capability of a device that the core may query (`enum iommu_cap`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum IommuCapability {
    /// DMA is coherent with processor caches.
    CacheCoherency,
    /// Firmware used the unit for DMA protection before boot, and requests that the kernel do so.
    PreBootProtection,
    /// A domain can force the device's accesses to snoop.
    EnforceCacheCoherency,
    /// An unmap does not flush, so the core may defer the flush.
    DeferredFlush,
}

/// The type of default domain that a driver requires for a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DefaultDomain {
    /// Any type; the user's choice decides.
    Any,
    /// The DMA API with strict flushing.
    StrictDma,
    /// The DMA API with deferred flushing.
    LazyDma,
    /// Identity: pass-through.
    Identity,
}

/// The hardware information that iommufd reports to the user of a device.
pub struct HardwareInfo {
    /// `enum iommu_hw_info_type` of the user-space interface.
    pub kind: u32,
    /// The structure of that type, in words.
    pub words: [u64; 3],
}

/// The permissions of a mapping, as the core's bits (`IOMMU_READ`, `IOMMU_WRITE`).
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

/// A domain with page tables. A driver may have several types of them, each with a table of C
/// operations: the core's indirect call selects the code for the domain's tables.
///
/// Map, unmap, flush and sync are called in any context and by several threads concurrently.
/// [`Held`] is the proof that the ranges of concurrent maps and unmaps do not overlap.
pub trait Paging: Send + Sync + Sized + 'static {
    /// The driver's data of each device, see [`Driver::Device`].
    type Device: Send + Sync + 'static;

    /// Its tables. They are part of the core's domain, so that a [`Held`] range belongs to the
    /// tables of exactly this domain.
    type Tables: Send + Sync + 'static;

    /// Attaches `dev` to this domain, instead of the one that it uses now.
    ///
    /// # Errors
    ///
    /// Any; nothing has changed then.
    ///
    /// # Context
    ///
    /// The core holds the mutex of the device's group; may sleep.
    fn attach_dev(&self, dev: &Device, data: &Self::Device, args: &AttachArgs) -> Result;

    /// Maps the whole range to `phys`.
    ///
    /// # Errors
    ///
    /// Any; nothing is mapped then.
    ///
    /// # Context
    ///
    /// Any context; sleeps only if `gfp` allows it.
    fn map_range(
        &self,
        range: Held<'_, Self::Tables>,
        phys: u64,
        prot: Protection,
        gfp: Gfp,
    ) -> Result;

    /// Unmaps the range from its start up to the first hole, and adds what must be invalidated to
    /// `gather`. Returns how many bytes were unmapped.
    ///
    /// # Context
    ///
    /// Any context.
    fn unmap_range(&self, range: Held<'_, Self::Tables>, gather: Pin<&mut Gather>) -> u64;

    /// Invalidates every translation of the domain.
    ///
    /// # Context
    ///
    /// Any context.
    fn flush_iotlb_all(&self);

    /// Invalidates the range of `gather`. After it has returned, the memory and the tables are
    /// reused.
    ///
    /// # Context
    ///
    /// Any context.
    fn iotlb_sync(&self, gather: Pin<&mut Gather>);

    /// Makes a new mapping visible to hardware that may have cached its absence.
    ///
    /// # Errors
    ///
    /// Any; the core then unmaps the range.
    ///
    /// # Context
    ///
    /// Any context.
    fn iotlb_sync_map(&self, iova: u64, len: u64) -> Result;

    /// Returns the physical address that `byte`, a range of one byte, is mapped to.
    ///
    /// # Context
    ///
    /// Any context.
    fn iova_to_phys(&self, byte: &Held<'_, Self::Tables>) -> Option<u64>;

    /// Forces every access of the devices to snoop from now on, whatever the device requests.
    /// Returns whether that was possible.
    fn enforce_cache_coherency(&self, tables: &Self::Tables) -> bool;
}

/// A new paging domain, before it is passed to the core.
pub struct NewPaging<P: Paging> {
    /// The driver's part.
    pub paging: P,
    /// Its tables.
    pub tables: P::Tables,
    /// The addresses that it can translate.
    pub aperture: Aperture,
    /// NUMA node of its tables.
    pub node: NumaNode,
    /// What the memory of the core's structure is charged to.
    pub charge: Charge,
}

/// A request of the core for a paging domain, which the driver answers with a domain of any of its
/// types.
pub trait PagingRequest<Device> {
    /// The domain that was created.
    type Domain;

    /// Creates the core's domain.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails, or [`ENODEV`] while the module is being unloaded.
    ///
    /// # Context
    ///
    /// May sleep.
    fn create<P: Paging<Device = Device>>(self, new: NewPaging<P>) -> Result<Self::Domain>;
}

/// The result of a probe.
pub struct Probed<D: Driver> {
    /// The unit that serves the device; it must be [listed](IommuUnit::is_listed).
    pub unit: Arc<IommuUnit<D::UnitData>>,
    /// The driver's data of the device.
    pub data: Arc<D::Device>,
}

/// An IOMMU driver.
pub trait Driver: Send + Sync + Sized + 'static {
    /// Its data of each device behind a unit.
    type Device: Send + Sync + 'static;
    /// The object that the sysfs attributes of a unit show.
    type UnitData: Send + Sync + 'static;

    /// Returns a static of the module, always the same one.
    fn slot() -> &'static DriverSlot<Self>;

    /// Returns the unit that `dev` is behind, and the driver's data of it.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if it is behind no unit. Any other error makes the core undo the registration of
    /// a unit, if one is in progress.
    ///
    /// # Context
    ///
    /// The core holds the lock of its probes; may sleep.
    fn probe_device(&self, dev: &Device) -> Result<Probed<Self>>;

    /// Accepts a probed device as a member of `group`. Everything that the first attach needs must
    /// be allocated here at the latest: the core does not handle a first attach that fails.
    ///
    /// # Errors
    ///
    /// Any; the core then undoes the probe.
    fn device_group(&self, data: &Self::Device, group: Group) -> Result;

    /// Releases the device; no callback for it follows.
    fn release_device(&self, dev: &Device, data: &Self::Device);

    /// Returns whether `capability` holds for the device.
    fn capable(&self, data: &Self::Device, capability: IommuCapability) -> bool;

    /// Returns the hardware information for a user of the device.
    fn hw_info(&self, data: &Self::Device) -> HardwareInfo;

    /// Returns the type of default domain that the device requires. The core holds the mutex of its
    /// group.
    fn def_domain_type(&self, dev: &Device, data: &Self::Device) -> DefaultDomain;

    /// Adds the device's reserved regions to `regions`. Cannot fail: the core uses every address
    /// that is not reported here.
    fn get_resv_regions(&self, dev: &Device, data: &Self::Device, regions: Pin<&mut Regions>);

    /// Creates the paging domain of `request`, compatible with the device.
    ///
    /// # Errors
    ///
    /// Any; the core returns it to its caller.
    ///
    /// # Context
    ///
    /// May sleep.
    fn domain_alloc_paging<R: PagingRequest<Self::Device>>(
        &self,
        dev: &Device,
        data: &Self::Device,
        request: R,
    ) -> Result<R::Domain>;

    /// Attaches the device to the identity domain, in which it can reach all of memory. As
    /// [`Paging::attach_dev`].
    ///
    /// # Errors
    ///
    /// Any; nothing has changed then.
    fn attach_identity(&self, dev: &Device, data: &Self::Device, args: &AttachArgs) -> Result;

    /// Attaches the device to the blocked domain. As [`Paging::attach_dev`], but must not fail
    /// unless the hardware fails.
    ///
    /// # Errors
    ///
    /// Any, if the hardware fails.
    fn attach_blocked(&self, dev: &Device, data: &Self::Device, args: &AttachArgs) -> Result;
}
