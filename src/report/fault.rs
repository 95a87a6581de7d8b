// SPDX-License-Identifier: GPL-2.0

//! Refused requests, in words.
//!
//! Limited for each device by itself: one that floods the log must not hide the others. One that
//! goes on (see [`crate::device::RateLimit`]) is no longer recorded by hardware, until it is
//! attached anew: a unit has few records, and each that it fills is lost to the others.

use super::stranger::Strangers;
use crate::device::{DeviceInfo, RateLimit, Use, Verdict, RATE_WINDOW_S};
use crate::driver::Vtd;
use crate::unit::{FaultSink, Unit};
use core::fmt;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::{log_err, log_warn};
use vtd_core::ownership::State as Owned;
use vtd_core::spec::fault::FaultRecord;

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

/// The device, who drives it and whose it is.
struct Who<'a>(&'a DeviceInfo);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, owned) = {
            let state = self.0.state.lock();
            (state.group, state.owned)
        };
        match self.0.pci.as_device().driver() {
            Some(driver) => write!(f, "{} (driver {}", self.0, driver.name)?,
            None => write!(f, "{} (no driver", self.0)?,
        }
        if let Some(group) = group {
            write!(f, ", group {group}")?;
        }
        f.write_str(match owned {
            Owned::Kernel | Owned::KernelOwn => ", owner kernel)",
            Owned::User(_) => ", owner user)",
            Owned::Blocked => ", owner nobody)",
        })
    }
}

/// What the device is attached to, and what is known of the address there.
struct Where<'a>(&'a DeviceInfo, &'a FaultRecord);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.unit.has_failed() {
            return f.write_str("its unit was closed after an error");
        }
        let state = self.0.state.lock();
        let id = state.domain_id;
        let attached = state.attached();
        match state.is {
            Use::Blocked => f.write_str("the device is blocked"),
            Use::Identity => f.write_str("identity domain"),
            Use::Unmanaged => write!(f, "domain {id} (unmanaged)"),
            Use::Dma if attached.is_some_and(|domain| domain.is_lazy()) => {
                write!(f, "domain {id} (DMA, lazy)")
            }
            Use::Dma => write!(f, "domain {id} (DMA, strict)"),
        }?;
        match attached {
            Some(domain) if self.1.interrupt_index().is_none() => {
                write!(f, "; {}", domain.past(self.1.address().raw()))
            }
            _ => Ok(()),
        }
    }
}

/// Whose error it is, where it is not the device's.
struct Blame<'a>(&'a DeviceInfo, &'a FaultRecord);

impl fmt::Display for Blame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1.reason.blames_tables() {
            write!(
                f,
                "; this is an error of vtd or of the unit, not of the device: see \
                 /sys/kernel/debug/iommu/intel/{}/domain_translation_struct",
                self.0
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
            log_err!(
                "{unit}: fault: device {} {}, {}{}",
                Who(info),
                What(record),
                Where(info, record),
                Blame(info, record)
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
            Some(info) => report(unit, &info, record),
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
