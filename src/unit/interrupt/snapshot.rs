// SPDX-License-Identifier: GPL-2.0

//! What interrupt remapping has at one moment, for reports.

use crate::unit::Unit;
use vtd_core::spec::address::SourceId;
use vtd_core::spec::interrupt::{ApicMode, InterruptEntry};

/// A copy of one entry in use.
#[derive(Clone, Copy)]
pub(crate) struct InterruptSnapshot {
    /// Its index.
    pub(crate) index: usize,
    /// What hardware reads.
    pub(crate) entry: InterruptEntry,
    /// The device that it belongs to.
    pub(crate) owner: SourceId,
}

impl Unit {
    /// Returns whether interrupts are remapped.
    pub(crate) fn remaps_interrupts(&self) -> bool {
        self.interrupts.as_deref().is_some_and(|one| one.is_on())
    }

    /// Returns the device that an entry belongs to.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn interrupt_owner(&self, index: u16) -> Option<SourceId> {
        let remapping = self.interrupts.as_deref()?;
        remapping.entries.lock().owner(usize::from(index))
    }

    /// Returns how many entries are in use, and how many there are.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn interrupt_counts(&self) -> (usize, usize) {
        self.interrupts.as_deref().map_or((0, 0), |remapping| {
            let used = remapping.entries.lock().used();
            (used, remapping.table.with(|table| table.count()))
        })
    }

    /// Returns the physical address of the table, if there is one.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn interrupt_table(&self) -> Option<u64> {
        let remapping = self.interrupts.as_deref()?;
        Some(remapping.table.with(|table| table.phys()))
    }

    /// Returns the first entry in use from `from` on.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn next_interrupt(&self, from: usize) -> Option<InterruptSnapshot> {
        let remapping = self.interrupts.as_deref()?;
        let entries = remapping.entries.lock();
        remapping.table.with(|table| {
            (from..table.count()).find_map(|index| {
                Some(InterruptSnapshot {
                    index,
                    entry: table.get(index),
                    owner: entries.owner(index)?,
                })
            })
        })
    }

    /// Returns how destinations are encoded in the table.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn apic_mode(&self) -> ApicMode {
        let remapping = self.interrupts.as_deref();
        remapping.map_or(ApicMode::XApic, |remapping| {
            remapping.table.with(|table| table.mode())
        })
    }
}
