// SPDX-License-Identifier: GPL-2.0

//! The files of the driver that run under loom, and the mistakes that loom must find in them.

/// Files of the driver that form one module: their names, the replacements for the model, the text
/// appended, and the mistakes (a name, the text in the file, the text that replaces it).
///
/// Several files form a module with one submodule for each, which has the name of their folder.
pub(crate) struct Subject {
    pub(crate) files: &'static [&'static str],
    pub(crate) adapted: &'static [(&'static str, &'static str)],
    pub(crate) appended: &'static str,
    pub(crate) mistakes: &'static [(&'static str, &'static str, &'static str)],
}

/// The files of the driver, with their mistakes.
pub(crate) const SUBJECTS: &[Subject] = &[Subject {
    files: &["../rust/tables/memory.rs"],
    adapted: &[],
    appended: "",
    mistakes: &[
        ("reader_trusts_writer", "entry & F::IGNORED == 0", "false"),
        (
            "loser_trusts_winner",
            "is_link::<F, L>(there) && there & F::IGNORED == 0",
            "linked.is_ok()",
        ),
        (
            "marked_before_written_back",
            "unsafe { table_pages::write_back(table.0, index, 1) };\n        \
                 let slot = table.entry(index);",
            "let slot = table.entry(index);\n        \
                 slot.fetch_or(F::IGNORED, Ordering::Release);\n        \
                 unsafe { table_pages::write_back(table.0, index, 1) };",
        ),
        (
            "overwritten",
            "slot.compare_exchange(0, link, Ordering::Release, Ordering::Acquire)",
            "Ok::<u64, u64>(slot.swap(link, Ordering::AcqRel))",
        ),
        (
            "relaxed_link",
            "slot.compare_exchange(0, link, Ordering::Release, Ordering::Acquire)",
            "slot.compare_exchange(0, link, Ordering::Relaxed, Ordering::Relaxed)",
        ),
    ],
}];
