// SPDX-License-Identifier: GPL-2.0

//! The protected memory regions through the life of a driver, on a register that does as hardware:
//! PRS follows EPM.

use vtd_core::protected_memory::{are_on, to_write, Moment};
use vtd_core::spec::registers::{PMEN_EPM, PMEN_PRS};

/// A bit that is somebody else's.
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

    /// What the driver does at a moment; whether it wrote.
    fn at(&mut self, moment: Moment, found: bool) -> bool {
        let value = to_write(moment, found, self.0);
        value.inspect(|&value| self.write(value)).is_some()
    }
}

/// What a sleep does to the register.
#[derive(Clone, Copy, Debug)]
enum Wakes {
    AsItSlept,
    Lost,
    SetByFirmware,
}

const WAKES: [Wakes; 3] = [Wakes::AsItSlept, Wakes::Lost, Wakes::SetByFirmware];

fn sleep(register: &mut Register, found: bool, wakes: Wakes) {
    assert!(
        !register.at(Moment::Sleeps, found),
        "written before a sleep"
    );
    match wakes {
        Wakes::AsItSlept => {}
        Wakes::Lost => register.write(RESERVED),
        Wakes::SetByFirmware => register.write(RESERVED | PMEN_EPM),
    }
    register.at(Moment::Translates, found);
    assert!(
        !are_on(register.0),
        "on while the unit translates: {wakes:?}"
    );
}

/// Loaded, asleep as often as is said, and then what `moment` says.
fn life(found: bool, sleeps: &[Wakes], moment: Moment) -> Register {
    let mut register = Register::new(found);
    assert_eq!(register.at(Moment::Translates, found), found);
    for &wakes in sleeps {
        sleep(&mut register, found, wakes);
    }
    register.at(moment, found);
    assert_eq!(
        register.0 & RESERVED,
        RESERVED,
        "what is not ours was changed"
    );
    register
}

fn for_each_life(mut check: impl FnMut(bool, &[Wakes])) {
    for found in [false, true] {
        check(found, &[]);
        for one in WAKES {
            check(found, &[one]);
            for other in WAKES {
                check(found, &[one, other]);
            }
        }
    }
}

#[test]
fn a_detach_puts_back_what_was_found_at_load() {
    for_each_life(|found, sleeps| {
        let register = life(found, sleeps, Moment::Detached);
        assert_eq!(are_on(register.0), found, "{sleeps:?}");
    });
}

#[test]
fn the_next_kernel_finds_them_off() {
    for_each_life(|found, sleeps| {
        let register = life(found, sleeps, Moment::NextKernel);
        assert!(!are_on(register.0), "{found}, {sleeps:?}");
    });
}

/// A unit that never came to translate, as its load failed or it did not come back from a sleep.
#[test]
fn nothing_is_turned_on_that_was_not_found_on() {
    for found in [false, true] {
        for now in [false, true] {
            let mut register = Register::new(now);
            register.at(Moment::Detached, found);
            assert_eq!(are_on(register.0), found);
            assert!(!register.at(Moment::Detached, found), "written twice");
        }
    }
}

/// PRS may still be on its way to what EPM says.
#[test]
fn they_are_on_until_both_bits_say_off() {
    for pmen in [PMEN_EPM, PMEN_PRS, PMEN_EPM | PMEN_PRS] {
        assert!(are_on(pmen));
        assert_eq!(to_write(Moment::Translates, true, pmen), Some(0));
        assert_eq!(to_write(Moment::Detached, true, pmen), None);
    }
    assert!(!are_on(0));
    assert_eq!(to_write(Moment::Translates, true, 0), None);
}
