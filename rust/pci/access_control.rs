// SPDX-License-Identifier: GPL-2.0

//! Access control of ports and functions (ACS, PCI Express 6.12): what keeps peers from reaching
//! each other without passing a unit.

use super::PciDevice;
use crate::bindings;

/// The control register of access control: which kinds of it are on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AcsControl(u16);

impl PciDevice {
    /// Turns on the kinds of access control that the device supports: source validation, request
    /// and completion redirect, upstream forwarding, and translation blocking for external-facing
    /// ports or if ATS is disabled. So peers cannot reach each other bypassing the unit. Returns
    /// the previous setting if it was changed; a device without the capability is not changed.
    pub fn enable_acs(&self) -> Option<AcsControl> {
        let mut wanted = bindings::PCI_ACS_SV
            | bindings::PCI_ACS_RR
            | bindings::PCI_ACS_CR
            | bindings::PCI_ACS_UF;
        // SAFETY: The device is valid. The first two calls only read what the PCI core found at
        // enumeration; the third has no preconditions.
        let (offered, block_translated) = unsafe {
            (
                bindings::vtd_helper_pci_acs_offered(self.ptr.as_ptr()),
                bindings::vtd_helper_pci_is_external(self.ptr.as_ptr())
                    || bindings::pci_ats_disabled(),
            )
        };
        if block_translated {
            wanted |= bindings::PCI_ACS_TB;
        }
        self.change_acs(|control| control | (offered & wanted as u16))
            .map(AcsControl)
    }

    /// Returns which kinds of access control are on; [`None`] for a device without the capability.
    pub fn acs_control(&self) -> Option<AcsControl> {
        self.acs().map(|(control, _)| AcsControl(control))
    }

    /// Turns on again the kinds that are on in `wanted`, and returns whether any of them was off. A
    /// device that does not respond is not changed. Neither is one that runtime power management
    /// has suspended: an access would disturb it, and nothing behind it is active either.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn require_acs(&self, wanted: AcsControl) -> bool {
        // SAFETY: Valid device; where it is kept awake, it is released below.
        let awake = unsafe { bindings::vtd_helper_pci_pm_get_if_active(self.as_raw()) };
        let (asleep, kept) = (awake == 0, awake > 0);
        let lost = |control: u16| wanted.0 & !control != 0;
        let was_off = !asleep
            && self.acs().is_some_and(|(control, _)| lost(control))
            && self.change_acs(|control| control | wanted.0).is_some();
        if kept {
            // SAFETY: Kept awake above.
            unsafe { bindings::vtd_helper_pci_pm_put(self.as_raw()) }
        }
        was_off
    }

    /// Sets access control to the setting that [`Self::enable_acs`] returned.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn restore_acs(&self, before: AcsControl) {
        self.change_acs(|_| before.0);
    }

    /// Sets the control register to the result of `new` for its current value; returns the previous
    /// value if that was different.
    ///
    /// A reset of the function holds the lock of its configuration space from before its state is
    /// saved until after it was restored, so this change happens either before or after the reset.
    /// User space waits for the lock. The lock is only tried, because the caller may be the thread
    /// that resets: the core attaches a device again before it releases that lock.
    fn change_acs(&self, new: impl FnOnce(u16) -> u16) -> Option<u16> {
        // SAFETY: Valid device.
        let locked = unsafe { bindings::pci_cfg_access_trylock(self.as_raw()) };
        let changed = self.acs().and_then(|(control, at)| {
            let new = new(control);
            (new != control).then(|| {
                self.write_acs(at, new);
                control
            })
        });
        if locked {
            // SAFETY: Locked above.
            unsafe { bindings::pci_cfg_access_unlock(self.as_raw()) }
        }
        changed
    }

    /// Reads the control register, and returns its value and its offset.
    fn acs(&self) -> Option<(u16, u16)> {
        // SAFETY: Valid device.
        let cap = unsafe { bindings::vtd_helper_pci_acs_cap(self.ptr.as_ptr()) };
        let at = cap + bindings::PCI_ACS_CTRL as u16;
        let control = (cap != 0).then(|| self.read_config(at, 2)).flatten()?;
        Some((control as u16, at))
    }

    /// Writes the control register.
    fn write_acs(&self, at: u16, value: u16) {
        // SAFETY: Valid device; `at` is the control register of its access control capability.
        unsafe { bindings::pci_write_config_word(self.ptr.as_ptr(), at.into(), value) };
    }
}
