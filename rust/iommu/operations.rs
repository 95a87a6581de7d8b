// SPDX-License-Identifier: GPL-2.0

//! The C operations of a driver: for devices, and for the domains without page tables.

use super::attach_args::AttachArgs;
use super::callbacks::{attach, with_device, DeviceData};
use super::group::Group;
use super::paging_domain::NO_DOMAIN_OPS;
use super::paging_request::{AllocRequest, NewDomain};
use super::region::Regions;
use super::slot::DriverSlot;
use super::traits::{DefaultDomain, Driver, IommuCapability, Probed};
use super::unit::{OperationTable, OperationsHandle};
use crate::bindings;
use crate::device::Device;
use crate::errno::eopnotsupp;
use core::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::{Arc, UniqueArc};

/// A driver whose units can be registered. While this lives, the driver probes new devices.
///
/// # Invariants
///
/// `slot` offers devices to `_driver`, and its operations are filled in.
pub struct Operations<D: Driver> {
    _driver: Arc<D>,
    slot: &'static DriverSlot<D>,
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

    /// Makes `driver` probe new devices; a device that it probes holds `module`.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] while another driver has the [slot](Driver::slot); [`ENOMEM`] if an allocation
    /// fails.
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
            domain_alloc_paging_flags: Some(Self::domain_alloc_paging_flags),
            probe_device: Some(Self::probe_device),
            release_device: Some(Self::release_device),
            device_group: Some(Self::device_group),
            get_resv_regions: Some(Self::get_resv_regions),
            def_domain_type: Some(Self::def_domain_type),
            // No `default_domain_ops`: each domain comes with the operations of its type.
            owner: module.as_ptr(),
            // No `release_domain`: for a device with direct mappings the core would use identity
            // instead. The driver decides what a device can reach when it is released.
            ..Default::default()
        };
        let slot = D::slot();
        let room = UniqueArc::new_uninit(GFP_KERNEL)?;
        // SAFETY: `driver` is kept until `drop` has withdrawn the offer.
        unsafe { slot.offer_to(&driver, table, domains)? };
        // INVARIANT: Offered and filled in just now.
        Ok(room
            .write(Self {
                _driver: driver,
                slot,
            })
            .into())
    }

    /// Returns a handle to the operations, with which a unit is registered.
    pub fn handle(self: &Arc<Self>) -> OperationsHandle {
        OperationsHandle(self.clone())
    }

    /// Implements `iommu_ops::probe_device`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with a live device that is not probed, with `dev->iommu` allocated
    /// for it and `iommu_probe_device_lock` held; the core holds the module for it.
    unsafe extern "C" fn probe_device(dev: *mut bindings::device) -> *mut bindings::iommu_device {
        // SAFETY: By this function's contract.
        match unsafe { Self::probe(dev) } {
            Ok(unit) => unit,
            Err(e) => e.to_ptr(),
        }
    }

    /// Lets the driver probe `dev`, and returns the unit that it is behind.
    ///
    /// # Safety
    ///
    /// `dev` must be a live device that is not probed yet; the core's probe lock is held.
    unsafe fn probe(dev: *mut bindings::device) -> Result<*mut bindings::iommu_device> {
        let slot = D::slot();
        let driver = slot.driver().ok_or(ENODEV)?;
        let table = slot.table().ok_or(ENODEV)?;
        let room = KBox::<DeviceData<D>>::new_uninit(GFP_KERNEL)?;
        // SAFETY: A live device by this function's contract.
        let device = unsafe { Device::from_raw(dev) };
        let Probed { unit, data } = driver.probe_device(device)?;
        if !unit.is_listed_with(table) {
            // The core would use the operations of that unit: it has none, or they are another
            // driver's, which would misinterpret the data.
            driver.release_device(device, &data);
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

    /// Implements `iommu_ops::release_device`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with a live device that it releases, or whose probe it undoes, at
    /// most once after each successful probe. No callback for the device is running or follows.
    unsafe extern "C" fn release_device(dev: *mut bindings::device) {
        // SAFETY: The core releases a live device.
        unsafe {
            if let Some(probed) = DeviceData::<D>::take_from(dev) {
                probed
                    .driver
                    .release_device(Device::from_raw(dev), &probed.data);
            }
        }
    }

    /// Implements `iommu_ops::device_group`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with a live device that was just probed, with
    /// `iommu_probe_device_lock` held. The core takes over the reference that it is given.
    unsafe extern "C" fn device_group(dev: *mut bindings::device) -> *mut bindings::iommu_group {
        // SAFETY: A live device that was probed; one that is not on the PCI bus gets a separate
        // group. A group that is not returned to the core is put.
        unsafe {
            let group = if bindings::vtd_helper_dev_is_pci(dev) {
                bindings::pci_device_group(dev)
            } else {
                bindings::generic_device_group(dev)
            };
            let Ok(valid) = kernel::error::from_err_ptr(group) else {
                return group;
            };
            let accept = |driver: &D, _: &Device, data: &D::Device| {
                driver.device_group(data, Group::get(valid).ok_or(ENODEV)?)
            };
            match with_device::<D, _>(dev, accept) {
                Some(Err(e)) => {
                    bindings::iommu_group_put(valid);
                    e.to_ptr()
                }
                _ => group,
            }
        }
    }

    /// Implements `iommu_ops::capable`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with a live, probed device.
    unsafe extern "C" fn capable(dev: *mut bindings::device, what: bindings::iommu_cap) -> bool {
        let what = match what {
            bindings::iommu_cap_IOMMU_CAP_CACHE_COHERENCY => IommuCapability::CacheCoherency,
            bindings::iommu_cap_IOMMU_CAP_PRE_BOOT_PROTECTION => IommuCapability::PreBootProtection,
            bindings::iommu_cap_IOMMU_CAP_ENFORCE_CACHE_COHERENCY => {
                IommuCapability::EnforceCacheCoherency
            }
            bindings::iommu_cap_IOMMU_CAP_DEFERRED_FLUSH => IommuCapability::DeferredFlush,
            _ => return false,
        };
        // SAFETY: The core passes a device that this driver probed.
        unsafe { with_device::<D, _>(dev, |d, _, data| d.capable(data, what)) }.unwrap_or(false)
    }

    /// Implements `iommu_ops::hw_info`.
    ///
    /// # Safety
    ///
    /// Called by iommufd with a live, probed device, with room for the length, and with a valid
    /// `kind`, which is 0 for any kind. The caller frees the result with kfree().
    unsafe extern "C" fn hw_info(
        dev: *mut bindings::device,
        length: *mut u32,
        kind: *mut bindings::iommu_hw_info_type,
    ) -> *mut c_void {
        // SAFETY: The core passes a device that this driver probed.
        let info = unsafe { with_device::<D, _>(dev, |d, _, data| d.hw_info(data)) };
        let Some(info) = info else {
            return ENODEV.to_ptr();
        };
        // SAFETY: The core passes room for the result; `kind` is the requested kind, 0 for any.
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

    /// Implements `iommu_ops::def_domain_type`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with a live, probed device, with the mutex of its group held.
    unsafe extern "C" fn def_domain_type(dev: *mut bindings::device) -> i32 {
        // SAFETY: The core passes a device that this driver probed.
        let wanted =
            unsafe { with_device::<D, _>(dev, |d, dev, data| d.def_domain_type(dev, data)) };
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
            Some(DefaultDomain::Any) | None => 0,
        }
    }

    /// Implements `iommu_ops::get_resv_regions`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with a live, probed device and an initialised list of the caller's
    /// own.
    unsafe extern "C" fn get_resv_regions(
        dev: *mut bindings::device,
        list: *mut bindings::list_head,
    ) {
        // SAFETY: The core passes a device that this driver probed and its own list.
        unsafe {
            with_device::<D, _>(dev, |d, dev, data| {
                d.get_resv_regions(dev, data, Regions::from_raw(list))
            })
        };
    }

    /// Implements `iommu_ops::domain_alloc_paging_flags`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core or iommufd with a live, probed device, for which the core holds the
    /// module; `user_data` is null or valid.
    unsafe extern "C" fn domain_alloc_paging_flags(
        dev: *mut bindings::device,
        flags: u32,
        user_data: *const bindings::iommu_user_data,
    ) -> *mut bindings::iommu_domain {
        if flags != 0 || !user_data.is_null() {
            return eopnotsupp().to_ptr();
        }
        let alloc = |driver: &D, dev: &Device, data: &D::Device| {
            let module = D::slot().table().ok_or(ENODEV)?.owner;
            // SAFETY: This module, which the device holds by this function's contract. The driver
            // cannot keep the request for longer, because it must take one with any lifetime.
            let request = unsafe { AllocRequest::<D>::new(module) };
            driver.domain_alloc_paging(dev, data, request)
        };
        // SAFETY: The core passes a device that this driver probed.
        match unsafe { with_device::<D, _>(dev, alloc) } {
            Some(Ok(domain)) => NewDomain::into_raw(domain),
            Some(Err(e)) => e.to_ptr(),
            None => ENODEV.to_ptr(),
        }
    }

    /// Implements `iommu_domain_ops::attach_dev` of the identity domain,
    /// `iommu_ops::identity_domain`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with live domains of this driver (`old` may be null) and a live
    /// device that it probed, with the mutex of the device's group held.
    unsafe extern "C" fn attach_identity(
        domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        // SAFETY: The core passes live domains and a device that this driver probed.
        unsafe { Self::attach_without_tables(dev, old, domain, D::attach_identity) }
    }

    /// Implements `iommu_domain_ops::attach_dev` of the blocked domain,
    /// `iommu_ops::blocked_domain`.
    ///
    /// # Safety
    ///
    /// As for [`Self::attach_identity`].
    unsafe extern "C" fn attach_blocked(
        domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        // SAFETY: The core passes live domains and a device that this driver probed.
        unsafe { Self::attach_without_tables(dev, old, domain, D::attach_blocked) }
    }

    /// Attaches a device to a domain without page tables.
    ///
    /// # Safety
    ///
    /// As for [`attach`].
    unsafe fn attach_without_tables(
        dev: *mut bindings::device,
        old: *mut bindings::iommu_domain,
        new: *mut bindings::iommu_domain,
        f: fn(&D, &Device, &D::Device, &AttachArgs) -> Result,
    ) -> i32 {
        // SAFETY: By this function's contract.
        unsafe { attach::<D>(dev, old, new, f) }
    }
}

impl<D: Driver> OperationTable for Operations<D> {
    fn table(&self) -> Option<&'static bindings::iommu_ops> {
        self.slot.table()
    }
}

impl<D: Driver> Drop for Operations<D> {
    fn drop(&mut self) {
        self.slot.withdraw();
    }
}

/// Returns whether the user chose pass-through by default (`iommu.passthrough=1`, `iommu=pt`).
pub fn default_passthrough() -> bool {
    // SAFETY: Has no preconditions.
    unsafe { bindings::iommu_default_passthrough() }
}
