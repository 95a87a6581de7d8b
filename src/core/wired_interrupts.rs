// SPDX-License-Identifier: GPL-2.0

//! Behind which units are the IO-APICs and HPETs whose interrupts the kernel has set up?
//!
//! The DMAR table lists each behind a unit. One that it lists nowhere may be behind any of them, so
//! it counts for all: blocked requests would be lost interrupts of devices that worked before.

use crate::dmar::{Dmar, ScopeKind};
use crate::interrupt_policy::CompatibilityUser;
use crate::spec::address::PhysAddr;

/// Bytes of the MADT before its first structure.
const MADT_HEADER: usize = 44;
/// The structure type of an IO-APIC.
const MADT_IO_APIC: u8 = 1;

/// Returns the APIC IDs of the IO-APICs that the ACPI table MADT lists. Ends at a structure that is
/// not valid.
pub fn io_apic_ids(madt: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = madt.get(MADT_HEADER..).unwrap_or_default();
    let structures = core::iter::from_fn(move || {
        let [kind, length, id] = *rest.first_chunk::<3>()?;
        rest = rest.get(usize::from(length)..)?;
        (length >= 3).then_some((kind, id))
    });
    structures.filter_map(|(kind, id)| (kind == MADT_IO_APIC).then_some(id))
}

/// The IO-APICs and HPETs of a machine.
#[derive(Clone, Copy, Debug)]
pub struct WiredSources<'a> {
    /// Whether the kernel uses IO-APICs. A driver may request one of their pins at any time.
    pub io_apics: bool,
    /// Each IO-APIC that it uses, and each HPET with an interrupt.
    pub used: &'a [CompatibilityUser],
}

impl WiredSources<'_> {
    /// Returns what needs requests in compatibility format from the unit at `base`: an IO-APIC or
    /// HPET that `dmar` lists behind the unit, or behind no unit at all.
    pub fn user_behind(&self, dmar: &Dmar<'_>, base: PhysAddr) -> Option<CompatibilityUser> {
        let listed = |of: Option<PhysAddr>| {
            dmar.units()
                .filter(move |unit| of.is_none_or(|base| unit.register_base == base))
                .flat_map(|unit| unit.scopes.iter())
                .filter_map(|scope| match scope.kind {
                    ScopeKind::IoApic => Some(CompatibilityUser::IoApic(scope.enumeration_id)),
                    ScopeKind::Hpet => Some(CompatibilityUser::Hpet(scope.enumeration_id)),
                    _ => None,
                })
        };
        let is_used = |user: &CompatibilityUser| match user {
            CompatibilityUser::IoApic(_) => self.io_apics,
            _ => self.used.contains(user),
        };
        let own = listed(Some(base)).find(is_used);
        let unlisted = || {
            let mut used = self.used.iter();
            used.find(|user| !listed(None).any(|one| one == **user))
        };
        own.or_else(|| unlisted().copied())
    }
}
