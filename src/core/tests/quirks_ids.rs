// SPDX-License-Identifier: GPL-2.0

//! All identifiers: which ones have a quirk, and that no untrusted function has one.

use vtd_core::quirks::table::{register_of, Effect, INTEL, QUIRKS};
use vtd_core::quirks::{IdentityReason, PciFunction, Quirks};
use vtd_core::spec::address::{PhysAddr, Segment, SourceId};

pub(crate) const HOST_BRIDGE: u32 = 0x06_00_00;
pub(crate) const DISPLAY: u32 = 0x03_00_00;
pub(crate) const NETWORK: u32 = 0x02_00_00;

/// Returns an Intel function on the root bus.
pub(crate) fn function(device: u8, model: u16, class: u32) -> PciFunction {
    PciFunction {
        segment: Segment::new(0),
        source: SourceId::new(0, device, 0).unwrap(),
        vendor: INTEL,
        device: model,
        class,
        untrusted: false,
        on_root_bus: true,
        buses_below: None,
        register: None,
    }
}

/// The register values for the test: unreadable, and every bit that quirks check.
const REGISTERS: [Option<u32>; 6] = [
    None,
    Some(0),
    Some(0x800),
    Some(1),
    Some(0x10),
    Some(0xffff_ffff),
];

/// A second, independent list of the quirks.
fn effects(model: u16, class: u32, register: Option<u32>) -> Vec<Effect> {
    let mut effects = Vec::new();
    let high = model >> 8;
    let low = model & 0xff;
    let broadwell = high == 0x16
        && matches!(low >> 4, 0..=3)
        && matches!(low & 0xf, 0x2 | 0x6 | 0xa | 0xb | 0xd | 0xe);
    let fourth =
        model == 0x2a40 || (high == 0x2e && matches!(low, 0 | 0x10 | 0x20 | 0x30 | 0x40 | 0x90));
    let calpella = matches!(model, 0x40 | 0x62 | 0x6a);
    let no_shadow = calpella && register.is_some_and(|ggc| ggc & 0x800 == 0);
    if model == 0x29b2 || model == 0x44 || fourth || broadwell || no_shadow {
        effects.push(Effect::LeaveGraphicsOut);
    }
    if calpella && register.is_some_and(|ggc| ggc & 0x800 != 0) {
        effects.push(Effect::Strict);
    }
    if fourth {
        effects.push(Effect::FlushWriteBuffer);
    }
    let keeps = [0x45, 0x46, 0x4c, 0x4e, 0x8a, 0x98, 0x9a, 0xa7, 0x7d];
    if class == DISPLAY && keeps.contains(&high) {
        effects.push(Effect::KeepTranslation);
    }
    if model == 0x342e && register.is_some_and(|control| control & 1 == 0 && control & 0x1c == 0) {
        effects.push(Effect::IdentityForSound);
    }
    effects
}

fn found(function: &PciFunction) -> Vec<Effect> {
    let quirks = QUIRKS.iter().filter(|quirk| quirk.is_of(function));
    quirks.map(|quirk| quirk.effect).collect()
}

#[test]
fn every_identifier_has_the_quirks_it_should() {
    for model in 0..=u16::MAX {
        for class in [HOST_BRIDGE, DISPLAY, NETWORK] {
            for register in REGISTERS {
                let mut one = function(0, model, class);
                one.register = register;
                assert_eq!(
                    found(&one),
                    effects(model, class, register),
                    "{model:#x} {register:x?}"
                );
            }
        }
    }
}

#[test]
fn untrusted_functions_have_no_quirk() {
    for model in 0..=u16::MAX {
        for class in [HOST_BRIDGE, DISPLAY] {
            for register in REGISTERS {
                let mut honest = function(2, model, class);
                honest.register = register;
                let outside = PciFunction {
                    untrusted: true,
                    ..honest
                };
                let plugged = PciFunction {
                    on_root_bus: false,
                    ..honest
                };
                let other = PciFunction {
                    vendor: 0x1234,
                    ..honest
                };
                for liar in [outside, plugged, other] {
                    assert_eq!(found(&liar), [], "{liar:x?}");
                    assert_eq!(Quirks::of(&[liar]), Quirks::default());
                    assert!(!liar.is_integrated_graphics());
                    assert!(!liar.is_behind_wrong_unit(PhysAddr::new(0xfed9_0000)));
                    let azalia = Quirks::of(&[tylersburg(0), function(0x1b, 0x3a3e, 0x04_03_00)]);
                    assert_eq!(azalia.identity(&liar, true), None);
                }
            }
        }
    }
}

#[test]
fn a_register_is_read_where_a_quirk_needs_it() {
    for vendor in [INTEL, 0x1234] {
        for model in 0..=u16::MAX {
            let wanted = match model {
                _ if vendor != INTEL => None,
                0x40 | 0x62 | 0x6a => Some((false, 0x52, 2)),
                0x342e => Some((false, 0x188, 4)),
                0x402f => Some((true, 0xb0, 4)),
                _ => None,
            };
            let register = register_of(vendor, model);
            assert_eq!(
                register.map(|it| (it.of_first_on_bus, it.offset, it.bytes)),
                wanted
            );
        }
    }
}

fn tylersburg(control: u32) -> PciFunction {
    let mut one = function(0x14, 0x342e, 0x08_80_00);
    one.register = Some(control);
    one
}

#[test]
fn sound_gets_identity_only_from_an_isochronous_unit_without_entries() {
    let azalia = function(0x1b, 0x3a3e, 0x04_03_00);
    for control in 0..=0xff {
        let quirks = Quirks::of(&[azalia, tylersburg(control)]);
        let needed = control & 1 == 0 && control & 0x1c == 0;
        let wanted = needed.then_some(IdentityReason::Required);
        assert_eq!(quirks.identity(&azalia, false), wanted, "{control:#x}");
        assert_eq!(quirks.identity(&azalia, true), wanted, "{control:#x}");
        assert_eq!(quirks.identity(&function(3, 0x10d3, NETWORK), true), None);
        assert_eq!(quirks.of_all_units().count(), usize::from(needed));
    }
    // With hidden registers, or none, nothing is known, so no quirk applies.
    let mut hidden = tylersburg(0);
    hidden.register = None;
    assert_eq!(Quirks::of(&[azalia, hidden]).identity(&azalia, true), None);
    assert_eq!(Quirks::of(&[azalia]).identity(&azalia, true), None);
    // Without the sound device, no quirk applies either.
    assert_eq!(Quirks::of(&[tylersburg(0)]).of_all_units().count(), 0);
}

#[test]
fn integrated_graphics_get_identity_where_the_kernel_is_configured_so() {
    let graphics = function(2, 0x3e92, DISPLAY);
    let quirks = Quirks::of(&[graphics]);
    assert_eq!(
        quirks.identity(&graphics, true),
        Some(IdentityReason::KernelConfig)
    );
    assert_eq!(quirks.identity(&graphics, false), None);
    for class in [0x03_00_00, 0x03_02_00, 0x03_80_00] {
        assert!(function(2, 0x3e92, class).is_integrated_graphics());
    }
    for class in [0x02_00_00, 0x04_03_00, 0x13_00_00] {
        assert!(!function(2, 0x3e92, class).is_integrated_graphics());
    }
}

#[test]
fn a_dma_engine_is_behind_its_own_unit_or_none() {
    let mut ioat = function(4, 0x402f, 0x08_80_00);
    ioat.register = Some(0xfbff_0001);
    assert!(!ioat.is_behind_wrong_unit(PhysAddr::new(0xfbff_a000)));
    for wrong in [0xfbff_0000, 0xfbff_c000, 0xdfff_a000, 0x1_fbff_a000, 0] {
        assert!(
            ioat.is_behind_wrong_unit(PhysAddr::new(wrong)),
            "{wrong:#x}"
        );
    }
    // A register that cannot be read activates no quirk.
    ioat.register = None;
    assert!(!ioat.is_behind_wrong_unit(PhysAddr::new(0xfbff_0000)));
    ioat.register = Some(u32::MAX);
    assert!(!ioat.is_behind_wrong_unit(PhysAddr::new(0xffff_0000 + 0xa000)));
}
