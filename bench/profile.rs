// SPDX-License-Identifier: GPL-2.0

//! The maps and unmaps of `instructions`, in windows for the profiler instead of with time stamps.

use crate::dma;
use crate::fixture;
use crate::report::Report;
use crate::ticks::{REPETITIONS, WARM_UP};
use crate::workload::Workload;
use kernel::prelude::*;
use kernel_ext::bench::measure::{self, Mark};
use kernel_ext::bench::ConsumerDomain;

fn profile(domain: &mut ConsumerDomain, work: &Workload, maps: bool) -> Result {
    work.map_neighbours(domain)?;
    for number in 0..WARM_UP + REPETITIONS {
        let round = work.round(number);
        let counts = number >= WARM_UP;
        if counts && maps {
            measure::window(|| round.map(domain)).ok()?;
        } else {
            round.map(domain).ok()?;
        }
        let unmapped = if counts && !maps {
            measure::window(|| round.unmap(domain))
        } else {
            round.unmap(domain)
        };
        round.check_size(unmapped)?;
    }
    work.unmap_neighbours(domain);
    Ok(())
}

/// Profiles an attach. It may sleep, so interrupts stay on.
fn profile_attach() -> Result {
    let mut domain = fixture::domain(true)?;
    for _ in 0..REPETITIONS {
        let claim = domain.detach().ok_or(EIO)?;
        measure::window_with_irqs_on(|| domain.attach(claim))?;
    }
    Ok(())
}

/// Profiles `row`, which is "WORKLOAD map" or "WORKLOAD unmap", followed by "attached" if the
/// device shall be attached; the same with a row of the DMA API and "dma" in front; or "attach" for
/// the attach of a device.
///
/// # Errors
///
/// [`EINVAL`] if `row` does not have this form; [`EIO`] if a page was not unmapped; or the error of
/// the core.
pub(crate) fn measure(report: &mut Report, row: &str) -> Result {
    let mut windows = REPETITIONS;
    if row == "attach" {
        profile_attach()?;
    } else if let Some(row) = row.strip_prefix("dma ") {
        windows = match row.split_once(' ').ok_or(EINVAL)? {
            (name, "map") => dma::profile(name, true)?,
            (name, "unmap") => dma::profile(name, false)?,
            _ => return Err(EINVAL),
        };
    } else {
        let mut words = row.split_ascii_whitespace();
        let work = words.next().and_then(Workload::find).ok_or(EINVAL)?;
        let maps = match words.next() {
            Some("map") => true,
            Some("unmap") => false,
            _ => return Err(EINVAL),
        };
        let attached = match words.next() {
            Some("attached") => true,
            None => false,
            _ => return Err(EINVAL),
        };
        profile(&mut fixture::domain(attached)?, work, maps)?;
    }
    report.write_line(format_args!("profile windows={windows}"))
}

/// Opens or closes a window around what user space does.
///
/// # Errors
///
/// [`EINVAL`] if `word` is neither "open" nor "close".
pub(crate) fn set_window(word: &str) -> Result {
    match word {
        "open" => measure::mark(Mark::Open),
        "close" => measure::mark(Mark::Close),
        _ => return Err(EINVAL),
    }
    Ok(())
}
