// SPDX-License-Identifier: GPL-2.0

//! The protected memory regions through the lifecycle of the driver, on a register that behaves
//! like hardware: PRS follows EPM.

use vtd_core::protected_memory::{pmen_to_write, regions_enabled, LifecycleEvent};
use vtd_core::spec::registers::{PMEN_EPM, PMEN_PRS};

/// A bit that the driver must not change.
const RESERVED: u32 = 1 << 7;

struct Register(u32);

impl Register {
    fn new(on: bool) -> Self {
        let mut register = Self(0);
        register.write(RESERVED | if on { PMEN_EPM } else { 0 });
        register
    }

    fn write(&mut self, value: u32) {
        assert_eq!(value & PMEN_PRS, 0, "PRS is read-only");
        self.0 = value | u32::from(value & PMEN_EPM != 0);
    }

    /// Does what the driver does at an event. Returns whether it wrote the register.
    fn at(&mut self, event: LifecycleEvent, found: bool) -> bool {
        let value = pmen_to_write(event, found, self.0);
        value.inspect(|&value| self.write(value)).is_some()
    }
}

/// The effect of a suspend on the register.
#[derive(Clone, Copy, Debug)]
enum AfterSuspend {
    Unchanged,
    Lost,
    SetByFirmware,
}

const AFTER_SUSPEND: [AfterSuspend; 3] = [
    AfterSuspend::Unchanged,
    AfterSuspend::Lost,
    AfterSuspend::SetByFirmware,
];

fn suspend(register: &mut Register, found: bool, after: AfterSuspend) {
    assert!(
        !register.at(LifecycleEvent::Suspend, found),
        "written before a sleep"
    );
    match after {
        AfterSuspend::Unchanged => {}
        AfterSuspend::Lost => register.write(RESERVED),
        AfterSuspend::SetByFirmware => register.write(RESERVED | PMEN_EPM),
    }
    register.at(LifecycleEvent::TranslationEnabled, found);
    assert!(
        !regions_enabled(register.0),
        "on while the unit translates: {after:?}"
    );
}

/// Loads the driver, suspends it the given number of times, then performs `event`.
fn run_lifecycle(found: bool, suspends: &[AfterSuspend], event: LifecycleEvent) -> Register {
    let mut register = Register::new(found);
    assert_eq!(
        register.at(LifecycleEvent::TranslationEnabled, found),
        found
    );
    for &after in suspends {
        suspend(&mut register, found, after);
    }
    register.at(event, found);
    assert_eq!(
        register.0 & RESERVED,
        RESERVED,
        "a bit of other software was changed"
    );
    register
}

fn for_each_lifecycle(mut check: impl FnMut(bool, &[AfterSuspend])) {
    for found in [false, true] {
        check(found, &[]);
        for one in AFTER_SUSPEND {
            check(found, &[one]);
            for other in AFTER_SUSPEND {
                check(found, &[one, other]);
            }
        }
    }
}

#[test]
fn unload_restores_the_state_found_at_load() {
    for_each_lifecycle(|found, suspends| {
        let register = run_lifecycle(found, suspends, LifecycleEvent::Unload);
        assert_eq!(regions_enabled(register.0), found, "{suspends:?}");
    });
}

#[test]
fn shutdown_disables_the_regions() {
    for_each_lifecycle(|found, suspends| {
        let register = run_lifecycle(found, suspends, LifecycleEvent::Shutdown);
        assert!(!regions_enabled(register.0), "{found}, {suspends:?}");
    });
}

/// A unit that never started to translate, because its load failed or it did not resume.
#[test]
fn regions_that_were_off_stay_off() {
    for found in [false, true] {
        for now in [false, true] {
            let mut register = Register::new(now);
            register.at(LifecycleEvent::Unload, found);
            assert_eq!(regions_enabled(register.0), found);
            assert!(!register.at(LifecycleEvent::Unload, found), "written twice");
        }
    }
}

/// PRS may not yet have followed EPM.
#[test]
fn regions_are_on_until_both_bits_are_clear() {
    for pmen in [PMEN_EPM, PMEN_PRS, PMEN_EPM | PMEN_PRS] {
        assert!(regions_enabled(pmen));
        assert_eq!(
            pmen_to_write(LifecycleEvent::TranslationEnabled, true, pmen),
            Some(0)
        );
        assert_eq!(pmen_to_write(LifecycleEvent::Unload, true, pmen), None);
    }
    assert!(!regions_enabled(0));
    assert_eq!(
        pmen_to_write(LifecycleEvent::TranslationEnabled, true, 0),
        None
    );
}
