// SPDX-License-Identifier: GPL-2.0

//! A unit that fails: a thread that sees the state `Failed` finds every requester blocked.

use loom::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use crate::lockless::unit_state;
use crate::shim::clock::Deadline;

mistakes! { unit_state_unordered unit_state_no_wait }

macro_rules! fails_once {
    ($module:ident) => {
        crate::check(|| {
            let state = Arc::new($module::AtomicUnitState::new());
            state.enable();
            let blocked = Arc::new(AtomicBool::new(false));
            let wait = |is_over: &dyn Fn() -> bool| {
                Deadline::after_ms(1).wait_until(is_over);
            };
            let fail = || {
                let (state, blocked) = (state.clone(), blocked.clone());
                move || {
                    let mine = state.begin_failing();
                    if mine {
                        blocked.store(true, Ordering::Relaxed);
                        state.end_failing();
                    }
                    assert!(state.get(wait) == $module::UnitState::Failed);
                    assert!(blocked.load(Ordering::Relaxed), "reported too early");
                    mine
                }
            };
            let other = loom::thread::spawn(fail());
            let mine = fail()();
            assert!(mine != other.join().unwrap(), "failed once");
        })
    };
}

laws! {
    once_a_unit_is_reported_failed_it_is_blocked: unit_state, fails_once;
    an_unordered_state_is_noticed: unit_state_unordered, "reported too early";
    a_missing_wait_for_the_end_is_noticed: unit_state_no_wait, "reported too early";
}
