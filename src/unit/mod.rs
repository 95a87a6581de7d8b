// SPDX-License-Identifier: GPL-2.0

//! One remapping unit.
//!
//! # Life
//!
//! [`Unit::bring_up`] claims the registers and checks that nobody uses the unit; it changes no
//! register. [`Unit::take`], step by step and all units' queues first, gives hardware the queue and
//! the (empty) tables. [`Unit::translate`] turns translation on, [`Unit::stop`] everything off again.
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
//! 3. `closing` (spin lock, interrupts off), after which only
//! 4. the spin locks of the queue and of the registers are taken, innermost.

mod bring_up;
mod context;
pub(crate) mod domain_ids;
mod fault_event;
mod forget;
mod invalidation;
mod look;
mod provoke;
mod queue;
mod queue_errors;
mod recording;
mod registers;
mod service;
mod sleep;
mod statistics;
mod tables;
mod taken_id;

pub(crate) use context::{Claimed, Translation};
pub(crate) use domain_ids::Asker;
pub(crate) use fault_event::{FaultEvent, FaultSink};
pub(crate) use look::{BusLook, EntriesLook, QueueLook};
pub(crate) use sleep::Saved;
pub(crate) use statistics::{Mapped, Statistics, WAIT_NAMES};
pub(crate) use taken_id::TakenId;

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use domain_ids::DomainIds;
use invalidation::{Dropped, Invalidator, Ways};
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Mutex;
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::{log_emerg, log_err, log_info};
use provoke::{Provoked, WITHOUT_QUEUE, WITHOUT_REGISTERS, WITHOUT_ROOT_TABLE};
use registers::UnitRegisters;
use service::{Service, State};
use tables::{Root, Tables};
use vtd_core::compatibility::{Restriction, Walker};
use vtd_core::invalidation::{Invalidation, Step};
use vtd_core::protected_memory::{self, Moment};
use vtd_core::spec::address::Segment;
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::registers as regs;
use vtd_core::spec::scope::ContextScope;
use vtd_core::spec::status::Gcmd;

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
    was_protected: bool,
    root: Root,
    #[pin]
    tables: Mutex<Tables>,
    #[pin]
    ids: Mutex<DomainIds>,
    #[pin]
    invalidator: Invalidator,
    stats: Statistics,
    service: Service,
    /// Held by the one who closes the unit; others who meet an error wait here until it is done.
    #[pin]
    closing: IrqSpinLock<()>,
    /// What tests asked for.
    provoked: Provoked,
}

impl Unit {
    /// Turns translation on, then the protected memory regions off, which would otherwise go on
    /// to block what the tables now decide (VT-d 10.4.16).
    pub(crate) fn translate(&self) -> Result {
        self.regs
            .command(Gcmd::TRANSLATION, true)
            .inspect_err(|_| log_err!("{self}: the unit did not turn translation on in time"))?;
        self.protect(Moment::Translates);
        log_info!("{self}: translation is on");
        Ok(())
    }

    /// Turns the protected memory regions on or off, as `moment` demands.
    fn protect(&self, moment: Moment) {
        if !has_protected_memory(self.cap) {
            return;
        }
        let now = self.regs.read32(regs::PMEN);
        let Some(value) = protected_memory::to_write(moment, self.was_protected, now) else {
            return;
        };
        self.regs.write32(regs::PMEN, value);
        let on = protected_memory::are_on(value);
        let obeyed = || (self.regs.read32(regs::PMEN) & regs::PMEN_PRS != 0) == on;
        if self.regs.wait(obeyed).is_err() && !on {
            log_err!(
                "{self}: its protected memory regions stay on: devices cannot reach what lies in \
                 them, whatever is mapped"
            );
        }
    }

    /// Turns translation and the queue off: devices reach memory directly from here on, but for what
    /// lies in protected memory regions. Whether the unit obeyed: if not, it may still walk its tables
    /// or its queue, which must then never be freed. Any context.
    pub(crate) fn stop(&self, moment: Moment) -> bool {
        if self.service.is_stopped() {
            // It may have come no further than its queue.
            return self.leave_queue();
        }
        if self.regs.status().translates() && self.regs.command(Gcmd::TRANSLATION, false).is_err() {
            log_err!("{self}: translation does not go off; its tables stay allocated");
            return false;
        }
        self.service.stop();
        self.protect(moment);
        self.leave_queue()
    }

    /// Turns the queue off, if the driver has turned it on; whether the unit obeyed.
    fn leave_queue(&self) -> bool {
        let obeyed = self.invalidator.disable(&self.regs).is_ok();
        if !obeyed {
            log_err!("{self}: the queue does not go off; it stays allocated");
        }
        obeyed
    }

    /// Whether translation must not be turned off any more: it is on, and the devices behind the unit
    /// would keep it from ever going off.
    pub(crate) fn keeps_translation(&self) -> bool {
        self.keeps_translation && !self.service.is_stopped() && self.regs.status().translates()
    }

    /// Whether it will be so once translation was on.
    pub(crate) fn will_keep_translation(&self) -> bool {
        self.keeps_translation
    }

    /// As [`Self::stop`], when the machine goes down; a unit whose translation must stay on is left
    /// as it is. Any context.
    pub(crate) fn shut_down(&self) {
        if self.keeps_translation() {
            log_info!(
                "{self}: translation stays on, as the devices behind it need it: a kernel that is \
                 started by kexec finds it so"
            );
        } else {
            self.stop(Moment::NextKernel);
        }
    }

    /// Makes hardware forget, and waits until it has. Any context.
    ///
    /// On [`EIO`] the unit has been closed: every requester behind it is blocked, so a caller who
    /// unmaps may go on to reuse the memory.
    pub(crate) fn invalidate(&self, requests: &[Invalidation]) -> Result {
        match self.service.state() {
            State::Serving => {}
            State::Closed => return Err(EIO),
            // Untranslated: there is nothing that could be stale.
            State::Stopped => return Ok(()),
        }
        match self.invalidator.run(&self.regs, requests, &self.stats) {
            Ok(()) => Ok(()),
            Err(failure) => {
                self.close(&failure);
                Err(EIO)
            }
        }
    }

    /// Takes the steps that a change of tables demands, in their order; one wait for all
    /// invalidations among them. Errors as [`Self::invalidate`].
    pub(crate) fn perform(&self, steps: impl Iterator<Item = Step>) -> Result {
        let mut batch = [Invalidation::Context(ContextScope::Global); 3];
        let mut len = 0;
        for step in steps {
            let invalidation = match step {
                Step::FlushWriteBuffer => {
                    self.flush_write_buffer()?;
                    continue;
                }
                Step::Invalidate(invalidation) => invalidation,
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
            self.close(&"its write buffer was not flushed in time");
            EIO
        })
    }

    /// Ends the unit's service with every requester blocked.
    fn close(&self, failure: &dyn fmt::Display) {
        // Interrupts are off: a handler that unmaps on this processor would wait for us for ever.
        let dropped = self.closing.with(|()| {
            if !self.service.begin_closing() {
                return None;
            }
            let dropped = self.withdraw_everything();
            self.service.end_closing();
            Some(dropped)
        });
        let Some(dropped) = dropped else {
            return;
        };
        match dropped {
            Dropped::All => log_err!(
                "{self}: {failure}; every device behind it is blocked from now on: reload vtd or \
                 reboot to use them again"
            ),
            Dropped::Undrained => log_err!(
                "{self}: {failure}; every device behind it is blocked from now on, but the unit did \
                 not confirm that writes under way have ended, which may still land in memory that \
                 was taken from them: reboot"
            ),
            Dropped::Nothing => log_emerg!(
                "{self}: {failure}, and it does not obey register commands either: devices behind \
                 it may still reach memory that was taken from them; power the machine off"
            ),
        }
    }

    /// Blocks every requester and drops all caches; what of it the unit confirmed.
    fn withdraw_everything(&self) -> Dropped {
        self.root.withdraw_all();
        let ways = Ways {
            root_table: self.cap.root_table_invalidates() && !self.provoked.is(WITHOUT_ROOT_TABLE),
            queue: !self.provoked.is(WITHOUT_QUEUE),
            registers: !self.provoked.is(WITHOUT_REGISTERS),
        };
        self.invalidator.drop_everything(&self.regs, ways)
    }

    /// Whether the unit was closed after an error.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.service.state(), State::Closed)
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
    pub(crate) fn walker(&self) -> Walker {
        let bits = self.restriction.load(Ordering::Relaxed);
        Walker {
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

/// Whether a unit has regions that it can keep devices out of.
fn has_protected_memory(cap: Capability) -> bool {
    cap.protected_low_memory() || cap.protected_high_memory()
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.to_str().unwrap_or("dmar?"))
    }
}
