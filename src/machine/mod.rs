// SPDX-License-Identifier: GPL-2.0

//! The machine: its units, the devices behind them, its domains, and look-ups among these. A load
//! fills it; reports and the driver read it.

mod observer;
mod requesters;

pub(crate) use observer::DeviceObserver;
pub(crate) use requesters::RequesterUsers;

use crate::device::ownership::Ownership;
use crate::device::{AccessControl, Chipset, DeviceInfo, PciPath, UntranslatedDevices};
use crate::domain::Domains;
use crate::unit::{SuspendState, Unit};
use core::sync::atomic::AtomicBool;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use kernel_ext::acpi;
use kernel_ext::iommu;
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::memory;
use vtd_core::bring_up::BringUpStep;
use vtd_core::dmar::{CheckedDmar, Dmar};
use vtd_core::pgtable::output_bits;

/// A unit, and how the core knows it.
pub(crate) struct ServedUnit {
    /// The hardware.
    pub(crate) unit: Arc<Unit>,
    /// Its registration.
    pub(crate) iommu_device: Arc<iommu::Unit<Unit>>,
    pub(crate) saved: Pin<KBox<IrqSpinLock<Option<SuspendState>>>>,
}

impl ServedUnit {
    /// Before a sleep. One CPU, interrupts off. A unit that does not translate stays as it is.
    pub(crate) fn suspend(&self) {
        if self.iommu_device.is_listed() || self.unit.is_translating() {
            let saved = self.unit.suspend();
            self.saved.with(|slot| *slot = Some(saved));
        }
    }

    /// After a sleep, a step to bring the unit up again. One CPU, interrupts off.
    pub(crate) fn resume_step(&self, step: BringUpStep) {
        self.saved.with(|saved| {
            if let Some(saved) = saved {
                self.unit.resume_step(saved, step);
            }
        })
    }

    /// After a sleep, when the steps were taken for all units. One CPU, interrupts off.
    pub(crate) fn resume(&self) {
        if let Some(saved) = self.saved.with(Option::take) {
            self.unit.resume(&saved);
        }
    }
}

/// The driver.
///
/// # Invariants
///
/// `table` was parsed without an error when the driver was loaded; `checked` came of it.
#[pin_data]
pub(crate) struct Machine {
    pub(crate) table: acpi::Table,
    pub(crate) checked: CheckedDmar,
    pub(crate) chipset: Chipset,
    pub(crate) units: KVec<ServedUnit>,
    pub(crate) ownership: Arc<Ownership>,
    /// The devices that no unit translates.
    pub(crate) untranslated: Arc<UntranslatedDevices>,
    /// All paging domains.
    pub(crate) domains: Arc<Domains>,
    /// Whether the user chose deferred flushing for trusted devices.
    pub(crate) lazy: bool,
    pub(crate) loading: AtomicBool,
    pub(crate) unloading: AtomicBool,
    pub(crate) access_control: Arc<AccessControl>,
    /// Taken while drivers must not be bound: at load and when leaving.
    #[pin]
    pub(crate) gate: Mutex<()>,
    /// By [`DeviceInfo::location`]; behind a volume management device several have the same, and the
    /// first that was probed comes first.
    #[pin]
    pub(crate) devices: Mutex<KVec<Arc<DeviceInfo>>>,
    /// Is notified of devices that appear and are removed.
    pub(crate) observer: Arc<dyn DeviceObserver>,
    /// Whether the files for tests work.
    pub(crate) test_hooks: bool,
}

impl Machine {
    /// The DMAR table.
    pub(crate) fn dmar(&self) -> Dmar<'_> {
        self.checked.table(self.table.bytes())
    }

    /// Bits of physical address that tables may hold.
    pub(crate) fn host_bits(&self) -> u32 {
        output_bits(self.dmar().host_bits(), memory::physical_bits())
    }

    /// Whether the user chose deferred flushing when the driver was loaded.
    pub(crate) fn is_lazy(&self) -> bool {
        self.lazy
    }

    /// All units.
    pub(crate) fn units(&self) -> impl Iterator<Item = &ServedUnit> + Clone {
        self.units.iter()
    }

    /// The unit that serves the device at the end of `chain`; [`ENODEV`] if none does.
    pub(crate) fn unit_of(&self, chain: &PciPath) -> Result<&ServedUnit> {
        let drhd = self.chipset.unit_for(&self.dmar(), chain).ok_or(ENODEV)?;
        let base = drhd.register_base.raw();
        self.units
            .iter()
            .find(|served| served.unit.register_base() == base)
            .ok_or(ENODEV)
    }

    /// Calls `f` with every device behind a unit. May sleep.
    pub(crate) fn for_each_device(&self, mut f: impl FnMut(&DeviceInfo)) {
        for info in self.devices.lock().iter() {
            f(info)
        }
    }

    /// The first device whose number is `number` or above. May sleep.
    pub(crate) fn device_from(&self, number: u64) -> Option<Arc<DeviceInfo>> {
        let devices = self.devices.lock();
        let found = devices.iter().filter(|info| info.number >= number);
        found.min_by_key(|info| info.number).cloned()
    }

    /// The members of a group, or the devices that are in none yet. [`ENOMEM`]. May sleep.
    pub(crate) fn members_of(&self, group: Option<u64>) -> Result<KVec<Arc<DeviceInfo>>> {
        let mut members = KVec::new();
        for info in self.devices.lock().iter() {
            if info.state.lock().group_id().map(u64::from) == group {
                members.push(info.clone(), GFP_KERNEL)?;
            }
        }
        Ok(members)
    }

    /// The lowest group above `group`. May sleep.
    pub(crate) fn next_group(&self, group: Option<u64>) -> Option<u64> {
        let devices = self.devices.lock();
        let groups = devices
            .iter()
            .filter_map(|info| info.state.lock().group_id().map(u64::from));
        groups.filter(|other| Some(*other) > group).min()
    }

    /// Whether the group of a device has a member whose default domain is identity whatever was
    /// chosen: so it is for all of them. Context as below.
    pub(crate) fn has_identity_sibling(&self, data: &DeviceInfo) -> bool {
        let group = data.state.lock().group_id();
        let devices = self.devices.lock();
        let mut identity = devices.iter().filter(|info| info.identity_reason.is_some());
        identity.any(|info| info.state.lock().group_id() == group)
    }

    /// Whether the group of a device has a member that is not trusted: all of it has one domain,
    /// and the core refuses a whole unit if the answers for a group differ. May sleep; the core
    /// holds the group's mutex.
    pub(crate) fn has_untrusted_sibling(&self, data: &DeviceInfo) -> bool {
        let group = data.state.lock().group_id();
        self.devices
            .lock()
            .iter()
            .any(|info| info.untrusted && info.state.lock().group_id() == group)
    }

    /// Whether a device is still behind `unit`. May sleep.
    pub(crate) fn has_devices(&self, unit: &Arc<Unit>) -> bool {
        let devices = self.devices.lock();
        devices.iter().any(|info| Arc::ptr_eq(&info.unit, unit))
    }

    /// Puts a device among the others. [`ENODEV`] if its unit is not registered any more: with the
    /// list locked, so that whoever has unregistered a unit finds each of its devices there.
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
