// SPDX-License-Identifier: GPL-2.0

//! Arbitrary and mutated tables: the parser terminates, does not panic, and stays within the bytes.

use crate::dmar_build::{everything, seal};
use crate::dmar_exercise::exercise;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn arbitrary_bytes_cause_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        exercise(&bytes);
    }

    #[test]
    fn arbitrary_structures_cause_no_panic(body in prop::collection::vec(0u8..32, 0..256)) {
        let (good, _) = everything();
        exercise(&seal([&good[..48], &body].concat()));
    }

    /// A few bytes of a good table are changed, and the checksum is corrected.
    #[test]
    fn mutations_cause_no_panic(
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

/// Sets every byte of a good table to every value.
#[test]
fn no_single_byte_change_causes_a_panic() {
    let (good, _) = everything();
    let mut taken = 0;
    for place in 0..good.len() {
        for value in 0..=0xff {
            let mut bytes = good.clone();
            bytes[place] = value;
            taken += usize::from(exercise(&seal(bytes)).is_some());
        }
    }
    // Most bytes are numbers that may have many values, so the loop above also saw good tables, not
    // only refusals.
    assert!(taken > good.len() * 64, "{taken}");
}
