// SPDX-License-Identifier: GPL-2.0

//! Unusual tables: they are used, and wrong structures are left out and noted.

use crate::dmar_build::*;
use crate::dmar_select::{chain, unit};
use vtd_core::dmar::error::Problem;
use vtd_core::dmar::note::NoteKind;
use vtd_core::dmar::{Dmar, Note, ScopeKind, Structure};
use vtd_core::spec::address::{PhysAddr, Segment};

const GOOD: (u64, u64) = (0x7d00_0000, 0x7d7f_ffff);

fn nic() -> Vec<u8> {
    scope(ENDPOINT, 0, 0, &[(2, 0)])
}

/// Returns a table with an INCLUDE_PCI_ALL unit at 0x1000, followed, at 64, by the unusual
/// structure.
fn with(structure: &[u8]) -> Vec<u8> {
    Table::new(39, 0)
        .with(&drhd(true, 0, 0x1000, &[]))
        .with(structure)
        .seal()
}

fn notes(bytes: &[u8]) -> Vec<Note<'_>> {
    let mut notes = Vec::new();
    let dmar = Dmar::parse(bytes).expect("an odd table is taken");
    dmar.notes(|note| notes.push(note));
    notes
}

/// Returns the reason why the structure at 64 is left out, which is the only note about the table.
fn ignored(bytes: &[u8]) -> Problem {
    let notes = notes(bytes);
    let [Note { offset, kind }] = notes[..] else {
        panic!("not one note: {notes:?}");
    };
    let NoteKind::Ignored(error) = kind else {
        panic!("not left out: {kind:?}");
    };
    assert!(notes[0].is_wrong());
    assert_eq!(error.offset, offset);
    let skipped =
        Dmar::parse(bytes)
            .unwrap()
            .structures()
            .filter_map(|structure| match structure {
                Structure::Ignored { offset, .. } => Some(offset),
                _ => None,
            });
    assert_eq!(skipped.collect::<Vec<_>>(), [64]);
    error.problem
}

fn regions(bytes: &[u8]) -> Vec<(u64, u64)> {
    Dmar::parse(bytes)
        .unwrap()
        .regions_for(Segment::new(0), &chain(&[(0, 2, 0)]))
        .map(|region| (region.base.raw(), region.limit.raw()))
        .collect()
}

/// Checks that `wrong` is left out, that the good region of the same device after it is kept, and
/// that the same unit serves the device as without either.
fn left_out(wrong: (u64, u64)) -> Problem {
    let both = [
        rmrr(0, wrong.0, wrong.1, &[nic()]),
        rmrr(0, GOOD.0, GOOD.1, &[nic()]),
    ];
    let bytes = with(&both.concat());
    assert_eq!(regions(&bytes), [GOOD]);
    assert_eq!(unit(&bytes, 0, &[(0, 2, 0)]), Some(0x1000));
    assert_eq!(regions(&with(&both[0])), []);
    ignored(&bytes)
}

#[test]
fn a_region_at_page_0_or_not_of_whole_pages_is_left_out() {
    for (base, limit) in [
        (0, 0),
        (0, 0xfff),
        (0, u64::MAX),
        (0x3000, 0x2fff),
        (0x4000, 0x3fff),
        (0x2001, 0x3fff),
        (0x2000, 0x2ffe),
        (0x2000, 0x3000),
    ] {
        let (base, limit) = (PhysAddr::new(base), PhysAddr::new(limit));
        assert_eq!(
            left_out((base.raw(), limit.raw())),
            Problem::RegionBounds { base, limit }
        );
    }
}

#[test]
fn a_region_beyond_the_host_width_is_left_out() {
    let last = (1 << 39) - 1;
    let host_bits = 39;
    for limit in [last + 0x1000, u64::MAX] {
        let problem = left_out((0x2000, limit));
        let limit = PhysAddr::new(limit);
        assert_eq!(problem, Problem::RegionBeyondHost { limit, host_bits });
    }
    let fits = with(&rmrr(0, 0x2000, last, &[nic()]));
    assert_eq!(regions(&fits), [(0x2000, last)]);
}

#[test]
fn a_region_over_registers_is_left_out_wherever_their_unit_is_listed() {
    for (base, limit) in [(0x1000, 0x1fff), (0x1000, 0xffff)] {
        let (first, last) = (PhysAddr::new(base), PhysAddr::new(limit));
        let problem = Problem::RegionOverRegisters {
            base: first,
            limit: last,
            unit_offset: 48,
        };
        assert_eq!(left_out((base, limit)), problem);
    }
    let before = Table::new(39, 0)
        .with(&rmrr(0, 0x8000, 0x8fff, &[nic()]))
        .with(&sized_drhd(true, 3, 7, 0x1000, &[]))
        .seal();
    assert_eq!(regions(&before), []);
    assert_eq!(
        regions(&with(&rmrr(0, 0x2000, 0x2fff, &[nic()]))),
        [(0x2000, 0x2fff)]
    );
}

/// The devices of the region are then unknown.
#[test]
fn a_region_of_impossible_devices_is_left_out() {
    let bad = scope(ENDPOINT, 0, 0, &[(2, 8)]);
    let bytes = with(&rmrr(0, GOOD.0, GOOD.1, &[nic(), bad]));
    let (device, function) = (2, 8);
    assert_eq!(notes(&bytes).len(), 1);
    assert_eq!(regions(&bytes), []);
    assert_eq!(
        notes(&bytes)[0].kind,
        NoteKind::Ignored(vtd_core::dmar::DmarError {
            offset: 64 + 24 + 8,
            structure: Some(1),
            problem: Problem::ScopePath { device, function },
        })
    );
}

#[test]
fn a_unit_listed_twice_counts_once() {
    let first = drhd(false, 0, 0x9000, &[nic()]);
    let all = drhd(true, 0, 0x1000, &[]);
    let bytes = Table::new(39, 0)
        .with(&[first.clone(), all.clone(), first.clone(), all, first].concat())
        .seal();
    let dmar = Dmar::parse(&bytes).unwrap();
    let places: Vec<_> = dmar.units().map(|it| it.register_base.raw()).collect();
    assert_eq!(places, [0x9000, 0x1000]);
    assert_eq!(unit(&bytes, 0, &[(0, 2, 0)]), Some(0x9000));
    assert_eq!(unit(&bytes, 0, &[(0, 3, 0)]), Some(0x1000));
    let repeated: Vec<_> = notes(&bytes)
        .iter()
        .map(|note| match note.kind {
            NoteKind::Ignored(error) => (note.offset, error.problem),
            other => panic!("{other:?}"),
        })
        .collect();
    let repeats = |first_offset| Problem::UnitRepeated { first_offset };
    assert_eq!(
        repeated,
        [(88, repeats(48)), (112, repeats(72)), (128, repeats(48))]
    );
}

#[test]
fn the_first_include_all_unit_of_a_segment_wins() {
    let bytes = Table::new(39, 0)
        .with(&drhd(true, 7, 0x1000, &[nic()]))
        .with(&drhd(true, 7, 0x2000, &[]))
        .with(&drhd(true, 8, 0x3000, &[]))
        .with(&drhd(true, 7, 0x4000, &[scope(ENDPOINT, 0, 0, &[(5, 0)])]))
        .seal();
    assert_eq!(unit(&bytes, 7, &[(0, 3, 0)]), Some(0x1000));
    assert_eq!(unit(&bytes, 8, &[(0, 3, 0)]), Some(0x3000));
    assert_eq!(unit(&bytes, 7, &[(0, 5, 0)]), Some(0x4000));
    assert_eq!(Dmar::parse(&bytes).unwrap().units().count(), 4);
    let kind = NoteKind::SecondIncludeAll {
        segment: Segment::new(7),
        first_offset: 48,
    };
    let expected = [72, 104].map(|offset| Note { offset, kind });
    assert_eq!(notes(&bytes), expected);
}

/// Firmware does not report which of them it means.
#[test]
fn the_last_unit_that_names_a_device_wins() {
    let bytes = Table::new(39, 0)
        .with(&drhd(false, 0, 0x1000, &[nic()]))
        .with(&drhd(false, 0, 0x2000, &[nic()]))
        .seal();
    assert_eq!(unit(&bytes, 0, &[(0, 2, 0)]), Some(0x2000));
}

#[test]
fn zeroes_behind_the_last_structure_are_padding() {
    for padding in 1..40 {
        let bytes = with(&vec![0; padding]);
        let kind = NoteKind::Padding(padding);
        assert_eq!(notes(&bytes), [Note { offset: 64, kind }]);
        assert!(notes(&bytes)[0].is_wrong());
        assert_eq!(Dmar::parse(&bytes).unwrap().structures().count(), 1);
        let again = Dmar::parse(&bytes).unwrap().checked().table(&bytes);
        assert_eq!(again.structures().count(), 1);
    }
}

#[test]
fn unused_structures_may_name_impossible_devices() {
    for kind in [2, 5, 6] {
        for bad in [
            scope(ENDPOINT, 0, 0, &[(2, 8)]),
            scope(BRIDGE, 0, 0, &[(32, 0)]),
            scope(ENDPOINT, 0, 0, &[]),
            vec![1, 8, 0, 0],
            vec![1, 0, 0, 0, 0, 0, 0, 0],
        ] {
            let bytes = with(&flagged(kind, true, 0, &[bad]));
            assert!(matches!(
                ignored(&bytes),
                Problem::ScopePath { .. } | Problem::ScopeLength { .. }
            ));
            assert_eq!(unit(&bytes, 0, &[(0, 2, 0)]), Some(0x1000));
        }
    }
}

/// Impossible ports do not count as ports that take translation requests.
#[test]
fn an_atsr_that_is_left_out_covers_nothing() {
    let bad = scope(BRIDGE, 0, 0, &[(32, 0)]);
    let bytes = with(&flagged(2, true, 0, &[bad]));
    let dmar = Dmar::parse(&bytes).unwrap();
    assert!(!dmar.takes_translation_requests(Segment::new(0), &chain(&[(0, 3, 0)])));
}

#[test]
fn unterminated_names_are_left_out() {
    for (name, bytes) in [(&b"NOEND"[..], 5), (b"\0\0", 2), (b"\0", 2)] {
        let name = [name, &[0][..bytes - name.len()]].concat();
        assert_eq!(
            ignored(&with(&andd(1, &name))),
            Problem::NameUnterminated { bytes }
        );
    }
}

#[test]
fn scopes_that_are_not_used_may_have_any_path() {
    for (code, kind) in [
        (3, ScopeKind::IoApic),
        (4, ScopeKind::Hpet),
        (5, ScopeKind::Namespace),
    ] {
        let mut odd = scope(code, 8, 0xf0, &[(1, 0)]);
        odd.push(0);
        odd[1] += 1;
        for bad in [
            scope(code, 8, 0xf0, &[]),
            scope(code, 8, 0, &[(32, 9)]),
            odd,
        ] {
            let bytes = Table::new(39, 0)
                .with(&drhd(true, 0, 0x1000, &[bad, nic()]))
                .seal();
            let notes = notes(&bytes);
            assert_eq!((notes.len(), notes[0].offset), (1, 64));
            assert!(matches!(notes[0].kind, NoteKind::ScopeWrong(it, _) if it == kind));
            assert!(notes[0].is_wrong());
            assert_eq!(unit(&bytes, 0, &[(0, 2, 0)]), Some(0x1000));
        }
    }
    let unknown = [scope(99, 0, 0, &[]), scope(0, 0, 0, &[(255, 255)])];
    let bytes = Table::new(39, 0)
        .with(&drhd(true, 0, 0x1000, &unknown))
        .seal();
    let codes: Vec<_> = notes(&bytes).iter().map(|note| note.kind).collect();
    assert_eq!(codes, [99, 0].map(NoteKind::ScopeSkipped));
}

#[test]
fn a_host_width_above_64_bits_is_taken_as_64() {
    for (field, bits) in [(64u8, 65), (0xff, 256)] {
        let mut bytes = with(&[]);
        bytes[36] = field;
        let bytes = seal(bytes);
        let kind = NoteKind::HostWidth(bits);
        assert_eq!(notes(&bytes), [Note { offset: 36, kind }]);
        assert_eq!(Dmar::parse(&bytes).unwrap().host_bits(), 64);
    }
}

/// An unusual structure is not a firmware bug.
#[test]
fn unusual_is_not_reported_as_wrong() {
    let bytes = Table::new(39, 0)
        .with(&drhd(true, 0, 0x1000, &[scope(9, 0, 0, &[(1, 0)])]))
        .with(&drhd(false, 0, 0x2000, &[]))
        .with(&structure(0x7f, &[]))
        .with(&andd(1, b"X\0"))
        .seal();
    let notes = notes(&bytes);
    assert_eq!(notes.len(), 5, "{notes:?}");
    assert!(notes.iter().all(|note| !note.is_wrong()), "{notes:?}");
}

/// Each note is a sentence: the place, the problem, the value, and what the driver did.
#[test]
fn notes_are_sentences() {
    let region = |base, limit| with(&rmrr(0, base, limit, &[nic()]));
    for (bytes, words) in [
        (
            region(0, 0xfff),
            "0x40: RMRR structure ignored: the reserved region 0x0..=0xfff starts at page 0, which \
             no device is given",
        ),
        (
            region(0x3000, 0x1fff),
            "0x40: RMRR structure ignored: the reserved region 0x3000..=0x1fff ends before it starts",
        ),
        (
            region(0x2000, 0x3000),
            "0x40: RMRR structure ignored: the reserved region 0x2000..=0x3000 is not a whole \
             number of pages",
        ),
        (
            with(&drhd(true, 0, 0x1000, &[])),
            "0x40: DRHD structure ignored: it repeats the unit at offset 0x30",
        ),
        (
            with(&drhd(true, 0, 0x2000, &[])),
            "0x40: second INCLUDE_PCI_ALL unit of segment 0000; the unit at offset 0x30 serves the \
             devices that no unit names",
        ),
        (
            with(&[0; 5]),
            "0x40: the last 5 bytes of the table are 0 and were ignored",
        ),
        (
            with(&andd(1, b"END")),
            "0x40: ANDD structure ignored: the device name of at most 3 bytes is empty or not \
             terminated",
        ),
        (
            Table::new(39, 0)
                .with(&drhd(true, 0, 0x1000, &[scope(3, 8, 0, &[])]))
                .seal(),
            "0x40: IOAPIC scope, which is not used, is invalid: a device scope of 6 bytes with 6 \
             left (it needs 6, and 2 per path entry, at least one)",
        ),
    ] {
        let said: Vec<_> = notes(&bytes).iter().map(Note::to_string).collect();
        assert_eq!(said, [format!("DMAR table, offset {words}")]);
    }
}
