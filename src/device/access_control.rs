// SPDX-License-Identifier: GPL-2.0

//! Access control (ACS): what keeps the devices of one group from reaching those of another past
//! the unit.
//!
//! It is turned on for a device before the core has seen it; then the core applies what the
//! administrator wrote on the command line (`pci=disable_acs_redir=`, `config_acs=`), and forms the
//! group from what is on. That is what the group relies on from then on. A reset or a loss of power
//! turns it off, and the kernel, whose own remapping is off, does not turn it on again and tells
//! nobody. So it is looked at again whenever it is about to matter, before a driver is bound and
//! before a domain is attached, and every second besides.

use super::rate_limit::AllowedLine;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::clock;
use kernel_ext::log_warn;
use kernel_ext::pci::{AcsControl, PciDevice};
use kernel_ext::periodic::PeriodicWork;
use vtd_core::fault_limit::FaultLimit;

/// For so long a look is good enough for an attach. It is less than any reset takes (2 ms for a bus
/// below a bridge, 10 ms out of D3, 100 ms for a function), and in that time no request passes the
/// port; so what a reset turns off is on again before it could matter.
const RECHECK_AFTER_NS: u64 = 1_000_000;

struct Entry {
    device: PciDevice,
    /// What it was, if it was changed.
    before: Option<AcsControl>,
    /// What groups rely on, once they do.
    required: Option<AcsControl>,
    /// A user may reset it again and again.
    log_limit: FaultLimit,
}

/// The access control of all devices behind units.
#[pin_data]
pub(crate) struct AccessControl {
    #[pin]
    list: Mutex<KVec<Entry>>,
    /// When the last look began that has ended.
    held_at: AtomicU64,
}

impl AccessControl {
    /// Nothing is known yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                list <- new_mutex!(KVec::new(), "vtd access control"),
                held_at: AtomicU64::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Turns it on, before the group of `device` is formed. May sleep.
    pub(crate) fn enable(&self, device: &PciDevice) -> Result {
        if device.acs_control().is_none() {
            return Ok(());
        }
        let mut list = self.list.lock();
        let known = list.iter().any(|entry| entry.device.is_same_as(device));
        if !known {
            list.reserve(1, GFP_KERNEL)?;
        }
        let before = device.enable_acs();
        if !known {
            list.push(
                Entry {
                    device: device.clone(),
                    before,
                    required: None,
                    log_limit: FaultLimit::new(),
                },
                GFP_KERNEL,
            )?;
        }
        Ok(())
    }

    /// Notes what is on, from which the group of `device` is formed next. May sleep.
    pub(super) fn record_required(&self, device: &PciDevice) {
        for entry in self.list.lock().iter_mut() {
            if entry.device.is_same_as(device) {
                entry.required = device.acs_control();
            }
        }
    }

    /// Turns on again what groups rely on, everywhere: what is off in one port of a switch lets
    /// the devices behind it reach those behind others. May sleep.
    pub(crate) fn hold(&self) {
        let began = clock::now_ns();
        for entry in self.list.lock().iter_mut() {
            let lost = |control| entry.device.require_acs(control);
            if !entry.required.is_some_and(lost) {
                continue;
            }
            if let Some(note) = AllowedLine::from_verdict(entry.log_limit.count(began)) {
                log_warn!(
                    "{}: its access control was off, as it is after a reset, and has been turned \
                     on again. Until now devices in different groups could reach each other \
                     through it{note}",
                    entry.device.as_device()
                );
            }
        }
        self.held_at.store(began, Relaxed);
    }

    /// As [`Self::hold`], unless that was done within [`RECHECK_AFTER_NS`]: the members of a group, and
    /// whatever else is attached in one go, do with one look. May sleep.
    pub(super) fn hold_for_attach(&self) {
        let since = clock::now_ns().saturating_sub(self.held_at.load(Relaxed));
        if since > RECHECK_AFTER_NS {
            self.hold();
        }
    }

    /// Drops a device that leaves for good. May sleep.
    pub(crate) fn remove(&self, device: &PciDevice) {
        let mut list = self.list.lock();
        if let Some(at) = list
            .iter()
            .position(|entry| entry.device.is_same_as(device))
        {
            let _ = list.remove(at);
        }
    }

    /// Sets everything to what it was before. May sleep.
    pub(crate) fn restore(&self) {
        for entry in core::mem::take(&mut *self.list.lock()) {
            if let Some(before) = entry.before {
                entry.device.restore_acs(before);
            }
        }
    }
}

impl PeriodicWork for AccessControl {
    const PERIOD_MS: u32 = 1000;

    fn run(&self) {
        self.hold()
    }
}
