// SPDX-License-Identifier: GPL-2.0

//! Make a state and stay in it, so that user space can see how many pages it takes: a domain, an
//! attached device, a GiB mapped with pages of one size.

use crate::ground;
use crate::report::Report;
use crate::work::{BASE, GIGA, KILO_4, MEGA_2, PHYS};
use kernel::prelude::*;
use kernel_ext::bench::measure;
use kernel_ext::bench::Domain;
use kernel_ext::pages::Gfp;

/// A domain, and the page size of the GiB that is mapped in it, if one is.
pub(crate) struct Held {
    domain: Domain,
    mapped: Option<u64>,
}

impl Held {
    fn open(attached: bool) -> Result<Self> {
        Ok(Held {
            domain: ground::domain(attached)?,
            mapped: None,
        })
    }

    /// A GiB of pages of this size: the memory is aligned to them and to no more.
    fn map(&mut self, size: u64) -> Result {
        let beside = if size == GIGA { 0 } else { size };
        self.domain
            .map(BASE, PHYS + beside, GIGA, Gfp::KERNEL)
            .ok()?;
        self.mapped = Some(size);
        Ok(())
    }

    /// Each page by itself as a user would who mapped it so, or in one call.
    fn unmap(&mut self, by_page: bool) -> Result {
        let Some(page) = self.mapped.take() else {
            return Ok(());
        };
        let step = if by_page { page } else { GIGA };
        for at in (0..GIGA).step_by(step as usize) {
            if self.domain.unmap(BASE + at, step) != step {
                return Err(EIO);
            }
        }
        Ok(())
    }
}

/// Makes `held` what the word says.
pub(crate) fn hold(held: &mut Option<Held>, what: &str) -> Result {
    match what {
        "domain" | "attached" => {
            end(held)?;
            *held = Some(Held::open(what == "attached")?);
            return Ok(());
        }
        "end" => return end(held),
        _ => {}
    }
    let held = held.as_mut().ok_or(ENOENT)?;
    match what {
        "4K" => held.map(KILO_4),
        "2M" => held.map(MEGA_2),
        "1G" => held.map(GIGA),
        "nothing" => held.unmap(false),
        "nothing-by-page" => held.unmap(true),
        _ => Err(EINVAL),
    }
}

fn end(held: &mut Option<Held>) -> Result {
    held.take().map_or(Ok(()), |mut held| held.unmap(false))
}

/// What drivers of IOMMUs hold.
pub(crate) fn count_pages(report: &mut Report, state: &str) -> Result {
    let count = measure::pages_of_tables();
    report.say(format_args!("pages state={state} count={count}"))
}
