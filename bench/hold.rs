// SPDX-License-Identifier: GPL-2.0

//! Creates a state and keeps it, so that user space can read how many pages it needs: a domain, an
//! attached device, 1 GiB mapped with pages of one size.

use crate::fixture;
use crate::report::Report;
use crate::workload::{IOVA_BASE, PHYS_BASE, SZ_1G, SZ_2M, SZ_4K};
use kernel::prelude::*;
use kernel_ext::bench::measure;
use kernel_ext::bench::ConsumerDomain;
use kernel_ext::pages::Gfp;

/// A domain, and the page size with which 1 GiB is mapped in it, if it is mapped.
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

    /// Maps 1 GiB with pages of this size: the memory is aligned to this size and not more.
    fn map(&mut self, size: u64) -> Result {
        let misalignment = if size == SZ_1G { 0 } else { size };
        self.domain
            .map(IOVA_BASE, PHYS_BASE + misalignment, SZ_1G, Gfp::KERNEL)
            .ok()?;
        self.mapped = Some(size);
        Ok(())
    }

    /// Unmaps each page separately, as a user that has mapped it so, or all in one call.
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

/// Changes `held` to the state that `word` names.
///
/// # Errors
///
/// [`ENOENT`] if `word` requires a domain and none is held; [`EINVAL`] if `word` names no state; or
/// the error of the core.
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

/// Reports how many pages IOMMU drivers have allocated.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails.
pub(crate) fn count_pages(report: &mut Report, state: &str) -> Result {
    let count = measure::pages_of_tables();
    report.write_line(format_args!("pages state={state} count={count}"))
}
