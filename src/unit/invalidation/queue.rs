// SPDX-License-Identifier: GPL-2.0

//! The memory, the lock and the registers of the invalidation queue
//! ([`vtd_core::concurrent::queue`]).

use super::device_tlbs::DeviceTlbs;
use super::queue_error::{QueueErrors, QueueFailure};
use super::trace::trace_descriptor;
use crate::unit::registers::UnitRegisters;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use kernel_ext::clock;
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::pages::{Gfp, NumaNode, Pages};
use vtd_core::concurrent::queue::{InvalidationQueue, QueueState};
use vtd_core::invalidation::MAX_INVALIDATIONS;
use vtd_core::progress_timeout::ProgressTimeout;
use vtd_core::spec::address::PhysAddr;
use vtd_core::spec::descriptor::Descriptor;
use vtd_core::spec::queue::DescriptorWidth;
use vtd_core::spec::registers;
use vtd_core::spec::scope::Drain;
use vtd_core::spec::status::Gcmd;

/// The size of the ring: one page.
const BYTES: u32 = 4096;

/// The number of slots for what [`Queue::acknowledge`] submits when a device was cut off.
const RESERVED: u32 = MAX_INVALIDATIONS as u32;

/// The queue of one unit.
#[pin_data]
pub(crate) struct Queue {
    /// The index of the unit, for messages.
    pub(super) index: usize,
    pub(in crate::unit) ring: Pages,
    width: DescriptorWidth,
    /// What invalidations wait for.
    pub(super) drain: Drain,
    /// The page where hardware writes how many descriptors it has completed.
    finished: Pages,
    /// The address in wait descriptors. Only tests set it to anything but `finished`.
    status_address: AtomicU64,
    #[pin]
    pub(in crate::unit) state: IrqSpinLock<QueueState>,
    pub(super) errors: QueueErrors,
    /// The TLBs of the devices behind the unit, which only a queue invalidates.
    #[pin]
    pub(super) device_tlbs: DeviceTlbs,
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
        drain: Drain,
        node: NumaNode,
    ) -> Result<impl PinInit<Self>> {
        let ring = Pages::new(node, 0, Gfp::KERNEL)?;
        let finished = Pages::new(node, 0, Gfp::KERNEL)?;
        let status_address = AtomicU64::new(finished.phys());
        let state = QueueState::new(width.slots(BYTES), RESERVED);
        Ok(pin_init!(Self {
            index,
            ring,
            width,
            drain,
            finished,
            status_address,
            state <- kernel_ext::new_irq_spinlock!(state, c"vtd queue"),
            errors: QueueErrors::default(),
            device_tlbs <- DeviceTlbs::new(),
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
        self.start_ring();
        regs.write64(registers::IQT, 0);
        regs.write64(registers::IQA, address);
        regs.command(Gcmd::QUEUE, true)
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
}

impl InvalidationQueue for Queue {
    const BYTES: u32 = BYTES;
    const POLLS_PER_CHECK: u32 = 1024;
    type Registers = UnitRegisters;
    type Failure = QueueFailure;

    #[inline(always)]
    fn locked<R>(&self, work: impl FnOnce(&mut QueueState) -> R) -> R {
        self.state.with(work)
    }

    #[inline(always)]
    fn width(&self) -> DescriptorWidth {
        self.width
    }

    #[inline(always)]
    fn write_ring(&self, word: usize, value: u64) {
        self.ring.write(word, value)
    }

    #[inline(always)]
    fn write_tail(&self, regs: &UnitRegisters, offset: u32) {
        // A register write is ordered after the stores to the slots.
        regs.write64(registers::IQT, u64::from(offset))
    }

    #[inline(always)]
    fn read_finished(&self) -> u32 {
        self.finished.read(0) as u32
    }

    #[inline]
    fn write_finished(&self, count: u32) {
        self.finished.write(0, u64::from(count))
    }

    #[inline(always)]
    fn wait_words(&self, count: u32) -> [u64; 2] {
        let at = self.status_address.load(Ordering::Relaxed);
        Descriptor::wait_words(PhysAddr::new(at), count)
    }

    #[inline]
    fn check(
        &self,
        regs: &UnitRegisters,
        timeout: &mut Option<ProgressTimeout>,
    ) -> Result<(), QueueFailure> {
        self.check_progress(regs, timeout)
    }

    #[inline(always)]
    fn trace(&self, words: [u64; 2]) {
        trace_descriptor(&self.index, words)
    }

    #[inline]
    fn relax(&self) {
        clock::cpu_relax()
    }
}
