// SPDX-License-Identifier: GPL-2.0

//! The invalidation queue: two submitters and hardware.

use crate::shim::{clock, pages, registers::UnitRegisters};
use loom::sync::atomic::Ordering;
use std::rc::Rc;
use std::sync::Arc;
use vtd_core::spec::address::DomainId;
use vtd_core::spec::descriptor::Descriptor;
use vtd_core::spec::registers::queue_tail;
use vtd_core::spec::scope::{Drain, IotlbScope};

subjects! { queue queue_no_wait queue_no_free_slot queue_tail_before_slots
queue_tail_before_slots_at_once queue_unordered queue_any_wait_will_do
queue_no_second_look_for_room queue_no_second_look_at_the_end }

/// Slots of the ring, as `build.rs` has made it.
const SLOTS: u64 = 4;

fn forget(id: u16) -> Descriptor {
    Descriptor::Iotlb {
        scope: IotlbScope::Domain(DomainId::new(id)),
        drain: Drain::NONE,
    }
}

/// Fetches and executes one descriptor, if there is one. Whether there was.
fn step(regs: &UnitRegisters) -> bool {
    let mut fetched = regs.fetched.lock().unwrap();
    let head = *fetched % SLOTS;
    if regs.tail.load(Ordering::Acquire) == queue_tail(head as u32).unwrap() {
        return false;
    }
    *fetched += 1;
    let ring = pages::at(regs.address.load(Ordering::Acquire));
    let slot = head as usize * 2;
    match Descriptor::decode([ring.read(slot), ring.read(slot + 1)]).expect("a filled slot") {
        Descriptor::Iotlb {
            scope: IotlbScope::Domain(id),
            ..
        } => {
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

/// Hardware that finishes all before the write of the tail returns, as QEMU does, or that begins
/// when somebody waits, a descriptor or all at a time.
macro_rules! confirmed {
    ($module:ident) => {
        confirmed!($module, |regs: &UnitRegisters| while step(regs) {}, step);
        confirmed!($module, |_: &UnitRegisters| (), step);
        confirmed!($module, |_: &UnitRegisters| (), all_steps);
    };
    ($module:ident, $on_tail:expr, $on_wait:ident) => {
        crate::check(|| {
            pages::forget_all();
            let regs = Arc::new(UnitRegisters::new($on_tail));
            let queue = Arc::new($module::Queue::new(0, pages::NumaNode).unwrap());
            // Not yet: the tail is written before the address.
            queue.enable(&regs).unwrap();
            let beside = regs.clone();
            clock::meanwhile(Some(Rc::new(move || {
                let _ = $on_wait(&beside);
            })));
            let submit = |id: u16| {
                let (regs, queue) = (regs.clone(), queue.clone());
                move || {
                    // As `Invalidator` does: the quick way if there is room.
                    let waited = match queue.try_submit(&regs, &forget(id).encode(), || ()) {
                        Some(end) => queue.wait_for(&regs, end),
                        None => queue.submit(&regs, core::iter::once(forget(id)), || ()),
                    };
                    assert!(waited.is_ok());
                    let done = regs.done.load(Ordering::Relaxed);
                    assert_ne!(done & 1 << id, 0, "not yet done");
                }
            };
            let other = loom::thread::spawn(submit(3));
            submit(2)();
            other.join().unwrap();
            clock::meanwhile(None);
        })
    };
}

/// The machine stands still until every deadline has passed and hardware has done all there was to do.
macro_rules! stood_still {
    ($module:ident) => {
        crate::check(|| {
            pages::forget_all();
            let regs = Arc::new(UnitRegisters::new(|_: &UnitRegisters| ()));
            let queue = $module::Queue::new(0, crate::shim::pages::NumaNode).unwrap();
            queue.enable(&regs).unwrap();
            let works = || {
                let beside = regs.clone();
                Rc::new(move || while step(&beside) {})
            };
            let full = queue.try_submit(&regs, &forget(2).encode(), || ());
            assert!(full.is_some());
            clock::stand_still(works());
            clock::meanwhile(Some(works()));
            let submitted = queue.submit(&regs, core::iter::once(forget(3)), || ());
            assert!(submitted.is_ok(), "no room, it is said");
            clock::meanwhile(None);
            let end = queue.try_submit(&regs, &forget(4).encode(), || ()).unwrap();
            clock::stand_still(works());
            assert!(
                queue.wait_for(&regs, end).is_ok(),
                "not finished, it is said"
            );
        })
    };
}

laws! {
    who_returns_from_the_queue_was_served: queue, confirmed;
    a_submitter_that_does_not_wait_is_noticed: queue_no_wait, "not yet done";
    a_full_ring_is_noticed: queue_no_free_slot, "maximum number of branches";
    a_tail_before_its_slots_is_noticed: queue_tail_before_slots, "a filled slot";
    a_tail_before_its_slots_at_once_is_noticed: queue_tail_before_slots_at_once, "a filled slot";
    a_look_at_the_count_without_order_is_noticed: queue_unordered, "not yet done";
    a_wait_for_someone_else_is_noticed: queue_any_wait_will_do, "not yet done";
}

laws! {
    a_machine_that_stood_still_makes_no_unit_fail: queue, stood_still;
    no_second_look_for_room_is_noticed: queue_no_second_look_for_room, "no room, it is said";
    no_second_look_at_the_end_is_noticed: queue_no_second_look_at_the_end, "not finished, it is said";
}
