// SPDX-License-Identifier: GPL-2.0

//! Whether faults of a requester are recorded (FPD, VT-d 9.3): reading that, and turning it off.
//! [`Unit::install`] turns it on again.

use crate::unit::Unit;
use kernel::prelude::*;
use vtd_core::invalidation::{after_absent_fpd_changes, after_fpd_change};
use vtd_core::spec::address::SourceId;
use vtd_core::spec::context::ContextEntry;

impl Unit {
    /// Whether hardware was made to record no faults of one of `sources`. May sleep.
    pub(crate) fn is_fault_processing_disabled(&self, sources: &[SourceId]) -> bool {
        let state = self.tables.lock();
        sources
            .iter()
            .any(|&source| state.tables.get(source).fault_processing_disabled())
    }

    /// Makes hardware record no more faults of `sources`, whose requests are refused as before
    /// (FPD, VT-d 9.3), until the next [`Self::install`].
    ///
    /// [`ENOMEM`], [`EIO`] if the unit has failed. May sleep.
    pub(crate) fn disable_fault_processing(&self, sources: &[SourceId]) -> Result {
        self.change_tables(|state| {
            for &source in sources {
                state.prepare(&self.root, source)?;
                let entry = state.tables.get(source);
                if !entry.fault_processing_disabled() {
                    // One bit of the word with the present bit: never a half-written entry.
                    state
                        .tables
                        .set(source, entry.with_fault_processing_disabled());
                    let id = entry.is_present().then(|| entry.domain());
                    self.perform(after_fpd_change(self.cap(), source, id).iter())?;
                }
            }
            Ok(())
        })
    }

    /// Makes hardware record no more faults of the requesters of `bus` that are blocked, except of
    /// those that `known` has by device and function, until the next [`Unit::install`] for one. Takes
    /// one page of tables at most.
    ///
    /// [`ENOMEM`], [`EIO`] if the unit has failed. May sleep.
    pub(crate) fn disable_unknown_fault_processing(&self, bus: u8, known: &[bool; 256]) -> Result {
        self.change_tables(|state| {
            state.prepare(&self.root, SourceId::from_bus_devfn(bus, 0))?;
            let tables = &mut state.tables;
            for (devfn, known) in (0..=u8::MAX).zip(known) {
                let source = SourceId::from_bus_devfn(bus, devfn);
                if !known && tables.get(source) == ContextEntry::ABSENT {
                    tables.set(
                        source,
                        ContextEntry::ABSENT.with_fault_processing_disabled(),
                    );
                }
            }
            self.perform(after_absent_fpd_changes(self.cap()).iter())
        })
    }
}
