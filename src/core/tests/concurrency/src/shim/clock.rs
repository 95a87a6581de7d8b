// SPDX-License-Identifier: GPL-2.0

//! Waits as steps of the model.

use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    // A model and all of its threads run in one thread.
    static WHILE_WAITING: RefCell<Option<Rc<dyn Fn()>>> = RefCell::default();
    static STALL: RefCell<Option<Rc<dyn Fn()>>> = RefCell::default();
}

/// Sets what happens whenever a thread of the model waits.
pub(crate) fn while_waiting(what: Option<Rc<dyn Fn()>>) {
    WHILE_WAITING.with_borrow_mut(|it| *it = what);
}

/// Makes the machine stop until after the deadline at its next check, and sets what happens then.
pub(crate) fn stall(what: Rc<dyn Fn()>) {
    STALL.with_borrow_mut(|it| *it = Some(what));
}

/// Returns whether the deadline that is checked now has passed.
pub(crate) fn is_too_late() -> bool {
    let stalled = STALL.take();
    stalled.map(|what| what()).is_some()
}

/// Returns always the same time: no wait times out.
pub(crate) fn now_ns() -> u64 {
    0
}

pub(crate) fn cpu_relax() {
    if let Some(what) = WHILE_WAITING.with_borrow(Clone::clone) {
        what();
    }
    // Afterwards, so that a thread also sees the effects of another thread's wait.
    loom::thread::yield_now();
}

pub(crate) struct Deadline;

impl Deadline {
    pub(crate) fn after_ms(_: u64) -> Self {
        Self
    }

    /// Waits without a time limit: loom ends a loop that never terminates.
    pub(crate) fn wait_until(&self, mut condition: impl FnMut() -> bool) -> bool {
        while !condition() {
            cpu_relax();
        }
        true
    }
}
