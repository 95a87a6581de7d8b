// SPDX-License-Identifier: GPL-2.0

//! Access control (ACS): keeps the devices of one group from reaching those of another directly,
//! bypassing the unit.
//!
//! It is turned on for a device before the core probes it. The core then applies the
//! administrator's settings from the command line (`pci=disable_acs_redir=`, `config_acs=`), and
//! forms the group from the settings that are in effect. From then on the group relies on them. A
//! reset or a loss of power turns access control off. The kernel turns it on again only if its own
//! remapping is in use, and does not notify the driver. So the driver checks the settings before a
//! device's driver is bound, before a domain is attached, and every second.

use super::rate_limit::AllowedLine;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::clock;
use kernel_ext::log_dev_warn;
use kernel_ext::pci::{AcsControl, PciDevice};
use vtd_core::fault_limit::FaultLimit;

/// For this long one check is good enough for an attach. It is less than any reset takes (2 ms for
/// a bus below a bridge, 10 ms out of D3, 100 ms for a function), and during a reset no request
/// passes the port. So what a reset turns off is on again before it could matter.
const RECHECK_AFTER_NS: u64 = 1_000_000;

struct AcsEntry {
    device: PciDevice,
    /// The setting before it was changed, if it was.
    before: Option<AcsControl>,
    /// The setting that groups rely on, once they do.
    required: Option<AcsControl>,
    /// Limits the log lines: a user can reset the device repeatedly.
    log_limit: FaultLimit,
}

/// The access control of all devices behind units.
#[pin_data]
pub(crate) struct AccessControl {
    #[pin]
    list: Mutex<KVec<AcsEntry>>,
    /// When the last completed check began.
    held_at: AtomicU64,
}

impl AccessControl {
    /// Creates an empty list.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                list <- new_mutex!(KVec::new(), "vtd access control"),
                held_at: AtomicU64::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Turns access control on, before the group of `device` is formed.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
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
                AcsEntry {
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

    /// Records what is on. The group of `device` is formed from this next.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn record_required(&self, device: &PciDevice) {
        for entry in self.list.lock().iter_mut() {
            if entry.device.is_same_as(device) {
                entry.required = device.acs_control();
            }
        }
    }

    /// Turns on again what groups rely on, for all devices: if it is off in one port of a switch,
    /// the devices behind that port can reach those behind others.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn hold(&self) {
        let began = clock::now_ns();
        for entry in self.list.lock().iter_mut() {
            let lost = |control| entry.device.require_acs(control);
            if !entry.required.is_some_and(lost) {
                continue;
            }
            if let Some(note) = AllowedLine::from_verdict(entry.log_limit.count(began)) {
                log_dev_warn!(
                    entry.device.as_device(),
                    "{}: its access control was off, as it is after a reset, and has been turned \
                     on again. Until now devices in different groups could reach each other \
                     through it{note}",
                    entry.device.as_device()
                );
            }
        }
        self.held_at.store(began, Relaxed);
    }

    /// Calls [`Self::hold`], unless its last call began less than [`RECHECK_AFTER_NS`] ago. So the
    /// members of a group, which are attached one after another, share one check.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn hold_for_attach(&self) {
        let since = clock::now_ns().saturating_sub(self.held_at.load(Relaxed));
        if since > RECHECK_AFTER_NS {
            self.hold();
        }
    }

    /// Removes a device from the list when it is released.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn remove(&self, device: &PciDevice) {
        let mut list = self.list.lock();
        if let Some(at) = list
            .iter()
            .position(|entry| entry.device.is_same_as(device))
        {
            let _ = list.remove(at);
        }
    }

    /// Restores the settings from before [`Self::enable`].
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn restore(&self) {
        for entry in core::mem::take(&mut *self.list.lock()) {
            if let Some(before) = entry.before {
                entry.device.restore_acs(before);
            }
        }
    }
}
