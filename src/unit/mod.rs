// SPDX-License-Identifier: GPL-2.0

//! One remapping unit.
//!
//! # Life
//!
//! [`Unit::bring_up`] claims the registers and checks that nobody uses the unit; it changes no
//! register. [`Unit::take_step`], step by step and all units' queues first, gives hardware the queue and
//! the (empty) tables. [`Unit::enable_translation`] turns translation on, [`Unit::disable`] everything off again.
//!
//! # Invariants
//!
//! - While a unit translates, a requester reaches memory only through a context entry which
//!   [`Unit::install`] wrote.
//! - A unit that has failed stays closed: its root table is empty and stays so.
//!
//! # Locks
//!
//! 1. `tables` (mutex): context tables and claims; held over the invalidation after a change, so
//!    that changes of one unit are ordered.
//! 2. `ids` (mutex): domain-ids. Nothing is taken after it.
//! 3. `failing` (spin lock, interrupts off), after which only
//! 4. the spin locks of the queue and of the registers are taken, innermost.

mod bring_up;
mod enable;
mod event;
mod failure;
mod fault_injection;
mod invalidation;
mod registers;
mod snapshot;
mod state;
mod statistics;
mod suspend;
mod translation;

pub(crate) use event::{FaultEvent, FaultSink};
pub(crate) use snapshot::{BusSnapshot, QueueSnapshot, RequesterEntries};
pub(crate) use statistics::{Counter, MapCounts, Statistics, WAIT_KINDS};
pub(crate) use suspend::SuspendState;
pub(crate) use translation::{AllocatedDomainId, DomainIdOwner, Translation, WasInstalled};

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use fault_injection::FaultInjection;
use invalidation::Invalidator;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Mutex;
use kernel_ext::lock::IrqSpinLock;
use registers::UnitRegisters;
use state::{AtomicUnitState, UnitState};
use translation::{DomainIds, RootTable, TranslationState};
use vtd_core::compatibility::{Restriction, WalkCapabilities};
use vtd_core::invalidation::{Invalidation, InvalidationStep};
use vtd_core::spec::address::Segment;
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::registers as regs;
use vtd_core::spec::scope::ContextScope;

/// What the user may ask of all units.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// Use register-based invalidation although there is a queue.
    pub(crate) without_queue: bool,
}

/// One remapping unit.
#[pin_data]
pub(crate) struct Unit {
    index: usize,
    name: CString,
    segment: Segment,
    #[pin]
    regs: UnitRegisters,
    cap: Capability,
    ecap: ExtendedCapability,
    width: AddressWidth,
    /// [`Restriction`] as bits; for tests.
    restriction: AtomicU32,
    /// Whether translation must not be turned off once it was on.
    keeps_translation: bool,
    /// Whether the protected memory regions were on when the driver was loaded.
    protected_memory_at_load: bool,
    root: RootTable,
    #[pin]
    tables: Mutex<TranslationState>,
    #[pin]
    ids: Mutex<DomainIds>,
    #[pin]
    invalidator: Invalidator,
    stats: Statistics,
    state: AtomicUnitState,
    /// Held by the one who closes the unit; others who meet an error wait here until it is done.
    #[pin]
    failing: IrqSpinLock<()>,
    /// What tests asked for.
    fault_injection: FaultInjection,
}

impl Unit {
    /// Makes hardware forget, and waits until it has. Any context.
    ///
    /// On [`EIO`] the unit has been closed: every requester behind it is blocked, so a caller who
    /// unmaps may go on to reuse the memory.
    pub(crate) fn invalidate(&self, requests: &[Invalidation]) -> Result {
        match self.state.get() {
            UnitState::Enabled => {}
            UnitState::Failed => return Err(EIO),
            // Untranslated: there is nothing that could be stale.
            UnitState::Disabled => return Ok(()),
        }
        match self
            .invalidator
            .submit_sync(&self.regs, requests, &self.stats)
        {
            Ok(()) => Ok(()),
            Err(failure) => {
                self.fail(&failure);
                Err(EIO)
            }
        }
    }

    /// Takes the steps that a change of tables demands, in their order; one wait for all
    /// invalidations among them. Errors as [`Self::invalidate`].
    pub(crate) fn perform(&self, steps: impl Iterator<Item = InvalidationStep>) -> Result {
        let mut batch = [Invalidation::Context(ContextScope::Global); 3];
        let mut len = 0;
        for step in steps {
            let invalidation = match step {
                InvalidationStep::FlushWriteBuffer => {
                    self.flush_write_buffer()?;
                    continue;
                }
                InvalidationStep::Invalidate(invalidation) => invalidation,
            };
            if let Some(slot) = batch.get_mut(len) {
                *slot = invalidation;
                len += 1;
            }
        }
        self.invalidate(batch.get(..len).unwrap_or_default())
    }

    /// Makes a unit that needs it see what was written.
    fn flush_write_buffer(&self) -> Result {
        self.regs.flush_write_buffer().map_err(|_| {
            self.fail(&"its write buffer was not flushed in time");
            EIO
        })
    }

    /// Its name: `dmar0` and so on.
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    /// The segment whose requesters it sees.
    pub(crate) fn segment(&self) -> Segment {
        self.segment
    }

    /// What it can do.
    pub(crate) fn cap(&self) -> Capability {
        self.cap
    }

    /// What it can do besides.
    pub(crate) fn ecap(&self) -> ExtendedCapability {
        self.ecap
    }

    /// The widest tables that it walks.
    pub(crate) fn width(&self) -> AddressWidth {
        self.width
    }

    /// What tables it can walk, as far as it is not [restricted](Self::restrict).
    pub(crate) fn walk_capabilities(&self) -> WalkCapabilities {
        let bits = self.restriction.load(Ordering::Relaxed);
        WalkCapabilities {
            cap: self.cap,
            ecap: self.ecap,
            restriction: Restriction {
                narrow: bits & 1 != 0,
                small_pages: bits & 2 != 0,
            },
        }
    }

    /// Makes the unit less capable than it is, for domains made or attached from now on. Bit 0: no
    /// tables above 39 bits, bit 1: no large pages; from bit 16 on how many domain-ids, 0: all. For
    /// tests. May sleep.
    pub(crate) fn restrict(&self, bits: u32) {
        self.restriction.store(bits, Ordering::Relaxed);
        let all = self.cap.domain_count().unwrap_or_default();
        let count = match bits >> 16 {
            0 => all,
            few => all.min(few),
        };
        self.ids.lock().limit(count)
    }

    /// What it has done.
    pub(crate) fn statistics(&self) -> &Statistics {
        &self.stats
    }

    /// Domain-ids given out.
    pub(crate) fn domains_used(&self) -> u32 {
        self.ids.lock().used()
    }

    /// Where its registers are.
    pub(crate) fn register_base(&self) -> u64 {
        self.regs.start()
    }

    /// Its version register: major and minor.
    pub(crate) fn version(&self) -> (u8, u8) {
        regs::version(self.regs.read32(regs::VER))
    }

    /// Whether invalidations go through the queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.invalidator.is_queued()
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.to_str().unwrap_or("dmar?"))
    }
}
