// SPDX-License-Identifier: GPL-2.0

//! The operations of a driver: its devices, and the domains that need no page tables.

use super::answers::{Capability, DefaultDomain, HardwareInfo};
use super::change::Change;
use super::context::{attach, with_device, Context, DeviceData};
use super::domain::{NewPaging, Paging, PagingDomain, Tables, NO_DOMAIN_OPS};
use super::group::Group;
use super::region::Regions;
use super::unit::Unit;
use crate::bindings;
use crate::device::Device;
use crate::errno::eopnotsupp;
use core::ffi::c_void;
use core::pin::Pin;
use core::ptr;
use kernel::prelude::*;
use kernel::sync::{Arc, UniqueArc};

/// The answer to a probe.
pub struct Probed<D: Driver> {
    /// The unit that serves the device; it must be [listed](Unit::is_listed).
    pub unit: Arc<Unit<D, D::UnitData>>,
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
    type Paging: Paging<Driver = Self>;

    /// Returns a static of the module, always the same one.
    fn context() -> &'static Context<Self>;

    /// Returns the unit that serves `dev`, and what the driver keeps for it (`probe_device`).
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if no unit serves it; any other error undoes a registration.
    fn probe(&self, dev: &Device) -> Result<Probed<Self>>;

    /// A probed device is to be a member of `group`. An error undoes the probe. The last chance for
    /// it to need memory: the core cannot cope with a first attach that fails.
    fn joins(&self, data: &Self::Device, group: Group) -> Result;

    /// The device leaves for good.
    fn release(&self, dev: &Device, data: &Self::Device);

    /// Whether `capability` holds for the device.
    fn capable(&self, data: &Self::Device, capability: Capability) -> bool;

    /// What a user may know of the hardware.
    fn hardware_info(&self, data: &Self::Device) -> HardwareInfo;

    /// Which default domain the device needs.
    fn default_domain(&self, dev: &Device, data: &Self::Device) -> DefaultDomain;

    /// Tells the device's reserved regions. Cannot fail: what the core is not told of is free.
    fn regions(&self, dev: &Device, data: &Self::Device, regions: Pin<&mut Regions>);

    /// Makes a paging domain that suits the device.
    fn alloc_paging(&self, dev: &Device, data: &Self::Device) -> Result<NewPaging<Self::Paging>>;

    /// Lets the device reach all of memory.
    fn attach_identity(&self, dev: &Device, data: &Self::Device, change: &Change) -> Result;

    /// Blocks the device. Must not fail unless the hardware does.
    fn attach_blocked(&self, dev: &Device, data: &Self::Device, change: &Change) -> Result;
}

/// A driver whose units can be registered; new devices are offered to it while this lives.
///
/// # Invariants
///
/// `context` offers devices to `_driver`, and its operations are filled in.
pub struct Operations<D: Driver> {
    _driver: Arc<D>,
    context: &'static Context<D>,
}

impl<D: Driver> Operations<D> {
    const IDENTITY: bindings::iommu_domain_ops = bindings::iommu_domain_ops {
        attach_dev: Some(Self::attach_identity),
        ..NO_DOMAIN_OPS
    };
    const BLOCKED: bindings::iommu_domain_ops = bindings::iommu_domain_ops {
        attach_dev: Some(Self::attach_blocked),
        ..NO_DOMAIN_OPS
    };

    /// Offers new devices to `driver`; a device that it probes holds `module`.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] while another driver has the [context](Driver::context); [`ENOMEM`].
    pub fn new(driver: Arc<D>, module: &'static ThisModule) -> Result<Arc<Self>> {
        let static_domain =
            |kind: u32, ops: &'static bindings::iommu_domain_ops| bindings::iommu_domain {
                type_: kind,
                ops,
                ..Default::default()
            };
        let domains = [
            static_domain(bindings::__IOMMU_DOMAIN_PT, &Self::IDENTITY),
            static_domain(bindings::IOMMU_DOMAIN_BLOCKED, &Self::BLOCKED),
        ];
        let table = bindings::iommu_ops {
            capable: Some(Self::capable),
            hw_info: Some(Self::hw_info),
            domain_alloc_paging_flags: Some(Self::alloc_paging),
            probe_device: Some(Self::probe),
            release_device: Some(Self::release),
            device_group: Some(Self::group),
            get_resv_regions: Some(Self::regions),
            def_domain_type: Some(Self::default_domain),
            default_domain_ops: &Tables::<D::Paging>::DOMAIN,
            owner: module.as_ptr(),
            // No `release_domain`: for a device with direct mappings the core would take identity in
            // its place. What a device reaches when it is released is the driver's to decide.
            ..Default::default()
        };
        let context = D::context();
        let room = UniqueArc::new_uninit(GFP_KERNEL)?;
        // SAFETY: `driver` is kept until `drop` has withdrawn the offer.
        unsafe { context.offer_to(&driver, table, domains)? };
        // INVARIANT: Offered and filled in just now.
        Ok(room
            .write(Self {
                _driver: driver,
                context,
            })
            .into())
    }

    pub(super) fn table(&self) -> *const bindings::iommu_ops {
        self.context.table().map_or(ptr::null(), ptr::from_ref)
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn probe(dev: *mut bindings::device) -> *mut bindings::iommu_device {
        // SAFETY: The core passes a live device, which has no private data yet.
        match unsafe { Self::probe_device(dev) } {
            Ok(unit) => unit,
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// `dev` must be a live device that is not probed yet; the core's probe lock is held.
    unsafe fn probe_device(dev: *mut bindings::device) -> Result<*mut bindings::iommu_device> {
        let driver = D::context().driver().ok_or(ENODEV)?;
        let room = KBox::<DeviceData<D>>::new_uninit(GFP_KERNEL)?;
        // SAFETY: A live device by this function's contract.
        let device = unsafe { Device::from_raw(dev) };
        let Probed { unit, data } = driver.probe(device)?;
        if !unit.is_listed() {
            // The core would follow its operations, and has none.
            driver.release(device, &data);
            return Err(ENODEV);
        }
        let raw = unit.as_raw();
        let probed = room.write(DeviceData {
            driver,
            data,
            _unit: unit,
        });
        // SAFETY: By this function's contract.
        unsafe { DeviceData::attach_to(probed, dev) };
        Ok(raw)
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn release(dev: *mut bindings::device) {
        // SAFETY: The core releases a live device.
        unsafe {
            if let Some(probed) = DeviceData::<D>::take_from(dev) {
                probed.driver.release(Device::from_raw(dev), &probed.data);
            }
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn group(dev: *mut bindings::device) -> *mut bindings::iommu_group {
        // SAFETY: Only PCI devices are probed (see `vtd_helper_dev_is_pci`); others get a group of
        // their own. The core asks after the probe; a group that it is not given is put.
        unsafe {
            let group = if bindings::vtd_helper_dev_is_pci(dev) {
                bindings::pci_device_group(dev)
            } else {
                bindings::generic_device_group(dev)
            };
            let Ok(valid) = kernel::error::from_err_ptr(group) else {
                return group;
            };
            let joins = |driver: &D, _: &Device, data: &D::Device| {
                driver.joins(data, Group::get(valid).ok_or(ENODEV)?)
            };
            match with_device::<D, _>(dev, joins) {
                Some(Err(e)) => {
                    bindings::iommu_group_put(valid);
                    e.to_ptr()
                }
                _ => group,
            }
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn capable(dev: *mut bindings::device, what: bindings::iommu_cap) -> bool {
        let what = match what {
            bindings::iommu_cap_IOMMU_CAP_CACHE_COHERENCY => Capability::CacheCoherency,
            bindings::iommu_cap_IOMMU_CAP_PRE_BOOT_PROTECTION => Capability::PreBootProtection,
            bindings::iommu_cap_IOMMU_CAP_ENFORCE_CACHE_COHERENCY => {
                Capability::EnforceCacheCoherency
            }
            bindings::iommu_cap_IOMMU_CAP_DEFERRED_FLUSH => Capability::DeferredFlush,
            _ => return false,
        };
        // SAFETY: The core asks about devices that this driver probed.
        unsafe { with_device::<D, _>(dev, |d, _, data| d.capable(data, what)) }.unwrap_or(false)
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn hw_info(
        dev: *mut bindings::device,
        length: *mut u32,
        kind: *mut bindings::iommu_hw_info_type,
    ) -> *mut c_void {
        // SAFETY: The core asks about devices that this driver probed.
        let info = unsafe { with_device::<D, _>(dev, |d, _, data| d.hardware_info(data)) };
        let Some(info) = info else {
            return ENODEV.to_ptr();
        };
        // SAFETY: The core passes places for the answer; `kind` holds what is asked for, 0 for
        // whatever there is.
        unsafe {
            if *kind != 0 && *kind != info.kind {
                return eopnotsupp().to_ptr();
            }
            match KBox::new(info.words, GFP_KERNEL) {
                Ok(words) => {
                    *kind = info.kind;
                    *length = size_of_val(&info.words) as u32;
                    // The core frees it with kfree().
                    KBox::into_raw(words).cast()
                }
                Err(_) => ENOMEM.to_ptr(),
            }
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn default_domain(dev: *mut bindings::device) -> i32 {
        // SAFETY: The core asks about devices that this driver probed.
        let wanted =
            unsafe { with_device::<D, _>(dev, |d, dev, data| d.default_domain(dev, data)) };
        match wanted {
            Some(DefaultDomain::StrictDma) => {
                (bindings::__IOMMU_DOMAIN_PAGING | bindings::__IOMMU_DOMAIN_DMA_API) as i32
            }
            Some(DefaultDomain::LazyDma) => {
                (bindings::__IOMMU_DOMAIN_PAGING
                    | bindings::__IOMMU_DOMAIN_DMA_API
                    | bindings::__IOMMU_DOMAIN_DMA_FQ) as i32
            }
            Some(DefaultDomain::Identity) => bindings::__IOMMU_DOMAIN_PT as i32,
            Some(DefaultDomain::AsChosen) | None => 0,
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn regions(dev: *mut bindings::device, list: *mut bindings::list_head) {
        // SAFETY: The core passes a device that this driver probed and its own list.
        unsafe {
            with_device::<D, _>(dev, |d, dev, data| {
                d.regions(dev, data, Regions::from_raw(list))
            })
        };
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn alloc_paging(
        dev: *mut bindings::device,
        flags: u32,
        user_data: *const bindings::iommu_user_data,
    ) -> *mut bindings::iommu_domain {
        if flags != 0 || !user_data.is_null() {
            return eopnotsupp().to_ptr();
        }
        // SAFETY: The core passes a device that this driver probed, and which holds the module.
        let new = unsafe { with_device::<D, _>(dev, |d, dev, data| d.alloc_paging(dev, data)) };
        let domain = new.unwrap_or(Err(ENODEV)).and_then(|new| {
            let module = D::context().table().ok_or(ENODEV)?.owner;
            // SAFETY: This module, which the device holds.
            unsafe { PagingDomain::create(new, module) }
        });
        match domain {
            Ok(domain) => domain,
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn attach_identity(
        domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        // SAFETY: The core passes live domains and a device that this driver probed.
        unsafe { Self::attach_without_tables(dev, old, domain, D::attach_identity) }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn attach_blocked(
        domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        // SAFETY: The core passes live domains and a device that this driver probed.
        unsafe { Self::attach_without_tables(dev, old, domain, D::attach_blocked) }
    }

    /// # Safety
    ///
    /// As for [`attach`].
    unsafe fn attach_without_tables(
        dev: *mut bindings::device,
        old: *mut bindings::iommu_domain,
        new: *mut bindings::iommu_domain,
        f: fn(&D, &Device, &D::Device, &Change) -> Result,
    ) -> i32 {
        // SAFETY: By this function's contract.
        unsafe { attach::<D>(dev, old, new, f) }
    }
}

impl<D: Driver> Drop for Operations<D> {
    fn drop(&mut self) {
        self.context.withdraw();
    }
}

/// Whether the user asked for pass-through by default (`iommu.passthrough=1`, `iommu=pt`).
pub fn user_chose_passthrough() -> bool {
    // SAFETY: Has no preconditions.
    unsafe { bindings::iommu_default_passthrough() }
}
