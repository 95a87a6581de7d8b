// SPDX-License-Identifier: GPL-2.0

//! The same workloads, for a count of the descriptors in QEMU's trace of the unit. Between two
//! marks are the maps and unmaps of one workload, and no attach.

use crate::fixture;
use crate::report::Report;
use crate::workload::{Workload, WORKLOADS};
use kernel::prelude::*;
use kernel_ext::bench::measure::TraceMarker;
use kernel_ext::bench::ConsumerDomain;

const ROUNDS: u32 = 16;
const FIRST_MARK: u32 = 1000;

fn repeat(domain: &mut ConsumerDomain, work: &Workload, marker: &TraceMarker, mark: u32) -> Result {
    work.map_neighbours(domain)?;
    marker.set(mark);
    for number in 0..ROUNDS {
        let round = work.round(number);
        round.map(domain).ok()?;
        let unmapped = round.unmap(domain);
        round.check_size(unmapped)?;
    }
    marker.set(mark + 1);
    work.unmap_neighbours(domain);
    Ok(())
}

/// Maps and unmaps each workload between two marks in QEMU's trace, and reports the marks.
///
/// # Errors
///
/// [`ENODEV`] if the machine has no iommu-testdev, or an error of the core.
pub(crate) fn count(report: &mut Report) -> Result {
    let marker = TraceMarker::find().ok_or(ENODEV)?;
    for (work, mark) in WORKLOADS.iter().zip((FIRST_MARK..).step_by(2)) {
        repeat(&mut fixture::domain(true)?, work, &marker, mark)?;
        report.write_line(format_args!(
            "descriptors work={} mark={mark} rounds={ROUNDS}",
            work.name
        ))?;
    }
    Ok(())
}
