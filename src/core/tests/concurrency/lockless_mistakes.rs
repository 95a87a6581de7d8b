// SPDX-License-Identifier: GPL-2.0

//! Mistakes in `src/core/lockless`, which loom must find. The files themselves are compiled as they
//! are.

/// The mistakes in one file: a name, the text in the file, the text that replaces it.
pub(crate) type Mistakes = &'static [(&'static str, &'static str, &'static str)];

/// The files in `src/core`, with their mistakes.
pub(crate) const FILES: &[(&str, Mistakes)] = &[
    (
        "lockless/device_tlb",
        &[
            (
                "weak_join",
                "slot.store(tag.packed(), Ordering::SeqCst);",
                "slot.store(tag.packed(), Ordering::Release);",
            ),
            (
                "withdrawn_before_marked",
                "if self.is_lost.swap(true, Ordering::SeqCst) {",
                "self.entry.withdraw();\n        if self.is_lost.swap(true, Ordering::SeqCst) {\n            \
                 return false;\n        }\n        if true {\n            return true;\n        }\n        if false {",
            ),
            (
                "no_fence_before_withdrawal",
                "fence(Ordering::SeqCst);\n        self.entry.withdraw();\n        true",
                "self.entry.withdraw();\n        true",
            ),
            (
                "no_fence_before_look",
                "fence(Ordering::SeqCst);\n        self.is_lost()",
                "self.is_lost()",
            ),
            (
                "not_withdrawn_again",
                "self.is_lost() && self.entry.withdraw()",
                "self.is_lost()",
            ),
        ],
    ),
    (
        "lockless/flush_list",
        &[
            (
                "no_fence",
                "fence(Ordering::SeqCst);\n        let primary",
                "let primary",
            ),
            (
                "weak_store",
                "published.0.store(tag.packed(), Ordering::SeqCst)",
                "published.0.store(tag.packed(), Ordering::Release)",
            ),
            (
                "not_counted",
                "self.others.fetch_add(1, Ordering::SeqCst);",
                "",
            ),
            (
                "all_leave_with_one",
                "self.others.fetch_sub(1, Ordering::SeqCst);",
                "self.others.store(0, Ordering::SeqCst);",
            ),
            (
                "primary_counted_out",
                "published.0.store(0, Ordering::SeqCst);\n        \
                 if !core::ptr::eq(published, &self.primary_tag) {",
                "published.0.store(0, Ordering::SeqCst);\n        \
                 if true {",
            ),
            (
                "first_stage_left_out",
                "if let Some(tag) = self.primary_tag.read() {",
                "if let Some(tag) = self.primary_tag.read().take_if(|_| false) {",
            ),
            (
                "first_stage_not_finished",
                "unit.finish_range(begun, tag, range);",
                "let _ = begun;",
            ),
            (
                "primary_left_out",
                "Iterator::chain(primary, self.units.others())",
                "Iterator::chain(primary.take(0), self.units.others())",
            ),
            (
                "first_part_only",
                "let is_last = begun.iter().any(Option::is_none);",
                "let is_last = true;",
            ),
            (
                "one_after_the_other",
                "[const { None }; AT_ONCE]",
                "[const { None }; 1]",
            ),
            (
                "not_finished",
                "finish(unit, tag, begun);",
                "let _ = (unit, tag, begun, &mut finish);",
            ),
            (
                "stops_at_an_error",
                "let one = unit.finish_steps(",
                "if failed.is_err() { return; } let one = unit.finish_steps(",
            ),
            (
                "error_lost",
                "failed = failed.and(one);",
                "failed = Ok(());",
            ),
            (
                "one_error_counts",
                "if works {",
                "if works && failed.is_ok() {",
            ),
        ],
    ),
    (
        "lockless/links",
        &[
            ("reader_trusts_writer", "entry & F::IGNORED == 0", "false"),
            (
                "loser_trusts_winner",
                "is_link::<F, L>(there) && there & F::IGNORED == 0",
                "linked.is_ok()",
            ),
            (
                "marked_before_written_back",
                "    write_back();\n    let noted",
                "    slot.fetch_or(F::IGNORED, Ordering::Release);\n    write_back();\n    let noted",
            ),
            (
                "overwritten",
                "slot.compare_exchange(0, link, Ordering::Release, Ordering::Acquire)",
                "Ok::<u64, u64>(slot.swap(link, Ordering::AcqRel))",
            ),
            (
                "relaxed",
                "slot.compare_exchange(0, link, Ordering::Release, Ordering::Acquire)",
                "slot.compare_exchange(0, link, Ordering::Relaxed, Ordering::Relaxed)",
            ),
        ],
    ),
    (
        "lockless/readers",
        &[
            ("silent", "self.walking.store(true, Ordering::Relaxed);", ""),
            (
                "no_fence_before_walk",
                "fence(Ordering::SeqCst);\n        let result",
                "let result",
            ),
            (
                "no_fence_before_check",
                "fence(Ordering::SeqCst);\n        if self",
                "if self",
            ),
            ("no_wait", "take_lock();", ""),
        ],
    ),
    (
        "lockless/unit_state",
        &[
            (
                "unordered",
                "Ordering::AcqRel, Ordering::Acquire",
                "Ordering::Relaxed, Ordering::Relaxed",
            ),
            ("no_wait", "== FAILING {", "== 99 {"),
        ],
    ),
];
