// SPDX-License-Identifier: GPL-2.0

//! The stage of a domain's tables, and which units can walk them, in legacy and in scalable mode.

use vtd_core::compatibility::{Incompatible, Restriction, TableFormat, WalkCapabilities};
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::level::{AddressWidth, PageSize, Stage};
use vtd_core::spec::registers::TranslationTableMode as Mode;

const CPU_PAGE: u64 = 4096;

const C: u64 = 1 << 0;
const SC: u64 = 1 << 7;
const SMPWC: u64 = 1 << 48;
const FS1GP: u64 = 1 << 56;
const FS5LP: u64 = 1 << 60;

/// QEMU's unit with `scalable-mode=on`: a second stage only.
const SECOND: (u64, u64) = (0x80d2_008c_222f_0606, 0x4800_80f0_0f4a);
/// With `scalable-mode=on,fsts=on`: a first stage only, with pages of 1 GiB.
const FIRST: (u64, u64) = (0x81d2_008c_222f_0606, 0x8800_00f0_0f4a);
/// A server of 2023, with both stages, coherent walks in both modes and no pages of 1 GiB in the
/// first stage.
const BOTH: (u64, u64) = (0x09ed_008c_4078_0466, 0x3_ee9e_86f0_50df);

fn unit(mode: Mode, (cap, ecap): (u64, u64)) -> WalkCapabilities {
    WalkCapabilities {
        cap: Capability::from_raw(cap),
        ecap: ExtendedCapability::from_raw(ecap),
        mode,
        restriction: Restriction::default(),
    }
}

fn scalable(registers: (u64, u64)) -> WalkCapabilities {
    unit(Mode::Scalable, registers)
}

fn legacy(registers: (u64, u64)) -> WalkCapabilities {
    unit(Mode::Legacy, registers)
}

fn best(unit: &WalkCapabilities) -> TableFormat {
    unit.format(46).expect("it walks tables")
}

#[test]
fn a_domain_has_a_first_stage_only_where_there_is_no_second() {
    assert_eq!(scalable(FIRST).stage(), Some(Stage::First));
    for unit in [scalable(SECOND), scalable(BOTH)] {
        assert_eq!(unit.stage(), Some(Stage::Second), "{unit:?}");
    }
    for registers in [FIRST, SECOND, BOTH] {
        assert_eq!(legacy(registers).stage(), Some(Stage::Second));
    }
    let (cap, ecap) = FIRST;
    assert_eq!(scalable((cap, ecap & !(1 << 47))).stage(), None, "no FSTS");
    assert_eq!(legacy((cap & !(0x1f << 8), ecap)).stage(), None, "no SAGAW");
    // SSTS without a width in SAGAW is no second stage that could be used.
    let (cap, ecap) = BOTH;
    let unit = scalable((cap & !(0x1f << 8), ecap));
    assert_eq!(unit.stage(), Some(Stage::First));
}

#[test]
fn a_first_stage_has_the_lower_half_of_four_levels() {
    let last = |cap: u64, mgaw: u64| {
        let cap = cap & !(0x3f << 16) | (mgaw - 1) << 16;
        let tables = best(&scalable((cap, FIRST.1)));
        assert_eq!(tables.geometry.width, AddressWidth::Bits48);
        tables.geometry.last_iova().raw()
    };
    assert_eq!(last(FIRST.0, 48), 0x7fff_ffff_ffff);
    assert_eq!(last(FIRST.0 | FS5LP, 57), 0x7fff_ffff_ffff);
    assert_eq!(last(FIRST.0, 39), 0x7f_ffff_ffff);
    // The widths of SAGAW are those of the second stage.
    assert_eq!(last(FIRST.0 & !(0x1f << 8) | 2 << 8, 48), 0x7fff_ffff_ffff);
}

#[test]
fn a_first_stage_has_pages_of_its_own_capability_bit() {
    let sizes = |cap| best(&scalable((cap, FIRST.1))).geometry.page_sizes();
    assert_eq!(sizes(FIRST.0), 0x4020_1000);
    assert_eq!(sizes(FIRST.0 & !FS1GP), 0x20_1000);
    // SSLPS is of the second stage.
    assert_eq!(sizes(FIRST.0 & !(0xf << 34)), 0x4020_1000);
    let mut small = scalable(FIRST);
    small.restriction.small_pages = true;
    assert_eq!(best(&small).geometry.page_sizes(), 0x1000);
}

#[test]
fn walks_are_coherent_by_the_bit_of_the_mode() {
    for (mode, bit, other) in [(Mode::Legacy, C, SMPWC), (Mode::Scalable, SMPWC, C)] {
        for (cap, ecap) in [FIRST, SECOND, BOTH] {
            let ecap = ecap & !(C | SMPWC);
            assert!(!best(&unit(mode, (cap, ecap | other))).coherent);
            assert!(best(&unit(mode, (cap, ecap | bit))).coherent);
        }
    }
}

#[test]
fn no_leaf_of_a_first_stage_demands_snooping() {
    let (cap, ecap) = FIRST;
    let snoops = scalable((cap, ecap | SC));
    assert!(!best(&snoops).geometry.snoop_control);
    let forced = TableFormat {
        snoops: true,
        ..best(&snoops)
    };
    // The PASID entry demands it, on a unit with snoop control.
    assert_eq!(snoops.check(&forced, CPU_PAGE), Ok(()));
    let refused = scalable(FIRST).check(&forced, CPU_PAGE);
    assert_eq!(refused, Err(Incompatible::Snoop));
}

#[test]
fn tables_of_a_stage_that_a_unit_lacks_are_refused() {
    let refused = |unit: WalkCapabilities, of: WalkCapabilities| {
        unit.check(&best(&of), CPU_PAGE)
            .map_err(|why| why.to_string())
    };
    for registers in [FIRST, SECOND, BOTH] {
        assert_eq!(
            refused(legacy(registers), scalable(FIRST)),
            Err("it translates in legacy mode, without first-stage tables".into())
        );
    }
    assert_eq!(
        refused(scalable(SECOND), scalable(FIRST)),
        Err("it has no first-stage tables in scalable mode".into())
    );
    for of in [legacy(FIRST), legacy(SECOND), scalable(SECOND)] {
        assert_eq!(
            refused(scalable(FIRST), of),
            Err("it has no second-stage tables in scalable mode".into())
        );
    }
}

#[test]
fn a_unit_with_both_stages_walks_both() {
    let (cap, ecap) = BOTH;
    // Tables of QEMU's unit are written back, and it has 1 GiB pages in its first stage.
    let both = scalable((cap | FS1GP, ecap));
    assert_eq!(both.check(&best(&scalable(SECOND)), CPU_PAGE), Ok(()));
    assert_eq!(both.check(&best(&scalable(FIRST)), CPU_PAGE), Ok(()));
    // The modes of two units need not be the same.
    let (cap, ecap) = SECOND;
    assert_eq!(
        legacy((cap, ecap)).check(&best(&scalable((cap, ecap))), CPU_PAGE),
        Ok(())
    );
}

#[test]
fn first_stage_tables_are_refused_for_what_they_use() {
    let refused = |user: (u64, u64), maker: (u64, u64)| {
        scalable(user).check(&best(&scalable(maker)), CPU_PAGE)
    };
    let (cap, ecap) = FIRST;
    assert_eq!(
        refused((cap & !FS1GP, ecap), FIRST),
        Err(Incompatible::PageSize(PageSize::Size1G))
    );
    assert_eq!(refused(FIRST, (cap & !FS1GP, ecap)), Ok(()));
    let narrow = (cap & !(0x3f << 16) | 38 << 16, ecap);
    assert_eq!(refused(narrow, FIRST), Err(Incompatible::Reach));
    assert_eq!(refused(FIRST, narrow), Ok(()));
    assert_eq!(
        refused(FIRST, (cap, ecap | SMPWC)),
        Err(Incompatible::Coherency)
    );
    // ECAP.C says nothing of page walks in scalable mode.
    assert_eq!(
        refused((cap, ecap | C), (cap, ecap | SMPWC)),
        Err(Incompatible::Coherency)
    );
    let mut limited = scalable(FIRST);
    limited.restriction.narrow = true;
    assert_eq!(limited.stage(), None);
    assert_eq!(
        limited.check(&best(&scalable(FIRST)), CPU_PAGE),
        Err(Incompatible::Width(AddressWidth::Bits48))
    );
}
