// SPDX-License-Identifier: GPL-2.0

//! `vtd/dmarN/statistics`, `vtd/dmarN/waits` and `vtd/faults`: what was counted.

use super::view::{ended, OneUnit};
use crate::machine::Vtd;
use crate::unit::WAIT_NAMES;
use core::fmt::Write;
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;
use vtd_core::spec::address::SourceId;

/// A line `name: count` for each count of a unit.
pub(super) fn counts(of: &OneUnit, _: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
    let mapped = of.vtd.domains.mapped_for(&of.unit);
    ended(of.unit.statistics().show(mapped, to), None)
}

/// A line `name: count` for each range of times that a wait may take.
pub(super) fn waits(of: &OneUnit, _: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
    let counts = of.unit.statistics().waits.counts();
    let mut lines = WAIT_NAMES.iter().zip(counts);
    ended(
        lines.try_for_each(|(name, count)| writeln!(to, "{name}: {count}")),
        None,
    )
}

/// A line for each device that was refused something; a part is a device.
pub(super) fn faults(vtd: &Arc<Vtd>, number: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
    let info = vtd.device_from(number)?;
    let (total, not_shown) = info.fault_reports.counts();
    let mut written = Ok(());
    if total > 0 {
        // What a bridge puts in place of others' requester IDs is counted as its own.
        let alias = info.pci.alias_for_below().map(SourceId::from_raw);
        let silenced = info.unit.is_silenced(&info.requesters)
            || alias.is_some_and(|alias| info.unit.is_silenced(&[alias]));
        let recorded = if silenced { "no" } else { "yes" };
        written = writeln!(
            to,
            "{} faults={total} not-shown={not_shown} recorded={recorded}",
            *info
        );
    }
    ended(written, Some(info.number + 1))
}
