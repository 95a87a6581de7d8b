// SPDX-License-Identifier: GPL-2.0

//! Load: nothing is touched before everything was looked at, and a failure leaves the machine as
//! it was found.

use super::{Served, Vtd};
use crate::device::ownership::Ownership;
use crate::device::preflight::{Bound, Policy};
use crate::device::{AccessControl, Chain, Chipset};
use crate::domain::{Domains, WHAT_LAZY_COSTS};
use crate::report;
use crate::unit::{FaultEvent, Options as UnitOptions, Unit};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc};
use kernel_ext::irq::Interrupt;
use kernel_ext::module::keep_loaded;
use kernel_ext::pci::PciDevice;
use kernel_ext::periodic::Periodic;
use kernel_ext::sysfs::{Group, KernelFolder};
use kernel_ext::{
    acpi, boot, iommu, log_err, log_info, log_warn, notifier, syscore, taint_by_user,
};
use vtd_core::dmar::Dmar;

/// What the user may ask at load.
pub(crate) struct Options {
    /// Of all units.
    pub(crate) unit: UnitOptions,
    /// 0: strict; 1: lazy for trusted devices; otherwise: what the kernel's command line says.
    pub(crate) lazy: i32,
    /// What becomes of devices with drivers: a number of [`Policy`].
    pub(crate) bound: i32,
    /// Which units are left out.
    pub(crate) ignore: &'static str,
    /// Whether the files for tests work.
    pub(crate) test_hooks: bool,
}

/// A loaded driver; unloads when dropped.
///
/// The order of the fields is the order in which they go.
pub(crate) struct Loaded {
    _folder: KernelFolder<Vtd>,
    _debugfs: report::Debugfs,
    _shutdown: Pin<KBox<syscore::Registration<Vtd>>>,
    _running: Running,
}

/// Units that are registered and translate; dropped, they are what they were before.
struct Running {
    _watch: Pin<KBox<Periodic<AccessControl>>>,
    _gate: Pin<KBox<notifier::Registration<Vtd>>>,
    vtd: Arc<Vtd>,
    _interrupts: KVec<Interrupt<FaultEvent<report::Faults>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.vtd.leave();
    }
}

impl Loaded {
    /// Loads the driver. Every error has been explained in the log.
    pub(crate) fn load(module: &'static ThisModule, options: Options) -> Result<Self> {
        Self::load_explained(module, options).inspect_err(|e| {
            if *e == ENOMEM {
                log_err!("not loaded: there is no memory for it. Free some, and load vtd again")
            }
        })
    }

    /// As [`Self::load`], but a lack of memory has not been explained.
    fn load_explained(module: &'static ThisModule, options: Options) -> Result<Self> {
        let table = acpi::Table::find(b"DMAR").inspect_err(|_| {
            log_err!("not loaded: firmware has no DMAR table, so there are no remapping units")
        })?;
        let dmar = Dmar::parse(table.bytes()).map_err(|e| {
            log_err!("not loaded: {e}");
            EINVAL
        })?;
        let checked = dmar.checked();
        dmar.notes(|note| log_info!("DMAR: {note}"));
        let policy = Policy::from_parameter(options.bound)?;
        let mut chipset = Chipset::find(&dmar, options.ignore)?;
        let lazy = chose_lazy(options.lazy)? && !chipset.is_strict();
        let mut units = KVec::new();
        for (index, drhd) in dmar.units().enumerate() {
            let base = drhd.register_base;
            let Some(care) = chipset.care_of(base) else {
                continue;
            };
            let nid = dmar.proximity_of(base).map_or(-1, acpi::node_of_proximity);
            let unit = Unit::bring_up(index, base.raw(), drhd.segment, nid, options.unit, care);
            let unit = match unit {
                Err(ENODEV) => {
                    chipset.leave_out(base);
                    continue;
                }
                unit => unit?,
            };
            let group = Group::new(Some(c"intel-iommu"), report::UNIT_ATTRIBUTES, unit.clone())?;
            let core = iommu::Unit::new(unit.name(), group)
                .inspect_err(|e| not_in_sysfs("an entry in /sys/class/iommu", *e))?;
            report::announce(&unit);
            let saved = KBox::pin_init(
                kernel_ext::new_irq_spinlock!(None, c"vtd saved registers"),
                GFP_KERNEL,
            )?;
            units.push(Served { unit, core, saved }, GFP_KERNEL)?;
        }
        if units.is_empty() {
            log_err!("not loaded: all remapping units are left out");
            return Err(ENODEV);
        }
        let bound = Bound::find(&dmar, &chipset, policy)?;
        let ownership = Ownership::new()?;
        let access_control = AccessControl::new()?;
        let domains = Domains::new()?;
        let translations = report::Translations::new()?;
        let vtd = Arc::pin_init(
            pin_init!(Vtd {
                table,
                checked,
                chipset,
                units,
                ownership,
                domains,
                lazy,
                loading: AtomicBool::new(true),
                leaving: AtomicBool::new(false),
                access_control,
                gate <- new_mutex!((), "vtd gate"),
                devices <- new_mutex!(KVec::new(), "vtd devices"),
                test_hooks: options.test_hooks,
                translations <- translations,
            }),
            GFP_KERNEL,
        )?;
        // All that can fail comes first: once devices are served, their drivers may be bound.
        let debugfs = report::Debugfs::new(&vtd)?;
        let shutdown = KBox::pin_init(syscore::Registration::new(vtd.clone()), GFP_KERNEL)?;
        let attributes = Group::new(None, report::FOLDER, vtd.clone())?;
        let folder = KernelFolder::new(c"vtd", attributes)
            .inspect_err(|e| not_in_sysfs("/sys/kernel/vtd", *e))?;
        let running = Running::start(vtd, module, bound)?;
        if lazy {
            log_warn!("flushes are deferred for all trusted devices, as chosen: {WHAT_LAZY_COSTS}");
            taint_by_user();
        }
        Ok(Loaded {
            _debugfs: debugfs,
            _shutdown: shutdown,
            _folder: folder,
            _running: running,
        })
    }
}

fn not_in_sysfs(at: &str, error: Error) {
    log_err!(
        "not loaded: {at} cannot be made ({}). Another driver may have one of that name",
        error.to_errno()
    )
}

/// Whether the user chose lazy flushing: by the module parameter, or by `iommu.strict=0` on the
/// kernel's command line. A default compiled into the kernel is nobody's choice, as long as nobody
/// writes `auto` to a group's type, which asks for it.
fn chose_lazy(parameter: i32) -> Result<bool> {
    Ok(match parameter {
        0 => false,
        1 => true,
        _ => boot::switch("iommu.strict")? == Some(false),
    })
}

impl Running {
    /// Starts the units, registers them, and only then lets them translate.
    fn start(vtd: Arc<Vtd>, module: &'static ThisModule, mut bound: Bound) -> Result<Self> {
        let gate = KBox::pin_init(notifier::Registration::new(vtd.clone()), GFP_KERNEL)
            .inspect_err(|e| {
                log_err!(
                    "not loaded: the PCI bus tells of no changes ({})",
                    e.to_errno()
                )
            })?;
        let watch = Periodic::start(vtd.access_control.clone());
        let mut running = Running {
            _watch: KBox::pin_init(watch, GFP_KERNEL)?,
            _gate: gate,
            vtd: vtd.clone(),
            _interrupts: KVec::new(),
        };
        let faults = report::Faults::new(vtd.clone())?;
        for served in vtd.units() {
            served.unit.start()?;
            let event = FaultEvent {
                unit: served.unit.clone(),
                sink: faults.clone(),
            };
            let interrupt = Interrupt::request(Arc::new(event, GFP_KERNEL)?, c"vtd-fault", -1)
                .inspect_err(|_| {
                    log_err!("{}: no interrupt could be had for faults", &*served.unit)
                })?;
            running._interrupts.push(interrupt, GFP_KERNEL)?;
            served.unit.drain_faults(&*faults);
        }
        let operations = iommu::Operations::new(vtd.clone(), module)?;
        for device in core::mem::take(&mut bound.adopt) {
            let unit = vtd.unit_of(&Chain::of(&device)?)?.unit.clone();
            vtd.ownership.adopted.adopt(device, &unit)?;
        }
        for device in PciDevice::all() {
            vtd.enable_access_control(&device)?;
            vtd.note_left_out(&device)?;
        }
        // Attached again after the gate was opened, on success and on failure.
        let _released = bound.release();
        // Whoever binds a driver now waits until translation is on: before, the addresses that
        // it would be given mean nothing.
        let closed = vtd.gate.lock();
        if let Err(e) = vtd.serve(&operations) {
            vtd.give_back(&closed);
            return Err(e);
        }
        if vtd.units().any(|served| served.unit.keeps_translation()) {
            keep_loaded(module);
        }
        vtd.loading.store(false, Ordering::Release);
        drop(closed);
        report::summary(&vtd);
        Ok(running)
    }
}

impl Vtd {
    /// Gives the units to the core, and then lets them translate.
    fn serve(&self, operations: &Arc<iommu::Operations<Vtd>>) -> Result {
        for served in self.units() {
            served.core.register(operations.clone()).inspect_err(|e| {
                log_err!(
                    "{}: the IOMMU core refused the unit ({})",
                    &*served.unit,
                    e.to_errno()
                )
            })?;
        }
        // Last those that cannot be stopped any more, should another one fail.
        for keeps in [false, true] {
            for served in self.units() {
                if served.unit.will_keep_translation() == keeps {
                    served.unit.translate()?;
                }
            }
        }
        Ok(())
    }
}
