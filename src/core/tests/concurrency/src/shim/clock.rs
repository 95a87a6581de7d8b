// SPDX-License-Identifier: GPL-2.0

//! Waiting, as a step of the model.

use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    // A model and all of its threads run in one thread.
    static MEANWHILE: RefCell<Option<Rc<dyn Fn()>>> = RefCell::default();
    static STANDSTILL: RefCell<Option<Rc<dyn Fn()>>> = RefCell::default();
}

/// What happens whenever a thread of the model waits.
pub(crate) fn meanwhile(what: Option<Rc<dyn Fn()>>) {
    MEANWHILE.with_borrow_mut(|it| *it = what);
}

/// At its next check of a deadline the machine stands still past it; what happens then.
pub(crate) fn stand_still(what: Rc<dyn Fn()>) {
    STANDSTILL.with_borrow_mut(|it| *it = Some(what));
}

/// Whether a deadline has passed that is checked now.
pub(crate) fn is_too_late() -> bool {
    let standstill = STANDSTILL.take();
    standstill.map(|what| what()).is_some()
}

pub(crate) fn relax() {
    if let Some(what) = MEANWHILE.with_borrow(Clone::clone) {
        what();
    }
    // Afterwards, so that a thread also finds done what another one's wait has brought about.
    loom::thread::yield_now();
}

pub(crate) struct Deadline;

impl Deadline {
    pub(crate) fn after_ms(_: u64) -> Self {
        Self
    }

    /// Time is patient here: loom ends what goes round for ever.
    pub(crate) fn wait_until(&self, mut condition: impl FnMut() -> bool) -> bool {
        while !condition() {
            relax();
        }
        true
    }
}
