// SPDX-License-Identifier: GPL-2.0

//! What attaching a device takes, and what a 4K map and unmap take, as devices are added to one
//! domain: every iommu-testdev of the machine, in bus order. Functions that cannot be isolated
//! from each other come as one group.

use crate::report::Report;
use crate::ticks::{Counts, REPETITIONS, WARM_UP};
use crate::work::{BASE, KILO_4, PHYS};
use kernel::prelude::*;
use kernel_ext::bench::measure;
use kernel_ext::bench::{Claim, Domain};
use kernel_ext::pages::Gfp;
use kernel_ext::pci::PciDevice;

const VENDOR: u32 = 0x1b36;
const DEVICE: u32 = 0x0005;
const GROUPS: usize = 256;
const MANY: usize = 256;

fn devices() -> impl Iterator<Item = PciDevice> {
    PciDevice::with_ids(VENDOR, DEVICE)
}

fn operate(report: &mut Report, domain: &mut Domain, functions: usize) -> Result {
    let (mut map, mut unmap) = (Counts::default(), Counts::default());
    for number in 0..WARM_UP + REPETITIONS {
        let (map_ticks, answer) = measure::ticks(|| domain.map(BASE, PHYS, KILO_4, Gfp::ATOMIC));
        answer.ok()?;
        let (unmap_ticks, unmapped) = measure::ticks(|| domain.unmap(BASE, KILO_4));
        if unmapped != KILO_4 {
            return Err(EIO);
        }
        if number >= WARM_UP {
            map.add(map_ticks);
            unmap.add(unmap_ticks);
        }
    }
    for (op, tally) in [("map", map), ("unmap", unmap)] {
        let net = tally.net();
        report.say(format_args!("devices op={op} functions={functions} {net}"))?;
    }
    Ok(())
}

pub(crate) fn measure(report: &mut Report) -> Result {
    let first = devices().next().ok_or(ENODEV)?;
    let mut domain = Domain::new(&first, GROUPS)?;
    let (mut groups, mut functions, mut told) = (0, 0, 0);
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
        let (ticks, done) = measure::ticks_disturbed(|| domain.attach(claim));
        done?;
        functions += joined;
        // At the first, at each doubling of the devices, and with many.
        if functions >= 2 * told || (told < MANY && functions >= MANY) {
            told = functions;
            report.say(format_args!(
                "attach functions={functions} joined={joined} ticks={ticks}"
            ))?;
            operate(report, &mut domain, functions)?;
        }
    }
    Ok(())
}
