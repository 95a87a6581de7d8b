// SPDX-License-Identifier: GPL-2.0

//! Load. Everything is checked before anything is changed, and a failure leaves the machine as it
//! was found.

use super::options::{LoadOptions, PARAMETERS};
use super::survey::{report_sysfs_error, Survey};
use super::unload::DETACH;
use crate::device::ownership::Ownership;
use crate::device::preflight::BoundDevices;
use crate::device::{AccessControl, PciPath, UntranslatedDevices};
use crate::domain::Domains;
use crate::machine::{DeviceObserver, Machine, ServedUnit};
use crate::report;
use crate::unit::FaultEvent;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc};
use kernel_ext::irq::Interrupt;
use kernel_ext::module::keep_loaded;
use kernel_ext::pages::NumaNode;
use kernel_ext::pci::{PciDevice, RescanLock};
use kernel_ext::periodic::Periodic;
use kernel_ext::shrinker::Shrinker;
use kernel_ext::sysfs::{Attribute, AttributeGroup, KernelDir};
use kernel_ext::{acpi, iommu, log_err, log_warn, notifier, syscore};
use vtd_core::bring_up::{self, BringUpStep};

/// The files in `/sys/kernel/vtd/`.
static ATTRIBUTES: &[Attribute<Machine>] = &[
    report::USERS,
    PARAMETERS,
    DETACH,
    report::LIMIT_UNITS,
    report::INJECT_ERROR,
];

/// A loaded driver. Dropping it unloads the driver.
///
/// The fields are dropped in the order of their declaration.
pub(crate) struct Loaded {
    _kobject: KernelDir<Machine>,
    _debugfs: report::Debugfs,
    _shutdown: Pin<KBox<syscore::Registration<Machine>>>,
    _shrinker: Shrinker<Domains>,
    _running: Running,
}

/// Units that are registered and translate. When this is dropped, they are returned to their
/// earlier state.
struct Running {
    _watch: Pin<KBox<Periodic<Machine>>>,
    _gate: Pin<KBox<notifier::Registration<Machine>>>,
    machine: Arc<Machine>,
    _interrupts: KVec<Interrupt<FaultEvent<report::FaultReporter>>>,
    _operations: Arc<iommu::Operations<Machine>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.machine.unload();
    }
}

impl Loaded {
    /// Loads the driver.
    ///
    /// # Errors
    ///
    /// Any error; the log has the reason.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn load(module: &'static ThisModule, options: LoadOptions) -> Result<Self> {
        Self::try_load(module, options).inspect_err(|e| {
            if *e == ENOMEM {
                log_err!("not loaded: out of memory. Free some, and load vtd again")
            }
        })
    }

    /// Loads the driver as [`Self::load`] does, but does not log [`ENOMEM`].
    fn try_load(module: &'static ThisModule, options: LoadOptions) -> Result<Self> {
        let translations = Arc::pin_init(report::TranslationFiles::new()?, GFP_KERNEL)?;
        let (machine, bound) = Self::find_machine(&options, translations.clone())?;
        Self::start(machine, module, bound, &translations)
    }

    /// Surveys the machine. Not inlined: its stack is free again when the units are started.
    #[inline(never)]
    fn find_machine(
        options: &LoadOptions,
        observer: Arc<dyn DeviceObserver>,
    ) -> Result<(Arc<Machine>, BoundDevices)> {
        let table = acpi::AcpiTable::find(b"DMAR").inspect_err(|_| {
            log_err!("not loaded: firmware has no DMAR table, so there are no remapping units")
        })?;
        let (checked, survey) = Survey::find(&table, options)?;
        let Survey {
            chipset,
            units,
            bound,
            flushing,
            ats,
        } = survey;
        let ownership = Ownership::new()?;
        let untranslated = UntranslatedDevices::new()?;
        let access_control = AccessControl::new()?;
        let mut of_domains = KVec::with_capacity(units.len(), GFP_KERNEL)?;
        for served in &units {
            of_domains.push(served.unit.clone(), GFP_KERNEL)?;
        }
        let domains = Domains::new(of_domains)?;
        let parameters = options.text()?;
        let machine = Arc::pin_init(
            pin_init!(Machine {
                table,
                checked,
                chipset,
                units,
                ownership,
                untranslated,
                domains,
                flushing,
                ats,
                loading: AtomicBool::new(true),
                unloading: AtomicBool::new(false),
                access_control,
                gate <- new_mutex!((), "vtd gate"),
                devices <- new_mutex!(KVec::new(), "vtd devices"),
                test_hooks: options.test_hooks,
                parameters,
                observer,
            }),
            GFP_KERNEL,
        )?;
        Ok((machine, bound))
    }

    /// Creates the driver's files, and starts the units of `machine`.
    fn start(
        machine: Arc<Machine>,
        module: &'static ThisModule,
        bound: BoundDevices,
        translations: &report::TranslationFiles,
    ) -> Result<Self> {
        let flushing = machine.flushing;
        // Everything that can fail is done first: once devices are probed, drivers may be bound to
        // them.
        let debugfs = report::Debugfs::new(&machine, translations)?;
        let shutdown = KBox::pin_init(syscore::Registration::new(machine.clone()), GFP_KERNEL)?;
        let shrinker = Shrinker::new(c"vtd-held", machine.domains.clone())?;
        let attributes = AttributeGroup::new(None, ATTRIBUTES, machine.clone())?;
        let kobject = KernelDir::new(c"vtd", attributes)
            .inspect_err(|e| report_sysfs_error("/sys/kernel/vtd", *e))?;
        let running = Running::start(machine, module, bound)?;
        if flushing.lazy {
            let cost = flushing.cost();
            log_warn!("flushes are deferred for all trusted devices, as chosen: {cost}");
            flushing.taint();
        }
        Ok(Loaded {
            _debugfs: debugfs,
            _shutdown: shutdown,
            _shrinker: shrinker,
            _kobject: kobject,
            _running: running,
        })
    }
}

impl Running {
    /// Brings the units up, registers them, and only then enables translation.
    fn start(
        machine: Arc<Machine>,
        module: &'static ThisModule,
        mut bound: BoundDevices,
    ) -> Result<Self> {
        let gate = KBox::pin_init(notifier::Registration::new(machine.clone()), GFP_KERNEL)
            .inspect_err(|e| {
                log_err!(
                    "not loaded: cannot register a PCI bus notifier ({})",
                    e.to_errno()
                )
            })?;
        let watch = Periodic::start(machine.clone());
        let operations = iommu::Operations::new(machine.clone(), module)?;
        let mut running = Running {
            _watch: KBox::pin_init(watch, GFP_KERNEL)?,
            _gate: gate,
            machine: machine.clone(),
            _interrupts: KVec::new(),
            _operations: operations.clone(),
        };
        for (served, step) in machine.bring_up() {
            served.unit.take_step(step)?;
        }
        for served in machine.units() {
            let faults = report::FaultReporter::new(machine.clone())?;
            let event = FaultEvent {
                unit: served.unit.clone(),
                sink: faults.clone(),
            };
            let interrupt = Interrupt::request(
                Arc::new(event, GFP_KERNEL)?,
                c"vtd-fault",
                NumaNode::NO_NODE,
            )
            .inspect_err(|_| log_err!("{}: cannot allocate a fault interrupt", &*served.unit))?;
            running._interrupts.push(interrupt, GFP_KERNEL)?;
            served.unit.drain_faults(&*faults);
        }
        running.prepare_devices(&mut bound)?;
        // Without the rescan lock: when a port driver is released, it waits for hot-plug in
        // progress.
        let released = bound.release()?;
        let served = running.take_over(&operations, module);
        drop(released);
        served?;
        report::log_interrupts(&machine);
        report::log_crash_kernel(&machine);
        report::log_summary(&machine);
        Ok(running)
    }

    /// Adopts the devices that stay in pass-through, and turns on access control.
    fn prepare_devices(&self, bound: &mut BoundDevices) -> Result {
        let machine = &self.machine;
        let _hot_plug = RescanLock::lock();
        for device in core::mem::take(&mut bound.to_adopt) {
            // A device whose driver has since been unbound is no longer in use; it is translated
            // like all others.
            if device.as_device().driver().is_some() {
                let unit = machine.unit_of(&PciPath::of(&device)?)?.unit.clone();
                machine.untranslated.adopted.adopt(device, &unit)?;
            }
        }
        PciDevice::all().try_for_each(|device| {
            machine.enable_access_control(&device)?;
            machine.list_if_left_out(&device)
        })
    }

    /// Registers the units with the core and enables translation, with the rescan lock and the gate
    /// held.
    fn take_over(
        &self,
        operations: &Arc<iommu::Operations<Machine>>,
        module: &'static ThisModule,
    ) -> Result {
        let machine = &self.machine;
        // While this lock is held, no device is added or removed, so a failed load can release all
        // of them. It must: the kernel frees a module whose load failed, even if something still
        // holds a reference to it.
        let _hot_plug = RescanLock::lock();
        // A driver that is about to be bound waits until translation is on, because the DMA
        // addresses that it would get before are not valid.
        let gate = machine.gate.lock();
        if let Err(e) = machine.register_and_translate(operations) {
            if machine.return_units(&gate) {
                return Err(e);
            }
            log_err!(
                "loaded, but accepts no further devices (error {}): echo 1 > \
                 /sys/kernel/vtd/detach once these devices have been added or removed, then \
                 rmmod vtd",
                e.to_errno()
            );
        }
        if machine
            .units()
            .any(|served| served.unit.keeps_translation())
        {
            keep_loaded(module);
        }
        machine.loading.store(false, Ordering::Release);
        Ok(())
    }
}

impl Machine {
    /// Returns the steps that bring all units up, in order (see [`bring_up::steps`]).
    pub(super) fn bring_up(&self) -> impl Iterator<Item = (&ServedUnit, BringUpStep)> {
        bring_up::steps(self.units(), |served| served.unit.cap())
    }

    /// Turns interrupt remapping on, registers all units with the core, which probes their devices,
    /// and then enables translation.
    fn register_and_translate(&self, operations: &Arc<iommu::Operations<Machine>>) -> Result {
        for served in self.units() {
            served.interrupts.enable(&served.unit)?;
        }
        for served in self.units() {
            served
                .iommu_device
                .register(operations.handle())
                .inspect_err(|e| {
                    log_err!(
                        "{}: the IOMMU core refused the unit ({})",
                        &*served.unit,
                        e.to_errno()
                    )
                })?;
        }
        // A first attach must not fail, so it succeeds even behind a unit that has failed, and the
        // core does not see the failure.
        if let Some(served) = self.units().find(|served| served.unit.has_failed()) {
            log_err!(
                "not loaded: {} failed while devices were attached",
                &*served.unit
            );
            return Err(EIO);
        }
        // Units that cannot be disabled again are enabled last, after no other unit can fail.
        for keeps in [false, true] {
            for served in self.units() {
                if served.unit.will_keep_translation() == keeps {
                    served.unit.enable_translation()?;
                }
            }
        }
        Ok(())
    }
}
