// SPDX-License-Identifier: GPL-2.0

//! Make a state and stay in it, so that user space can see how many pages it takes: a domain, an
//! attached device, a GiB mapped with pages of one size.

use crate::fixture;
use crate::report::Report;
use crate::workload::{IOVA_BASE, PHYS_BASE, SZ_1G, SZ_2M, SZ_4K};
use kernel::prelude::*;
use kernel_ext::bench::measure;
use kernel_ext::bench::ConsumerDomain;
use kernel_ext::pages::Gfp;

/// A domain, and the page size of the GiB that is mapped in it, if one is.
pub(crate) struct HeldState {
    domain: ConsumerDomain,
    mapped: Option<u64>,
}

impl HeldState {
    fn open(attached: bool) -> Result<Self> {
        Ok(HeldState {
            domain: fixture::domain(attached)?,
            mapped: None,
        })
    }

    /// A GiB of pages of this size: the memory is aligned to them and to no more.
    fn map(&mut self, size: u64) -> Result {
        let misalignment = if size == SZ_1G { 0 } else { size };
        self.domain
            .map(IOVA_BASE, PHYS_BASE + misalignment, SZ_1G, Gfp::KERNEL)
            .ok()?;
        self.mapped = Some(size);
        Ok(())
    }

    /// Each page by itself as a user would who mapped it so, or in one call.
    fn unmap(&mut self, by_page: bool) -> Result {
        let Some(page) = self.mapped.take() else {
            return Ok(());
        };
        let step = if by_page { page } else { SZ_1G };
        for at in (0..SZ_1G).step_by(step as usize) {
            if self.domain.unmap(IOVA_BASE + at, step) != step {
                return Err(EIO);
            }
        }
        Ok(())
    }
}

/// Makes `held` what the word says.
pub(crate) fn hold(held: &mut Option<HeldState>, word: &str) -> Result {
    match word {
        "domain" | "attached" => {
            release(held)?;
            *held = Some(HeldState::open(word == "attached")?);
            return Ok(());
        }
        "end" => return release(held),
        _ => {}
    }
    let held = held.as_mut().ok_or(ENOENT)?;
    match word {
        "4K" => held.map(SZ_4K),
        "2M" => held.map(SZ_2M),
        "1G" => held.map(SZ_1G),
        "nothing" => held.unmap(false),
        "nothing-by-page" => held.unmap(true),
        _ => Err(EINVAL),
    }
}

fn release(held: &mut Option<HeldState>) -> Result {
    held.take().map_or(Ok(()), |mut held| held.unmap(false))
}

/// What drivers of IOMMUs hold.
pub(crate) fn count_pages(report: &mut Report, state: &str) -> Result {
    let count = measure::pages_of_tables();
    report.write_line(format_args!("pages state={state} count={count}"))
}
