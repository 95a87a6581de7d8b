// SPDX-License-Identifier: GPL-2.0

//! The cost of an attach, and of a 4K map and unmap, as devices are added to one domain: every
//! iommu-testdev of the machine, in bus order. Functions that cannot be isolated from each other
//! are attached as one group.

use crate::report::Report;
use crate::ticks::{TickStats, REPETITIONS, WARM_UP};
use crate::workload::{IOVA_BASE, PHYS_BASE, SZ_4K};
use kernel::prelude::*;
use kernel_ext::bench::measure;
use kernel_ext::bench::{Claim, ConsumerDomain};
use kernel_ext::pages::Gfp;
use kernel_ext::pci::PciDevice;

const VENDOR: u32 = 0x1b36;
const DEVICE: u32 = 0x0005;
const GROUPS: usize = 256;
const MANY: usize = 256;

fn devices() -> impl Iterator<Item = PciDevice> {
    PciDevice::with_ids(VENDOR, DEVICE)
}

/// Maps and unmaps a 4K page repeatedly, and returns the ticks of both operations.
///
/// # Errors
///
/// The error of the core; [`EIO`] if not all of the page was unmapped.
pub(crate) fn map_and_unmap(domain: &mut ConsumerDomain) -> Result<[(&'static str, TickStats); 2]> {
    let (mut map, mut unmap) = (TickStats::default(), TickStats::default());
    for number in 0..WARM_UP + REPETITIONS {
        let (map_ticks, answer) =
            measure::ticks(|| domain.map(IOVA_BASE, PHYS_BASE, SZ_4K, Gfp::ATOMIC));
        answer.ok()?;
        let (unmap_ticks, unmapped) = measure::ticks(|| domain.unmap(IOVA_BASE, SZ_4K));
        if unmapped != SZ_4K {
            return Err(EIO);
        }
        if number >= WARM_UP {
            map.add(map_ticks);
            unmap.add(unmap_ticks);
        }
    }
    Ok([("map", map), ("unmap", unmap)])
}

/// Adds devices to one domain and reports the cost as their number grows.
///
/// # Errors
///
/// [`ENODEV`] if the machine has no iommu-testdev, or an error of the core.
pub(crate) fn measure(report: &mut Report) -> Result {
    let first = devices().next().ok_or(ENODEV)?;
    let mut domain = ConsumerDomain::new(&first, GROUPS)?;
    let (mut groups, mut functions, mut last_reported) = (0, 0, 0);
    for device in devices() {
        if groups == GROUPS {
            break;
        }
        let claim = match Claim::new(&device) {
            // In no group, or in one that was claimed with an earlier function.
            Err(ENODEV | EPERM) => continue,
            claim => claim?,
        };
        groups += 1;
        let joined = claim.members()?;
        // Attaching may sleep, so interrupts stay on.
        let (ticks, done) = measure::ticks_with_irqs_on(|| domain.attach(claim));
        done?;
        functions += joined;
        // Report at the first device, at each doubling, and at `MANY`.
        if functions >= 2 * last_reported || (last_reported < MANY && functions >= MANY) {
            last_reported = functions;
            report.write_line(format_args!(
                "attach functions={functions} joined={joined} ticks={ticks}"
            ))?;
            for (op, stats) in map_and_unmap(&mut domain)? {
                let net = stats.without_overhead();
                report.write_line(format_args!("devices op={op} functions={functions} {net}"))?;
            }
        }
    }
    Ok(())
}
