// SPDX-License-Identifier: GPL-2.0

//! Instructions of one `iommu_map()` and one `iommu_unmap()`.
//!
//! Each workload is mapped and unmapped repeatedly at the same address. The domain has no other
//! mappings than the workload needs. The result of every map and unmap is checked, outside of the
//! measured time: a driver must not be fast because it does nothing.

use crate::fixture;
use crate::report::Report;
use crate::ticks::{timing_overhead, TickStats, REPETITIONS, WARM_UP};
use crate::workload::{Round, Workload, WORKLOADS};
use kernel::prelude::*;
use kernel_ext::bench::measure;
use kernel_ext::bench::ConsumerDomain;
use kernel_ext::log_err;

#[derive(Default)]
struct MapUnmapStats {
    map: TickStats,
    unmap: TickStats,
}

fn repeat(domain: &mut ConsumerDomain, round: Round, stats: &mut MapUnmapStats) -> Result {
    let (ticks, answer) = measure::ticks(|| round.map(domain));
    answer.ok()?;
    stats.map.add(ticks);
    if !round.is_mapped(domain) {
        return Err(EIO);
    }
    let (ticks, unmapped) = measure::ticks(|| round.unmap(domain));
    round.check_size(unmapped)?;
    if !round.is_unmapped(domain) {
        return Err(EIO);
    }
    stats.unmap.add(ticks);
    Ok(())
}

fn measure_work(domain: &mut ConsumerDomain, work: &Workload) -> Result<MapUnmapStats> {
    let (mut ignored, mut stats) = (MapUnmapStats::default(), MapUnmapStats::default());
    work.map_neighbours(domain)?;
    for number in 0..WARM_UP + REPETITIONS {
        let into = if number < WARM_UP {
            &mut ignored
        } else {
            &mut stats
        };
        repeat(domain, work.round(number), into)?;
    }
    work.unmap_neighbours(domain);
    Ok(stats)
}

fn measure_works(report: &mut Report, attached: bool) -> Result {
    for work in &WORKLOADS {
        // A new domain for each workload, so that none finds the tables of another one.
        let stats = measure_work(&mut fixture::domain(attached)?, work)
            .inspect_err(|err| log_err!("{} failed with error {}", work.name, err.to_errno()))?;
        for (op, stats) in [("map", stats.map), ("unmap", stats.unmap)] {
            report.write_line(format_args!(
                "instructions op={op} work={} attached={} {}",
                work.name,
                u8::from(attached),
                stats.without_overhead()
            ))?;
        }
    }
    Ok(())
}

/// Measures every workload, detached and attached, and reports its instructions.
///
/// # Errors
///
/// [`ENODEV`] if the device is missing, or an error of the core.
pub(crate) fn measure(report: &mut Report) -> Result {
    let clock = timing_overhead();
    let (ticks, ()) = measure::ticks(measure::calibrate);
    report.write_line(format_args!(
        "clock empty={clock} known={} expected={}",
        ticks.wrapping_sub(clock),
        measure::CALIBRATION_TICKS
    ))?;
    measure_works(report, false)?;
    measure_works(report, true)
}
