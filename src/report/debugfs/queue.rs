// SPDX-License-Identifier: GPL-2.0

//! The invalidation queue: `vtd/dmarN/queue`, decoded, and `iommu/intel/invalidation_queue`, in the
//! format of the in-tree driver.

use super::view::{chunk_done, unit_at, UnitView};
use crate::machine::Machine;
use crate::unit::{QueueSnapshot, Unit};
use core::fmt::{self, Write};
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;
use vtd_core::spec::descriptor::Descriptor;

/// How many of the latest descriptors are decoded.
const SHOWN_DESCRIPTORS: u32 = 32;

fn write_queue(queue: &QueueSnapshot, to: &mut Text<'_>) -> fmt::Result {
    let QueueSnapshot {
        base,
        head,
        tail,
        submitted,
        finished,
        ..
    } = queue;
    writeln!(to, "base: {base:#x}")?;
    writeln!(to, "head: {head}")?;
    writeln!(to, "tail: {tail}")?;
    writeln!(to, "submitted: {submitted}")?;
    writeln!(to, "pending: {}", submitted.wrapping_sub(*finished))?;
    let state = if queue.aborted { "abandoned" } else { "in use" };
    writeln!(to, "state: {state}")?;
    for number in queue.last(SHOWN_DESCRIPTORS) {
        let slot = queue.slot_of(number);
        let [low, high] = queue.slot(slot);
        let state = if queue.is_pending(slot) {
            "pending"
        } else {
            "done"
        };
        write!(to, "{slot:>3} {low:#018x} {high:#018x} {state:<7} ")?;
        match Descriptor::decode([low, high]) {
            Ok(descriptor) => writeln!(to, "{descriptor}")?,
            Err(error) => writeln!(to, "{error}")?,
        }
    }
    Ok(())
}

/// Writes the queue of one unit: its address, head and tail, and its latest descriptors.
pub(super) fn show_unit(of: &UnitView, _: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
    let written = match of.unit.queue_snapshot() {
        Ok(Some(queue)) => write_queue(&queue, to),
        Ok(None) => writeln!(to, "{} does not use its invalidation queue", *of.unit),
        Err(_) => writeln!(to, "(nothing is shown: no memory)"),
    };
    chunk_done(written, None)
}

/// The states of a slot in the in-tree driver (`QI_FREE`, `QI_IN_USE`, `QI_DONE`).
const FREE: u32 = 0;
const IN_USE: u32 = 1;
const DONE: u32 = 2;

fn write_slots(unit: &Unit, queue: &QueueSnapshot, to: &mut Text<'_>) -> fmt::Result {
    writeln!(to, "Invalidation queue on IOMMU: {unit}")?;
    writeln!(
        to,
        " Base: {:#x}\tHead: {}\tTail: {}",
        queue.base, queue.head, queue.tail
    )?;
    writeln!(to, "Index\t\tqw0\t\t\tqw1\t\t\tstatus")?;
    for (index, [low, high]) in (0u32..).zip(&queue.slots) {
        let status = match low {
            _ if queue.is_pending(index) => IN_USE,
            0 => FREE,
            _ => DONE,
        };
        writeln!(to, "{index:>5}\t{low:016x}\t{high:016x}\t{status:016x}")?;
    }
    writeln!(to)
}

/// Writes all slots of all queues; a chunk is a unit.
pub(super) fn show_all(
    machine: &Arc<Machine>,
    number: u64,
    _: &mut u64,
    to: &mut Text<'_>,
) -> Option<u64> {
    let unit = unit_at(machine, number)?;
    let written = match unit.queue_snapshot() {
        Ok(Some(queue)) => write_slots(unit, &queue, to),
        Ok(None) => Ok(()),
        Err(_) => writeln!(to, "(the queue of {unit} is not shown: no memory)"),
    };
    chunk_done(written, Some(number + 1))
}
