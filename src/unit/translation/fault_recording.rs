// SPDX-License-Identifier: GPL-2.0

//! Disables the recording of faults of a requester (FPD, VT-d 9.3). [`Unit::install`] enables it
//! again.

use super::install::Slot;
use crate::unit::Unit;
use kernel::prelude::*;
use vtd_core::install::{disable_fault_processing, RequesterEntry};
use vtd_core::invalidation::after_absent_fpd_changes;
use vtd_core::spec::address::SourceId;

impl Unit {
    /// Returns whether fault recording is disabled for one of `sources`.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn is_fault_processing_disabled(&self, sources: &[SourceId]) -> bool {
        let state = self.tables.lock();
        sources
            .iter()
            .any(|&source| state.tables.get(source).fault_processing_disabled())
    }

    /// Disables fault recording for `sources` until the next [`Self::install`] (FPD, VT-d 9.3).
    /// Their requests are refused as before.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails. [`EIO`]: the unit has failed.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn disable_fault_processing(&self, sources: &[SourceId]) -> Result {
        self.change_tables(|state| {
            for &source in sources {
                state.prepare(&self.root, source)?;
                let old = state.tables.get(source);
                let mut slot = Slot::new(self, &mut state.tables, source);
                disable_fault_processing(&mut slot, self.cap(), source, old)?;
            }
            Ok(())
        })
    }

    /// Disables fault recording for the blocked requesters of `bus`, except those that are marked
    /// in `known`, by device and function number, until the next [`Unit::install`] for each.
    /// Allocates two pages of tables at most.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails. [`EIO`]: the unit has failed.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn disable_unknown_fault_processing(&self, bus: u8, known: &[bool; 256]) -> Result {
        self.change_tables(|state| {
            let tables = &mut state.tables;
            tables.prepare_blocked(&self.root, bus)?;
            let absent = RequesterEntry::absent(self.mode());
            for (devfn, known) in (0..=u8::MAX).zip(known) {
                let source = SourceId::from_bus_devfn(bus, devfn);
                let entry = tables.get(source);
                if !known && !entry.is_present() && !entry.fault_processing_disabled() {
                    tables.set(source, absent.with_fault_processing_disabled());
                }
            }
            self.perform(after_absent_fpd_changes(self.cap()).iter())
        })
    }
}
