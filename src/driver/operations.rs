// SPDX-License-Identifier: GPL-2.0

//! The operations of the driver that the IOMMU core calls.

use crate::device::{self, DeviceInfo, PciPath, SharedRecords};
use crate::domain::{DomainPurpose, NewDomainArgs};
use crate::machine::Machine;
use crate::report;
use crate::unit::{Translation, Unit};
use core::pin::Pin;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel_ext::device::Device;
use kernel_ext::iommu::{
    AttachArgs, DefaultDomain, Driver, DriverSlot, Group, HardwareInfo, IommuCapability,
    PagingRequest, Probed, Regions,
};
use kernel_ext::pci::PciDevice;
use kernel_ext::{log_dev_err, log_dev_info, msi};
use vtd_core::quirks::IdentityReason;

/// `IOMMU_HW_INFO_TYPE_INTEL_VTD` of `include/uapi/linux/iommufd.h`.
const HW_INFO_INTEL_VTD: u32 = 1;

impl Machine {
    /// Checks, during load, that no driver was bound to `device` after the preflight.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if one was. The load is then undone, so that the device's DMA continues to work.
    fn refuse_bound(&self, device: &PciDevice) -> Result {
        match device.as_device().driver() {
            Some(driver) if self.loading.load(Ordering::Acquire) && !driver.driver_managed_dma => {
                log_dev_err!(
                    device.as_device(),
                    "{} was bound to driver {} while vtd was loading: not loaded",
                    device.as_device(),
                    driver.name
                );
                Err(EBUSY)
            }
            _ => Ok(()),
        }
    }
}

/// Logs what is special about a device that was probed.
fn log_probed(data: &DeviceInfo) {
    let unit = &*data.unit;
    if let Some(why) = data.identity_reason {
        log_dev_info!(
            data.pci.as_device(),
            "{unit}: {data}: identity domain by default: {why}"
        );
    }
    if data.ats.device().is_some() {
        log_dev_info!(
            data.pci.as_device(),
            "{unit}: {data}: its device-TLB is {}",
            data.ats
        );
    }
}

static SLOT: DriverSlot<Machine> = DriverSlot::new();

impl Driver for Machine {
    type Device = DeviceInfo;
    type UnitData = Unit;

    fn slot() -> &'static DriverSlot<Self> {
        &SLOT
    }

    fn probe_device(&self, dev: &Device) -> Result<Probed<Self>> {
        let pci = PciDevice::try_from(dev)?;
        // Also if it is behind another unit than the bridges above it, or behind none.
        msi::leave_inherited_domain(&pci);
        let path = PciPath::of(&pci)?;
        let served = self.unit_of(&path)?;
        if !served.iommu_device.is_listed() {
            return Err(ENODEV);
        }
        let adopted = &self.untranslated.adopted;
        if adopted.contains(&pci) || adopted.adopt_alias(&pci, &served.unit)? {
            return Err(ENODEV);
        }
        self.refuse_bound(&pci)?;
        let shared = SharedRecords {
            ownership: self.ownership.clone(),
            untranslated: self.untranslated.clone(),
            access_control: self.access_control.clone(),
        };
        let data = device::probe(
            &self.dmar(),
            pci,
            &path,
            served.unit.clone(),
            shared,
            &self.chipset,
            self.ats,
        )?;
        served
            .interrupts
            .add(&data.pci)
            .inspect_err(|_| data.remove_device_tlb())?;
        self.add_device(served, &data).inspect_err(|_| {
            served.interrupts.remove(&data.pci);
            data.remove_device_tlb()
        })?;
        log_probed(&data);
        if self.chipset.relaxes(&path) {
            report::log_relaxed_regions(&data);
        }
        // If its debugfs file cannot be created, the device works without it.
        let _ = self.observer.added(&data);
        Ok(Probed {
            unit: served.iommu_device.clone(),
            data,
        })
    }

    fn device_group(&self, data: &DeviceInfo, group: Group) -> Result {
        data.join_group(group)
    }

    fn release_device(&self, _dev: &Device, data: &DeviceInfo) {
        // The device is still attached to the group's domain, which the core frees next. It is put
        // into pass-through only when the whole driver is unloaded: translation is disabled right
        // after.
        let passes_through = self.is_unloading() && device::pass_through_if_reserved(data);
        device::release(data, passes_through);
        data.remove_device_tlb();
        self.observer.removed(data);
        if let Some(served) = self.served(&data.unit) {
            served.interrupts.remove(&data.pci);
        }
        let mut devices = self.devices.lock();
        if let Some(at) = devices.iter().position(|info| core::ptr::eq(&**info, data)) {
            let _ = devices.remove(at);
        }
    }

    fn capable(&self, data: &DeviceInfo, capability: IommuCapability) -> bool {
        if capability == IommuCapability::CacheCoherency {
            self.explain_siblings(data);
        }
        match capability {
            // On x86, DMA snoops processor caches whatever the unit does.
            IommuCapability::CacheCoherency => true,
            IommuCapability::DeferredFlush => !self.has_ats_sibling(data),
            // Whatever firmware did: from boot until load, devices could reach all of memory.
            IommuCapability::PreBootProtection => false,
            IommuCapability::EnforceCacheCoherency => data.unit.ecap().snoop_control(),
        }
    }

    fn hw_info(&self, data: &DeviceInfo) -> HardwareInfo {
        // struct iommu_hw_info_vtd: flags (none), the two capability registers.
        HardwareInfo {
            kind: HW_INFO_INTEL_VTD,
            words: [0, data.unit.cap().raw(), data.unit.ecap().raw()],
        }
    }

    fn def_domain_type(&self, _dev: &Device, data: &DeviceInfo) -> DefaultDomain {
        let trusted = || !self.has_untrusted_sibling(data);
        if data.untrusted || !data.unit.ecap().pass_through() {
            DefaultDomain::StrictDma
        } else if data.identity_reason == Some(IdentityReason::Required) && trusted() {
            DefaultDomain::Identity
        } else if data.state.lock().in_group_record {
            // Not the first call: the user requests another type through sysfs.
            DefaultDomain::Any
        } else if data.identity_reason.is_some() && trusted() {
            DefaultDomain::Identity
        } else if (self.has_identity_sibling(data) && trusted())
            || kernel_ext::iommu::default_passthrough()
        {
            DefaultDomain::Any
        } else if self.flushing.lazy && trusted() && !self.has_ats_sibling(data) {
            DefaultDomain::LazyDma
        } else {
            DefaultDomain::StrictDma
        }
    }

    fn get_resv_regions(&self, _dev: &Device, data: &DeviceInfo, mut regions: Pin<&mut Regions>) {
        for region in &data.regions {
            regions
                .as_mut()
                .add(region.start, region.bytes, region.kind);
        }
    }

    fn domain_alloc_paging<R: PagingRequest<DeviceInfo>>(
        &self,
        dev: &Device,
        data: &DeviceInfo,
        request: R,
    ) -> Result<R::Domain> {
        // A device that was never attached means that the core allocates the first default domain
        // of its group. A device that a user has was attached to the kernel's domain before.
        let purpose = if data.state.lock().in_group_record {
            DomainPurpose::Other
        } else {
            DomainPurpose::FirstDefault
        };
        let args = NewDomainArgs {
            primary_unit: data.unit.clone(),
            host_bits: self.host_bits(),
            device: dev,
            purpose,
            flushing: self.flushing,
            domains: &self.domains,
        };
        args.create(request)
            .inspect_err(|e| data.explain_no_domain_id(*e))
    }

    fn attach_identity(&self, dev: &Device, data: &DeviceInfo, args: &AttachArgs) -> Result {
        device::attach(dev, data, args, &Translation::PassThrough)
    }

    fn attach_blocked(&self, dev: &Device, data: &DeviceInfo, args: &AttachArgs) -> Result {
        device::attach(dev, data, args, &Translation::Blocked)
    }
}
