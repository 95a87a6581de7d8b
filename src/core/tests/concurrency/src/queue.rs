// SPDX-License-Identifier: GPL-2.0

//! The invalidation queue with two submitters and hardware.

use crate::shim::{clock, pages, registers::UnitRegisters};
use loom::sync::atomic::Ordering;
use std::rc::Rc;
use std::sync::Arc;
use vtd_core::spec::address::DomainId;
use vtd_core::spec::descriptor::Descriptor;
use vtd_core::spec::invalidation::Invalidation;
use vtd_core::spec::queue::DescriptorWidth;
use vtd_core::spec::scope::{Drain, IotlbScope};

subjects! { queue queue_no_wait queue_no_free_slot queue_tail_before_slots
queue_tail_before_slots_fast queue_unordered queue_any_wait_will_do
queue_counts_again queue_no_second_check_for_room queue_no_second_check_of_the_end }

/// The width of the slots in the ring.
const WIDTH: DescriptorWidth = DescriptorWidth::Bits128;

/// The size of the ring, as set by `subjects.rs`.
const BYTES: u32 = 64;

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
            pages::clear_all();
            let regs = Arc::new(UnitRegisters::new($on_tail));
            let queue = Arc::new($module::Queue::new(0, WIDTH, pages::NumaNode).unwrap());
            // Not yet enabled: the tail is written before the address.
            queue.enable(&regs).unwrap();
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
            pages::clear_all();
            let regs = Arc::new(UnitRegisters::new(|_: &UnitRegisters| ()));
            let queue = $module::Queue::new(0, WIDTH, crate::shim::pages::NumaNode).unwrap();
            queue.enable(&regs).unwrap();
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
            pages::clear_all();
            let regs = Arc::new(UnitRegisters::new(
                |regs: &UnitRegisters| while step(regs) {},
            ));
            let queue = $module::Queue::new(0, WIDTH, crate::shim::pages::NumaNode).unwrap();
            queue.enable(&regs).unwrap();
            let submit = |id| {
                queue
                    .try_submit(&regs, &invalidate_domain(id).encode(), || ())
                    .unwrap()
            };
            let before = submit(2);
            *regs.fetched.lock().unwrap() = 0;
            queue.enable(&regs).unwrap();
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
