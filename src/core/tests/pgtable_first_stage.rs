// SPDX-License-Identifier: GPL-2.0

//! First-stage tables: hardware finds what is mapped, in entries that are computed by hand.

use crate::pgtable_arena::{Arena, PageId};
use proptest::prelude::*;
use std::collections::BTreeMap;
use vtd_core::pgtable::{FirstStage, Geometry, PageTable, Prot, UnmapStop, WalkOutcome, WalkTrace};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::fault::FaultReason;
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::pte::Access;
use vtd_core::spec::registers::TranslationTableMode;

/// The mode that has a first stage.
const SCALABLE: TranslationTableMode = TranslationTableMode::Scalable;

/// Four levels, and the lower half of canonical addresses.
const FOUR_LEVELS: Geometry = Geometry {
    width: AddressWidth::Bits48,
    input_bits: 47,
    output_bits: 46,
    large_2m: true,
    large_1g: true,
    snoop_control: false,
};

const FIVE_LEVELS: Geometry = Geometry {
    width: AddressWidth::Bits57,
    input_bits: 56,
    ..FOUR_LEVELS
};

struct Bench {
    arena: Arena<FirstStage>,
    table: PageTable<Arena<FirstStage>>,
    levels: u32,
}

impl Bench {
    fn new(geometry: Geometry) -> Self {
        let arena = Arena::with_format(4096);
        let table = PageTable::new(&arena, geometry).expect("a first page");
        Self {
            arena,
            table,
            levels: u32::from(geometry.width.levels()),
        }
    }

    fn map(&self, iova: u64, len: u64, phys: u64, access: Access) -> bool {
        let prot = Prot {
            access,
            snoop: false,
        };
        let mut retired = Vec::new();
        let retire = &mut |page: PageId| retired.push(page);
        let (iova, phys) = (Iova::new(iova), PhysAddr::new(phys));
        let mapped = self
            .table
            .map(&self.arena, iova, phys, len, prot, retire)
            .is_ok();
        retired.drain(..).for_each(|page| self.arena.retire(page));
        mapped
    }

    fn unmap(&self, iova: u64, len: u64) -> (u64, Option<UnmapStop>) {
        let mut retired = Vec::new();
        let retire = &mut |page: PageId| retired.push(page);
        let unmapped = self.table.unmap(&self.arena, Iova::new(iova), len, retire);
        retired.drain(..).for_each(|page| self.arena.retire(page));
        (unmapped.bytes, unmapped.stop)
    }

    /// Returns the entries that hardware reads for `iova`, the last one first: a leaf or 0.
    fn entries(&self, iova: u64) -> Vec<u64> {
        let mut table = self.table.top(&self.arena).phys();
        let mut read = Vec::new();
        for level in (0..self.levels).rev() {
            let index = iova >> (12 + 9 * level) & 511;
            let entry = self
                .arena
                .hardware_read(table + 8 * index)
                .expect("a table");
            read.insert(0, entry);
            // Not present, or a leaf.
            if entry & 1 == 0 || entry & 0x80 != 0 {
                break;
            }
            table = entry & 0x000f_ffff_ffff_f000;
        }
        read
    }
}

#[test]
fn hardware_finds_pages_of_each_size() {
    for geometry in [FOUR_LEVELS, FIVE_LEVELS] {
        let bench = Bench::new(geometry);
        let base = geometry.last_iova().raw() + 1 - (1 << 39);
        for (iova, len, phys, access, leaf) in [
            (0x5000, 0x1000, 0x9000, Access::Read, 0x9025),
            (
                0x20_0000,
                0x20_0000,
                0x60_0000,
                Access::ReadWrite,
                0x60_00e7,
            ),
            (
                0x4000_0000,
                0x4000_0000,
                0x8000_0000,
                Access::Read,
                0x8000_00a5,
            ),
            // A first stage cannot refuse reads of what may be written.
            (0x7000, 0x1000, 0xa000, Access::Write, 0xa067),
        ] {
            assert!(bench.map(base + iova, len, phys, access));
            let entries = bench.entries(base + iova);
            assert_eq!(entries[0], leaf, "{entries:#x?}");
            // P, RW, US and A. Hardware ignores bit 52.
            for link in &entries[1..] {
                assert_eq!(link & 0xffe0_0000_0000_0fff, 0x27);
            }
            let found = bench
                .table
                .query(&bench.arena, Iova::new(base + iova + 0x123));
            let found = found.expect("mapped");
            assert_eq!(found.paddr.raw(), phys + 0x123);
            assert_eq!(found.size.bytes(), len);
            assert_eq!(found.prot.access.writes(), leaf & 2 != 0);
            assert!(found.prot.access.reads());
        }
        assert_eq!(bench.unmap(base + 0x20_0000, 0x20_0000), (0x20_0000, None));
        assert_eq!(bench.entries(base + 0x20_0000)[0], 0);
        let hole = Some(UnmapStop::Hole);
        assert_eq!(bench.unmap(base + 0x5000, 0x3000), (0x1000, hole));
    }
}

#[test]
fn a_trace_has_the_entries_and_reasons_of_a_first_stage() {
    let bench = Bench::new(FOUR_LEVELS);
    assert!(bench.map(0x5000, 0x1000, 0x9000, Access::Read));
    assert!(bench.map(0x20_0000, 0x20_0000, 0x60_0000, Access::ReadWrite));
    let outcome = |iova| {
        let mut read = Vec::new();
        let see = &mut |step: vtd_core::pgtable::TraceStep<PageId>| read.insert(0, step.entry);
        let trace = bench
            .table
            .trace_walk(&bench.arena, Iova::new(iova), SCALABLE, see);
        // Hardware ignores bit 52.
        let seen = |entries: Vec<u64>| entries.into_iter().map(|entry| entry & !(1 << 52));
        if !read.is_empty() {
            assert!(seen(read).eq(seen(bench.entries(iova))));
        }
        let code = |outcome| match outcome {
            WalkOutcome::Translated(there) => (there.raw(), 0),
            WalkOutcome::Faulted { reason, level } => {
                (level.map_or(0, |at| u64::from(at.number())), reason.code())
            }
        };
        (code(trace.read), code(trace.write))
    };
    assert_eq!(outcome(0x5123), ((0x9123, 0), (1, 0x85)));
    assert_eq!(outcome(0x20_1234), ((0x60_1234, 0), (0x60_1234, 0)));
    assert_eq!(outcome(0x6000), ((1, 0x71), (1, 0x71)));
    assert_eq!(outcome(0x80_0000), ((2, 0x71), (2, 0x71)));
    assert_eq!(outcome(1 << 47), ((0, 0x80), (0, 0x80)));
    assert_eq!(outcome(1 << 63), ((0, 0x80), (0, 0x80)));
    // The upper half is canonical, and not mapped.
    let upper_half = 0xffff_8000_0000_0000;
    assert_eq!(outcome(upper_half), ((0, 0x71), (0, 0x71)));
    assert_eq!(outcome(upper_half - 1), ((0, 0x80), (0, 0x80)));
    // So is what lies between the last address of a narrower unit and the upper half.
    let narrow = Geometry {
        input_bits: 39,
        ..FOUR_LEVELS
    };
    let narrow = Bench::new(narrow);
    let beyond = narrow
        .table
        .trace_walk(&narrow.arena, Iova::new(1 << 40), SCALABLE, &mut |_| ());
    assert_eq!(beyond, WalkTrace::faulted(FaultReason::new(0x71)));
    // Written behind the driver's back.
    let at = bench.entries(0x5000)[1] & 0x000f_ffff_ffff_f000;
    bench.arena.spoil(at + 5 * 8, 1 << 63 | 0x9025);
    assert_eq!(outcome(0x5123), ((1, 0x72), (1, 0x85)));
}

#[test]
fn the_upper_half_is_outside_the_aperture() {
    let bench = Bench::new(FOUR_LEVELS);
    assert!(!bench.map(1 << 47, 0x1000, 0x9000, Access::Read));
    assert!(bench.map((1 << 47) - 0x1000, 0x1000, 0x9000, Access::Read));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Pages are mapped and unmapped at random; hardware finds exactly what is mapped.
    #[test]
    fn hardware_finds_what_is_mapped(
        steps in prop::collection::vec((0u64..1024, 1u64..700, any::<bool>(), any::<bool>()), 1..12)
    ) {
        let bench = Bench::new(FOUR_LEVELS);
        let mut model = BTreeMap::new();
        for (number, (page, pages, unmap, writes)) in steps.into_iter().enumerate() {
            let range = page..page + pages;
            let access = if writes { Access::ReadWrite } else { Access::Read };
            if unmap {
                // Up to the first hole, but a large page at the end is unmapped as a whole.
                let (bytes, _) = bench.unmap(page << 12, pages << 12);
                for page in page..page + (bytes >> 12) {
                    prop_assert!(model.remove(&page).is_some());
                }
            } else {
                // Not congruent to the addresses every other time: small pages only.
                let phys = (number as u64 + 1 << 32) + (page << 12) + (number as u64 % 2 << 12);
                let free = range.clone().all(|page| !model.contains_key(&page));
                prop_assert_eq!(bench.map(page << 12, pages << 12, phys, access), free);
                if free {
                    let entry = |page: u64| phys + (page - range.start << 12) | if writes { 0x67 } else { 0x25 };
                    model.extend(range.clone().map(|page| (page, entry(page))));
                }
            }
            for page in 0..1024 + 700 {
                let entries = bench.entries(page << 12);
                // The page of a large leaf.
                let found = match (entries[0], entries.len()) {
                    (0, _) => None,
                    (leaf, 4) => Some(leaf),
                    (leaf, _) => Some((leaf & !0x80) + (page % 512 << 12)),
                };
                prop_assert_eq!(found, model.get(&page).copied());
            }
        }
    }
}
