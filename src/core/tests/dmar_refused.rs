// SPDX-License-Identifier: GPL-2.0

//! Wrong tables: each is refused with a sentence that names the place.

use crate::dmar_build::*;
use vtd_core::dmar::error::Problem;
use vtd_core::dmar::{Dmar, DmarError};
use vtd_core::spec::address::PhysAddr;

fn refused(bytes: &[u8]) -> DmarError {
    Dmar::parse(bytes).expect_err("a wrong table was taken")
}

/// Returns the refusal of a table whose second structure, at 64, is `second`.
fn second(structure: &[u8]) -> DmarError {
    let first = drhd(false, 0, 0x1000, &[]);
    refused(&Table::new(39, 0).with(&first).with(structure).seal())
}

#[test]
fn no_prefix_of_a_table_is_a_table() {
    let (bytes, _) = everything();
    for length in 0..bytes.len() {
        refused(&bytes[..length]);
    }
}

/// With length and checksum corrected, the table may end only where a structure ends, or with
/// zeroes after it.
#[test]
fn a_table_may_end_only_where_a_structure_ends() {
    let (bytes, ends) = everything();
    for length in 0..bytes.len() {
        let cut = seal(bytes[..length].to_vec());
        let whole = ends.iter().any(|end| {
            let behind = bytes.get(*end..length);
            behind.is_some_and(|behind| behind.iter().all(|byte| *byte == 0))
        });
        assert_eq!(Dmar::parse(&cut).is_ok(), whole, "cut at {length}");
    }
}

#[test]
fn the_header_must_be_right() {
    assert_eq!(refused(&[]).problem, Problem::TooShort { found: 0 });
    assert_eq!(refused(b"DMAR").problem, Problem::TooShort { found: 4 });
    let good = Table::new(39, 0).with(&drhd(true, 0, 0x1000, &[])).seal();
    let mut wrong = good.clone();
    wrong[0] = b'A';
    assert_eq!(
        refused(&wrong).problem,
        Problem::Signature { found: *b"AMAR" }
    );
    let mut wrong = good.clone();
    wrong[50] ^= 0x10;
    assert!(matches!(refused(&wrong).problem, Problem::Checksum { .. }));
    let short = seal(good[..47].to_vec());
    assert_eq!(refused(&short).problem, Problem::TooShort { found: 47 });
    for bits in [1, 11] {
        let table = Table::new(bits, 0).with(&drhd(true, 0, 0x1000, &[])).seal();
        let bits = u32::from(bits);
        assert_eq!(refused(&table).problem, Problem::HostWidth { bits });
    }
}

/// DMAR_REMAP_OPT_OUT takes precedence over everything else in the table.
#[test]
fn remapping_opt_out_is_honoured() {
    for flags in 0..=u8::MAX {
        let table = Table::new(39, flags).with(&drhd(true, 0, 0x1000, &[]));
        let result = Dmar::parse(&table.seal()).map(|_| ());
        match flags & 8 {
            0 => assert_eq!(result, Ok(())),
            _ => {
                let error = result.unwrap_err();
                assert_eq!(error.problem, Problem::RemappingOff { flags });
                assert_eq!((error.offset, error.structure), (37, None));
                assert!(error
                    .to_string()
                    .ends_with("; enable VT-d in the firmware's setup"));
            }
        }
    }
}

#[test]
fn a_table_without_units_is_refused() {
    assert_eq!(refused(&Table::new(39, 0).seal()).problem, Problem::NoUnit);
    let only = Table::new(39, 0).with(&andd(1, b"X\0")).seal();
    assert_eq!(refused(&only).problem, Problem::NoUnit);
}

#[test]
fn a_structure_is_at_least_as_long_as_its_type_demands() {
    for (kind, least) in [
        (0, 16),
        (1, 24),
        (2, 8),
        (3, 20),
        (4, 10),
        (5, 8),
        (6, 8),
        (99, 4),
    ] {
        for claimed in 0..least {
            let mut bytes = structure(kind, &[&[1; 60]]);
            bytes[2..4].copy_from_slice(&(claimed as u16).to_le_bytes());
            let error = second(&bytes);
            assert_eq!(error.problem, Problem::StructureLength { claimed, least });
            assert_eq!((error.offset, error.structure), (64, Some(kind)));
        }
    }
}

#[test]
fn a_structure_ends_within_the_table() {
    let mut bytes = andd(1, b"X\0");
    for claimed in [11, 0xffff] {
        bytes[2..4].copy_from_slice(&(claimed as u16).to_le_bytes());
        assert_eq!(
            second(&bytes).problem,
            Problem::StructureEnd { claimed, left: 10 }
        );
    }
    for left in 1..4 {
        let error = second(&vec![1; left]);
        assert_eq!(error.problem, Problem::StructureHeader { left });
    }
    // Zeroes are not a structure, but a structure may follow them.
    let hidden = [vec![0; 12], drhd(true, 0, 0x9000, &[])].concat();
    let (claimed, least) = (0, 16);
    assert_eq!(
        second(&hidden).problem,
        Problem::StructureLength { claimed, least }
    );
}

#[test]
fn registers_must_be_at_a_valid_address() {
    for base in [0, 0x1800, 0x1001] {
        let error = second(&drhd(false, 0, base, &[]));
        assert_eq!(
            error.problem,
            Problem::RegisterBase {
                base: PhysAddr::new(base)
            }
        );
    }
    for (size, base) in [(0, 1 << 39), (1, (1 << 39) - 0x1000), (0xf, !0xfff)] {
        let error = second(&sized_drhd(false, size, 0, base, &[]));
        let base = PhysAddr::new(base);
        assert_eq!(
            error.problem,
            Problem::RegistersBeyondHost {
                base,
                host_bits: 39
            }
        );
    }
    let last = (1 << 39) - 0x1000;
    let fits = Table::new(39, 0).with(&drhd(true, 0, last, &[])).seal();
    assert!(Dmar::parse(&fits).is_ok());
}

#[test]
fn no_two_units_share_registers() {
    let first = sized_drhd(false, 2, 0, 0x10_0000, &[]);
    for (base, shared) in [
        (0x0f_f000, false),
        (0x10_0000, true),
        (0x10_3000, true),
        (0x10_4000, false),
    ] {
        let table = Table::new(39, 0)
            .with(&first)
            .with(&drhd(true, 1, base, &[]))
            .seal();
        assert_eq!(Dmar::parse(&table).is_err(), shared, "{base:#x}");
    }
    // The same registers, but not the same unit (the first one does not have INCLUDE_PCI_ALL).
    for other in [
        drhd(true, 0, 0x1000, &[]),
        drhd(false, 1, 0x1000, &[]),
        sized_drhd(false, 1, 0, 0x1000, &[]),
        drhd(false, 0, 0x1000, &[scope(ENDPOINT, 0, 0, &[(2, 0)])]),
    ] {
        assert_eq!(
            second(&other).problem,
            Problem::UnitsOverlap {
                base: PhysAddr::new(0x1000),
                other: PhysAddr::new(0x1000),
                other_offset: 48
            }
        );
    }
}

#[test]
fn scopes_of_a_unit_have_a_possible_length() {
    let with = |scopes: &[Vec<u8>]| drhd(false, 0, 0x5000, scopes);
    let good = scope(ENDPOINT, 0, 0, &[(1, 0)]);
    for claimed in [0, 1, 5, 6, 7, 9, 10, 255] {
        let mut bad = good.clone();
        bad[1] = claimed;
        let error = second(&with(&[good.clone(), bad]));
        let claimed = usize::from(claimed);
        assert_eq!(error.problem, Problem::ScopeLength { claimed, left: 8 });
        assert_eq!(error.structure, Some(0));
        let start = 64 + with(&[]).len() + 8;
        assert_eq!(error.offset, start);
    }
    for left in 1..8 {
        let error = second(&with(&[good[..left].to_vec()]));
        assert!(matches!(error.problem, Problem::ScopeLength { left: rest, .. } if rest == left));
    }
    // The next scope must be found even after a scope that is not used.
    for kind in [3, 4, 5, 99] {
        for claimed in [0, 1, 5, 9, 255] {
            let mut bad = scope(kind, 0, 0, &[(1, 0)]);
            bad[1] = claimed;
            let claimed = usize::from(claimed);
            let error = second(&with(&[bad]));
            assert_eq!(error.problem, Problem::ScopeLength { claimed, left: 8 });
        }
    }
}

#[test]
fn a_path_is_made_of_whole_hops() {
    let mut bad = scope(ENDPOINT, 0, 0, &[(1, 0), (2, 0)]);
    bad[1] = 9;
    let error = second(&drhd(false, 0, 0x5000, &[bad]));
    let (claimed, left) = (9, 10);
    assert_eq!(error.problem, Problem::ScopeLength { claimed, left });
}

#[test]
fn paths_of_a_unit_name_possible_devices() {
    for (device, function) in [(32, 0), (0, 8), (255, 255)] {
        let bad = scope(ENDPOINT, 0, 0, &[(1, 0), (device, function)]);
        let error = second(&drhd(false, 0, 0x5000, &[bad]));
        assert_eq!(error.problem, Problem::ScopePath { device, function });
    }
}

/// Every refusal is a sentence: the place, the problem with its value, and what to do.
#[test]
fn refusals_are_sentences() {
    let (base, limit) = (PhysAddr::new(0x1800), PhysAddr::new(0x17ff));
    let cases: &[(Problem, &str)] = &[
        (Problem::TooShort { found: 3 }, "3 bytes"),
        (Problem::Signature { found: *b"FACP" }, "\"FACP\""),
        (
            Problem::Truncated {
                claimed: 99,
                found: 50,
            },
            "claims 99 bytes, but has 50",
        ),
        (Problem::Checksum { sum: 7 }, "0x7"),
        (Problem::HostWidth { bits: 3 }, "3 bits"),
        (Problem::NoUnit, "no remapping unit"),
        (Problem::StructureHeader { left: 2 }, "2 bytes are left"),
        (
            Problem::StructureLength {
                claimed: 0,
                least: 16,
            },
            "0 bytes is below the minimum of 16",
        ),
        (
            Problem::StructureEnd {
                claimed: 40,
                left: 20,
            },
            "40 bytes, but only 20",
        ),
        (Problem::RegisterBase { base }, "0x1800"),
        (
            Problem::RegistersBeyondHost {
                base,
                host_bits: 39,
            },
            "39-bit",
        ),
        (
            Problem::UnitsOverlap {
                base,
                other: limit,
                other_offset: 48,
            },
            "offset 0x30",
        ),
        (
            Problem::UnitRepeated { first_offset: 48 },
            "repeats the unit at offset 0x30",
        ),
        (
            Problem::RegionBounds { base, limit },
            "0x1800..=0x17ff ends before it starts",
        ),
        (
            Problem::RegionBeyondHost {
                limit,
                host_bits: 39,
            },
            "0x17ff",
        ),
        (
            Problem::RegionOverRegisters {
                base,
                limit,
                unit_offset: 48,
            },
            "the unit at offset 0x30",
        ),
        (Problem::NameUnterminated { bytes: 5 }, "at most 5 bytes"),
        (
            Problem::ScopeLength {
                claimed: 5,
                left: 9,
            },
            "5 bytes with 9 left",
        ),
        (
            Problem::ScopePath {
                device: 32,
                function: 9,
            },
            "device 0x20 function 0x9",
        ),
    ];
    for (problem, part) in cases {
        let error = DmarError {
            offset: 0x40,
            structure: Some(0),
            problem: *problem,
        };
        let text = error.to_string();
        assert!(
            text.starts_with("DMAR table, offset 0x40, DRHD structure (type 0): "),
            "{text}"
        );
        assert!(text.contains(part), "{text}");
        assert!(text.ends_with("; update the firmware, or override the table (ACPI table upgrade)"));
    }
}
