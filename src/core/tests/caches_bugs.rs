// SPDX-License-Identifier: GPL-2.0

//! Bugs that a driver could have, one at a time. The model must find each one, with the right
//! message: a model that accepts a broken driver proves nothing.

use crate::caches_scenario::{run, scenario};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// A bug of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    HintAlwaysSet,
    HintNeverSet,
    WaitLeftOut,
    MaskOneTooSmall,
    WrongDomainId,
    LastPageLeftOut,
    TableFreedEarly,
    FlushedBeforeCleared,
    WriteBackLeftOut,
    ContextNotFlushed,
    IotlbNotFlushedWithContext,
    IotlbBeforeContext,
    PasidCacheNotFlushed,
    PasidCacheFlushedFirst,
    ContextStoredBeforePasid,
    EntryNotWithdrawn,
    PresentBitFirst,
    ErasedBeforeInvalidated,
    RewrittenBeforeInvalidated,
    AbsenceNotFlushed,
    AbsenceTaggedWithNewId,
    FpdChangeNotFlushed,
    SharedRequesterBlocked,
    UseNotCountedBack,
    MapNotInvalidated,
    MapInvalidatedLeavesOnly,
    WriteBufferNotFlushed,
    OtherUnitNotFlushed,
    OtherUnitNotWaitedFor,
    DetachedBeforeBlocked,
    FailedMapNotFlushed,
    RemovedTableNotFlushed,
    LazyTablesFreedEarly,
    WholeDomainEachTime,
    EverythingTwice,
    NotHeld,
    HeldBeforeCleared,
    HeldBeforeWrittenBack,
    CountedAfterFlush,
    ReleasedBeforeFlush,
    AllReleased,
    OtherUnitNotFlushedAtAll,
    LastRecordForgotten,
    DeviceTlbBeforeIotlb,
    DeviceTlbNotCounted,
    DeviceTlbMaskTooSmall,
    DeviceTlbStaysAllowed,
    DeviceTlbLeftEarly,
    CutOffNotWaitedFor,
    LostEntryNotWithdrawn,
    LostContextNotFlushed,
    LaterWaitLeft,
    LossNotLookedFor,
    DeviceEntryOverwritten,
    RefusedTooEarly,
    LossNotLookedForWithFpd,
    RestoredTooEarly,
}

/// The number of random scenarios in which a bug may stay unnoticed. Each bug is found within a
/// third of this, and most within a tenth.
const SCENARIOS: u32 = 1500;

/// Runs scenarios on a driver with `bug` until the model finds it, and returns the message.
fn find_problem(bug: Bug) -> String {
    let mut runner = TestRunner::deterministic();
    let mut made = 0;
    for _ in 0..SCENARIOS {
        let scenario = scenario()
            .new_tree(&mut runner)
            .expect("a scenario")
            .current();
        let outcome = run(&scenario, bug);
        made += u32::from(outcome.bug_was_made);
        if let Err(problem) = outcome.end {
            return problem;
        }
    }
    panic!("{bug:?} was made in {made} of {SCENARIOS} scenarios and never noticed");
}

macro_rules! noticed {
    ($($(#[$doc:meta])* $name:ident: $bug:ident, $why:literal;)+) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            let problem = find_problem(Bug::$bug);
            assert!($why.split('|').any(|why| problem.contains(why)), "for another reason: {problem}");
        }
    )+};
}

noticed! {
    /// Sets IH = 1 although tables were freed.
    hint_set_wrongly_is_noticed: HintAlwaysSet, "as it is freed";
    hint_never_set_is_noticed: HintNeverSet, "links dropped";
    wait_left_out_is_noticed: WaitLeftOut, "still holds|as it is freed|context entry";
    mask_one_too_small_is_noticed: MaskOneTooSmall, "still holds|as it is freed";
    wrong_domain_id_is_noticed: WrongDomainId, "still holds|as it is freed";
    last_page_left_out_is_noticed: LastPageLeftOut, "still holds";
    table_freed_early_is_noticed: TableFreedEarly, "as it is freed";
    flush_before_clear_is_noticed: FlushedBeforeCleared, "still holds|as it is freed";
    missing_write_back_is_noticed: WriteBackLeftOut, "still holds|as it is freed";
    missing_context_flush_is_noticed: ContextNotFlushed, "context entry";
    missing_iotlb_flush_at_attach_is_noticed: IotlbNotFlushedWithContext, "as its id is freed|as absent";
    swapped_flushes_are_noticed: IotlbBeforeContext, "as its id is freed|PASID entry";
    missing_pasid_cache_flush_is_noticed: PasidCacheNotFlushed, "PASID entry|as its id is freed";
    pasid_cache_flush_before_the_context_cache_is_noticed: PasidCacheFlushedFirst, "PASID entry|as its id is freed";
    context_entry_present_before_its_pasid_entry_is_noticed: ContextStoredBeforePasid, "PASID entry|as its id is freed";
    entry_overwritten_in_place_is_noticed: EntryNotWithdrawn, "context entry|PASID entry|as its id is freed";
    present_bit_first_is_noticed: PresentBitFirst, "context entry|reserved|freed table";
    /// Sets both words to 0 before the invalidation.
    entry_erased_before_it_is_invalidated_is_noticed: ErasedBeforeInvalidated, "context entry|PASID entry|reserved";
    /// Writes the new entry before the invalidation of the old one.
    entry_rewritten_before_it_is_invalidated_is_noticed: RewrittenBeforeInvalidated, "context entry|PASID entry|reserved";
    missing_flush_of_absence_is_noticed: AbsenceNotFlushed, "context entry";
    absence_under_another_tag_is_noticed: AbsenceTaggedWithNewId, "context entry";
    missing_flush_after_fpd_change_is_noticed: FpdChangeNotFlushed, "context entry";
    a_blocked_sibling_is_noticed: SharedRequesterBlocked, "is not in its domain";
    a_use_that_stays_counted_is_noticed: UseNotCountedBack, "as its id is freed|not allocated|freed table|as it is freed";
    missing_map_invalidation_is_noticed: MapNotInvalidated, "absent";
    map_invalidation_of_leaves_only_is_noticed: MapInvalidatedLeavesOnly, "absent";
    missing_write_buffer_flush_is_noticed: WriteBufferNotFlushed, "write buffer";
    other_unit_not_flushed_is_noticed: OtherUnitNotFlushed, "still holds|as it is freed";
    other_unit_not_waited_for_is_noticed: OtherUnitNotWaitedFor, "still holds|as it is freed";
    id_freed_before_blocked_is_noticed: DetachedBeforeBlocked, "as its id is freed";
    failed_map_not_flushed_is_noticed: FailedMapNotFlushed, "still holds";
    removed_table_not_flushed_is_noticed: RemovedTableNotFlushed, "as it is freed|still holds";
    lazy_tables_freed_early_are_noticed: LazyTablesFreedEarly, "as it is freed";
    whole_domain_each_time_is_noticed: WholeDomainEachTime, "outside|dropped for nothing";
    everything_twice_is_noticed: EverythingTwice, "useless invalidations";
    /// What every other driver does.
    memory_that_is_not_held_is_noticed: NotHeld, "as it is released";
    memory_held_before_its_entries_are_cleared_is_noticed: HeldBeforeCleared, "as it is released";
    memory_held_before_the_write_back_is_noticed: HeldBeforeWrittenBack, "still holds|as it is released|as it is freed";
    a_flush_that_is_counted_too_late_is_noticed: CountedAfterFlush, "as it is released";
    release_before_the_flush_is_noticed: ReleasedBeforeFlush, "as it is released";
    /// Releases what was unmapped during the flush, too.
    release_of_everything_is_noticed: AllReleased, "as it is released";
    release_after_one_unit_of_two_is_noticed: OtherUnitNotFlushedAtAll, "as it is released|as it is freed";
    memory_that_is_never_released_is_noticed: LastRecordForgotten, "is held after the flush";
    device_tlb_invalidated_before_the_iotlb_is_noticed: DeviceTlbBeforeIotlb, "a translated request";
    device_tlb_not_counted_is_noticed: DeviceTlbNotCounted, "a translated request";
    device_tlb_mask_too_small_is_noticed: DeviceTlbMaskTooSmall, "a translated request";
    device_tlb_that_stays_allowed_is_noticed: DeviceTlbStaysAllowed, "by a translated request";
    device_tlb_left_before_the_entry_changes_is_noticed: DeviceTlbLeftEarly, "a translated request";
    cut_off_that_is_not_waited_for_is_noticed: CutOffNotWaitedFor, "a translated request|context entry";
    entry_of_a_lost_device_that_stays_is_noticed: LostEntryNotWithdrawn, "a translated request|is cut off, but has";
    cached_entry_of_a_lost_device_is_noticed: LostContextNotFlushed, "a translated request|context entry";
    /// Leaves a wait that hardware completes before it has dropped the entry.
    later_wait_that_stays_is_noticed: LaterWaitLeft, "a translated request|context entry";
    loss_during_an_attach_is_noticed: LossNotLookedFor, "is cut off, but has|context entry|as its id is freed";
    attach_refused_while_the_entry_is_cached_is_noticed: RefusedTooEarly, "context entry|PASID entry|as its id is freed";
    withdrawn_entry_overwritten_while_cached_is_noticed: DeviceEntryOverwritten, "reserved|context entry|PASID entry|as its id is freed";
    loss_while_faults_are_silenced_is_noticed: LossNotLookedForWithFpd, "is cut off, but has";
    device_restored_too_early_is_noticed: RestoredTooEarly, "context entry|PASID entry|as its id is freed";
}
