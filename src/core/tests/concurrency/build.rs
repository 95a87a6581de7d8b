// SPDX-License-Identifier: GPL-2.0

//! Copies files of the driver, with the kernel's names and the processor's atomics replaced by those
//! of `shim`, and once more for each mistake that loom is to find in them.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// What is the same in all files.
const COMMON: &[(&str, &str)] = &[
    ("core::sync::atomic", "crate::shim::atomic"),
    ("use kernel::prelude::*;", "use crate::shim::prelude::*;"),
    ("use kernel::sync::Arc;", "use std::sync::Arc;"),
    ("kernel_ext::new_irq_spinlock!(", "crate::shim::lock::new("),
    ("kernel_ext::", "crate::shim::"),
    ("use kernel_ext;", ""),
    ("crate::unit::", "crate::shim::unit::"),
    ("super::registers::TIME_OUT_MS", "1"),
    ("super::registers::", "crate::shim::registers::"),
    ("super::queue_errors::", "crate::shim::queue_errors::"),
    ("vtd_core::pgtable::run::", "crate::shim::run::"),
    ("#[pin_data]", ""),
    ("#[pin]", ""),
    ("pin_init!(", "core::convert::identity("),
    (" <- ", ": "),
    ("impl PinInit<Self>", "Self"),
    ("pub(super)", "pub(crate)"),
];

/// A driver's file, what is smaller or missing here, and the mistakes: a name, what stands there
/// and what stands there instead.
struct Subject {
    file: &'static str,
    adapted: &'static [(&'static str, &'static str)],
    appended: &'static str,
    mistakes: &'static [(&'static str, &'static str, &'static str)],
}

const SUBJECTS: &[Subject] = &[
    Subject {
        file: "unit/queue.rs",
        // Four slots, so that two submitters fill the ring.
        adapted: &[("SLOTS: u32 = 256", "SLOTS: u32 = 4")],
        appended: "impl Queue { fn check(&self, _: &UnitRegisters, _: &mut Option<()>) \
                   -> Result<(), QueueFailure> { Ok(()) } }",
        mistakes: &[
            (
                "no_wait",
                "while !self.has_finished(end) {",
                "while false {",
            ),
            (
                "no_free_slot",
                "LIMIT: u32 = SLOTS - 2",
                "LIMIT: u32 = SLOTS",
            ),
            (
                "tail_before_slots",
                "let mut at = state.submitted;",
                "let mut at = state.submitted; self.move_tail(regs, end);",
            ),
            (
                "tail_before_slots_at_once",
                "let end = at.wrapping_add(2);",
                "let end = at.wrapping_add(2); self.move_tail(regs, end);",
            ),
            (
                "any_wait_will_do",
                "self.finished().wrapping_sub(end) as i32 >= 0",
                "self.finished() != 0 || end == 0",
            ),
        ],
    },
    Subject {
        file: "unit/service.rs",
        adapted: &[],
        appended: "",
        mistakes: &[
            (
                "unordered",
                "Ordering::AcqRel, Ordering::Acquire",
                "Ordering::Relaxed, Ordering::Relaxed",
            ),
            ("impatient", "== CLOSING {", "== 99 {"),
        ],
    },
    Subject {
        file: "unit/domain_ids.rs",
        adapted: &[],
        appended: "",
        mistakes: &[
            ("not_marked", "*word |= 1 << (id % 64);", "let _ = word;"),
            (
                "from_the_start",
                "while self.used.get(self.lowest)",
                "self.lowest = 0; while self.used.get(self.lowest)",
            ),
        ],
    },
    Subject {
        file: "domain/attachments.rs",
        adapted: &[],
        appended: "",
        mistakes: &[
            ("no_fence", "fence(Ordering::SeqCst);", ""),
            (
                "weak_store",
                ".store(u32::from(id.raw()) + 1, Ordering::SeqCst)",
                ".store(u32::from(id.raw()) + 1, Ordering::Release)",
            ),
            (
                "one_by_one",
                "match self.count_one_more(unit) {",
                "match None {",
            ),
            (
                "never_listed",
                "self.others.fetch_add(1, Ordering::SeqCst);",
                "",
            ),
        ],
    },
    Subject {
        file: "domain/readers.rs",
        adapted: &[],
        appended: "",
        mistakes: &[
            ("silent", "self.walking.store(true, Ordering::Relaxed);", ""),
            (
                "no_fence_before_walk",
                "fence(Ordering::SeqCst);\n        let result",
                "let result",
            ),
            (
                "no_fence_before_look",
                "fence(Ordering::SeqCst);\n        if self",
                "if self",
            ),
            ("no_wait", "drop(self.part.lock());", ""),
        ],
    },
    Subject {
        file: "domain/memory.rs",
        adapted: &[],
        appended: "",
        mistakes: &[
            ("reader_trusts_writer", "entry & WRITTEN_BACK == 0", "false"),
            (
                "loser_trusts_winner",
                "is_link::<L>(there) && there & WRITTEN_BACK == 0",
                "linked.is_ok()",
            ),
            (
                "noted_before_written_back",
                "radix::write_back(table.0, index, 1);\n        let slot = table.entry(index);",
                "let slot = table.entry(index);\n        \
                 slot.fetch_or(WRITTEN_BACK, Ordering::Release);\n        \
                 radix::write_back(table.0, index, 1);",
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
    },
];

/// Replaces what must be there.
fn replaced(text: &str, file: &str, from: &str, to: &str) -> String {
    assert!(
        text.contains(from),
        "src/{file} no longer has {from:?}: adapt build.rs"
    );
    text.replace(from, to)
}

fn write(out: &Path, name: &str, text: &str) {
    fs::write(out.join(format!("{name}.rs")), text).expect("the build's folder");
}

fn main() {
    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../../../src");
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    println!("cargo:rerun-if-changed=build.rs");
    for subject in SUBJECTS {
        let path = source.join(subject.file);
        println!("cargo:rerun-if-changed={}", path.display());
        let original = fs::read_to_string(&path).expect("a file of the driver");
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let adapt = |mistake: Option<(&str, &str)>| {
            let mut text = original.clone();
            for (from, to) in mistake.into_iter().chain(subject.adapted.iter().copied()) {
                text = replaced(&text, subject.file, from, to);
            }
            for (from, to) in COMMON {
                text = text.replace(from, to);
            }
            let lines = text.lines().filter(|line| !line.starts_with("//!"));
            lines.collect::<Vec<_>>().join("\n") + "\n" + subject.appended
        };
        write(&out, stem, &adapt(None));
        for (name, from, to) in subject.mistakes {
            write(&out, &format!("{stem}_{name}"), &adapt(Some((from, to))));
        }
    }
}
