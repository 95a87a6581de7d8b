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
                "waiting.failure = self.check(regs, &mut waiting.timeout).err();",
                "self.check(regs, &mut waiting.timeout)?;",
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
    (
        "concurrent/domain_ids",
        &[
            (
                "not_marked",
                "*word |= 1 << (id % 64);",
                "let _ = word; self.taken -= 1;",
            ),
            (
                "for_all",
                "if for_user { self.count / RESERVE } else { 0 }",
                "if for_user { 0 } else { 0 }",
            ),
            (
                "not_counted_back",
                "self.taken -= (*word >> (id % 64) & 1) as usize;",
                "",
            ),
            (
                "from_the_start",
                "while self.used.get(self.lowest)",
                "self.lowest = 0; while self.used.get(self.lowest)",
            ),
        ],
    ),
    (
        "concurrent/interrupts",
        &[
            (
                "not_copied",
                "larger.memory.write(index * 2, entry.low);",
                "let _ = entry.low;",
            ),
            (
                "source_not_copied",
                "larger.memory.write(index * 2 + 1, entry.high);",
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
                "0..self.count() {\n            self.memory.write(index * 2, InterruptEntry::ABSENT",
                "1..self.count() {\n            self.memory.write(index * 2, InterruptEntry::ABSENT",
            ),
            (
                "change_not_invalidated",
                "Some(()) => unit.invalidate(index, 1).map(|()| true)",
                "Some(()) => Ok(true)",
            ),
            (
                "freed_not_invalidated",
                "let _ = unit.invalidate(first, count);",
                "",
            ),
            (
                "unlocked_before_accepted",
                "        unit.set_table(table)\n    });",
                "    });\n    let accepted = unit.locked(|table| unit.set_table(table));",
            ),
            ("old_table_freed", "let old = larger;", "drop(larger); let old = String::new();"),
        ],
    ),
    (
        "concurrent/interrupt_entries",
        &[
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
    ),
    (
        "concurrent/attach",
        &[
            (
                "not_committed",
                "state.owner_state = device.commit(records, grant);",
                "drop(grant);",
            ),
            (
                "not_stored",
                "state.owner_state = device.commit(",
                "let _ = device.commit(",
            ),
            (
                "removed_first",
                "    if !stays_attached {\n        block(device);\n    }\n    \
                 device.locked(|records, state| device.leave_group(records, state));\n",
                "    let _ = stays_attached;\n    \
                 device.locked(|records, state| device.leave_group(records, state));\n    \
                 block(device);\n",
            ),
            (
                "never_removed",
                "device.locked(|records, state| device.leave_group(records, state));",
                "",
            ),
            (
                "first_refused",
                "let Some(old) = change.old else {\n            return true;",
                "let Some(old) = change.old else {\n            return false;",
            ),
            (
                "granted_unrecorded",
                "if !is_accepted(device, attempt, state, change) {",
                "if is_accepted(device, attempt, state, change) { return Ok(None); } else {",
            ),
            (
                "left_early",
                "let from = state.attached_to;\n        if",
                "let from = state.attached_to;\n        \
                 let _ = state.domain.take().map(|old| device.leave(&old));\n        if",
            ),
            (
                "never_left",
                "old.as_ref().and_then(|old| device.leave(old));",
                "old.as_ref().and_then(|_| None);",
            ),
            ("joined_for_nothing", "drop(device.leave(&domain));", ""),
            (
                "retained_for_another",
                "state.retained_id.take_if(|_| to_previous)",
                "state.retained_id.take_if(|_| to_previous || true)",
            ),
            (
                "not_retained",
                "share.filter(|_| change.new.kind == AttachedTo::Blocked)",
                "share.filter(|_| false)",
            ),
        ],
    ),
    (
        "concurrent/group_record",
        &[
            (
                "never_checked",
                "group.transition(state, request)?;",
                "group.transition(state, request).unwrap_or((group, state));",
            ),
            ("not_recorded", "self.group = grant.group;", ""),
            (
                "all_removed",
                "self.members.has_none() && self.reserved == 0",
                "true",
            ),
            (
                "reserved_ignored",
                "self.members.has_none() && self.reserved == 0",
                "self.members.has_none()",
            ),
        ],
    ),
    (
        "concurrent/attachments",
        &[
            (
                "one_by_one",
                "if let Some(id) = count_device(self, unit, published) {",
                "if let Some(id) = None {",
            ),
            (
                "added_unpublished",
                "self.flush_list().publish(published, tag);",
                "let _ = (published, tag);",
            ),
            (
                "not_published",
                "attachments.flush_list().publish(published, entry.tag);",
                "let _ = published;",
            ),
            (
                "never_withdrawn",
                "self.flush_list().withdraw(published);",
                "let _ = published;",
            ),
            (
                "published_for_another",
                "others.find(|(one, _)| core::ptr::eq(*one, unit))?;",
                "others.nth(1)?;",
            ),
            (
                "not_retained",
                "retained_id.map_or_else(allocate, Ok)?;",
                "{ drop(retained_id); allocate()? };",
            ),
            (
                "unit_not_retained",
                "if !self.units_are_retained() {",
                "if true {",
            ),
        ],
    ),
];
