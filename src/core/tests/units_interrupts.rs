// SPDX-License-Identifier: GPL-2.0

//! Isolation is promised only where no interrupt request in compatibility format passes.

use vtd_core::interrupt_policy::{CompatibilityUser, InterruptFacts, InterruptPolicy, NotRemapped};
use vtd_core::spec::interrupt::ApicMode;

const GOOD: InterruptFacts = InterruptFacts {
    wanted: true,
    wanted_anyway: true,
    platform: true,
    unit: true,
    queue: true,
    erratum: false,
    extended: true,
    x2apic: false,
    compatibility: None,
};

const USERS: [Option<CompatibilityUser>; 4] = [
    None,
    Some(CompatibilityUser::IoApic(2)),
    Some(CompatibilityUser::Hpet(0)),
    Some(CompatibilityUser::AdoptedDevice),
];

/// Returns every combination of facts.
fn all() -> impl Iterator<Item = InterruptFacts> {
    (0..256u32).flat_map(|bits| {
        USERS.into_iter().map(move |compatibility| {
            let bit = |number: u32| bits & 1 << number != 0;
            InterruptFacts {
                wanted: bit(0),
                platform: bit(1),
                unit: bit(2),
                queue: bit(3),
                erratum: bit(4),
                extended: bit(5),
                x2apic: bit(6),
                wanted_anyway: bit(7),
                compatibility,
            }
        })
    })
}

#[test]
fn isolation_is_promised_only_without_compatibility_format() {
    for facts in all() {
        let policy = InterruptPolicy::of(facts);
        assert!(
            !policy.is_isolated() || facts.compatibility.is_none(),
            "{facts:?}"
        );
        if let InterruptPolicy::Remapped(_, passes) = policy {
            assert_eq!(passes, facts.compatibility, "{facts:?}");
        }
    }
}

#[test]
fn interrupts_in_compatibility_format_that_are_in_use_are_never_blocked() {
    for facts in all().filter(|facts| facts.compatibility.is_some()) {
        match InterruptPolicy::of(facts) {
            // x2APIC mode always blocks them (VT-d 5.1.4).
            InterruptPolicy::Remapped(mode, user) => {
                assert_eq!((mode, user), (ApicMode::XApic, facts.compatibility));
            }
            InterruptPolicy::Off(_) => {}
        }
    }
}

#[test]
fn nothing_is_remapped_without_what_it_needs() {
    for facts in all() {
        let needs = facts.wanted && facts.unit && facts.platform && facts.queue && !facts.erratum;
        let isolates = facts.compatibility.is_none();
        let able = needs
            && if facts.x2apic {
                facts.extended && isolates
            } else {
                facts.wanted_anyway || isolates
            };
        let policy = InterruptPolicy::of(facts);
        assert_eq!(
            matches!(policy, InterruptPolicy::Remapped(..)),
            able,
            "{facts:?}"
        );
    }
}

#[test]
fn each_obstacle_is_named() {
    let off = |facts| match InterruptPolicy::of(facts) {
        InterruptPolicy::Off(why) => why.to_string(),
        remapped => panic!("{remapped:?}"),
    };
    let unwanted = InterruptFacts {
        wanted: false,
        ..GOOD
    };
    assert_eq!(off(unwanted), "interrupts=0 was chosen");
    let absent = InterruptFacts {
        unit: false,
        ..GOOD
    };
    assert_eq!(off(absent), "the unit cannot (ECAP.IR)");
    let blocked = InterruptFacts {
        x2apic: true,
        compatibility: USERS[1],
        ..GOOD
    };
    assert!(off(blocked).ends_with("would block the interrupts of IO-APIC 2"));
    assert_eq!(
        InterruptPolicy::of(blocked),
        InterruptPolicy::Off(NotRemapped::Blocks(CompatibilityUser::IoApic(2)))
    );
    let shared = InterruptPolicy::of(InterruptFacts {
        compatibility: USERS[1],
        ..GOOD
    });
    match shared.without_compatibility() {
        InterruptPolicy::Off(why) => assert!(why.to_string().ends_with("which IO-APIC 2 needs")),
        remapped => panic!("{remapped:?}"),
    }
    let default = InterruptFacts {
        wanted_anyway: false,
        compatibility: USERS[1],
        ..GOOD
    };
    assert_eq!(
        off(default),
        "IO-APIC 2 needs interrupts in compatibility format"
    );
    let isolated = InterruptPolicy::of(GOOD);
    assert_eq!(isolated.without_compatibility(), isolated);
    for user in USERS.into_iter().flatten() {
        assert!(user.remedy().ends_with("to isolate them"));
    }
}
