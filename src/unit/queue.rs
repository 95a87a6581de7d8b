// SPDX-License-Identifier: GPL-2.0

//! The invalidation queue (VT-d 6.5.2).
//!
//! A ring of [`SLOTS`] descriptors which software fills behind the tail and hardware empties from
//! the head. Every submission ends with a wait descriptor that makes hardware write how many
//! descriptors it has finished in all: one number that only grows, so any number of submitters can
//! wait for it at once and no bookkeeping of slots is needed.
//!
//! # Invariants
//!
//! - `submitted - finished` slots belong to hardware and are not written; the others are free.
//! - At least one slot is always free: a full ring would look empty.
//! - `submitted` is what the last wait descriptor in the ring will make hardware write.
//!
//! # Locks
//!
//! `state` is held while slots are filled and the tail is moved, and never while waiting.

use super::registers::{UnitRegisters, TIME_OUT_MS};
use kernel::prelude::*;
use kernel_ext::clock::{self, Deadline};
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::pages::{Gfp, Pages};
use vtd_core::spec::address::PhysAddr;
use vtd_core::spec::descriptor::Descriptor;
use vtd_core::spec::registers;
use vtd_core::spec::status::{Fsts, Gcmd};

/// Descriptors in one page.
const SLOTS: u32 = 256;

/// How many polls of the status word pass between two looks at the fault status register.
const POLLS_PER_CHECK: u32 = 1024;

/// The most descriptors one submission may hold beside its wait descriptor.
pub(crate) const MAX_BATCH: usize = 64;

/// Why the queue can no longer be trusted.
#[derive(Clone, Copy)]
pub(crate) enum QueueFailure {
    /// Hardware reported an error (FSTS) at the descriptor `head`.
    Reported {
        /// The fault status register.
        status: Fsts,
        /// Index of the descriptor that hardware would fetch next.
        head: u32,
        /// Its first word.
        descriptor: u64,
    },
    /// Nothing happened for [`TIME_OUT_MS`].
    TimeOut {
        /// Index of the descriptor that hardware would fetch next.
        head: u32,
    },
}

struct State {
    /// Descriptors submitted so far, waits included; wraps.
    submitted: u32,
}

/// The queue of one unit.
#[pin_data]
pub(crate) struct Queue {
    ring: Pages,
    /// Hardware writes the count of finished descriptors here.
    finished: Pages,
    finished_at: PhysAddr,
    #[pin]
    state: IrqSpinLock<State>,
}

impl Queue {
    /// Allocates a queue, near `nid`.
    pub(crate) fn new(nid: i32) -> Result<impl PinInit<Self>> {
        let ring = Pages::new(nid, 0, Gfp::KERNEL)?;
        let finished = Pages::new(nid, 0, Gfp::KERNEL)?;
        let finished_at = PhysAddr::new(finished.phys());
        Ok(pin_init!(Self {
            ring,
            finished,
            finished_at,
            state <- kernel_ext::new_irq_spinlock!(State { submitted: 0 }, c"vtd queue"),
        }))
    }

    /// Tells hardware where the queue is and turns it on.
    pub(crate) fn enable(&self, regs: &UnitRegisters) -> Result {
        let address = registers::queue_address(PhysAddr::new(self.ring.phys()), 0).ok_or(EINVAL)?;
        regs.write64(registers::IQT, 0);
        regs.write64(registers::IQA, address);
        regs.command(Gcmd::QUEUE, true)
    }

    #[inline]
    fn finished(&self) -> u32 {
        self.finished.read(0) as u32
    }

    /// Submits `descriptors` with one wait and returns when hardware has finished them.
    ///
    /// Any context. At most [`MAX_BATCH`] descriptors.
    #[inline]
    pub(crate) fn submit(
        &self,
        regs: &UnitRegisters,
        descriptors: impl ExactSizeIterator<Item = Descriptor> + Clone,
    ) -> Result<(), QueueFailure> {
        let wanted = descriptors.len().min(MAX_BATCH) as u32 + 1;
        // Reading a clock costs more than most waits take: it starts at the first slow one.
        let mut deadline = None;
        let mine = loop {
            let mut state = self.state.lock();
            let busy = state.submitted.wrapping_sub(self.finished());
            if SLOTS - 1 - busy.min(SLOTS - 1) >= wanted {
                break self.fill(regs, &mut state, descriptors.take(MAX_BATCH), wanted);
            }
            drop(state);
            self.check(regs, &mut deadline)?;
            clock::relax();
        };
        let mut polls = 0u32;
        while (self.finished().wrapping_sub(mine) as i32) < 0 {
            polls += 1;
            if polls % POLLS_PER_CHECK == 0 {
                self.check(regs, &mut deadline)?;
            }
            clock::relax();
        }
        Ok(())
    }

    /// Fills free slots and moves the tail. Returns the count that tells the end of the batch.
    #[inline]
    fn fill(
        &self,
        regs: &UnitRegisters,
        state: &mut State,
        descriptors: impl Iterator<Item = Descriptor>,
        wanted: u32,
    ) -> u32 {
        let end = state.submitted.wrapping_add(wanted);
        // The status page is page aligned: a wait descriptor can always name it.
        let wait = Descriptor::wait(self.finished_at, end);
        let mut at = state.submitted;
        for descriptor in descriptors.chain(wait) {
            let slot = (at % SLOTS) as usize * 2;
            let [low, high] = descriptor.encode();
            self.ring.write(slot + 1, high);
            self.ring.write(slot, low);
            at = at.wrapping_add(1);
        }
        state.submitted = at;
        // A register write is ordered after the stores above.
        if let Some(tail) = registers::queue_tail(at % SLOTS) {
            regs.write64(registers::IQT, tail);
        }
        end
    }

    /// Looks for errors while waiting.
    #[cold]
    fn check(
        &self,
        regs: &UnitRegisters,
        deadline: &mut Option<Deadline>,
    ) -> Result<(), QueueFailure> {
        let status = Fsts::from_raw(regs.read32(registers::FSTS));
        let head = registers::queue_head(regs.read64(registers::IQH));
        if status.has_queue_fault() {
            return Err(QueueFailure::Reported {
                status,
                head,
                descriptor: self.ring.read((head % SLOTS) as usize * 2),
            });
        }
        let deadline = deadline.get_or_insert_with(|| Deadline::after_ms(TIME_OUT_MS));
        if deadline.passed() {
            return Err(QueueFailure::TimeOut { head });
        }
        Ok(())
    }
}
