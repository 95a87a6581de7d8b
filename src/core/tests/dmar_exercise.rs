// SPDX-License-Identifier: GPL-2.0

//! The checks that must hold for the parser on any bytes, for random tables and for the fuzzer.

use vtd_core::dmar::{Dmar, Structure};
use vtd_core::spec::address::{Segment, SourceId};

/// Calls every function of a parsed table. Returns how many structures it has.
pub(crate) fn exercise(bytes: &[u8]) -> Option<usize> {
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
            Structure::Ignored { offset, error } => {
                assert!(
                    error.offset >= offset && error.offset < bytes.len(),
                    "{error:?}"
                );
                assert!(!error.to_string().contains("unreadable"), "{error}");
                (offset, None)
            }
        };
        // Structures do not overlap and do not extend beyond the table.
        assert!(offset >= end && offset < bytes.len());
        end = offset + 4;
        for scope in scopes.into_iter().flatten() {
            assert!(scope.offset >= end && scope.offset + 6 + 2 * scope.hops() <= bytes.len());
            end = scope.offset + 6 + 2 * scope.hops();
            let resolved = scope.resolve(Segment::new(0), |_, _| Some(1));
            if scope.kind.is_pci() {
                assert!(scope
                    .path()
                    .all(|(device, function)| device < 32 && function < 8));
                assert!(resolved.is_some(), "a checked path resolves");
            } else {
                assert!(scope.covers(&[SourceId::from_raw(0)]).is_none());
            }
        }
    }
    assert!(units > 0);
    assert_eq!(dmar.units().count(), units);
    let places: Vec<u64> = dmar.units().map(|unit| unit.register_base.raw()).collect();
    let once: std::collections::BTreeSet<&u64> = places.iter().collect();
    assert_eq!(once.len(), units, "a unit is there twice");
    let device = [SourceId::from_raw(0x10)];
    let _ = dmar.unit_for(Segment::new(0), &device);
    let _ = dmar.regions_for(Segment::new(0), &device).count();
    dmar.notes(|note| {
        assert!(note.offset < bytes.len());
        assert!(!note.to_string().contains("unreadable"), "{note}");
    });
    let count = dmar.structures().count();
    let again = dmar.checked().table(bytes);
    assert_eq!(again.structures().count(), count);
    assert_eq!(again.host_bits(), dmar.host_bits());
    // These are not the bytes that were checked: fewer structures may result, but the walk ends and
    // stays within the bytes.
    let garbled: Vec<u8> = bytes.iter().map(|byte| byte.rotate_left(1)).collect();
    for other in [&garbled[..], &bytes[..bytes.len() / 2]] {
        let other = dmar.checked().table(other);
        let _ = other.unit_for(Segment::new(0), &device);
        let _ = other.regions_for(Segment::new(0), &device).count();
    }
    Some(count)
}
