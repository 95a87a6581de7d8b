// SPDX-License-Identifier: GPL-2.0

//! Tables that are wrong: each is refused, with its place and in a sentence.

use crate::dmar_build::*;
use vtd_core::dmar::error::Problem;
use vtd_core::dmar::{Dmar, DmarError};
use vtd_core::spec::address::{PhysAddr, Segment};

fn refused(bytes: &[u8]) -> DmarError {
    Dmar::parse(bytes).expect_err("a wrong table was taken")
}

/// The refusal of a table whose second structure, at 64, is `second`.
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

/// Length and checksum corrected: only where a structure ends may the table end.
#[test]
fn a_table_may_end_only_where_a_structure_ends() {
    let (bytes, ends) = everything();
    for length in 0..bytes.len() {
        let cut = seal(bytes[..length].to_vec());
        assert_eq!(
            Dmar::parse(&cut).is_ok(),
            ends.contains(&length),
            "cut at {length}"
        );
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
    let table = Table::new(65, 0).with(&drhd(true, 0, 0x1000, &[])).seal();
    assert_eq!(refused(&table).problem, Problem::HostWidth { bits: 65 });
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
            let mut bytes = structure(kind, &[&[0; 60]]);
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
        let error = second(&vec![0; left]);
        assert_eq!(error.problem, Problem::StructureHeader { left });
    }
}

#[test]
fn registers_are_where_they_can_be() {
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
    let error = second(&drhd(false, 0, 0x1000, &[]));
    assert_eq!(
        error.problem,
        Problem::UnitsOverlap {
            base: PhysAddr::new(0x1000),
            other: PhysAddr::new(0x1000),
            other_offset: 48
        }
    );
}

#[test]
fn one_unit_per_segment_takes_the_rest() {
    let table = |segment| {
        Table::new(39, 0)
            .with(&drhd(true, 7, 0x1000, &[]))
            .with(&drhd(true, segment, 0x2000, &[]))
            .seal()
    };
    assert!(Dmar::parse(&table(8)).is_ok());
    let error = refused(&table(7));
    let segment = Segment::new(7);
    assert_eq!(
        error.problem,
        Problem::SecondIncludeAll {
            segment,
            other_offset: 48
        }
    );
    assert_eq!(error.offset, 64);
}

#[test]
fn regions_are_whole_pages_below_the_host_width() {
    for (base, limit) in [
        (0, 0xfff),
        (0x1000, 0xfff),
        (0x2000, 0x1fff),
        (0x1001, 0x1fff),
        (0x1000, 0x1ffe),
        (0x1000, 0x2000),
        (0, 0),
        (0, u64::MAX),
    ] {
        let error = second(&rmrr(0, base, limit, &[]));
        let (base, limit) = (PhysAddr::new(base), PhysAddr::new(limit));
        assert_eq!(error.problem, Problem::RegionBounds { base, limit });
    }
    let limit = PhysAddr::new((1 << 39) + 0xfff);
    let error = second(&rmrr(0, 0x1000, limit.raw(), &[]));
    assert_eq!(
        error.problem,
        Problem::RegionBeyondHost {
            limit,
            host_bits: 39
        }
    );
}

#[test]
fn names_end() {
    assert_eq!(
        second(&andd(1, b"NOEND")).problem,
        Problem::NameUnterminated
    );
    assert_eq!(second(&andd(1, b"\0\0")).problem, Problem::NameUnterminated);
}

#[test]
fn scopes_have_a_possible_length() {
    for kind in [0, 1, 2, 5, 6] {
        let with = |scopes: &[Vec<u8>]| match kind {
            0 => drhd(false, 0, 0x5000, scopes),
            1 => rmrr(0, 0x1000, 0x1fff, scopes),
            _ => flagged(kind, false, 0, scopes),
        };
        let good = scope(ENDPOINT, 0, 0, &[(1, 0)]);
        for claimed in [0, 1, 5, 6, 7, 9, 10, 255] {
            let mut bad = good.clone();
            bad[1] = claimed;
            let error = second(&with(&[good.clone(), bad]));
            let claimed = usize::from(claimed);
            assert_eq!(error.problem, Problem::ScopeLength { claimed, left: 8 });
            assert_eq!(error.structure, Some(kind));
            let start = 64 + with(&[]).len() + 8;
            assert_eq!(error.offset, start);
        }
        for left in 1..8 {
            let error = second(&with(&[good[..left].to_vec()]));
            assert!(
                matches!(error.problem, Problem::ScopeLength { left: rest, .. } if rest == left)
            );
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
fn paths_name_possible_devices() {
    for (device, function) in [(32, 0), (0, 8), (255, 255)] {
        let bad = scope(ENDPOINT, 0, 0, &[(1, 0), (device, function)]);
        let error = second(&drhd(false, 0, 0x5000, &[bad]));
        assert_eq!(error.problem, Problem::ScopePath { device, function });
    }
}

/// Every refusal is a sentence: where, what with which value, and what to do.
#[test]
fn refusals_are_sentences() {
    let (base, limit) = (PhysAddr::new(0x1800), PhysAddr::new(0x17ff));
    let segment = Segment::new(1);
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
            "0 bytes is less than the least of 16",
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
            Problem::SecondIncludeAll {
                segment,
                other_offset: 48,
            },
            "segment 0001",
        ),
        (Problem::RegionBounds { base, limit }, "0x1800..=0x17ff"),
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
        (Problem::NameUnterminated, "no end"),
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
