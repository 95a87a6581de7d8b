// SPDX-License-Identifier: GPL-2.0

//! A unit that fails: a thread that sees the state `Failed` finds every requester blocked.

use loom::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

subjects! { state state_unordered state_no_wait }

macro_rules! fails_once {
    ($module:ident) => {
        crate::check(|| {
            let state = Arc::new($module::AtomicUnitState::new());
            state.enable();
            let blocked = Arc::new(AtomicBool::new(false));
            let fail = || {
                let (state, blocked) = (state.clone(), blocked.clone());
                move || {
                    let mine = state.begin_failing();
                    if mine {
                        blocked.store(true, Ordering::Relaxed);
                        state.end_failing();
                    }
                    assert!(state.get() == $module::UnitState::Failed);
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
    once_a_unit_is_reported_failed_it_is_blocked: state, fails_once;
    an_unordered_state_is_noticed: state_unordered, "reported too early";
    a_missing_wait_for_the_end_is_noticed: state_no_wait, "reported too early";
}
