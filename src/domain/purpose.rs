// SPDX-License-Identifier: GPL-2.0

//! What a new domain is for.

use kernel_ext::pages::Charge;

/// What a new domain is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DomainPurpose {
    /// A group's first default domain, whose first attach must not fail: all that it takes is there
    /// from the beginning. It is the kernel's, and outlives whoever made the device appear.
    FirstDefault,
    /// Any other, for which a user asks, or root for another type of the default domain. An attach
    /// may fail, so what it takes is found then.
    Other,
}

impl DomainPurpose {
    /// Whom what the domain itself takes is charged to.
    pub(super) fn charge(self) -> Charge {
        match self {
            DomainPurpose::FirstDefault => Charge::Unaccounted,
            DomainPurpose::Other => Charge::Caller,
        }
    }
}
