// SPDX-License-Identifier: GPL-2.0

//! Instructions of maps and unmaps of the DMA API on one CPU, strict or lazy as the guest was
//! booted. Interrupts are off during each call. So a lazy flush by timer happens between calls and
//! is not counted; a flush because of a full queue happens during a call, and is part of the mean.

use crate::fixture;
use crate::report::Report;
use crate::ticks::TickStats;
use core::fmt;
use core::slice;
use kernel::prelude::*;
use kernel_ext::bench::dma::{Buffer, ScatterList, Streaming};
use kernel_ext::bench::measure;
use kernel_ext::pages::PAGE_SIZE;

const MAX_PAGES: usize = 512;
const SCATTERED: u32 = 64;
const WARM_UP: u32 = 1024;
/// The maximum number of windows of the profiler.
const ROUNDS: u32 = 1024;

/// Buffers of one page each that are used in turn: what a driver does that gets new memory for each
/// request.
const DIFFERENT: usize = 1024;

/// What is mapped.
#[derive(Clone, Copy)]
enum Memory {
    /// The same buffer of this many pages each time.
    Pages(usize),
    /// [`DIFFERENT`] buffers of one page.
    Different,
    /// A scatter list.
    Scattered,
}

const ROWS: [(&str, Memory); 5] = [
    ("1", Memory::Pages(1)),
    ("16", Memory::Pages(16)),
    ("512", Memory::Pages(MAX_PAGES)),
    ("different", Memory::Different),
    ("scattered", Memory::Scattered),
];

/// How operations are measured.
trait Meter {
    /// Maps in round `number`.
    fn map(&mut self, number: u32, mapping: &mut impl Streaming) -> Result;

    /// Unmaps in round `number`.
    fn unmap(&mut self, number: u32, mapping: &mut impl Streaming);
}

/// Maps and unmaps the `mappings` in turn.
fn rounds(meter: &mut impl Meter, mappings: &mut [impl Streaming]) -> Result {
    let count = mappings.len().max(1);
    for number in 0..WARM_UP + ROUNDS {
        let mapping = mappings.get_mut(number as usize % count).ok_or(EINVAL)?;
        meter.map(number, mapping)?;
        meter.unmap(number, mapping);
    }
    Ok(())
}

/// Measures maps and unmaps of this memory.
fn measure_memory(meter: &mut impl Meter, memory: Memory) -> Result {
    // The device is not attached to another domain: it stays in its default domain.
    let device = fixture::device()?;
    match memory {
        Memory::Pages(pages) => {
            let mut buffer = Buffer::new(&device, MAX_PAGES * PAGE_SIZE)?;
            buffer.set_length(pages * PAGE_SIZE)?;
            rounds(meter, slice::from_mut(&mut buffer))
        }
        Memory::Different => {
            let mut buffers = KVec::with_capacity(DIFFERENT, GFP_KERNEL)?;
            for _ in 0..DIFFERENT {
                buffers.push(Buffer::new(&device, PAGE_SIZE)?, GFP_KERNEL)?;
            }
            rounds(meter, &mut buffers)
        }
        Memory::Scattered => {
            let mut list = ScatterList::new(&device, SCATTERED)?;
            if list.orig_nents() != SCATTERED {
                return Err(EIO);
            }
            rounds(meter, slice::from_mut(&mut list))
        }
    }
}

/// Counts instructions.
#[derive(Default)]
struct Counter {
    map: TickStats,
    unmap: TickStats,
}

impl Meter for Counter {
    #[inline(always)]
    fn map(&mut self, number: u32, mapping: &mut impl Streaming) -> Result {
        let (ticks, done) = measure::ticks(|| mapping.map());
        if number >= WARM_UP {
            self.map.add(ticks);
        }
        done
    }

    #[inline(always)]
    fn unmap(&mut self, number: u32, mapping: &mut impl Streaming) {
        let (ticks, ()) = measure::ticks(|| mapping.unmap());
        if number >= WARM_UP {
            self.unmap.add(ticks);
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pages, sg, buffers) = match *self {
            Memory::Pages(pages) => (pages, 0, 1),
            Memory::Different => (1, 0, DIFFERENT),
            Memory::Scattered => (SCATTERED as usize, 1, 1),
        };
        write!(f, "pages={pages} sg={sg} buffers={buffers}")
    }
}

/// Measures buffers and a scatter list, and reports the instructions of each.
///
/// # Errors
///
/// [`ENODEV`] if the device is missing; [`EIO`] if the scatter list is too short; or an error of
/// the DMA API.
pub(crate) fn measure(report: &mut Report) -> Result {
    for (_, memory) in ROWS {
        let mut counter = Counter::default();
        measure_memory(&mut counter, memory)?;
        for (op, stats) in [("map", counter.map), ("unmap", counter.unmap)] {
            let net = stats.without_overhead();
            report.write_line(format_args!("dma op={op} {memory} {net}"))?;
        }
    }
    Ok(())
}

/// Puts the calls of one kind into windows for the profiler.
struct Windows {
    maps: bool,
}

impl Windows {
    #[inline(always)]
    fn call<R>(&self, is_wanted: bool, number: u32, f: impl FnOnce() -> R) -> R {
        if is_wanted && number >= WARM_UP {
            measure::window(f)
        } else {
            f()
        }
    }
}

impl Meter for Windows {
    #[inline(always)]
    fn map(&mut self, number: u32, mapping: &mut impl Streaming) -> Result {
        self.call(self.maps, number, || mapping.map())
    }

    #[inline(always)]
    fn unmap(&mut self, number: u32, mapping: &mut impl Streaming) {
        self.call(!self.maps, number, || mapping.unmap())
    }
}

/// Profiles the maps or the unmaps of row `name`. Returns the number of windows.
///
/// # Errors
///
/// [`EINVAL`] if there is no such row; otherwise as for [`measure`].
pub(crate) fn profile(name: &str, maps: bool) -> Result<u32> {
    let row = ROWS.iter().find(|row| row.0 == name).ok_or(EINVAL)?;
    measure_memory(&mut Windows { maps }, row.1)?;
    Ok(ROUNDS)
}
