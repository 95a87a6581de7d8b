// SPDX-License-Identifier: GPL-2.0

//! Log messages about refused requests of known devices.
//!
//! Messages are limited for each device separately: a device that floods the log must not hide
//! faults of other devices. If a device continues to fault (see [`vtd_core::fault_limit`]), the
//! hardware no longer records faults of its requester ID until its next attach: a unit has few
//! fault recording registers, and each one that the device fills is not available for the others.
//! Faults of a requester ID that several devices share are counted for the bridge that has it, and
//! the message names no single device as the source.

use super::fault_event::fault_event;
use super::fault_words::RefusalText;
use super::interrupts::{silence_interrupt, EntryOwner};
use super::unknown_requester::UnknownRequesters;
use crate::device::{AddressHistory, AttachedTo, DeviceInfo, RateLimit};
use crate::machine::{Machine, RequesterUsers};
use crate::unit::{FaultSink, Unit};
use core::fmt;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::device::Name;
use kernel_ext::{log_dev_err, log_dev_warn, log_warn, trace};
use vtd_core::fault_limit::{FaultVerdict, WINDOW_S};
use vtd_core::ownership::OwnerState;
use vtd_core::spec::address::{Segment, SourceId};
use vtd_core::spec::fault::{FaultRecord, FaultRequest};
use vtd_core::spec::pte::Access;

/// The facts about a device at one moment that a message contains.
struct FaultContext<'a> {
    info: &'a DeviceInfo,
    driver: Option<Name>,
    group: Option<u32>,
    owner_state: OwnerState,
    unit_failed: bool,
    attached_to: AttachedTo,
    /// Its number, the same for all units that walk its tables.
    domain: Option<u64>,
    /// Its domain-id on this unit.
    domain_id: u16,
    lazy: bool,
    history: Option<AddressHistory>,
    wanted: Access,
    /// Whether the fault shows an error in the tables, which the driver wrote.
    is_driver_error: bool,
}

impl<'a> FaultContext<'a> {
    /// Reads the facts.
    ///
    /// # Context
    ///
    /// May sleep.
    fn read(info: &'a DeviceInfo, record: &FaultRecord) -> Self {
        let state = info.state.lock();
        let attached = state.domain();
        let is_dma = !record.is_interrupt();
        FaultContext {
            info,
            driver: info.pci.as_device().driver().map(|driver| driver.name),
            group: state.group_id,
            owner_state: state.owner_state,
            unit_failed: info.unit.has_failed(),
            attached_to: state.attached_to,
            domain: attached.map(|domain| domain.number()),
            domain_id: state.domain_id,
            lazy: attached.is_some_and(|domain| domain.is_lazy()),
            history: attached
                .filter(|_| is_dma)
                .map(|domain| domain.history_of(record.address().raw())),
            wanted: match record.request {
                FaultRequest::Read | FaultRequest::Execute | FaultRequest::PageRequest => {
                    Access::Read
                }
                FaultRequest::Write => Access::Write,
                FaultRequest::Atomic => Access::ReadWrite,
            },
            is_driver_error: record.reason.is_caused_by_tables(),
        }
    }
}

/// The source of a fault: a requester ID and the devices that use it.
struct FaultSource<'a> {
    /// The device, or one of several that share the requester ID.
    info: &'a DeviceInfo,
    /// The device for which its faults are counted: it has the requester ID itself, if a device has.
    counted: &'a DeviceInfo,
    users: &'a RequesterUsers,
    requester: (Segment, SourceId),
}

impl FaultSource<'_> {
    /// Returns the noun for what [`Self::fmt`] writes.
    fn noun(&self) -> &'static str {
        if self.users.is_shared() {
            "requester"
        } else {
            "device"
        }
    }
}

impl fmt::Display for FaultSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (segment, source) = self.requester;
        if self.users.is_shared() {
            write!(f, "{segment}:{source}")
        } else {
            write!(f, "{}", self.info)
        }
    }
}

/// Formats the device, or those that share the requester ID, with their drivers, group and owner.
struct DeviceText<'a>(&'a FaultSource<'a>, &'a FaultContext<'a>);

impl fmt::Display for DeviceText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeviceText(origin, context) = self;
        let (segment, source) = origin.requester;
        write!(f, "{} {origin} (", origin.noun())?;
        if origin.users.is_shared() {
            write!(f, "{}", origin.users)?;
        } else {
            if source != context.info.source {
                write!(f, "requester ID {segment}:{source}, ")?;
            }
            match &context.driver {
                Some(driver) => write!(f, "driver {driver}")?,
                None => f.write_str("no driver")?,
            }
        }
        if let Some(group) = context.group {
            write!(f, ", group {group}")?;
        }
        f.write_str(match context.owner_state {
            OwnerState::Kernel | OwnerState::KernelOwn => ", owner kernel)",
            OwnerState::User(_) => ", owner user)",
            OwnerState::Blocked => ", owner nobody)",
        })
    }
}

/// Formats what the device is attached to, the history of the address there, and that the driver or
/// the unit caused the fault, if the device did not.
struct ContextText<'a>(&'a FaultContext<'a>);

impl fmt::Display for ContextText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (context, id) = (self.0, self.0.domain_id);
        if context.unit_failed {
            return f.write_str("its unit failed earlier");
        }
        if let Some(number) = context.domain {
            write!(f, "domain #{number}, ")?;
        }
        match context.attached_to {
            AttachedTo::Blocked => f.write_str("the device is blocked"),
            AttachedTo::Identity => f.write_str("identity domain"),
            AttachedTo::Unmanaged => write!(f, "domain-id {id} (unmanaged)"),
            AttachedTo::Dma if context.lazy => write!(f, "domain-id {id} (DMA, lazy)"),
            AttachedTo::Dma => write!(f, "domain-id {id} (DMA, strict)"),
        }?;
        if let Some(history) = &context.history {
            write!(f, "; {}", history.for_fault(context.wanted))?;
        }
        if context.is_driver_error {
            write!(
                f,
                "; this is an error of vtd or of the unit, not of the device: see \
                 /sys/kernel/debug/iommu/intel/{}/domain_translation_struct",
                context.info
            )?;
        }
        Ok(())
    }
}

/// Reports the faults of one unit to the log and to the core's trace event.
#[pin_data]
pub(crate) struct FaultReporter {
    machine: Arc<Machine>,
    #[pin]
    overflows: RateLimit,
    #[pin]
    unknown: UnknownRequesters,
}

impl FaultReporter {
    /// Creates the reporter for one unit of `machine`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new(machine: Arc<Machine>) -> Result<Arc<Self>> {
        let unknown = UnknownRequesters::new()?;
        Arc::pin_init(
            pin_init!(Self {
                machine,
                overflows <- RateLimit::new(),
                unknown <- unknown,
            }),
            GFP_KERNEL,
        )
    }

    /// Reports a fault that is counted for `device`.
    ///
    /// # Context
    ///
    /// May sleep.
    fn report(&self, unit: &Unit, device: &DeviceInfo, record: &FaultRecord) {
        let verdict = device.fault_limit.count();
        if verdict == FaultVerdict::Suppress {
            return;
        }
        let requester = (unit.segment(), record.source);
        let users = self.machine.users_of(unit.segment(), record.source);
        let origin = FaultSource {
            // The list may be empty: the device may just have been removed.
            info: users.first().map_or(device, |info| info),
            counted: device,
            users: &users,
            requester,
        };
        match verdict {
            FaultVerdict::Suppress => {}
            FaultVerdict::Report { suppressed, last } => {
                let entry = EntryOwner::read(&self.machine, unit, record);
                log_fault(unit, &origin, record, entry, (suppressed, last))
            }
            FaultVerdict::Silence { faults, ms, report } => {
                // Records from before are still being read, so this may be done already; then it
                // changes nothing.
                if record.is_interrupt() {
                    let result = silence_interrupt(unit, record);
                    if report {
                        log_silenced_interrupts(unit, &origin, (faults, ms), result);
                    }
                    return;
                }
                let done = unit.disable_fault_processing(&[record.source]);
                if report {
                    log_silenced(unit, &origin, (faults, ms), done);
                }
            }
        }
    }
}

fn log_fault(
    unit: &Unit,
    origin: &FaultSource<'_>,
    record: &FaultRecord,
    entry: Option<EntryOwner>,
    (suppressed, last): (u64, bool),
) {
    let about = origin.counted.pci.as_device();
    if suppressed > 0 {
        log_dev_warn!(
            about,
            "{unit}: fault: {suppressed} more faults of {origin} were not logged"
        );
    }
    let context = FaultContext::read(origin.info, record);
    let (device, refusal) = (DeviceText(origin, &context), RefusalText(record));
    match entry {
        Some(entry) => log_dev_err!(about, "{unit}: fault: {device} {refusal}, {entry}"),
        None => log_dev_err!(
            about,
            "{unit}: fault: {device} {refusal}, {}",
            ContextText(&context)
        ),
    }
    if last {
        log_dev_warn!(
            about,
            "{unit}: fault: further faults of {origin} are counted but not logged for up to \
             {WINDOW_S} s"
        );
    }
}

fn log_silenced_interrupts(
    unit: &Unit,
    origin: &FaultSource<'_>,
    (faults, ms): (u64, u64),
    result: &str,
) {
    log_dev_warn!(
        origin.counted.pci.as_device(),
        "{unit}: fault: {} {origin} raised {faults} faults within {ms} ms: further interrupt \
         requests are refused as before{result}",
        origin.noun()
    );
}

fn log_silenced(unit: &Unit, origin: &FaultSource<'_>, (faults, ms): (u64, u64), done: Result) {
    let (noun, users) = (origin.noun(), origin.users);
    let about = origin.counted.pci.as_device();
    match done {
        Ok(()) if users.is_shared() => log_dev_warn!(
            about,
            "{unit}: fault: {noun} {origin} raised {faults} faults within {ms} ms: further requests \
             with this requester ID ({users}) are refused as before, but no longer recorded, \
             whichever of these devices sends them, so that other devices' faults are not lost; \
             the next attach of one of them turns recording on again (for example, remove and \
             rescan it)"
        ),
        Ok(()) => log_dev_warn!(
            about,
            "{unit}: fault: {noun} {origin} raised {faults} faults within {ms} ms: further requests \
             are refused as before, but no longer recorded, so that other devices' faults are not \
             lost; its next attach turns recording on again (for example, remove and rescan the \
             device)"
        ),
        Err(e) => log_dev_warn!(
            about,
            "{unit}: fault: {noun} {origin} raised {faults} faults within {ms} ms, and the unit \
             cannot be made to stop recording them (error {})",
            e.to_errno()
        ),
    }
}

impl FaultSink for FaultReporter {
    fn report_fault(&self, unit: &Unit, record: &FaultRecord) {
        let device = self.machine.fault_device(unit.segment(), record.source);
        let traced = device.as_ref().map(|info| info.pci.as_device());
        trace::fault(traced, || fault_event(unit, device.as_deref(), record));
        match device {
            Some(info) => {
                if !record.is_interrupt() {
                    // Traced without a limit: tracing is opt-in, and a fault storm is silenced.
                    let write =
                        matches!(record.request, FaultRequest::Write | FaultRequest::Atomic);
                    let device = info.pci.as_device();
                    device.trace_fault(record.address().raw(), write);
                }
                self.report(unit, &info, record)
            }
            None => self.unknown.report(&self.machine, unit, record),
        }
    }

    fn report_overflow(&self, unit: &Unit) {
        let FaultVerdict::Report { suppressed, .. } = self.overflows.count() else {
            return;
        };
        let records = unit.cap().fault_record_count();
        log_warn!(
            "{unit}: fault: more requests were refused than the unit can record at a time \
             ({records}): some are lost (FSTS.PFO, VT-d 7.2.1)"
        );
        if suppressed > 0 {
            log_warn!("{unit}: fault: this happened {suppressed} more times before");
        }
    }
}
