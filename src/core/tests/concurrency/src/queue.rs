// SPDX-License-Identifier: GPL-2.0

//! The invalidation queue with two submitters and hardware.

use crate::concurrent::queue;
use crate::shim::{clock, lock, pages, registers::UnitRegisters};
use loom::sync::atomic::Ordering;
use std::rc::Rc;
use std::sync::Arc;
use vtd_core::progress_timeout::ProgressTimeout;
use vtd_core::spec::address::{DomainId, PhysAddr};
use vtd_core::spec::descriptor::Descriptor;
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::queue::DescriptorWidth;
use vtd_core::spec::registers::{IQA, IQT};
use vtd_core::spec::scope::{Drain, IotlbScope};

/// The width of the slots in the ring.
const WIDTH: DescriptorWidth = DescriptorWidth::Bits128;

/// The size of the ring: four slots, so that two submitters fill it.
const BYTES: u32 = 64;

/// A queue, with the state `S` that the protocol has for it.
struct Queue<S> {
    ring: pages::Pages,
    finished: pages::Pages,
    state: lock::IrqSpinLock<S>,
}

impl<S> Queue<S> {
    fn new(state: impl FnOnce(u32) -> S) -> Self {
        Self {
            ring: pages::Pages::zeroed(),
            finished: pages::Pages::zeroed(),
            state: lock::new(state(WIDTH.slots(BYTES)), c"queue"),
        }
    }
}

/// Uses each protocol with [`Queue`].
macro_rules! queues {
    ($($module:ident)+) => {$(
        impl $module::InvalidationQueue for Queue<$module::QueueState> {
            const BYTES: u32 = BYTES;
            const POLLS_PER_CHECK: u32 = 1;
            type Registers = UnitRegisters;
            type Failure = &'static str;

            fn locked<R>(&self, work: impl FnOnce(&mut $module::QueueState) -> R) -> R {
                self.state.with(work)
            }

            fn width(&self) -> DescriptorWidth {
                WIDTH
            }

            fn write_ring(&self, word: usize, value: u64) {
                self.ring.write(word, value)
            }

            fn write_tail(&self, regs: &UnitRegisters, offset: u32) {
                regs.write64(IQT, u64::from(offset))
            }

            fn read_finished(&self) -> u32 {
                self.finished.read(0) as u32
            }

            fn write_finished(&self, count: u32) {
                self.finished.write(0, u64::from(count))
            }

            fn wait_words(&self, count: u32) -> [u64; 2] {
                Descriptor::wait_words(PhysAddr::new(self.finished.phys()), count)
            }

            fn check(
                &self,
                _: &UnitRegisters,
                _: &mut Option<ProgressTimeout>,
            ) -> Result<(), &'static str> {
                match clock::is_too_late() {
                    true => Err("stuck"),
                    false => Ok(()),
                }
            }

            fn trace(&self, _: [u64; 2]) {}

            fn relax(&self) {
                clock::cpu_relax()
            }
        }
    )+};
}

mistakes! { queue_no_wait queue_no_free_slot queue_tail_before_slots queue_tail_before_slots_fast
queue_unordered queue_any_wait_will_do queue_counts_again queue_no_second_check_for_room
queue_no_second_check_of_the_end }

queues! { queue queue_no_wait queue_no_free_slot queue_tail_before_slots
queue_tail_before_slots_fast queue_unordered queue_any_wait_will_do queue_counts_again
queue_no_second_check_for_room queue_no_second_check_of_the_end }

/// Makes a queue that is on.
macro_rules! queue {
    ($module:ident, $regs:expr) => {{
        // Not yet on: the tail is written before the address.
        let queue = Queue::new(|slots| $module::QueueState::new(slots, 0));
        queue.start_ring();
        $regs.write64(IQT, 0);
        $regs.write64(IQA, queue.ring.phys());
        queue
    }};
}

fn invalidate_domain(id: u16) -> Descriptor {
    let scope = IotlbScope::Domain(DomainId::new(id));
    Descriptor::Invalidate(Invalidation::Iotlb(scope), Drain::NONE)
}

/// Fetches and executes one descriptor, if there is one. Returns whether there was one.
fn step(regs: &UnitRegisters) -> bool {
    let mut fetched = regs.fetched.lock().unwrap();
    let head = *fetched as u32;
    let slot = WIDTH.offset(head, BYTES);
    if regs.tail.load(Ordering::Acquire) == u64::from(slot) {
        return false;
    }
    *fetched += 1;
    let ring = pages::at(regs.address.load(Ordering::Acquire));
    let slot = slot as usize / 8;
    match Descriptor::decode([ring.read(slot), ring.read(slot + 1)]).expect("a filled slot") {
        Descriptor::Invalidate(Invalidation::Iotlb(IotlbScope::Domain(id)), _) => {
            let before = regs.done.fetch_or(1 << id.raw(), Ordering::Relaxed);
            assert_eq!(before & 1 << id.raw(), 0, "not a filled slot: an old one");
        }
        Descriptor::Wait {
            status: Some((at, value)),
            ..
        } => pages::at(at.raw()).write(0, u64::from(value)),
        other => panic!("not a filled slot: {other:?}"),
    }
    true
}

fn all_steps(regs: &UnitRegisters) -> bool {
    while step(regs) {}
    true
}

/// Hardware either completes all descriptors before the write of the tail returns, as QEMU does, or
/// begins when a thread waits, with one descriptor or all at a time.
macro_rules! confirmed {
    ($module:ident) => {
        confirmed!($module, |regs: &UnitRegisters| while step(regs) {}, step);
        confirmed!($module, |_: &UnitRegisters| (), step);
        confirmed!($module, |_: &UnitRegisters| (), all_steps);
    };
    ($module:ident, $on_tail:expr, $on_wait:ident) => {
        crate::check(|| {
            use $module::InvalidationQueue;
            pages::clear_all();
            let regs = Arc::new(UnitRegisters::new($on_tail));
            let queue = Arc::new(queue!($module, regs));
            let other = regs.clone();
            clock::while_waiting(Some(Rc::new(move || {
                let _ = $on_wait(&other);
            })));
            let submit = |id: u16| {
                let (regs, queue) = (regs.clone(), queue.clone());
                move || {
                    // The same as in `Invalidator`: the fast path if there is room.
                    let waited =
                        match queue.try_submit(&regs, &invalidate_domain(id).encode(), || ()) {
                            Some(end) => queue.wait_for(&regs, end),
                            None => {
                                let words = core::iter::once(invalidate_domain(id).encode());
                                queue.submit(&regs, words, || ())
                            }
                        };
                    assert!(waited.is_ok());
                    let done = regs.done.load(Ordering::Relaxed);
                    assert_ne!(done & 1 << id, 0, "not yet done");
                }
            };
            let other = loom::thread::spawn(submit(3));
            submit(2)();
            other.join().unwrap();
            clock::while_waiting(None);
        })
    };
}

/// The machine stops until every deadline has passed and hardware has completed everything.
macro_rules! stalled_machine {
    ($module:ident) => {
        crate::check(|| {
            use $module::InvalidationQueue;
            pages::clear_all();
            let regs = Arc::new(UnitRegisters::new(|_: &UnitRegisters| ()));
            let queue = queue!($module, regs);
            let works = || {
                let other = regs.clone();
                Rc::new(move || while step(&other) {})
            };
            let full = queue.try_submit(&regs, &invalidate_domain(2).encode(), || ());
            assert!(full.is_some());
            clock::stall(works());
            clock::while_waiting(Some(works()));
            let words = core::iter::once(invalidate_domain(3).encode());
            let submitted = queue.submit(&regs, words, || ());
            assert!(submitted.is_ok(), "reported as full");
            clock::while_waiting(None);
            let end = queue
                .try_submit(&regs, &invalidate_domain(4).encode(), || ())
                .unwrap();
            clock::stall(works());
            assert!(
                queue.wait_for(&regs, end).is_ok(),
                "reported as not finished"
            );
        })
    };
}

/// The machine is suspended and resumed while a thread waits for what hardware has completed.
macro_rules! suspended_machine {
    ($module:ident) => {
        crate::check(|| {
            use $module::InvalidationQueue;
            pages::clear_all();
            let regs = Arc::new(UnitRegisters::new(
                |regs: &UnitRegisters| while step(regs) {},
            ));
            let queue = queue!($module, regs);
            let submit = |id| {
                queue
                    .try_submit(&regs, &invalidate_domain(id).encode(), || ())
                    .unwrap()
            };
            let before = submit(2);
            *regs.fetched.lock().unwrap() = 0;
            queue.start_ring();
            regs.write64(IQT, 0);
            assert!(queue.has_finished(before), "not finished after a suspend");
            let after = submit(3);
            assert!(queue.has_finished(after) && queue.has_finished(before));
        })
    };
}

laws! {
    a_wait_ends_after_a_suspend: queue, suspended_machine;
    numbers_that_begin_again_are_noticed: queue_counts_again, "not finished after a suspend";
}

laws! {
    a_submission_returns_after_its_invalidation: queue, confirmed;
    a_submitter_that_does_not_wait_is_noticed: queue_no_wait, "not yet done";
    a_full_ring_is_noticed: queue_no_free_slot, "maximum number of branches";
    a_tail_before_its_slots_is_noticed: queue_tail_before_slots, "a filled slot";
    a_fast_path_tail_before_its_slots_is_noticed: queue_tail_before_slots_fast, "a filled slot";
    an_unordered_read_of_the_count_is_noticed: queue_unordered, "not yet done";
    a_wait_for_another_submission_is_noticed: queue_any_wait_will_do, "not yet done";
}

laws! {
    a_stalled_machine_fails_no_unit: queue, stalled_machine;
    no_second_check_for_room_is_noticed: queue_no_second_check_for_room, "reported as full";
    no_second_check_of_the_end_is_noticed: queue_no_second_check_of_the_end, "reported as not finished";
}
