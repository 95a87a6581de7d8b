// SPDX-License-Identifier: GPL-2.0

//! The files of interrupt remapping.

pub(crate) const SUBJECTS: &[crate::subjects::Subject] = &[
    crate::subjects::Subject {
        files: &["unit/interrupt/table.rs"],
        // Tables of two and of four entries.
        adapted: &[
            (
                "const PER_PAGE: usize = kernel_ext::pages::PAGE_SIZE / ENTRY_BYTES;",
                "const PER_PAGE: usize = 2;",
            ),
            ("InterruptEntry, ENTRY_BYTES}", "InterruptEntry}"),
        ],
        appended: "",
        mistakes: &[
            (
                "not_copied",
                "larger.pages.write(index * 2, entry.low);",
                "let _ = entry.low;",
            ),
            (
                "source_not_copied",
                "larger.pages.write(index * 2 + 1, entry.high);",
                "",
            ),
            ("block_not_copied", "larger.blocked = self.blocked;", ""),
            ("not_blocked", "if !self.blocked {", "if true {"),
            (
                "never_absent",
                "if !self.blocked {",
                "if !self.blocked && low != 0 {",
            ),
            (
                "one_not_cleared",
                "0..self.len() {\n            self.pages.write(index * 2, InterruptEntry::ABSENT",
                "1..self.len() {\n            self.pages.write(index * 2, InterruptEntry::ABSENT",
            ),
        ],
    },
    crate::subjects::Subject {
        files: &["unit/interrupt/entries.rs"],
        adapted: &[],
        appended: "",
        mistakes: &[
            (
                "not_taken",
                "*entry = Some(owner);",
                "let _ = (&entry, owner);",
            ),
            (
                "unaligned",
                "count.max(1).next_power_of_two()",
                "count.max(1)",
            ),
            (
                "not_freed",
                "if entry.take().is_some() {",
                "if entry.is_some() {",
            ),
        ],
    },
];
