// SPDX-License-Identifier: GPL-2.0

//! Refused requests, in words.
//!
//! Limited for each device by itself: one that floods the log must not hide the others. The
//! requester ID of one that goes on (see [`vtd_core::fault_limit`]) is no longer recorded by
//! hardware, until it is attached again: a unit has few records, and each that it fills is lost to
//! the others. A requester ID that several devices share is counted for the bridge that it is of,
//! and no single device is named as the one that faulted.

use super::fault_words::What;
use super::unknown_requester::Unknown;
use crate::device::{DeviceInfo, Past, RateLimit, Use};
use crate::machine::{Users, Vtd};
use crate::unit::{FaultSink, Unit};
use core::fmt;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::device::Name;
use kernel_ext::{log_err, log_warn};
use vtd_core::fault_limit::{Verdict, WINDOW_S};
use vtd_core::ownership::State as Owned;
use vtd_core::spec::address::{Segment, SourceId};
use vtd_core::spec::fault::{FaultRecord, Request};
use vtd_core::spec::pte::Access;

/// What is to be said of a device, as it was at one moment.
struct Facts<'a> {
    info: &'a DeviceInfo,
    driver: Option<Name>,
    group: Option<u32>,
    owned: Owned,
    closed: bool,
    is: Use,
    domain_id: u16,
    lazy: bool,
    past: Option<Past>,
    wanted: Access,
    /// The tables are wrong.
    blamed: bool,
}

impl<'a> Facts<'a> {
    /// May sleep.
    fn gather(info: &'a DeviceInfo, record: &FaultRecord) -> Self {
        let state = info.state.lock();
        let attached = state.attached();
        let is_dma = record.interrupt_index().is_none();
        Facts {
            info,
            driver: info.pci.as_device().driver().map(|driver| driver.name),
            group: state.group_id(),
            owned: state.owned,
            closed: info.unit.has_failed(),
            is: state.is,
            domain_id: state.domain_id,
            lazy: attached.is_some_and(|domain| domain.is_lazy()),
            past: attached
                .filter(|_| is_dma)
                .map(|domain| domain.past(record.address().raw())),
            wanted: match record.request {
                Request::Read | Request::Execute | Request::PageRequest => Access::Read,
                Request::Write => Access::Write,
                Request::Atomic => Access::ReadWrite,
            },
            blamed: record.reason.blames_tables(),
        }
    }
}

/// Whose requests carry a requester ID.
struct Whose<'a> {
    /// The device; one of several where they share the requester ID.
    info: &'a DeviceInfo,
    users: &'a Users,
    requester: (Segment, SourceId),
}

impl Whose<'_> {
    /// What [`Self::fmt`] names.
    fn noun(&self) -> &'static str {
        if self.users.are_several() {
            "requester"
        } else {
            "device"
        }
    }
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (segment, source) = self.requester;
        if self.users.are_several() {
            write!(f, "{segment}:{source}")
        } else {
            write!(f, "{}", self.info)
        }
    }
}

/// The device, or those that share the requester ID, who drives them and whose they are.
struct Who<'a>(&'a Whose<'a>, &'a Facts<'a>);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Who(whose, facts) = self;
        let (segment, source) = whose.requester;
        write!(f, "{} {whose} (", whose.noun())?;
        if whose.users.are_several() {
            write!(f, "{}", whose.users)?;
        } else {
            if source != facts.info.source {
                write!(f, "requester ID {segment}:{source}, ")?;
            }
            match &facts.driver {
                Some(driver) => write!(f, "driver {driver}")?,
                None => f.write_str("no driver")?,
            }
        }
        if let Some(group) = facts.group {
            write!(f, ", group {group}")?;
        }
        f.write_str(match facts.owned {
            Owned::Kernel | Owned::KernelOwn => ", owner kernel)",
            Owned::User(_) => ", owner user)",
            Owned::Blocked => ", owner nobody)",
        })
    }
}

/// What the device is attached to, what is known of the address there, and whose error it is where
/// it is not the device's.
struct Where<'a>(&'a Facts<'a>);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (facts, id) = (self.0, self.0.domain_id);
        if facts.closed {
            return f.write_str("its unit failed earlier");
        }
        match facts.is {
            Use::Blocked => f.write_str("the device is blocked"),
            Use::Identity => f.write_str("identity domain"),
            Use::Unmanaged => write!(f, "domain-id {id} (unmanaged)"),
            Use::Dma if facts.lazy => write!(f, "domain-id {id} (DMA, lazy)"),
            Use::Dma => write!(f, "domain-id {id} (DMA, strict)"),
        }?;
        if let Some(past) = &facts.past {
            write!(f, "; {}", past.of_refused(facts.wanted))?;
        }
        if facts.blamed {
            write!(
                f,
                "; this is an error of vtd or of the unit, not of the device: see \
                 /sys/kernel/debug/iommu/intel/{}/domain_translation_struct",
                facts.info
            )?;
        }
        Ok(())
    }
}

/// Tells people of the faults of one unit.
#[pin_data]
pub(crate) struct Faults {
    vtd: Arc<Vtd>,
    #[pin]
    overflows: RateLimit,
    #[pin]
    unknown: Unknown,
}

impl Faults {
    /// For a unit of `vtd`.
    pub(crate) fn new(vtd: Arc<Vtd>) -> Result<Arc<Self>> {
        let unknown = Unknown::new()?;
        Arc::pin_init(
            pin_init!(Self {
                vtd,
                overflows <- RateLimit::new(),
                unknown <- unknown,
            }),
            GFP_KERNEL,
        )
    }

    /// Reports a fault that `accountable` is accountable for.
    fn report(&self, unit: &Unit, accountable: &DeviceInfo, record: &FaultRecord) {
        let verdict = accountable.fault_reports.count();
        if verdict == Verdict::HoldBack {
            return;
        }
        let requester = (unit.segment(), record.source);
        let users = self.vtd.users_of(unit.segment(), record.source);
        let whose = Whose {
            // It may just have been removed.
            info: users.first().map_or(accountable, |info| info),
            users: &users,
            requester,
        };
        match verdict {
            Verdict::HoldBack => {}
            Verdict::Report { held_back, last } => say(unit, &whose, record, held_back, last),
            Verdict::Silence { faults, ms, report } => {
                // Changes nothing where that has been done: records from before are still read.
                let done = unit.silence(&[record.source]);
                if report {
                    say_silenced(unit, &whose, (faults, ms), done);
                }
            }
        }
    }
}

fn say(unit: &Unit, whose: &Whose<'_>, record: &FaultRecord, held_back: u64, last: bool) {
    if held_back > 0 {
        log_warn!("{unit}: fault: {held_back} more faults of {whose} were not logged");
    }
    let facts = Facts::gather(whose.info, record);
    log_err!(
        "{unit}: fault: {} {}, {}",
        Who(whose, &facts),
        What(record),
        Where(&facts)
    );
    if last {
        log_warn!(
            "{unit}: fault: further faults of {whose} are counted but not logged for up to \
             {WINDOW_S} s"
        );
    }
}

fn say_silenced(unit: &Unit, whose: &Whose<'_>, (faults, ms): (u64, u64), done: Result) {
    let (noun, users) = (whose.noun(), whose.users);
    match done {
        Ok(()) if users.are_several() => log_warn!(
            "{unit}: fault: {noun} {whose} raised {faults} faults within {ms} ms: further requests \
             with this requester ID ({users}) are refused as before, but no longer recorded, \
             whichever of these devices sends them, so that other devices' faults are not lost; \
             the next attach of one of them turns recording on again (for example, remove and \
             rescan it)"
        ),
        Ok(()) => log_warn!(
            "{unit}: fault: {noun} {whose} raised {faults} faults within {ms} ms: further requests \
             are refused as before, but no longer recorded, so that other devices' faults are not \
             lost; its next attach turns recording on again (for example, remove and rescan the \
             device)"
        ),
        Err(e) => log_warn!(
            "{unit}: fault: {noun} {whose} raised {faults} faults within {ms} ms, and the unit \
             cannot be made to stop recording them (error {})",
            e.to_errno()
        ),
    }
}

impl FaultSink for Faults {
    fn refused(&self, unit: &Unit, record: &FaultRecord) {
        match self.vtd.accountable(unit.segment(), record.source) {
            Some(info) => {
                if record.interrupt_index().is_none() {
                    // All of them: who listens has asked for it, and a storm is silenced.
                    let write = matches!(record.request, Request::Write | Request::Atomic);
                    let device = info.pci.as_device();
                    device.trace_fault(record.address().raw(), write);
                }
                self.report(unit, &info, record)
            }
            None => self.unknown.report(&self.vtd, unit, record),
        }
    }

    fn lost(&self, unit: &Unit) {
        let Verdict::Report { held_back, .. } = self.overflows.count() else {
            return;
        };
        let records = unit.cap().fault_record_count();
        log_warn!(
            "{unit}: fault: more requests were refused than the unit can record at a time \
             ({records}): some are lost (FSTS.PFO, VT-d 7.2.1)"
        );
        if held_back > 0 {
            log_warn!("{unit}: fault: this happened {held_back} more times before");
        }
    }
}
