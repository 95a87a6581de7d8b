// SPDX-License-Identifier: GPL-2.0

//! The invalidation queue (VT-d 6.5.2).
//!
//! A ring of descriptors in one page. Software adds descriptors at the tail, and hardware fetches
//! them from the head. Every submission ends with a wait descriptor that makes hardware write how
//! many descriptors it has completed in total. This number only grows, so any number of submitters
//! can wait for it concurrently, and no bookkeeping of slots is needed.
//!
//! # Invariants
//!
//! - `submitted - finished` slots belong to hardware and are not written. The others are free.
//! - At least one slot is always free, because a full ring would look empty.
//! - A queue that was aborted accepts no more submissions.
//! - `submitted` is the number that the last wait descriptor in the ring makes hardware write.
//! - Bits 255:128 of wide slots are 0, as they were allocated.
//!
//! # Locks
//!
//! `state` is held while slots are filled and the tail is moved, and never while waiting.

use super::queue_error::{QueueErrors, QueueFailure};
use super::trace::trace_descriptor;
use crate::unit::registers::UnitRegisters;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use kernel_ext::clock;
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::pages::{Gfp, NumaNode, Pages};
use vtd_core::progress_timeout::ProgressTimeout;
use vtd_core::spec::address::PhysAddr;
use vtd_core::spec::descriptor::Descriptor;
use vtd_core::spec::queue::DescriptorWidth;
use vtd_core::spec::registers;
use vtd_core::spec::status::Gcmd;

/// The size of the ring: one page.
const BYTES: u32 = 4096;

/// The number of polls of the status word between two checks of the fault status register.
const POLLS_PER_CHECK: u32 = 1024;

/// The maximum number of descriptors in one submission, without its wait descriptor.
pub(super) const MAX_BATCH: usize = 64;

/// The number of slots that are never outstanding. One stays free, and one more is for the wait that
/// is submitted after an error.
const SPARE: u32 = 2;

pub(in crate::unit) struct QueueState {
    /// The number of descriptors submitted so far, waits included; wraps.
    pub(in crate::unit) submitted: u32,
    /// What `submitted` was when the queue was turned on: a multiple of the number of slots.
    pub(in crate::unit) first: u32,
    /// The maximum number of descriptors outstanding, or 0 once the queue was aborted.
    pub(in crate::unit) limit: u32,
}

/// The state of a submitter that waits for room.
struct WaitForRoom {
    timeout: Option<ProgressTimeout>,
    failure: Option<QueueFailure>,
}

/// The queue of one unit.
#[pin_data]
pub(crate) struct Queue {
    /// The index of the unit, for messages.
    pub(super) index: usize,
    pub(in crate::unit) ring: Pages,
    width: DescriptorWidth,
    /// The page where hardware writes how many descriptors it has completed.
    finished: Pages,
    /// The address in wait descriptors. Only tests set it to anything but `finished`.
    status_address: AtomicU64,
    #[pin]
    pub(in crate::unit) state: IrqSpinLock<QueueState>,
    pub(super) errors: QueueErrors,
}

impl Queue {
    /// Allocates the queue of unit number `index` with slots of this width, near `node`. It is off.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new(
        index: usize,
        width: DescriptorWidth,
        node: NumaNode,
    ) -> Result<impl PinInit<Self>> {
        let ring = Pages::new(node, 0, Gfp::KERNEL)?;
        let finished = Pages::new(node, 0, Gfp::KERNEL)?;
        let status_address = AtomicU64::new(finished.phys());
        let state = QueueState {
            submitted: 0,
            first: 0,
            limit: width.slots(BYTES) - SPARE,
        };
        Ok(pin_init!(Self {
            index,
            ring,
            width,
            finished,
            status_address,
            state <- kernel_ext::new_irq_spinlock!(state, c"vtd queue"),
            errors: QueueErrors::default(),
        }))
    }

    /// Writes the address of the queue to hardware and turns it on. Head and tail start at the
    /// first slot.
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`] if the unit does not acknowledge the command.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn enable(&self, regs: &UnitRegisters) -> Result {
        let ring = PhysAddr::new(self.ring.phys());
        let address = self.width.address(ring, 0).ok_or(EINVAL)?;
        let slots = self.slots();
        self.state.with(|state| {
            // The numbers continue after a suspend: a thread that was not running then may still
            // wait for one of them. Everything that was submitted before is complete.
            state.first = state.submitted.wrapping_add(slots - 1) & !(slots - 1);
            state.submitted = state.first;
            self.finished.write(0, u64::from(state.first));
        });
        regs.write64(registers::IQT, 0);
        regs.write64(registers::IQA, address);
        regs.command(Gcmd::QUEUE, true)
    }

    /// Returns the number of slots.
    pub(in crate::unit) fn slots(&self) -> u32 {
        self.width.slots(BYTES)
    }

    /// Returns the words of the descriptor in slot `at`.
    pub(in crate::unit) fn read(&self, at: u32) -> [u64; 2] {
        let word = self.width.offset(at, BYTES) as usize / 8;
        [self.ring.read(word), self.ring.read(word | 1)]
    }

    /// Returns the slot of the descriptor that hardware fetches next.
    pub(in crate::unit) fn head(&self, regs: &UnitRegisters) -> u32 {
        self.width.slot(regs.read64(registers::IQH))
    }

    /// Returns the first slot that hardware does not fetch.
    pub(in crate::unit) fn tail(&self, regs: &UnitRegisters) -> u32 {
        self.width.slot(regs.read64(registers::IQT))
    }

    /// Returns how many descriptors hardware has completed. What the caller does afterwards, with
    /// slots or with unmapped memory, is ordered after hardware's last access to them.
    #[inline(always)]
    pub(in crate::unit) fn finished(&self) -> u32 {
        self.finished.read_acquire(0) as u32
    }

    /// Returns an address that a wait may write to without any effect.
    pub(super) fn scratch_address(&self) -> PhysAddr {
        PhysAddr::new(self.finished.phys() + 64)
    }

    /// Makes the waits that are submitted from now on write to the scratch address (`lost`), so
    /// that their writes are lost, or to `finished` as usual. For tests.
    pub(in crate::unit) fn redirect_wait_writes(&self, lost: bool) {
        let at = if lost {
            self.scratch_address().raw()
        } else {
            self.finished.phys()
        };
        self.status_address.store(at, Ordering::Relaxed);
    }

    /// Submits `descriptors`, given in their encoding, [`MAX_BATCH`] at most, with one wait, and
    /// returns when hardware has completed them. `count` is called with the queue locked, once it is
    /// certain that they will be submitted.
    ///
    /// # Errors
    ///
    /// The reason why hardware did not complete them.
    ///
    /// # Context
    ///
    /// Any context.
    pub(in crate::unit) fn submit(
        &self,
        regs: &UnitRegisters,
        descriptors: impl ExactSizeIterator<Item = [u64; 2]>,
        count: impl FnOnce(),
    ) -> Result<(), QueueFailure> {
        let wanted = descriptors.len().min(MAX_BATCH) as u32 + 1;
        let mut waiting = None;
        let mut batch = Some((descriptors, count));
        let mine = loop {
            let end = self.state.with(|state| {
                let has_room = self.has_room(state, wanted);
                let (descriptors, count) = has_room.then(|| batch.take()).flatten()?;
                count();
                Some(self.fill(regs, state, descriptors.take(MAX_BATCH), wanted))
            });
            if let Some(end) = end {
                break end;
            }
            self.wait_for_room(regs, &mut waiting)?;
        };
        self.wait_for(regs, mine)
    }

    /// Checks for errors while a submitter waits for room. After an error the submitter tries once
    /// more, because the deadline may have passed while a virtual machine was stopped. If there is
    /// still no room, the next call returns the error.
    #[cold]
    fn wait_for_room(
        &self,
        regs: &UnitRegisters,
        waiting: &mut Option<WaitForRoom>,
    ) -> Result<(), QueueFailure> {
        let waiting = waiting.get_or_insert(WaitForRoom {
            timeout: None,
            failure: None,
        });
        if let Some(failure) = waiting.failure.take() {
            return Err(failure);
        }
        waiting.failure = self.check(regs, &mut waiting.timeout).err();
        clock::cpu_relax();
        Ok(())
    }

    /// Submits one descriptor with a wait, if there is room. Returns the count that hardware writes
    /// when both are complete. `count` is called as by [`Self::submit`].
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub(super) fn try_submit(
        &self,
        regs: &UnitRegisters,
        words: &[u64; 2],
        count: impl FnOnce(),
    ) -> Option<u32> {
        self.state.with(|state| {
            if !self.has_room(state, 2) {
                return None;
            }
            count();
            trace_descriptor(&self.index, *words);
            let at = state.submitted;
            let end = at.wrapping_add(2);
            // Read once: the compiler cannot know that a store to the ring does not change it.
            let width = self.width;
            self.write_slot(width, at, *words);
            self.write_slot(width, at.wrapping_add(1), self.wait_words(end));
            state.submitted = end;
            let tail = width.offset(end, BYTES);
            regs.write64(registers::IQT, u64::from(tail));
            Some(end)
        })
    }

    #[inline(always)]
    fn has_room(&self, state: &QueueState, wanted: u32) -> bool {
        state.submitted.wrapping_sub(self.finished()) + wanted <= state.limit
    }

    /// Waits until hardware has completed every descriptor up to the count `end`.
    ///
    /// # Errors
    ///
    /// The reason why hardware did not complete them.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn wait_for(&self, regs: &UnitRegisters, end: u32) -> Result<(), QueueFailure> {
        // Reading the clock takes longer than most waits, so it is not read before the first check.
        let mut timeout = None;
        let mut polls = 0u32;
        while !self.has_finished(end) {
            polls += 1;
            if polls % POLLS_PER_CHECK == 0 {
                let checked = self.check(regs, &mut timeout);
                // The deadline may have passed while a virtual machine was stopped: check once
                // more.
                if checked.is_err() && !self.has_finished(end) {
                    return checked;
                }
            }
            clock::cpu_relax();
        }
        Ok(())
    }

    /// Returns whether hardware has completed every descriptor up to the count `end`.
    #[inline(always)]
    pub(super) fn has_finished(&self, end: u32) -> bool {
        self.finished().wrapping_sub(end) as i32 >= 0
    }

    /// Fills free slots, ends the batch with a wait and moves the tail. Returns the count that
    /// hardware writes when the batch is complete. The caller holds the lock and has checked that
    /// there is room.
    pub(super) fn fill(
        &self,
        regs: &UnitRegisters,
        state: &mut QueueState,
        descriptors: impl Iterator<Item = [u64; 2]>,
        wanted: u32,
    ) -> u32 {
        let end = state.submitted.wrapping_add(wanted);
        let mut at = state.submitted;
        for words in descriptors {
            trace_descriptor(&self.index, words);
            self.write(at, words);
            at = at.wrapping_add(1);
        }
        self.write(at, self.wait_words(end));
        at = at.wrapping_add(1);
        state.submitted = at;
        self.move_tail(regs, at);
        end
    }

    /// Encodes the wait descriptor that ends a batch.
    #[inline(always)]
    fn wait_words(&self, end: u32) -> [u64; 2] {
        let at = self.status_address.load(Ordering::Relaxed);
        Descriptor::wait_words(PhysAddr::new(at), end)
    }

    /// Writes a slot that belongs to the caller.
    pub(super) fn write(&self, at: u32, words: [u64; 2]) {
        self.write_slot(self.width, at, words)
    }

    #[inline(always)]
    fn write_slot(&self, width: DescriptorWidth, at: u32, [low, high]: [u64; 2]) {
        let word = width.offset(at, BYTES) as usize / 8;
        self.ring.write(word | 1, high);
        self.ring.write(word, low);
    }

    /// Moves the tail: gives hardware every descriptor before slot `at`.
    #[inline(always)]
    pub(super) fn move_tail(&self, regs: &UnitRegisters, at: u32) {
        // A register write is ordered after the stores to the slots.
        let tail = self.width.offset(at, BYTES);
        regs.write64(registers::IQT, u64::from(tail));
    }
}
