// SPDX-License-Identifier: GPL-2.0

//! The invalidation queue, as its submitters share it (VT-d 6.5.2).
//!
//! A ring of descriptors. Software adds descriptors at the tail, and hardware fetches them from the
//! head. Every submission ends with a wait descriptor that makes hardware write how many
//! descriptors it has completed in total. This number only grows, so any number of submitters can
//! wait for it concurrently, and no bookkeeping of slots is needed.
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
//! The state is locked while slots are filled and the tail is moved, and never while waiting.

use super::atomic::{fence, Ordering};
use crate::progress_timeout::ProgressTimeout;
use crate::spec::queue::DescriptorWidth;

/// The maximum number of descriptors in one submission, without its wait descriptor.
const MAX_BATCH: usize = 64;

/// The number of slots that a submitter never fills: one stays free, and one is for the wait that is
/// submitted after an error.
const SPARE: u32 = 2;

/// The state of a queue, which its lock protects.
pub struct QueueState {
    /// The number of descriptors submitted so far, waits included; wraps.
    submitted: u32,
    /// What `submitted` was when the queue was turned on: a multiple of the number of slots.
    first: u32,
    /// The maximum number of descriptors outstanding, or 0 once the queue was aborted.
    limit: u32,
}

impl QueueState {
    /// Creates the state of a queue with this number of slots, of which `reserved` are for what is
    /// submitted after an error, in addition to a wait.
    pub fn new(slots: u32, reserved: u32) -> Self {
        Self {
            submitted: 0,
            first: 0,
            limit: slots - SPARE - reserved,
        }
    }

    /// Returns the number of descriptors submitted so far, waits included; wraps.
    pub fn submitted(&self) -> u32 {
        self.submitted
    }

    /// Returns what [`Self::submitted`] was when the queue was turned on.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// Makes the queue accept no more submissions.
    pub fn abort(&mut self) {
        self.limit = 0;
    }

    /// Returns whether the queue was aborted.
    pub fn is_aborted(&self) -> bool {
        self.limit == 0
    }
}

/// The state of a submitter that waits for room.
pub struct WaitForRoom<F> {
    timeout: Option<ProgressTimeout>,
    failure: Option<F>,
}

/// A queue: the required items are its lock, its memory and its registers.
pub trait InvalidationQueue: Sized {
    /// The size of the ring in bytes: a power of two.
    const BYTES: u32;

    /// The number of polls of the count between two checks for errors.
    const POLLS_PER_CHECK: u32;

    /// The registers of the unit.
    type Registers;

    /// The reason why hardware did not complete what was submitted.
    type Failure;

    /// Calls `work` with the state locked.
    fn locked<R>(&self, work: impl FnOnce(&mut QueueState) -> R) -> R;

    /// Returns the width of the slots.
    fn width(&self) -> DescriptorWidth;

    /// Writes one word of the ring; stores become visible to hardware in their order.
    fn write_ring(&self, word: usize, value: u64);

    /// Moves the tail to this offset in the ring, after all stores before.
    fn write_tail(&self, regs: &Self::Registers, offset: u32);

    /// Reads how many descriptors hardware has completed; orders nothing.
    fn read_finished(&self) -> u32;

    /// Writes that number while the queue is off.
    fn write_finished(&self, count: u32);

    /// Encodes the wait descriptor that makes hardware write `count`.
    fn wait_words(&self, count: u32) -> [u64; 2];

    /// Checks for errors while waiting. After a time-out the caller has to check once more whether
    /// it still waits, because a virtual machine may have been stopped past the deadline.
    ///
    /// # Errors
    ///
    /// The reason why nothing more may be completed.
    fn check(
        &self,
        regs: &Self::Registers,
        timeout: &mut Option<ProgressTimeout>,
    ) -> Result<(), Self::Failure>;

    /// Traces a descriptor that is about to be submitted.
    fn trace(&self, words: [u64; 2]);

    /// Pauses between two polls.
    fn relax(&self);

    /// Returns the number of slots.
    fn slots(&self) -> u32 {
        self.width().slots(Self::BYTES)
    }

    /// Makes head and tail start at the first slot, before the queue is turned on.
    fn start_ring(&self) {
        let slots = self.slots();
        self.locked(|state| {
            // The numbers continue after a suspend: a thread that was not running then may still
            // wait for one of them. Everything that was submitted before is complete.
            state.first = state.submitted.wrapping_add(slots - 1) & !(slots - 1);
            state.submitted = state.first;
            self.write_finished(state.first);
        });
    }

    /// Returns how many descriptors hardware has completed. What the caller does afterwards, with
    /// slots or with unmapped memory, is ordered after hardware's last access to them.
    #[inline(always)]
    fn finished(&self) -> u32 {
        let count = self.read_finished();
        // A compiler barrier: x86 does not let accesses overtake a load before them.
        fence(Ordering::Acquire);
        count
    }

    /// Submits `descriptors`, given in their encoding, 64 at most, with one wait, and returns when
    /// hardware has completed them. `count` is called with the queue locked, once it is certain that
    /// they will be submitted.
    ///
    /// # Errors
    ///
    /// The reason why hardware did not complete them.
    ///
    /// # Context
    ///
    /// Any context.
    fn submit(
        &self,
        regs: &Self::Registers,
        descriptors: impl ExactSizeIterator<Item = [u64; 2]>,
        count: impl FnOnce(),
    ) -> Result<(), Self::Failure> {
        let wanted = descriptors.len().min(MAX_BATCH) as u32 + 1;
        let mut waiting = None;
        let mut batch = Some((descriptors, count));
        let mine = loop {
            let end = self.locked(|state| {
                let has_room = has_room(self, state, wanted);
                let (descriptors, count) = has_room.then(|| batch.take()).flatten()?;
                count();
                Some(self.fill(regs, state, descriptors.take(MAX_BATCH)))
            });
            if let Some(end) = end {
                break end;
            }
            self.wait_for_room(regs, &mut waiting)?;
        };
        self.wait_for(regs, mine)
    }

    /// Submits one descriptor with a wait, if there is room. Returns the count that hardware writes
    /// when both are complete. `count` is called as by [`Self::submit`].
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    fn try_submit(
        &self,
        regs: &Self::Registers,
        words: &[u64; 2],
        count: impl FnOnce(),
    ) -> Option<u32> {
        self.locked(|state| {
            if !has_room(self, state, 2) {
                return None;
            }
            count();
            self.trace(*words);
            let at = state.submitted;
            let end = at.wrapping_add(2);
            // Read once: the compiler cannot know that a store to the ring does not change it.
            let width = self.width();
            write_slot(self, width, at, *words);
            write_slot(self, width, at.wrapping_add(1), self.wait_words(end));
            state.submitted = end;
            self.write_tail(regs, width.offset(end, Self::BYTES));
            Some(end)
        })
    }

    /// Submits `many` descriptors, 64 at most, with one wait, if there is room. Returns the count that
    /// hardware writes when all are complete. `count` is called as by [`Self::submit`].
    ///
    /// # Context
    ///
    /// Any context.
    fn try_submit_batch(
        &self,
        regs: &Self::Registers,
        many: usize,
        descriptors: impl Iterator<Item = [u64; 2]>,
        count: impl FnOnce(),
    ) -> Option<u32> {
        let many = many.min(MAX_BATCH);
        self.locked(|state| {
            if !has_room(self, state, many as u32 + 1) {
                return None;
            }
            count();
            Some(self.fill(regs, state, descriptors.take(many)))
        })
    }

    /// Waits until there may be room for a submission, checking for errors. After an error the
    /// submitter tries once more, because the deadline may have passed while a virtual machine was
    /// stopped. If there is still no room, the next call returns the error.
    ///
    /// # Errors
    ///
    /// The reason why nothing more may be completed.
    #[cold]
    fn wait_for_room(
        &self,
        regs: &Self::Registers,
        waiting: &mut Option<WaitForRoom<Self::Failure>>,
    ) -> Result<(), Self::Failure> {
        let waiting = waiting.get_or_insert(WaitForRoom {
            timeout: None,
            failure: None,
        });
        if let Some(failure) = waiting.failure.take() {
            return Err(failure);
        }
        waiting.failure = self.check(regs, &mut waiting.timeout).err();
        self.relax();
        Ok(())
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
    fn wait_for(&self, regs: &Self::Registers, end: u32) -> Result<(), Self::Failure> {
        // Reading the clock takes longer than most waits, so it is not read before the first check.
        let mut timeout = None;
        let mut polls = 0u32;
        while !self.has_finished(end) {
            polls += 1;
            if polls % Self::POLLS_PER_CHECK == 0 {
                let checked = self.check(regs, &mut timeout);
                // The deadline may have passed while a virtual machine was stopped: check once
                // more.
                if checked.is_err() && !self.has_finished(end) {
                    return checked;
                }
            }
            self.relax();
        }
        Ok(())
    }

    /// Returns whether hardware has completed every descriptor up to the count `end`.
    #[inline(always)]
    fn has_finished(&self, end: u32) -> bool {
        self.finished().wrapping_sub(end) as i32 >= 0
    }

    /// Fills free slots, ends the batch with a wait and moves the tail. Returns the count that
    /// hardware writes when the batch is complete. The caller has checked that there is room.
    fn fill(
        &self,
        regs: &Self::Registers,
        state: &mut QueueState,
        descriptors: impl Iterator<Item = [u64; 2]>,
    ) -> u32 {
        let mut at = state.submitted;
        for words in descriptors {
            self.trace(words);
            self.write(at, words);
            at = at.wrapping_add(1);
        }
        let end = at.wrapping_add(1);
        self.write(at, self.wait_words(end));
        state.submitted = end;
        self.move_tail(regs, end);
        end
    }

    /// Submits `descriptors` and a wait behind those that hardware aborted after an error.
    fn resubmit(
        &self,
        regs: &Self::Registers,
        state: &mut QueueState,
        descriptors: impl ExactSizeIterator<Item = [u64; 2]>,
    ) {
        let busy = state.submitted.wrapping_sub(self.finished());
        // Slots are reserved for this. If hardware does not free them before a second error, the
        // waiters get a time-out.
        if busy + (descriptors.len() as u32) < self.slots() - 1 && !state.is_aborted() {
            self.fill(regs, state, descriptors);
        }
    }

    /// Writes a slot that belongs to the caller.
    fn write(&self, at: u32, words: [u64; 2]) {
        write_slot(self, self.width(), at, words)
    }

    /// Moves the tail: gives hardware every descriptor before slot `at`.
    fn move_tail(&self, regs: &Self::Registers, at: u32) {
        self.write_tail(regs, self.width().offset(at, Self::BYTES));
    }
}

#[inline(always)]
fn has_room<Q: InvalidationQueue>(queue: &Q, state: &QueueState, wanted: u32) -> bool {
    state.submitted.wrapping_sub(queue.finished()) + wanted <= state.limit
}

#[inline(always)]
fn write_slot<Q: InvalidationQueue>(
    queue: &Q,
    width: DescriptorWidth,
    at: u32,
    [low, high]: [u64; 2],
) {
    let word = width.offset(at, Q::BYTES) as usize / 8;
    queue.write_ring(word | 1, high);
    queue.write_ring(word, low);
}
