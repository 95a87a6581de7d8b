// SPDX-License-Identifier: GPL-2.0

//! The purpose of a new domain.

use kernel_ext::pages::Charge;

/// The purpose of a new domain: which of its resources are reserved at creation, and who is
/// charged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DomainPurpose {
    /// A group's first default domain. Its first attach must not fail, so everything that an attach
    /// needs is allocated with the domain. The kernel owns it, and it outlives the process that
    /// made the device appear.
    FirstDefault,
    /// Any other domain: requested by a user, or by root who changes the type of the default
    /// domain. An attach may fail, so what it needs is allocated then.
    Other,
}

impl DomainPurpose {
    /// Returns what the memory of the domain itself is charged to.
    pub(super) fn charge(self) -> Charge {
        match self {
            DomainPurpose::FirstDefault => Charge::Unaccounted,
            DomainPurpose::Other => Charge::Caller,
        }
    }
}
