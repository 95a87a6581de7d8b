// SPDX-License-Identifier: GPL-2.0

//! Instructions of maps and unmaps of the DMA API on one CPU, strict or lazy as the guest was
//! booted. Interrupts are off during each call. So a lazy flush by timer happens between calls and
//! is not counted; a flush because of a full queue happens during a call, and is part of the mean.

use crate::fixture;
use crate::report::Report;
use crate::ticks::TickStats;
use core::slice;
use kernel::prelude::*;
use kernel_ext::bench::dma::{Buffer, ScatterList, Streaming};
use kernel_ext::bench::measure;
use kernel_ext::pages::PAGE_SIZE;

const PAGES: [usize; 3] = [1, 16, 512];
const SCATTERED: u32 = 64;
const WARM_UP: u32 = 1024;
const ROUNDS: u32 = 1024;

/// Buffers of one page each that are used in turn: what a driver does that gets new memory for each
/// request.
const DIFFERENT: usize = 1024;

/// Measures maps and unmaps of the `mappings` in turn. Each has `pages` pages.
fn measure_rounds(
    report: &mut Report,
    mappings: &mut [impl Streaming],
    pages: usize,
    scattered: bool,
) -> Result {
    let (mut map, mut unmap) = (TickStats::default(), TickStats::default());
    let count = mappings.len();
    for number in 0..WARM_UP + ROUNDS {
        let mapping = mappings
            .get_mut(number as usize % count.max(1))
            .ok_or(EINVAL)?;
        let (map_ticks, done) = measure::ticks(|| mapping.map());
        done?;
        let (unmap_ticks, ()) = measure::ticks(|| mapping.unmap());
        if number >= WARM_UP {
            map.add(map_ticks);
            unmap.add(unmap_ticks);
        }
    }
    let sg = u8::from(scattered);
    for (op, stats) in [("map", map), ("unmap", unmap)] {
        let net = stats.without_overhead();
        report.write_line(format_args!(
            "dma op={op} pages={pages} sg={sg} buffers={count} {net}"
        ))?;
    }
    Ok(())
}

/// Measures buffers and a scatter list, and reports the instructions of each.
///
/// # Errors
///
/// [`ENODEV`] if the device is missing; [`EIO`] if the scatter list is too short; or an error of
/// the DMA API.
pub(crate) fn measure(report: &mut Report) -> Result {
    // The device is not attached to another domain: it stays in its default domain.
    let device = fixture::device()?;
    let max_pages = PAGES.into_iter().max().unwrap_or(1);
    let mut buffer = Buffer::new(&device, max_pages * PAGE_SIZE)?;
    for pages in PAGES {
        buffer.set_length(pages * PAGE_SIZE)?;
        measure_rounds(report, slice::from_mut(&mut buffer), pages, false)?;
    }
    let mut different = KVec::with_capacity(DIFFERENT, GFP_KERNEL)?;
    for _ in 0..DIFFERENT {
        different.push(Buffer::new(&device, PAGE_SIZE)?, GFP_KERNEL)?;
    }
    measure_rounds(report, &mut different, 1, false)?;
    drop(different);
    let mut scattered = ScatterList::new(&device, SCATTERED)?;
    if scattered.orig_nents() != SCATTERED {
        return Err(EIO);
    }
    let scattered = slice::from_mut(&mut scattered);
    measure_rounds(report, scattered, SCATTERED as usize, true)
}
