// SPDX-License-Identifier: GPL-2.0

//! Counters: `vtd/dmarN/statistics`, `vtd/dmarN/waits` and `vtd/faults`.

use super::view::{chunk_done, UnitView};
use crate::domain::MapCounts;
use crate::machine::Machine;
use crate::unit::{Counter, Statistics, WAIT_KINDS};
use core::fmt::{self, Write};
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;
use vtd_core::spec::address::SourceId;

/// The names of the ranges of wait times in files.
const WAIT_NAMES: [&str; WAIT_KINDS] = [
    "immediate",
    "below-1us",
    "below-10us",
    "below-100us",
    "below-1ms",
    "below-10ms",
    "longer",
];

/// The counts of one unit at one moment.
struct Sums {
    maps: u64,
    unmaps: u64,
    mapped_bytes: u64,
    unmapped_bytes: u64,
    descriptors: u64,
    waits: u64,
    flush_context: u64,
    flush_page: u64,
    flush_domain: u64,
    flush_global: u64,
    flush_interrupt: u64,
    flush_device: u64,
    faults: u64,
    fault_overflows: u64,
    attaches: u64,
    held_pages: u64,
    held_now: u64,
    held_most: u64,
    held_freed: u64,
    held_lost: u64,
    flushed_slab: u64,
    flushed_long: u64,
    flushed_other: u64,
    flushed_full: u64,
    flushed_memory: u64,
    flushed_strict: u64,
    flushed_reclaim: u64,
}

macro_rules! lines {
    ($($field:ident $name:literal)*) => {
        impl Sums {
            fn show(&self, to: &mut dyn Write) -> fmt::Result {
                $(writeln!(to, concat!($name, ": {}"), self.$field)?;)*
                Ok(())
            }
        }
    };
}

lines! {
    maps "maps"
    unmaps "unmaps"
    mapped_bytes "mapped-bytes"
    unmapped_bytes "unmapped-bytes"
    descriptors "descriptors"
    waits "waits"
    flush_context "flush-context"
    flush_page "flush-page"
    flush_domain "flush-domain"
    flush_global "flush-global"
    flush_interrupt "flush-interrupt"
    flush_device "flush-device"
    faults "faults"
    fault_overflows "fault-overflows"
    attaches "attaches"
    held_pages "held-pages"
    held_now "held-now"
    held_most "held-most"
    held_freed "held-freed"
    held_lost "held-lost"
    flushed_slab "flushed-slab"
    flushed_long "flushed-long"
    flushed_other "flushed-other"
    flushed_full "flushed-full"
    flushed_memory "flushed-memory"
    flushed_strict "flushed-strict"
    flushed_reclaim "flushed-reclaim"
}

impl Sums {
    /// Returns the counts of a unit; `mapped` are those of the domains with this primary unit.
    fn of(counts: &Statistics, mapped: MapCounts) -> Self {
        let waits = counts.waits.counts().iter().sum();
        let flushes = [
            &counts.flush_context,
            &counts.flush_page,
            &counts.flush_domain,
            &counts.flush_global,
            &counts.flush_interrupt,
            &counts.flush_device,
        ]
        .map(Counter::get);
        let [flush_context, flush_page, flush_domain, flush_global, flush_interrupt, flush_device] =
            flushes;
        let by_register = counts.by_register.get();
        let held = mapped.held;
        let [flushed_slab, flushed_long, flushed_other, flushed_full, flushed_memory, flushed_strict] =
            held.flushed;
        let queued = flushes.iter().sum::<u64>().saturating_sub(by_register);
        Self {
            maps: mapped.maps,
            unmaps: mapped.unmaps,
            mapped_bytes: mapped.mapped_bytes,
            unmapped_bytes: mapped.unmapped_bytes,
            descriptors: queued + waits,
            waits,
            flush_context,
            flush_page,
            flush_domain,
            flush_global,
            flush_interrupt,
            flush_device,
            faults: counts.faults.get(),
            fault_overflows: counts.fault_overflows.get(),
            attaches: counts.attaches.get(),
            held_pages: held.total,
            held_now: held.now,
            held_most: held.most,
            held_freed: held.freed,
            held_lost: held.lost,
            flushed_slab,
            flushed_long,
            flushed_other,
            flushed_full,
            flushed_memory,
            flushed_strict,
            flushed_reclaim: held.reclaims,
        }
    }
}

/// Writes a line `name: count` for each count of a unit.
pub(super) fn show_statistics(
    of: &UnitView,
    _: u64,
    _: &mut u64,
    to: &mut Text<'_>,
) -> Option<u64> {
    let mapped = of.machine.domains.mapped_for(&of.unit);
    chunk_done(Sums::of(of.unit.statistics(), mapped).show(to), None)
}

/// Writes a line `name: count` for each range of wait times.
pub(super) fn show_waits(of: &UnitView, _: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
    let counts = of.unit.statistics().waits.counts();
    let mut lines = WAIT_NAMES.iter().zip(counts);
    chunk_done(
        lines.try_for_each(|(name, count)| writeln!(to, "{name}: {count}")),
        None,
    )
}

/// Writes a line for each device that had a request refused; a chunk is a device.
pub(super) fn show_faults(
    machine: &Arc<Machine>,
    number: u64,
    _: &mut u64,
    to: &mut Text<'_>,
) -> Option<u64> {
    let info = machine.device_from(number)?;
    let (total, not_shown) = info.fault_limit.counts();
    let mut written = Ok(());
    if total > 0 {
        // Faults with a bridge's alias, which replaces the IDs of other devices, are counted for
        // the bridge.
        let alias = info.pci.alias_for_below().map(SourceId::from_raw);
        let silenced = info.unit.is_fault_processing_disabled(&info.requesters)
            || alias.is_some_and(|alias| info.unit.is_fault_processing_disabled(&[alias]));
        let recorded = if silenced { "no" } else { "yes" };
        written = writeln!(
            to,
            "{} faults={total} not-shown={not_shown} recorded={recorded}",
            *info
        );
    }
    chunk_done(written, Some(info.number + 1))
}
