// SPDX-License-Identifier: GPL-2.0

//! The machine: its units, the devices behind them, its domains, and look-ups among these. Load
//! fills it; the reports and the driver read it.

mod observer;
mod requesters;

pub(crate) use observer::DeviceObserver;
pub(crate) use requesters::RequesterUsers;

use crate::device::ownership::Ownership;
use crate::device::{
    AccessControl, Chipset, DeviceInfo, DeviceInterrupts, PciPath, UntranslatedDevices,
};
use crate::domain::{Domains, FlushChoice};
use crate::unit::{SuspendState, Unit};
use core::sync::atomic::AtomicBool;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::{Arc, Mutex};
use kernel_ext::acpi;
use kernel_ext::iommu;
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::memory;
use vtd_core::ats_policy::AtsChoice;
use vtd_core::bring_up::BringUpStep;
use vtd_core::dmar::{CheckedDmar, Dmar};
use vtd_core::pgtable::output_bits;

/// A unit that the driver uses, with its registration.
pub(crate) struct ServedUnit {
    /// The hardware.
    pub(crate) unit: Arc<Unit>,
    /// Its registration with the IOMMU core.
    pub(crate) iommu_device: Arc<iommu::IommuUnit<Unit>>,
    /// The interrupts of its devices.
    pub(crate) interrupts: Pin<KBox<DeviceInterrupts>>,
    /// Its state during a system suspend.
    pub(crate) saved: Pin<KBox<IrqSpinLock<Option<SuspendState>>>>,
}

impl ServedUnit {
    /// Saves the unit's state before a system suspend. A unit that is neither registered nor
    /// translating stays as it is.
    ///
    /// # Context
    ///
    /// One CPU, interrupts off.
    pub(crate) fn suspend(&self) {
        if self.iommu_device.is_listed() || self.unit.is_translating() {
            let saved = self.unit.suspend();
            self.saved.with(|slot| *slot = Some(saved));
        }
    }

    /// Takes one step to bring the unit up again after a system suspend. Context as
    /// [`Self::suspend`].
    pub(crate) fn resume_step(&self, step: BringUpStep) {
        self.saved.with(|saved| {
            if let Some(saved) = saved {
                self.unit.resume_step(saved, step);
            }
        })
    }

    /// Restores the unit's state after a system suspend, once the steps were taken for all units.
    /// Context as [`Self::suspend`].
    pub(crate) fn resume(&self) {
        if let Some(saved) = self.saved.with(Option::take) {
            self.unit.resume(&saved);
        }
    }
}

/// All units, devices and domains of this machine.
///
/// # Invariants
///
/// `table` was parsed without an error when the driver was loaded; `checked` is the proof of it.
#[pin_data]
pub(crate) struct Machine {
    pub(crate) table: acpi::AcpiTable,
    pub(crate) checked: CheckedDmar,
    pub(crate) chipset: Chipset,
    pub(crate) units: KVec<ServedUnit>,
    pub(crate) ownership: Arc<Ownership>,
    /// The devices whose DMA no unit translates.
    pub(crate) untranslated: Arc<UntranslatedDevices>,
    /// All paging domains.
    pub(crate) domains: Arc<Domains>,
    /// What the user chose for deferred flushing.
    pub(crate) flushing: FlushChoice,
    /// Which device-TLBs the user wants.
    pub(crate) ats: AtsChoice,
    pub(crate) loading: AtomicBool,
    pub(crate) unloading: AtomicBool,
    pub(crate) access_control: Arc<AccessControl>,
    /// Held while no driver may be bound: at load and at unload.
    #[pin]
    pub(crate) gate: Mutex<()>,
    /// The probed devices, sorted by [`DeviceInfo::location`]. Behind a volume management device
    /// several devices have the same location; these are in the order of their probes.
    #[pin]
    pub(crate) devices: Mutex<KVec<Arc<DeviceInfo>>>,
    /// Is notified of each device that is probed or released.
    pub(crate) observer: Arc<dyn DeviceObserver>,
    /// Whether the sysfs files for tests accept writes.
    pub(crate) test_hooks: bool,
    /// The module parameters of this load, as text.
    pub(crate) parameters: CString,
}

impl Machine {
    /// Returns the DMAR table.
    pub(crate) fn dmar(&self) -> Dmar<'_> {
        self.checked.table(self.table.bytes())
    }

    /// Returns how many bits of physical address page tables may hold.
    pub(crate) fn host_bits(&self) -> u32 {
        output_bits(self.dmar().host_bits(), memory::physical_bits())
    }

    /// Returns whether the user chose deferred flushing when the driver was loaded.
    pub(crate) fn is_lazy(&self) -> bool {
        self.flushing.lazy
    }

    /// Returns all units that the driver uses.
    pub(crate) fn units(&self) -> impl Iterator<Item = &ServedUnit> + Clone {
        self.units.iter()
    }

    /// Returns what the driver has for `unit`.
    pub(crate) fn served(&self, unit: &Arc<Unit>) -> Option<&ServedUnit> {
        self.units().find(|served| Arc::ptr_eq(&served.unit, unit))
    }

    /// Returns the unit that the device at the end of `chain` is behind.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if it is behind none, or behind one that is left out.
    pub(crate) fn unit_of(&self, chain: &PciPath) -> Result<&ServedUnit> {
        let drhd = self.chipset.unit_for(&self.dmar(), chain).ok_or(ENODEV)?;
        let base = drhd.register_base.raw();
        self.units
            .iter()
            .find(|served| served.unit.register_base() == base)
            .ok_or(ENODEV)
    }

    /// Returns the unit that is called `name`.
    pub(crate) fn unit_named(&self, name: &str) -> Option<&Unit> {
        let mut units = self.units.iter().map(|served| &*served.unit);
        units.find(|unit| unit.name().to_bytes() == name.as_bytes())
    }

    /// Calls `f` with every device behind a unit.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn for_each_device(&self, mut f: impl FnMut(&DeviceInfo)) {
        for info in self.devices.lock().iter() {
            f(info)
        }
    }

    /// Returns the first device whose number is at least `number`.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn device_from(&self, number: u64) -> Option<Arc<DeviceInfo>> {
        let devices = self.devices.lock();
        let found = devices.iter().filter(|info| info.number >= number);
        found.min_by_key(|info| info.number).cloned()
    }

    /// Returns the members of a group, or with [`None`] the devices that are not in a group yet.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn members_of(&self, group: Option<u64>) -> Result<KVec<Arc<DeviceInfo>>> {
        let mut members = KVec::new();
        for info in self.devices.lock().iter() {
            if info.state.lock().group_id.map(u64::from) == group {
                members.push(info.clone(), GFP_KERNEL)?;
            }
        }
        Ok(members)
    }

    /// Returns the lowest group number above `group`.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn next_group(&self, group: Option<u64>) -> Option<u64> {
        let devices = self.devices.lock();
        let groups = devices
            .iter()
            .filter_map(|info| info.state.lock().group_id.map(u64::from));
        groups.filter(|other| Some(*other) > group).min()
    }

    /// Returns whether the group of a device has a member that gets an identity domain by default,
    /// whatever the user chose. Then all members get one. Context as for
    /// [`Self::has_untrusted_sibling`].
    pub(crate) fn has_identity_sibling(&self, data: &DeviceInfo) -> bool {
        self.has_sibling(data, |info| info.identity_reason.is_some())
    }

    /// Returns whether a member of a device's group uses its device-TLB. The domain of the group is
    /// then strict: nothing may wait for an invalidation that a device does not answer. Context as
    /// for [`Self::has_untrusted_sibling`].
    pub(crate) fn has_ats_sibling(&self, data: &DeviceInfo) -> bool {
        self.has_sibling(data, |info| info.ats.device().is_some())
    }

    /// Returns whether the group of a device has an untrusted member. All members share one default
    /// domain, and the core refuses the whole unit if the driver asks for different types within a
    /// group.
    ///
    /// # Context
    ///
    /// The core holds the group's mutex; may sleep.
    pub(crate) fn has_untrusted_sibling(&self, data: &DeviceInfo) -> bool {
        self.has_sibling(data, |info| info.untrusted)
    }

    /// Returns whether the group of a device has a member for which `is_one` holds.
    fn has_sibling(&self, data: &DeviceInfo, is_one: impl Fn(&DeviceInfo) -> bool) -> bool {
        let group = data.state.lock().group_id;
        let devices = self.devices.lock();
        let mut found = devices.iter().filter(|info| is_one(info));
        found.any(|info| info.state.lock().group_id == group)
    }

    /// Returns whether a probed device is still behind `unit`.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn has_devices(&self, unit: &Arc<Unit>) -> bool {
        let devices = self.devices.lock();
        devices.iter().any(|info| Arc::ptr_eq(&info.unit, unit))
    }

    /// Adds a device to the list. Its unit's registration is checked with the list locked, so that
    /// after a unit was unregistered, the list has each of its devices.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if its unit is not registered any more; [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn add_device(&self, served: &ServedUnit, data: &Arc<DeviceInfo>) -> Result {
        let mut devices = self.devices.lock();
        if !served.iommu_device.is_listed() {
            return Err(ENODEV);
        }
        devices.reserve(1, GFP_KERNEL)?;
        let at = devices.partition_point(|info| info.location() <= data.location());
        devices
            .insert_within_capacity(at, data.clone())
            .map_err(|_| ENOMEM)
    }
}
