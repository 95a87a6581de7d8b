// SPDX-License-Identifier: GPL-2.0

//! One remapping unit.
//!
//! # Life
//!
//! [`Unit::bring_up`] claims the registers and checks that nobody uses the unit; it changes no
//! register. [`Unit::start`] gives hardware the (empty) tables and the queue.
//! [`Unit::translate`] turns translation on, [`Unit::stop`] everything off again.
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
mod registers;
mod service;
mod sleep;
mod statistics;
mod tables;
mod taken_id;

pub(crate) use context::{Claimed, Translation};
pub(crate) use domain_ids::Asker;
pub(crate) use fault_event::{FaultEvent, FaultSink};
pub(crate) use invalidation::Request;
pub(crate) use look::{BusLook, EntriesLook, QueueLook};
pub(crate) use sleep::Saved;
pub(crate) use statistics::{Mapped, Statistics, WAIT_NAMES};
pub(crate) use taken_id::TakenId;

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use domain_ids::DomainIds;
use invalidation::{Invalidator, Ways};
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Mutex;
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::{log_emerg, log_err, log_info};
use provoke::{Provoked, WITHOUT_QUEUE, WITHOUT_ROOT_TABLE};
use registers::UnitRegisters;
use service::{Service, State};
use tables::{Root, Tables};
use vtd_core::compatibility::{Restriction, Walker};
use vtd_core::invalidation::{after_root_table, Step};
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
    name: CString,
    segment: Segment,
    #[pin]
    regs: UnitRegisters,
    cap: Capability,
    ecap: ExtendedCapability,
    width: AddressWidth,
    /// [`Restriction`] as bits; for tests.
    restriction: AtomicU32,
    /// Whether the protected memory regions were on.
    was_protected: AtomicBool,
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
    /// Gives hardware the queue and the empty tables; nothing is translated yet.
    pub(crate) fn start(&self) -> Result {
        self.regs.forget_old_faults(self.cap);
        let step = |what: &str, done: Result| {
            done.inspect_err(|_| log_err!("{self}: the unit did not {what} in time"))
        };
        step("turn an old queue off", self.end_old_queue())?;
        step("turn its queue on", self.invalidator.enable(&self.regs))?;
        let root = regs::root_table_address(self.root.address()).ok_or(EINVAL)?;
        self.regs.write64(regs::RTADDR, root);
        step(
            "take the root table",
            self.regs.command(Gcmd::SET_ROOT_TABLE, true),
        )?;
        self.service.start();
        self.perform(after_root_table(self.cap).iter())
    }

    /// Turns off a queue that a kernel which crashed has left on, once it is empty.
    fn end_old_queue(&self) -> Result {
        if !self.regs.status().queues() {
            return Ok(());
        }
        let empty = || self.regs.read64(regs::IQH) == self.regs.read64(regs::IQT);
        // One that stands still is turned off as it is; the command tells whether that worked.
        let _ = self.regs.wait(empty);
        self.regs.command(Gcmd::QUEUE, false)
    }

    /// Turns translation on, then the protected memory regions off, which would otherwise go on
    /// to block what the tables now decide (VT-d 10.4.16).
    pub(crate) fn translate(&self) -> Result {
        self.regs
            .command(Gcmd::TRANSLATION, true)
            .inspect_err(|_| log_err!("{self}: the unit did not turn translation on in time"))?;
        self.release_protected_memory();
        log_info!("{self}: translation is on");
        Ok(())
    }

    fn release_protected_memory(&self) {
        let has = self.cap.protected_low_memory() || self.cap.protected_high_memory();
        if !has || self.regs.read32(regs::PMEN) & (regs::PMEN_EPM | regs::PMEN_PRS) == 0 {
            return;
        }
        self.was_protected.store(true, Ordering::Relaxed);
        self.regs.write32(regs::PMEN, 0);
        let off = || self.regs.read32(regs::PMEN) & regs::PMEN_PRS == 0;
        if self.regs.wait(off).is_err() {
            log_err!(
                "{self}: its protected memory regions stay on: devices cannot reach what lies in \
                 them, whatever is mapped"
            );
        }
    }

    /// Turns the protected memory regions on again if they were when the driver came.
    fn restore_protected_memory(&self) {
        if self.was_protected.swap(false, Ordering::Relaxed) {
            self.regs.write32(regs::PMEN, regs::PMEN_EPM);
        }
    }

    /// Turns translation and the queue off: devices reach memory directly from here on. Whether the
    /// unit obeyed: if not, it may still walk its tables, which must then never be freed. Any
    /// context.
    pub(crate) fn stop(&self) -> bool {
        if self.service.is_stopped() {
            return true;
        }
        if self.regs.status().translates() && self.regs.command(Gcmd::TRANSLATION, false).is_err() {
            log_err!("{self}: translation does not go off; its tables stay allocated");
            return false;
        }
        self.service.stop();
        self.restore_protected_memory();
        let obeyed = self.invalidator.disable(&self.regs).is_ok();
        if !obeyed {
            log_err!("{self}: the queue does not go off; it stays allocated");
        }
        obeyed
    }

    /// Makes hardware forget, and waits until it has. Any context.
    ///
    /// On [`EIO`] the unit has been closed: every requester behind it is blocked, so a caller who
    /// unmaps may go on to reuse the memory.
    pub(crate) fn invalidate(&self, requests: &[Request]) -> Result {
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
        let mut batch = [Request::Context(ContextScope::Global); 3];
        let mut len = 0;
        for step in steps {
            let request = match step {
                Step::FlushWriteBuffer => {
                    self.flush_write_buffer()?;
                    continue;
                }
                Step::Context(scope) => Request::Context(scope),
                Step::Iotlb(scope) => Request::Iotlb(scope),
            };
            if let Some(slot) = batch.get_mut(len) {
                *slot = request;
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
        let obeyed = {
            // Interrupts are off: a handler that unmaps on this processor would wait for us for ever.
            let _alone = self.closing.lock();
            if !self.service.begin_closing() {
                return;
            }
            let obeyed = self.withdraw_everything();
            self.service.end_closing();
            obeyed
        };
        if obeyed {
            log_err!(
                "{self}: {failure}; every device behind it is blocked from now on: reload vtd or \
                 reboot to use them again"
            );
        } else {
            log_emerg!(
                "{self}: {failure}, and it does not obey register commands either: devices behind \
                 it may still reach memory that was taken from them; power the machine off"
            );
        }
    }

    /// Blocks every requester and drops all caches; whether the unit confirmed it.
    fn withdraw_everything(&self) -> bool {
        self.root.withdraw_all();
        let ways = Ways {
            root_table: self.cap.root_table_invalidates() && !self.provoked.is(WITHOUT_ROOT_TABLE),
            queue: !self.provoked.is(WITHOUT_QUEUE),
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

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.to_str().unwrap_or("dmar?"))
    }
}
