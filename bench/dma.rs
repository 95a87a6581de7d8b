// SPDX-License-Identifier: GPL-2.0

//! Instructions of the DMA API's maps and unmaps on one processor; strict or lazy as the guest was
//! booted. Interrupts are off for one call at a time, so a lazy flush by timer falls between calls;
//! one that a full queue forces falls into a call, and the mean has it.

use crate::ground;
use crate::report::Report;
use crate::ticks::Counts;
use kernel::prelude::*;
use kernel_ext::bench::dma::{Buffer, Scattered, Streaming};
use kernel_ext::bench::measure;
use kernel_ext::pages::PAGE_SIZE;

const PAGES: [usize; 3] = [1, 16, 512];
const SCATTERED: u32 = 64;
const WARM_UP: u32 = 1024;
const ROUNDS: u32 = 1024;

/// Times round trips of what is said to be `pages` pages.
fn rounds(report: &mut Report, what: &mut impl Streaming, pages: usize, scattered: bool) -> Result {
    let (mut map, mut unmap) = (Counts::default(), Counts::default());
    for number in 0..WARM_UP + ROUNDS {
        let (map_ticks, done) = measure::ticks(|| what.map());
        done?;
        let (unmap_ticks, ()) = measure::ticks(|| what.unmap());
        if number >= WARM_UP {
            map.add(map_ticks);
            unmap.add(unmap_ticks);
        }
    }
    let sg = u8::from(scattered);
    for (op, tally) in [("map", map), ("unmap", unmap)] {
        let net = tally.net();
        report.say(format_args!("dma op={op} pages={pages} sg={sg} {net}"))?;
    }
    Ok(())
}

pub(crate) fn measure(report: &mut Report) -> Result {
    // Not attached to anything: the device stays in its default domain.
    let device = ground::device()?;
    let most = PAGES.into_iter().max().unwrap_or(1);
    let mut buffer = Buffer::new(&device, most * PAGE_SIZE)?;
    for pages in PAGES {
        buffer.set_length(pages * PAGE_SIZE)?;
        rounds(report, &mut buffer, pages, false)?;
    }
    let mut scattered = Scattered::new(&device, SCATTERED)?;
    if scattered.pieces() != SCATTERED {
        return Err(EIO);
    }
    rounds(report, &mut scattered, SCATTERED as usize, true)
}
