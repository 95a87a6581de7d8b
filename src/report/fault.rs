// SPDX-License-Identifier: GPL-2.0

//! Refused requests, in words.
//!
//! Limited for each device by itself: one that floods the log must not hide the others.

use crate::device::{DeviceInfo, Use, Verdict};
use crate::driver::Vtd;
use crate::unit::{FaultSink, Unit};
use core::fmt;
use kernel_ext::{log_err, log_warn};
use vtd_core::spec::fault::FaultRecord;

/// The device's side of a report.
struct Who<'a>(&'a DeviceInfo);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.pci.as_device().driver() {
            Some(driver) => write!(f, "{} (driver {})", self.0, driver.name),
            None => write!(f, "{} (no driver)", self.0),
        }
    }
}

/// What the device is attached to.
struct Where<'a>(&'a DeviceInfo);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        match state.is {
            Use::Blocked => f.write_str("the device is blocked"),
            Use::Identity => f.write_str("identity domain"),
            Use::Dma => write!(f, "domain {} (DMA, strict)", state.domain_id),
            Use::Unmanaged => write!(f, "domain {} (unmanaged)", state.domain_id),
        }
    }
}

impl FaultSink for Vtd {
    fn refused(&self, unit: &Unit, record: &FaultRecord) {
        let Some(info) = self.device_at(unit.segment(), record.source) else {
            log_err!(
                "{unit}: fault: requester {}:{}, which is no device of this driver, {} of {:#x} \
                 refused: {} (reason {:#04x})",
                unit.segment(),
                record.source,
                record.request,
                record.address().raw(),
                record.reason.words(),
                record.reason.code()
            );
            return;
        };
        let Verdict::Report(held_back) = info.fault_reports.ask() else {
            return;
        };
        if held_back > 0 {
            log_warn!(
                "{unit}: fault: {held_back} more of {} were not shown",
                &*info
            );
        }
        log_err!(
            "{unit}: fault: device {} {} of {:#x} refused: {} (reason {:#04x}), {}",
            Who(&info),
            record.request,
            record.address().raw(),
            record.reason.words(),
            record.reason.code(),
            Where(&info)
        );
    }

    fn lost(&self, unit: &Unit) {
        if let Verdict::Report(_) = self.overflow_reports.ask() {
            log_warn!(
                "{unit}: fault: more requests were refused than the unit can record ({} record(s))",
                unit.cap().fault_record_count()
            );
        }
    }
}
