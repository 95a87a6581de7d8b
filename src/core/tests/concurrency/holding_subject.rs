// SPDX-License-Identifier: GPL-2.0

//! The memory that a domain holds: two files of the driver, whose text is adapted.

/// Files of the driver that form one module, which has the name of their folder and one submodule
/// for each: their names, the replacements for the model, and the mistakes (a name, the text in the
/// file, the text that replaces it).
pub(crate) struct Subject {
    pub(crate) files: &'static [&'static str],
    pub(crate) adapted: &'static [(&'static str, &'static str)],
    pub(crate) mistakes: &'static [(&'static str, &'static str, &'static str)],
}

/// The files, with their mistakes.
pub(crate) const HOLDING: Subject = Subject {
    files: &["domain/holding/records.rs", "domain/holding/memory.rs"],
    adapted: &[
        (
            "use super::confirmed::Confirmed;",
            "use crate::shim::hold::Confirmed;",
        ),
        // Fewer records, so that a model's threads copy less.
        ("RECORDS: usize = 288", "RECORDS: usize = 3"),
        ("PUT_AT_ONCE: usize = 32", "PUT_AT_ONCE: usize = 2"),
        ("GFP_ATOMIC | __GFP_NOWARN", "()"),
        ("-> impl Init<Self>", "-> Self"),
        (
            "\n        init!(Self {",
            "\n        core::convert::identity(Self {",
        ),
        (
            "pin_init::init_array_from_fn(|_| Ok::<_, Infallible>(",
            "core::array::from_fn(|_| core::convert::identity(",
        ),
    ],
    mistakes: &[
        ("no_barrier", "lock::full_barrier_after_lock();", ""),
        (
            "counted_late",
            "self.begun.fetch_add(1, Ordering::SeqCst).wrapping_add(1);",
            "self.begun.load(Ordering::SeqCst).wrapping_add(1); \
             let invalidate = || { let done = invalidate(); \
             self.begun.fetch_add(1, Ordering::SeqCst); done };",
        ),
        (
            "all_taken",
            "flush.wrapping_sub(*begun) as i32 <= 0",
            "false",
        ),
        ("not_renewed", "self.renew_last(begun);", ""),
        (
            "still_last",
            "if self.count == 0 {\n            self.last = 0..0;\n        }",
            "",
        ),
        (
            "released_early",
            "match invalidate() {",
            "self.release(flush, Confirmed); match invalidate() {",
        ),
        ("batch_left_out", "if is_last {", "if true {"),
        ("unbounded", "self.count == RECORDS || ", ""),
        ("not_wrapped", "RECORDS => 0,", "RECORDS => RECORDS,"),
        (
            "wrong_first",
            "distance.min(distance.wrapping_add(RECORDS))",
            "self.next",
        ),
        (
            "lost_released",
            "if self.lost.load(Ordering::Relaxed) {\n            return;",
            "if false {\n            return;",
        ),
    ],
};
