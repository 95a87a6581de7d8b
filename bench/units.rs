// SPDX-License-Identifier: GPL-2.0

//! The cost of a 4K map and unmap in a domain with devices behind one unit, two units and so on: one
//! edu behind each unit. Counted in instructions, or timed.

use crate::devices;
use crate::fixture;
use crate::report::Report;
use crate::workload::{IOVA_BASE, PHYS_BASE, SZ_4K};
use kernel::prelude::*;
use kernel_ext::bench::{Claim, ConsumerDomain};
use kernel_ext::clock;
use kernel_ext::pages::Gfp;

/// The number of pages that are mapped, and then unmapped, one after the other in one measurement of
/// time: about a second.
const PAGES: u64 = 1 << 14;

/// Attaches one edu after the other to one domain, and calls `measure` after each.
fn for_each_unit(mut measure: impl FnMut(&mut ConsumerDomain, usize) -> Result) -> Result {
    let mut domain = fixture::domain(false)?;
    for (before, device) in fixture::devices().enumerate() {
        domain.attach(Claim::new(&device)?)?;
        measure(&mut domain, before + 1)?;
    }
    Ok(())
}

/// Counts the instructions.
///
/// # Errors
///
/// [`ENODEV`] if the device is missing, or an error of the core.
pub(crate) fn count(report: &mut Report) -> Result {
    for_each_unit(|domain, units| {
        for (op, stats) in devices::map_and_unmap(domain)? {
            let net = stats.without_overhead();
            report.write_line(format_args!("units op={op} units={units} {net}"))?;
        }
        Ok(())
    })
}

/// Returns the nanoseconds that `work` takes for each of [`PAGES`].
fn time(mut work: impl FnMut(u64) -> Result) -> Result<u64> {
    let start = clock::now_ns();
    for page in 0..PAGES {
        work(page * SZ_4K)?;
    }
    Ok(clock::now_ns().saturating_sub(start) / PAGES)
}

/// Measures the time.
///
/// # Errors
///
/// Those of [`count`].
pub(crate) fn measure_time(report: &mut Report) -> Result {
    for_each_unit(|domain, units| {
        let map = time(|at| {
            let (iova, phys) = (IOVA_BASE + at, PHYS_BASE + SZ_4K + at);
            domain.map(iova, phys, SZ_4K, Gfp::KERNEL).ok()
        })?;
        let unmap = time(|at| match domain.unmap(IOVA_BASE + at, SZ_4K) {
            SZ_4K => Ok(()),
            _ => Err(EIO),
        })?;
        report.write_line(format_args!("units-time op=map units={units} ns={map}"))?;
        report.write_line(format_args!("units-time op=unmap units={units} ns={unmap}"))
    })
}
