// SPDX-License-Identifier: GPL-2.0

//! Mistakes in `src/core/concurrent`, which loom must find. The files themselves are compiled as
//! they are.

use super::lockless_mistakes::Mistakes;

/// The files in `src/core`, with their mistakes.
pub(crate) const FILES: &[(&str, Mistakes)] = &[
    (
        "concurrent/queue",
        &[
            (
                "no_wait",
                "while !self.has_finished(end) {",
                "while false {",
            ),
            ("no_free_slot", "SPARE: u32 = 2", "SPARE: u32 = 0"),
            (
                "tail_before_slots",
                "let mut at = state.submitted;",
                "let mut at = state.submitted; self.move_tail(regs, at.wrapping_add(2));",
            ),
            (
                "tail_before_slots_fast",
                "let end = at.wrapping_add(2);",
                "let end = at.wrapping_add(2); self.move_tail(regs, end);",
            ),
            ("unordered", "fence(Ordering::Acquire);", ""),
            (
                "any_wait_will_do",
                "self.finished().wrapping_sub(end) as i32 >= 0",
                "self.finished() != 0 || end == 0",
            ),
            (
                "counts_again",
                "state.first = state.submitted.wrapping_add(slots - 1) & !(slots - 1);",
                "state.first = slots - slots;",
            ),
            (
                "no_second_check_for_room",
                "waiting.failure = queue.check(regs, &mut waiting.timeout).err();",
                "queue.check(regs, &mut waiting.timeout)?;",
            ),
            (
                "no_second_check_of_the_end",
                "checked.is_err() && !self.has_finished(end)",
                "checked.is_err()",
            ),
        ],
    ),
    (
        "concurrent/register_commands",
        &[
            ("written_over", "if state.current.is_some() {", "if false {"),
            (
                "no_wait",
                "state.finished.wrapping_sub(end) as i32 >= 0",
                "state.finished.wrapping_sub(end) as i32 >= 0 || true",
            ),
            (
                "finished_when_written",
                "state.begun = state.begun.wrapping_add(1);",
                "state.begun = state.begun.wrapping_add(1); state.finished = state.begun;",
            ),
            (
                "refusal_ignored",
                "state.refused = Some(register);",
                "state.finished = state.begun;",
            ),
        ],
    ),
];
