// SPDX-License-Identifier: GPL-2.0

//! Refused requests, in words.
//!
//! Limited for each device by itself: one that floods the log must not hide the others. One that
//! goes on (see [`crate::device::RateLimit`]) is no longer recorded by hardware, until it is
//! attached anew: a unit has few records, and each that it fills is lost to the others.

use super::stranger::Strangers;
use crate::device::{DeviceInfo, Past, RateLimit, Use, Verdict, RATE_WINDOW_S};
use crate::driver::Vtd;
use crate::unit::{FaultSink, Unit};
use core::fmt;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::device::Name;
use kernel_ext::{log_err, log_warn};
use vtd_core::ownership::State as Owned;
use vtd_core::spec::fault::{FaultRecord, Request};

/// What was asked for, and why it was refused.
pub(super) struct What<'a>(pub(super) &'a FaultRecord);

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (record, reason) = (self.0, self.0.reason);
        match record.interrupt_index() {
            Some(index) => write!(f, "interrupt request {index:#x}")?,
            None => write!(f, "{} of {:#x}", record.request, record.address().raw())?,
        }
        if let Some(pasid) = record.pasid {
            write!(f, " (PASID {pasid:#x})")?;
        }
        write!(
            f,
            " refused: {} (VT-d {}, reason {:#04x})",
            reason.words(),
            reason.section(),
            reason.code()
        )
    }
}

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
            blamed: record.reason.blames_tables(),
        }
    }
}

/// The device, who drives it and whose it is.
struct Who<'a>(&'a Facts<'a>);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.0;
        match &facts.driver {
            Some(driver) => write!(f, "{} (driver {driver}", facts.info)?,
            None => write!(f, "{} (no driver", facts.info)?,
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
            return f.write_str("its unit was closed after an error");
        }
        match facts.is {
            Use::Blocked => f.write_str("the device is blocked"),
            Use::Identity => f.write_str("identity domain"),
            Use::Unmanaged => write!(f, "domain {id} (unmanaged)"),
            Use::Dma if facts.lazy => write!(f, "domain {id} (DMA, lazy)"),
            Use::Dma => write!(f, "domain {id} (DMA, strict)"),
        }?;
        if let Some(past) = &facts.past {
            write!(f, "; {past}")?;
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

/// Tells people of faults.
#[pin_data]
pub(crate) struct Faults {
    vtd: Arc<Vtd>,
    overflows: RateLimit,
    #[pin]
    strangers: Strangers,
}

impl Faults {
    /// For the units of `vtd`.
    pub(crate) fn new(vtd: Arc<Vtd>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                vtd,
                overflows: RateLimit::new(),
                strangers <- Strangers::new(),
            }),
            GFP_KERNEL,
        )
    }
}

fn report(unit: &Unit, info: &DeviceInfo, record: &FaultRecord) {
    match info.fault_reports.ask() {
        Verdict::Report { held_back, last } => {
            if held_back > 0 {
                log_warn!("{unit}: fault: {held_back} more of {info} were not shown");
            }
            let facts = Facts::gather(info, record);
            log_err!(
                "{unit}: fault: device {} {}, {}",
                Who(&facts),
                What(record),
                Where(&facts)
            );
            if last {
                log_warn!(
                    "{unit}: fault: more of {info} are counted, not shown, for up to \
                     {RATE_WINDOW_S} s"
                );
            }
        }
        Verdict::HoldBack => {}
        Verdict::Storm { faults, ms } => silence(unit, info, faults, ms),
    }
}

/// Stops the recording of a device's faults, unless it is just being attached anew.
fn silence(unit: &Unit, info: &DeviceInfo, faults: u64, ms: u64) {
    // Against an attach, which turns recording on.
    let state = info.state.lock();
    let done = unit.silence(&info.requesters);
    if done.is_ok() {
        info.fault_reports.set_silenced();
    }
    drop(state);
    match done {
        Ok(()) => log_warn!(
            "{unit}: fault: device {info} raised {faults} faults within {ms} ms: further requests \
             are refused as before, but no longer recorded, so that other devices' faults are not \
             lost; its next attach turns recording on again (remove and rescan the device, say)"
        ),
        Err(e) => log_warn!(
            "{unit}: fault: device {info} raised {faults} faults within {ms} ms, and the unit \
             cannot be told to stop recording them (error {})",
            e.to_errno()
        ),
    }
}

impl FaultSink for Faults {
    fn refused(&self, unit: &Unit, record: &FaultRecord) {
        match self.vtd.device_at(unit.segment(), record.source) {
            Some(info) => {
                if record.interrupt_index().is_none() {
                    // All of them: who listens has asked for it, and a storm is silenced.
                    let write = matches!(record.request, Request::Write | Request::Atomic);
                    let device = info.pci.as_device();
                    device.trace_fault(record.address().raw(), write);
                }
                report(unit, &info, record)
            }
            None => self.strangers.report(unit, record),
        }
    }

    fn lost(&self, unit: &Unit) {
        let Verdict::Report { held_back, .. } = self.overflows.ask() else {
            return;
        };
        let records = unit.cap().fault_record_count();
        log_warn!(
            "{unit}: fault: more requests were refused at once than the unit can record \
             ({records}): some are lost (FSTS.PFO, VT-d 7.2.1)"
        );
        if held_back > 0 {
            log_warn!("{unit}: fault: this happened {held_back} more times before");
        }
    }
}
