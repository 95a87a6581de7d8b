// SPDX-License-Identifier: GPL-2.0

//! The queues of the units: what the driver submits, and what a unit does with it. A unit is slow: it
//! begins only when the driver waits.

use crate::caches_bugs::Bug;
use crate::caches_hardware::Hardware;
use std::collections::VecDeque;
use vtd_core::invalidation::InvalidationStep;
use vtd_core::spec::address::PhysAddr;
use vtd_core::spec::descriptor::{Descriptor, InvalidationEncoder};
use vtd_core::spec::invalidation::{Invalidation, PasidScope};
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::scope::{Drain, IotlbScope};

/// The queue of one unit.
#[derive(Default)]
pub(crate) struct Queue {
    /// The descriptors that hardware has not fetched.
    pub(crate) ring: VecDeque<[u64; 2]>,
    /// The number of descriptors that were submitted, and the number that the last completed wait has
    /// written.
    submitted: u32,
    finished: u32,
    /// The devices that got an invalidation since the last completed wait, and those among them that
    /// did not answer.
    pub(crate) asked: Vec<u16>,
    pub(crate) silent: Vec<u16>,
    /// ITE: hardware has discarded a wait, and fetches nothing.
    pub(crate) has_timed_out: bool,
}

impl Queue {
    fn push(&mut self, words: [u64; 2]) {
        self.submitted += 1;
        self.ring.push_back(words);
    }

    /// Adds a wait for all that was submitted.
    pub(crate) fn push_wait(&mut self) {
        let count = self.submitted + 1;
        let wait = Descriptor::wait(PhysAddr::new(0x1000), count).expect("an aligned address");
        self.push(wait.encode());
    }

    /// Software clears ITE. Returns which devices may not have answered: one that the unit `names`, and
    /// the others get their time-out later, or all that were asked.
    pub(crate) fn take_suspects(&mut self, names: bool) -> Vec<u16> {
        self.has_timed_out = false;
        if !names {
            self.silent.clear();
            return core::mem::take(&mut self.asked);
        }
        let named = self.silent[0];
        self.silent.retain(|&one| one != named);
        vec![named]
    }

    /// A wait is executed.
    fn complete(&mut self, count: u32) {
        if self.silent.is_empty() {
            self.finished = count;
            self.asked.clear();
        } else {
            self.has_timed_out = true;
            // Another submission was added before software noticed it.
            self.push_wait();
        }
    }
}

impl Hardware {
    /// Checks, after the steps that follow a store, that the write buffer holds nothing of it.
    pub(crate) fn must_be_written(&self, unit: usize) {
        if self.units[unit].borrow().buffered {
            self.report_problem(format!("unit {unit} has stores in its write buffer"));
        }
    }

    /// Does the same as `Unit::perform`: flushes and invalidations in their order, one wait at the
    /// end.
    pub(crate) fn perform(&self, unit: usize, steps: impl Iterator<Item = InvalidationStep>) {
        let mut batch = Vec::new();
        for step in steps {
            let invalidation = match step {
                InvalidationStep::FlushWriteBuffer if self.has(Bug::WriteBufferNotFlushed) => {
                    continue
                }
                InvalidationStep::FlushWriteBuffer => {
                    self.units[unit].borrow_mut().buffered = false;
                    continue;
                }
                InvalidationStep::Invalidate(invalidation) => invalidation,
            };
            match invalidation {
                Invalidation::Context(_) if self.has(Bug::ContextNotFlushed) => {}
                Invalidation::Pasid(_) if self.has(Bug::PasidCacheNotFlushed) => {}
                Invalidation::Iotlb(_) if self.has(Bug::IotlbNotFlushedWithContext) => {}
                what => batch.push(what),
            }
        }
        if batch.len() > 1 && self.has(Bug::IotlbBeforeContext) {
            batch.reverse();
        }
        if batch.len() > 2 && self.has(Bug::PasidCacheFlushedFirst) {
            batch.swap(0, 1);
        }
        self.submit(unit, &batch);
    }

    /// Does the same as `Queue::submit`.
    pub(crate) fn submit(&self, unit: usize, batch: &[Invalidation]) {
        self.begin(unit, batch);
        self.finish(unit);
    }

    /// Writes descriptors and a wait into the queue of a unit.
    pub(crate) fn begin(&self, unit: usize, batch: &[Invalidation]) {
        if batch.is_empty() {
            return;
        }
        let encoder = InvalidationEncoder::new(Drain::of(self.cap(unit)));
        let queue = &mut self.units[unit].borrow_mut().queue;
        let twice = if self.has(Bug::EverythingTwice) { 2 } else { 1 };
        for _ in 0..twice {
            batch
                .iter()
                .for_each(|what| queue.push(encoder.encode(*what)));
        }
        if !self.has(Bug::WaitLeftOut) {
            queue.push_wait();
        }
    }

    /// Waits for a unit. Hardware is slow: it begins only then.
    pub(crate) fn finish(&self, unit: usize) {
        if self.has(Bug::WaitLeftOut) {
            return;
        }
        let mine = self.units[unit].borrow().queue.submitted;
        while self.units[unit].borrow().queue.finished < mine {
            let next = self.units[unit].borrow_mut().queue.ring.pop_front();
            let words = next.expect("a wait is the last descriptor");
            self.execute(unit, words);
            self.fill_caches_of(unit);
            if self.units[unit].borrow().queue.has_timed_out {
                self.acknowledge(unit);
                if self.has(Bug::CutOffNotWaitedFor) {
                    return;
                }
            }
        }
    }

    fn execute(&self, unit: usize, words: [u64; 2]) {
        let unit = &mut *self.units[unit].borrow_mut();
        let [low, high] = words;
        let decoded = match unit.entries.mode() {
            TranslationTableMode::Legacy => Descriptor::decode(words),
            TranslationTableMode::Scalable => Descriptor::decode_wide([low, high, 0, 0]),
        };
        match decoded {
            Ok(Descriptor::Invalidate(Invalidation::Context(scope), _)) => {
                let did = unit.entries.invalidate_contexts(scope);
                unit.count(did);
            }
            Ok(Descriptor::Invalidate(Invalidation::Pasid(scope), _)) => {
                let did = unit.entries.invalidate_pasids(scope);
                // The driver does not know whether an absent entry was cached.
                unit.count(did || scope == PasidScope::Global);
            }
            Ok(Descriptor::Invalidate(Invalidation::Iotlb(scope), _)) => {
                if let IotlbScope::Pages { block, .. } = scope {
                    if !unit.cap.page_selective()
                        || block.address_mask() > unit.cap.max_address_mask()
                    {
                        self.report_problem(format!("the unit cannot do {scope:?}"));
                    }
                }
                unit.invalidate_iotlb(scope);
            }
            Ok(Descriptor::Invalidate(Invalidation::DeviceTlb(scope), _)) => {
                unit.invalidate_device_tlb(scope);
            }
            Ok(Descriptor::Wait {
                status: Some((_, count)),
                ..
            }) => unit.queue.complete(count),
            other => self.report_problem(format!("the unit is given {other:?}")),
        }
    }
}
