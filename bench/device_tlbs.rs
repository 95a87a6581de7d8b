// SPDX-License-Identifier: GPL-2.0

//! The cost of a 4K map and unmap in a domain whose devices use a device-TLB (ATS): the
//! vtd-requesters of the machine, one of them and then all. Counted in instructions, and between two
//! marks in QEMU's trace of the unit.

use crate::devices;
use crate::report::Report;
use crate::workload::{IOVA_BASE, PHYS_BASE, SZ_4K};
use kernel::prelude::*;
use kernel_ext::bench::measure::TraceMarker;
use kernel_ext::bench::{Claim, ConsumerDomain};
use kernel_ext::pages::Gfp;
use kernel_ext::pci::PciDevice;

const VENDOR: u32 = 0x1b36;
const DEVICE: u32 = 0x00f0;
const ROUNDS: u32 = 16;
const FIRST_MARK: u32 = 1000;

fn requesters() -> impl Iterator<Item = PciDevice> {
    PciDevice::with_ids(VENDOR, DEVICE)
}

fn count_now(
    domain: &mut ConsumerDomain,
    marker: &TraceMarker,
    tlbs: usize,
    report: &mut Report,
) -> Result {
    for (op, stats) in devices::map_and_unmap(domain)? {
        let net = stats.without_overhead();
        report.write_line(format_args!("device-tlbs op={op} tlbs={tlbs} {net}"))?;
    }
    let mark = FIRST_MARK + 2 * tlbs as u32;
    marker.set(mark);
    for _ in 0..ROUNDS {
        domain.map(IOVA_BASE, PHYS_BASE, SZ_4K, Gfp::KERNEL).ok()?;
        domain.unmap(IOVA_BASE, SZ_4K);
    }
    marker.set(mark + 1);
    report.write_line(format_args!(
        "device-tlb-descriptors tlbs={tlbs} mark={mark} rounds={ROUNDS}"
    ))
}

/// Attaches one vtd-requester, and then all others, and reports the cost each time.
///
/// # Errors
///
/// [`ENODEV`] if the machine has no vtd-requester or no iommu-testdev, or an error of the core.
pub(crate) fn count(report: &mut Report) -> Result {
    let marker = TraceMarker::find().ok_or(ENODEV)?;
    let all = requesters().count();
    let first = requesters().next().ok_or(ENODEV)?;
    let mut domain = ConsumerDomain::new(&first, all)?;
    for (before, device) in requesters().enumerate() {
        domain.attach(Claim::new(&device)?)?;
        let tlbs = before + 1;
        if tlbs == 1 || tlbs == all {
            count_now(&mut domain, &marker, tlbs, report)?;
        }
    }
    Ok(())
}
