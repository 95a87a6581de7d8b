// SPDX-License-Identifier: GPL-2.0

//! What becomes of the protected memory regions (PMEN, VT-d 10.4.16), which keep devices out of
//! memory that firmware chose, whatever the tables say.

use crate::spec::registers::{PMEN_EPM, PMEN_PRS};

/// What happens to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleEvent {
    /// It begins to translate, at load or after a sleep: the tables decide from here on, whatever
    /// firmware's resume path has set.
    TranslationEnabled,
    /// The machine goes to sleep: translation is off until it wakes.
    Suspend,
    /// The driver leaves, and puts back what it found.
    Unload,
    /// The machine is reset, or another kernel follows (kexec), which could not reach what lies in
    /// the regions, and may know nothing of them.
    Shutdown,
}

/// Whether the regions are on, by what PMEN holds.
pub const fn regions_enabled(pmen: u32) -> bool {
    pmen & (PMEN_EPM | PMEN_PRS) != 0
}

/// What to write to PMEN, which holds `now`, at a moment; `None` if it can stay as it is.
///
/// `found`: whether the regions were on when the driver was loaded, before any other event.
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
