// SPDX-License-Identifier: GPL-2.0

//! Arbitrary and mutated tables: the parser ends, does not panic, and stays within the bytes.

use crate::dmar_build::{everything, seal};
use proptest::prelude::*;
use vtd_core::dmar::{Dmar, Structure};
use vtd_core::spec::address::{Segment, SourceId};

/// Uses everything that a parsed table offers; returns how many structures it has.
fn exercise(bytes: &[u8]) -> Option<usize> {
    let dmar = match Dmar::parse(bytes) {
        Ok(dmar) => dmar,
        Err(error) => {
            assert!(error.offset <= bytes.len(), "{error:?}");
            assert!(!error.to_string().contains("unreadable"), "{error}");
            return None;
        }
    };
    let within = bytes.as_ptr_range();
    let mut units = 0;
    let mut end = 48;
    for structure in dmar.structures() {
        let (offset, scopes) = match structure {
            Structure::Drhd(it) => {
                units += 1;
                (it.offset, Some(it.scopes))
            }
            Structure::Rmrr(it) => {
                assert!(it.base < it.limit && it.bytes() >= 4096);
                (it.offset, Some(it.scopes))
            }
            Structure::Atsr(it) => (it.offset, Some(it.scopes)),
            Structure::Rhsa(it) => (it.offset, None),
            Structure::Andd(it) => {
                let name = it.name.as_ptr_range();
                assert!(within.start <= name.start && name.end <= within.end);
                (it.offset, None)
            }
            Structure::Satc(it) => (it.offset, Some(it.scopes)),
            Structure::Sidp(it) => (it.offset, Some(it.scopes)),
            Structure::Unknown { offset, .. } => (offset, None),
        };
        // Structures neither overlap nor leave the table.
        assert!(offset >= end && offset < bytes.len());
        end = offset + 4;
        for scope in scopes.into_iter().flatten() {
            assert!(scope.offset >= end && scope.offset + 6 + 2 * scope.hops() <= bytes.len());
            end = scope.offset + 6 + 2 * scope.hops();
            assert!(scope
                .path()
                .all(|(device, function)| device < 32 && function < 8));
            scope
                .resolve(Segment::new(0), |_, _| Some(1))
                .expect("a checked path resolves");
        }
    }
    assert!(units > 0);
    let device = [SourceId::from_raw(0x10)];
    let _ = dmar.unit_for(Segment::new(0), &device);
    let _ = dmar.regions_for(Segment::new(0), &device).count();
    dmar.notes(|note| assert!(note.offset < bytes.len()));
    Some(dmar.structures().count())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        exercise(&bytes);
    }

    #[test]
    fn arbitrary_structures_are_survived(body in prop::collection::vec(0u8..32, 0..256)) {
        let (good, _) = everything();
        exercise(&seal([&good[..48], &body].concat()));
    }

    /// A few bytes of a good table changed, the checksum corrected.
    #[test]
    fn mutations_are_survived(
        changes in prop::collection::vec((0usize..512, any::<u8>()), 1..6),
        cut in 0usize..64,
    ) {
        let (mut bytes, _) = everything();
        for (place, value) in changes {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        bytes.truncate(bytes.len() - cut);
        exercise(&seal(bytes));
    }
}

/// Every byte of a good table, set to every value.
#[test]
fn every_single_byte_change_is_survived() {
    let (good, _) = everything();
    let mut taken = 0;
    for place in 0..good.len() {
        for value in 0..=0xff {
            let mut bytes = good.clone();
            bytes[place] = value;
            taken += usize::from(exercise(&seal(bytes)).is_some());
        }
    }
    // Most bytes are numbers that may have many values: the loop above saw good
    // tables, too, and not only refusals.
    assert!(taken > good.len() * 64, "{taken}");
}
