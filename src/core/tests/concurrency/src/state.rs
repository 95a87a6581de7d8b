// SPDX-License-Identifier: GPL-2.0

//! A unit that is closed: who is told so finds every requester blocked.

use loom::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

subjects! { state state_unordered state_impatient }

macro_rules! closed_once {
    ($module:ident) => {
        crate::check(|| {
            let service = Arc::new($module::Service::new());
            service.start();
            let blocked = Arc::new(AtomicBool::new(false));
            let fail = || {
                let (service, blocked) = (service.clone(), blocked.clone());
                move || {
                    let mine = service.begin_closing();
                    if mine {
                        blocked.store(true, Ordering::Relaxed);
                        service.end_closing();
                    }
                    assert!(service.state() == $module::State::Closed);
                    assert!(blocked.load(Ordering::Relaxed), "told too early");
                    mine
                }
            };
            let other = loom::thread::spawn(fail());
            let mine = fail()();
            assert!(mine != other.join().unwrap(), "closed once");
        })
    };
}

laws! {
    who_is_told_that_a_unit_is_closed_finds_it_blocked: state, closed_once;
    a_state_without_order_is_noticed: state_unordered, "told too early";
    not_to_wait_for_the_end_is_noticed: state_impatient, "told too early";
}
