// SPDX-License-Identifier: GPL-2.0

//! One remapping unit.
//!
//! # Life
//!
//! [`Unit::bring_up`] claims the registers and checks that the unit is not in use. It writes no
//! register. [`Unit::take_step`] then takes the steps of [`vtd_core::bring_up`], the queues of all
//! units first. After them hardware has its invalidation queue and an empty root table.
//! [`Unit::enable_translation`] turns translation on. [`Unit::disable`] turns everything off again.
//!
//! # Invariants
//!
//! - While a unit translates, a requester reaches memory only through a context entry that
//!   [`Unit::install`] wrote.
//! - A unit that has failed stays failed: its root table is empty and stays empty.
//!
//! # Locks
//!
//! 1. `tables` (mutex): context tables and use counts. It is held until the invalidation after a change
//!    is complete, so that changes of one unit are ordered.
//! 2. `ids` (mutex): domain-ids. No lock is taken under it.
//! 3. `failing` (spin lock, interrupts off). Only the following locks are taken under it:
//! 4. the spin lock of the interrupt table (`interrupt`). Only the following ones are taken under it:
//! 5. the spin lock of the list of device-TLBs.
//! 6. the spin locks of the queue and of the registers. They are the innermost locks.

mod bring_up;
mod enable;
mod event;
mod failure;
mod fault_injection;
mod interrupt;
mod invalidation;
mod present_word;
mod registers;
mod snapshot;
mod statistics;
mod suspend;
mod translation;

pub(crate) use event::{FaultEvent, FaultSink};
pub(crate) use fault_injection::InjectedError;
pub(crate) use interrupt::InterruptSnapshot;
pub(crate) use invalidation::DeviceTlb;
pub(crate) use snapshot::{BusSnapshot, QueueSnapshot, RequesterEntries};
pub(crate) use statistics::{Counter, Statistics, WAIT_KINDS};
pub(crate) use suspend::SuspendState;
pub(crate) use translation::{AllocatedDomainId, DomainIdOwner, Translation};
pub(crate) use vtd_core::install::WasInstalled;
pub(crate) use vtd_core::lockless::device_tlb::DeviceTlbAddress;

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use fault_injection::FaultInjection;
use interrupt::InterruptRemapping;
use invalidation::Invalidator;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Mutex;
use kernel_ext::lock::IrqSpinLock;
use registers::UnitRegisters;
use translation::{DomainIds, RootTable, TranslationState};
use vtd_core::compatibility::{Restriction, WalkCapabilities};
use vtd_core::invalidation::{InvalidationStep, MAX_INVALIDATIONS};
use vtd_core::lockless::unit_state::{AtomicUnitState, UnitState};
use vtd_core::spec::address::Segment;
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::registers::{self as regs, TranslationTableMode};
use vtd_core::spec::scope::ContextScope;
use vtd_core::translation_mode::LegacyReason;

/// Options that the user sets for all units.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// Whether register-based invalidation is used even if the unit has a queue.
    pub(crate) without_queue: bool,
    /// Whether interrupts are remapped where that is possible.
    pub(crate) interrupts: bool,
    /// Whether units that can are put into scalable mode.
    pub(crate) scalable: bool,
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
    /// Why the unit is in legacy mode, if it is.
    legacy_reason: Option<LegacyReason>,
    /// The [`Restriction`] that a test has set, as bits.
    restriction: AtomicU32,
    /// Whether translation must stay on once it was turned on.
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
    /// Interrupt remapping, if the unit supports it and it is wanted.
    interrupts: Option<Pin<KBox<InterruptRemapping>>>,
    stats: Statistics,
    state: AtomicUnitState,
    /// Whether the unit failed without confirming that its caches are empty and drained.
    may_still_reach: AtomicBool,
    /// Held while the unit is being failed. Other CPUs that hit an error wait here until every
    /// requester is blocked.
    #[pin]
    failing: IrqSpinLock<()>,
    /// The errors that a test has injected.
    fault_injection: FaultInjection,
}

impl Unit {
    /// Invalidates caches of the unit and waits until hardware has confirmed it.
    ///
    /// # Errors
    ///
    /// [`EIO`]: the unit has failed, and every requester behind it is blocked. A caller that unmaps
    /// may therefore reuse the memory.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn invalidate(&self, requests: &[Invalidation]) -> Result {
        match self.state() {
            UnitState::Enabled => {}
            UnitState::Failed => return Err(EIO),
            // Nothing is translated, so no cache can be stale.
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

    /// Takes the `steps` that a change of tables requires, in their order. All invalidations among
    /// them share one wait.
    ///
    /// # Errors
    ///
    /// Those of [`Self::invalidate`].
    pub(crate) fn perform(&self, steps: impl Iterator<Item = InvalidationStep>) -> Result {
        let mut batch = [Invalidation::Context(ContextScope::Global); MAX_INVALIDATIONS];
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

    /// Flushes the unit's write buffer. A unit with `CAP.RWBF` needs this before it sees what was
    /// written to the tables.
    fn flush_write_buffer(&self) -> Result {
        self.regs.flush_write_buffer().map_err(|_| {
            self.fail(&"its write buffer was not flushed in time");
            EIO
        })
    }

    /// Returns the unit's name: `dmar0` and so on.
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    /// Returns the unit's number, which is part of its name.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Returns the segment whose requesters the unit serves.
    pub(crate) fn segment(&self) -> Segment {
        self.segment
    }

    /// Returns the capability register (CAP).
    pub(crate) fn cap(&self) -> Capability {
        self.cap
    }

    /// Returns the extended capability register (ECAP).
    pub(crate) fn ecap(&self) -> ExtendedCapability {
        self.ecap
    }

    /// Returns the kind of tables that the unit walks.
    pub(crate) fn mode(&self) -> TranslationTableMode {
        self.root.mode()
    }

    /// Returns why the unit is in legacy mode, if it is.
    pub(crate) fn legacy_reason(&self) -> Option<LegacyReason> {
        self.legacy_reason
    }

    /// Returns the width of the widest second-stage tables that the unit walks.
    pub(crate) fn width(&self) -> AddressWidth {
        self.width
    }

    /// Returns which tables the unit can walk, less what [`Self::restrict`] has taken away.
    pub(crate) fn walk_capabilities(&self) -> WalkCapabilities {
        let bits = self.restriction.load(Ordering::Relaxed);
        WalkCapabilities {
            cap: self.cap,
            ecap: self.ecap,
            mode: self.mode(),
            restriction: Restriction {
                narrow: bits & 1 != 0,
                small_pages: bits & 2 != 0,
            },
        }
    }

    /// Makes the unit less capable than it is, for domains that are created or attached from now
    /// on. Bit 0: no tables above 39 bits. Bit 1: no large pages. Bits 16 and up: the number of
    /// domain-ids; 0 for all. For tests.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn restrict(&self, bits: u32) {
        self.restriction.store(bits, Ordering::Relaxed);
        let all = self.cap.domain_count().unwrap_or_default();
        let count = match bits >> 16 {
            0 => all,
            few => all.min(few),
        };
        self.ids.lock().limit(count)
    }

    /// Returns the unit's counters.
    pub(crate) fn statistics(&self) -> &Statistics {
        &self.stats
    }

    /// Returns the number of domain-ids in use.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn domains_used(&self) -> u32 {
        self.ids.lock().used()
    }

    /// Returns the physical address of the registers.
    pub(crate) fn register_base(&self) -> u64 {
        self.regs.start()
    }

    /// Reads the version register: major and minor.
    pub(crate) fn version(&self) -> (u8, u8) {
        regs::version(self.regs.read32(regs::VER))
    }

    /// Returns whether invalidations go through the queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.invalidator.is_queued()
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.to_str().unwrap_or("dmar?"))
    }
}
