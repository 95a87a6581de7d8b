// SPDX-License-Identifier: GPL-2.0

//! What becomes of the protected memory regions (PMEN, VT-d 10.4.16), which keep devices out of
//! memory that firmware chose, whatever the tables say.

use crate::spec::registers::{PMEN_EPM, PMEN_PRS};

/// What happens to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// It begins to translate, at load or after a sleep: the tables decide from here on, whatever
    /// firmware's resume path has set.
    Translates,
    /// The machine goes to sleep: translation is off until it wakes.
    Sleeps,
    /// The driver leaves, and puts back what it found.
    Detached,
    /// The machine is reset, or another kernel follows (kexec), which could not reach what lies in
    /// the regions, and may know nothing of them.
    NextKernel,
}

/// Whether the regions are on, by what PMEN holds.
pub const fn are_on(pmen: u32) -> bool {
    pmen & (PMEN_EPM | PMEN_PRS) != 0
}

/// What to write to PMEN, which holds `now`, at a moment; `None` if it can stay as it is.
///
/// `found`: whether the regions were on when the driver was loaded, before any other moment.
pub const fn to_write(moment: Moment, found: bool, now: u32) -> Option<u32> {
    let on = match moment {
        Moment::Sleeps => return None,
        Moment::Translates | Moment::NextKernel => false,
        Moment::Detached => found,
    };
    match (on, are_on(now)) {
        (true, false) => Some(now | PMEN_EPM),
        (false, true) => Some(now & !(PMEN_EPM | PMEN_PRS)),
        _ => None,
    }
}
