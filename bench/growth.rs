// SPDX-License-Identifier: GPL-2.0

//! The cost of a 4K map and unmap as the domain grows from 1 MiB to 64 GiB of mapped IOVA space,
//! all with 4K pages. The measured page is in the middle of the mapped space, so that its tables
//! exist from the start.

use crate::fixture;
use crate::report::Report;
use crate::ticks::{TickStats, REPETITIONS, WARM_UP};
use crate::workload::{IOVA_BASE, PHYS_BASE, SZ_1G, SZ_1M, SZ_4K};
use kernel::prelude::*;
use kernel_ext::bench::measure;
use kernel_ext::bench::ConsumerDomain;
use kernel_ext::pages::Gfp;

const SIZES: [u64; 7] = [
    SZ_1M,
    16 * SZ_1M,
    256 * SZ_1M,
    SZ_1G,
    4 * SZ_1G,
    16 * SZ_1G,
    64 * SZ_1G,
];

/// Maps in chunks, so that the memory is never aligned to more than a page.
fn grow(domain: &mut ConsumerDomain, from: u64, to: u64) -> Result {
    for at in (from..to).step_by(SZ_1M as usize) {
        domain
            .map(IOVA_BASE + at, PHYS_BASE + SZ_4K, SZ_1M, Gfp::KERNEL)
            .ok()?;
    }
    Ok(())
}

fn measure_at(domain: &mut ConsumerDomain, iova: u64) -> Result<(TickStats, TickStats)> {
    let (mut map, mut unmap) = (TickStats::default(), TickStats::default());
    let phys = domain.translate(iova).ok_or(EIO)?;
    for number in 0..WARM_UP + REPETITIONS {
        let (unmap_ticks, unmapped) = measure::ticks(|| domain.unmap(iova, SZ_4K));
        if unmapped != SZ_4K {
            return Err(EIO);
        }
        let (map_ticks, answer) = measure::ticks(|| domain.map(iova, phys, SZ_4K, Gfp::ATOMIC));
        answer.ok()?;
        if number >= WARM_UP {
            unmap.add(unmap_ticks);
            map.add(map_ticks);
        }
    }
    Ok((map, unmap))
}

/// Grows a domain step by step, and reports the cost of a map and unmap after each step.
///
/// # Errors
///
/// [`ENODEV`] if the device is missing, or an error of the core.
pub(crate) fn measure(report: &mut Report) -> Result {
    let mut domain = fixture::domain(true)?;
    let mut used = 0;
    for size in SIZES {
        grow(&mut domain, used, size)?;
        used = size;
        let (map, unmap) = measure_at(&mut domain, IOVA_BASE + used / 2 + 3 * SZ_4K)?;
        let mib = used / SZ_1M;
        report.write_line(format_args!(
            "growth op=map mib={mib} {}",
            map.without_overhead()
        ))?;
        report.write_line(format_args!(
            "growth op=unmap mib={mib} {}",
            unmap.without_overhead()
        ))?;
    }
    if domain.unmap(IOVA_BASE, used) != used {
        return Err(EIO);
    }
    Ok(())
}
