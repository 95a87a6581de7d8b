// SPDX-License-Identifier: GPL-2.0

//! When the driver disables and enables the protected memory regions (PMEN, VT-d 10.4.16), in which
//! firmware forbids DMA regardless of the page tables.

use crate::spec::registers::{PMEN_EPM, PMEN_PRS};

/// An event in the lifecycle of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleEvent {
    /// The unit starts to translate, at load or after a suspend. From then on the page tables
    /// decide, so the regions are disabled even if firmware's resume path has enabled them.
    TranslationEnabled,
    /// The machine is suspended: translation is off until it resumes.
    Suspend,
    /// The driver is unloaded, and restores what it found at load.
    Unload,
    /// The machine is reset, or another kernel starts (kexec). Devices under that kernel could not
    /// access memory in the regions, and that kernel may not support them.
    Shutdown,
}

/// Returns whether the value of PMEN shows the regions enabled.
pub const fn regions_enabled(pmen: u32) -> bool {
    pmen & (PMEN_EPM | PMEN_PRS) != 0
}

/// Returns the value to write to PMEN, which holds `now`, at an event, or `None` if no write is
/// needed.
///
/// `found` is whether the regions were enabled when the driver was loaded, before any other event.
pub const fn pmen_to_write(event: LifecycleEvent, found: bool, now: u32) -> Option<u32> {
    let on = match event {
        LifecycleEvent::Suspend => return None,
        LifecycleEvent::TranslationEnabled | LifecycleEvent::Shutdown => false,
        LifecycleEvent::Unload => found,
    };
    match (on, regions_enabled(now)) {
        (true, false) => Some(now | PMEN_EPM),
        (false, true) => Some(now & !(PMEN_EPM | PMEN_PRS)),
        _ => None,
    }
}
