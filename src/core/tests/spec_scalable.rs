// SPDX-License-Identifier: GPL-2.0

//! The root, context and PASID entries of scalable mode, as the specification's figures have them.

use vtd_core::install::{entry_stores, ContextBits, RequesterEntry};
use vtd_core::spec::address::{DomainId, Pasid, PhysAddr};
use vtd_core::spec::context_lookup::{ContextLookup, LookupEntries};
use vtd_core::spec::fault::FaultReason;
use vtd_core::spec::level::{AddressWidth, Stage};
use vtd_core::spec::pasid::{PasidDirectoryEntry, PasidEntry, PasidIndex, PasidTranslation};
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::root::RootEntry;
use vtd_core::spec::scalable_context::ScalableContextEntry;

const SCALABLE: TranslationTableMode = TranslationTableMode::Scalable;
const TABLE: PhysAddr = PhysAddr::new(0x12_3456_7000);
const UNALIGNED: PhysAddr = PhysAddr::new(0x12_3456_7040);
const ID: DomainId = DomainId::new(0xabcd);

fn second_stage() -> PasidEntry {
    PasidEntry::second_stage(TABLE, AddressWidth::Bits48, ID, false).unwrap()
}

#[test]
fn each_half_of_a_root_entry_leads_to_half_a_bus() {
    let upper = RootEntry::word_for(TABLE).unwrap();
    assert_eq!(upper, 0x12_3456_7001);
    assert_eq!(RootEntry::word_for(UNALIGNED), None);
    let root = RootEntry::from_words(0, upper);
    for devfn in 0..=0xffu8 {
        let word = usize::from(devfn >= 0x80);
        assert_eq!(RootEntry::word_of(SCALABLE, devfn), word);
        let expected = (word == 1).then_some(TABLE);
        assert_eq!(root.context_table(SCALABLE, devfn), expected);
        assert_eq!(root.reserved_bits(SCALABLE, devfn, 46), [0, 0]);
    }
    let bad = RootEntry::from_words(1, upper | 1 << 46 | 2);
    assert_eq!(bad.reserved_bits(SCALABLE, 0x7f, 46), [0, 0]);
    assert_eq!(bad.reserved_bits(SCALABLE, 0x80, 46), [1 << 46 | 2, 0]);
}

#[test]
fn a_context_entry_encodes_as_computed_by_hand() {
    let entry = ScalableContextEntry::new(TABLE).unwrap();
    // 512 directory entries (PDTS 2), PASID 0 for requests without one, no device-TLB (DTE), no
    // PASIDs of requests (PASIDE), no page requests (PRE).
    assert_eq!(entry.words(), [0x12_3456_7401, 0, 0, 0]);
    assert_eq!(ScalableContextEntry::new(UNALIGNED), None);
    assert_eq!(entry.directory(), TABLE);
    assert_eq!(entry.directory_entries(), 512);
    assert_eq!(entry.rid_pasid(), Pasid::RID_PASID);
    assert_eq!(entry.reserved_bits(46), [0; 4]);
    let disabled = entry.with_fault_processing_disabled(true);
    assert_eq!(disabled.words(), [0x12_3456_7403, 0, 0, 0]);
    assert!(disabled.fault_processing_disabled() && disabled.is_present());
    assert_eq!(disabled.with_fault_processing_disabled(false), entry);
    let bad = ScalableContextEntry::from_words([1 << 46 | 0x1ff, 1 << 21 | 5, 6, 7]);
    assert_eq!(bad.reserved_bits(46), [1 << 46 | 0x1e0, 1 << 21, 6, 7]);
    assert_eq!(bad.rid_pasid(), Pasid::new(5).unwrap());
    assert!(!ScalableContextEntry::ABSENT.is_present());
}

#[test]
fn a_pasid_has_a_place_in_the_directory_and_in_a_table() {
    let place = |raw| PasidIndex::of(Pasid::new(raw).unwrap());
    let at = |directory, table| PasidIndex { directory, table };
    assert_eq!(place(0), at(0, 0));
    assert_eq!(place(0x3f), at(0, 63));
    assert_eq!(place(0x40), at(1, 0));
    assert_eq!(place(0xf_ffff), at(0x3fff, 63));
    let entry = PasidDirectoryEntry::new(TABLE).unwrap();
    assert_eq!((entry.raw(), entry.table()), (0x12_3456_7001, Some(TABLE)));
    assert_eq!(PasidDirectoryEntry::new(UNALIGNED), None);
    assert_eq!(PasidDirectoryEntry::default().table(), None);
    let bad = PasidDirectoryEntry::from_raw(1 << 46 | 0xfff);
    assert_eq!(bad.reserved_bits(46), 1 << 46 | 0xffc);
}

#[test]
fn a_pasid_entry_encodes_as_computed_by_hand() {
    let tail = [0; 5];
    let words = |entry: PasidEntry| {
        let [low, second, third, rest @ ..] = entry.words();
        assert_eq!(rest, tail);
        [low, second, third]
    };
    let second = second_stage();
    // P, AW 2 (48 bits), PGTT 2.
    assert_eq!(words(second), [0x12_3456_7089, 0xabcd, 0]);
    assert_eq!(second.translation(), PasidTranslation::SecondStage);
    assert_eq!(second.second_stage_table(), TABLE);
    assert_eq!(second.width(), Some(AddressWidth::Bits48));
    let snooped = PasidEntry::second_stage(TABLE, AddressWidth::Bits39, ID, true).unwrap();
    assert_eq!(words(snooped), [0x12_3456_7085, 0x80_abcd, 0]);

    let first = PasidEntry::first_stage(TABLE, AddressWidth::Bits48, ID, true).unwrap();
    assert_eq!(words(first), [0x49, 0x80_abcd, 0x12_3456_7000]);
    assert_eq!(first.translation(), PasidTranslation::FirstStage);
    assert_eq!(first.first_stage_table(), TABLE);
    assert_eq!(first.first_stage_width(), Some(AddressWidth::Bits48));
    assert_eq!(
        words(first.with_page_snoop()),
        [0x49, 0x180_abcd, 0x12_3456_7000]
    );
    assert!(first.with_page_snoop().forces_snooping() && !first.forces_snooping());
    let wide = PasidEntry::first_stage(TABLE, AddressWidth::Bits57, ID, true).unwrap();
    assert_eq!(words(wide), [0x4d, 0x80_abcd, 0x12_3456_7004]);
    assert_eq!(wide.first_stage_width(), Some(AddressWidth::Bits57));
    let narrow = PasidEntry::first_stage(TABLE, AddressWidth::Bits39, ID, true);
    assert_eq!(narrow, None);

    let through = PasidEntry::pass_through(AddressWidth::Bits57, ID, false);
    assert_eq!(words(through), [0x10d, 0xabcd, 0]);
    assert_eq!(through.translation(), PasidTranslation::PassThrough);
    for entry in [second, snooped, first, through] {
        assert!(entry.is_present() && entry.is_within(46));
        assert_eq!(entry.domain(), ID);
    }
    assert_eq!(
        PasidEntry::second_stage(UNALIGNED, AddressWidth::Bits48, ID, false),
        None
    );
    assert_eq!(
        PasidEntry::first_stage(UNALIGNED, AddressWidth::Bits48, ID, false),
        None
    );
    assert!(!second.is_within(36));
    assert!(!first.is_within(36));
}

#[test]
fn the_present_bit_is_stored_last_and_cleared_first() {
    let words = second_stage().words();
    let order = |words| entry_stores::<8>(words).map(|(word, _)| word);
    assert_eq!(order(words), [7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(order([0; 8]), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(entry_stores(words)
        .iter()
        .all(|&(word, value)| value == words[word]));
}

#[test]
fn a_withdrawn_entry_keeps_its_pasid_entry() {
    let entry = RequesterEntry::scalable(second_stage(), true);
    assert!(entry.is_present());
    assert_eq!(entry.domain(), Some(ID));
    let disabled = entry.with_fault_processing_disabled();
    assert!(disabled.fault_processing_disabled() && disabled.is_present());
    let withdrawn = disabled.withdrawn();
    assert_eq!(
        withdrawn,
        RequesterEntry::Scalable {
            context: ContextBits::default(),
            pasid: second_stage(),
        }
    );
    assert_eq!(withdrawn.domain(), None);
    assert!(!RequesterEntry::absent(SCALABLE).is_present());
}

#[test]
fn entries_are_checked_in_the_order_of_the_walk() {
    let root = RootEntry::from_words(0x1001, 0x2001);
    let context = ScalableContextEntry::new(PhysAddr::new(0x3000)).unwrap();
    let directory = PasidDirectoryEntry::new(PhysAddr::new(0x4000)).unwrap();
    let pasid = second_stage();
    let with = |context, directory, pasid| LookupEntries::Scalable {
        context,
        directory,
        pasid,
    };
    let of = |root, entries| ContextLookup::of(root, &entries, 0x88, 46);
    let refused = |code| ContextLookup::Faulted(FaultReason::new(code));
    let tables = |stage| ContextLookup::Tables {
        top: TABLE,
        width: AddressWidth::Bits48,
        stage,
    };
    assert_eq!(
        of(root, with(context, directory, pasid)),
        tables(Stage::Second)
    );
    let first = PasidEntry::first_stage(TABLE, AddressWidth::Bits48, ID, false).unwrap();
    assert_eq!(
        of(root, with(context, directory, first)),
        tables(Stage::First)
    );
    let through = PasidEntry::pass_through(AddressWidth::Bits48, ID, false);
    assert_eq!(
        of(root, with(context, directory, through)),
        ContextLookup::PassThrough
    );
    let changed = |word: usize, bits: u64| {
        let mut words = context.words();
        words[word] ^= bits;
        ScalableContextEntry::from_words(words)
    };
    let changed_pasid = |bits: u64| {
        let mut words = pasid.words();
        words[0] ^= bits;
        PasidEntry::from_words(words)
    };
    let link = |bits| PasidDirectoryEntry::from_raw(directory.raw() ^ bits);
    let good = with(context, directory, pasid);
    for (root, entries, code) in [
        (RootEntry::from_words(0x1001, 0), good, 0x39),
        (RootEntry::from_words(0x1001, 0x2003), good, 0x3a),
        (root, with(changed(0, 1), directory, pasid), 0x41),
        (root, with(changed(0, 0x20), directory, pasid), 0x42),
        (root, with(changed(3, 1), directory, pasid), 0x42),
        (root, with(context, link(1), pasid), 0x51),
        (root, with(context, link(4), pasid), 0x52),
        (root, with(context, directory, changed_pasid(1)), 0x59),
        (root, with(context, directory, changed_pasid(1 << 46)), 0x5a),
        // A reserved type, a reserved width.
        (root, with(context, directory, changed_pasid(0x80)), 0x5b),
        (root, with(context, directory, changed_pasid(0x10)), 0x5b),
    ] {
        assert_eq!(of(root, entries), refused(code), "{entries:?}");
    }
}
