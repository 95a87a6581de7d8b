// SPDX-License-Identifier: GPL-2.0

//! What a 4K map and unmap take as the domain grows: 1 MiB of IOVA space in use, with 4K pages
//! throughout, to 64 GiB. The place is a hole in the middle of what is in use, so that its tables
//! are there from the start.

use crate::ground;
use crate::report::Report;
use crate::ticks::{Counts, REPETITIONS, WARM_UP};
use crate::work::{BASE, GIGA, KILO_4, MEGA, PHYS};
use kernel::prelude::*;
use kernel_ext::bench::measure;
use kernel_ext::bench::Domain;
use kernel_ext::pages::Gfp;

const SIZES: [u64; 7] = [
    MEGA,
    16 * MEGA,
    256 * MEGA,
    GIGA,
    4 * GIGA,
    16 * GIGA,
    64 * GIGA,
];

/// Chunk by chunk, so that the memory is never aligned to more than a page.
fn grow(domain: &mut Domain, from: u64, to: u64) -> Result {
    for at in (from..to).step_by(MEGA as usize) {
        domain
            .map(BASE + at, PHYS + KILO_4, MEGA, Gfp::KERNEL)
            .ok()?;
    }
    Ok(())
}

fn measure_at(domain: &mut Domain, iova: u64) -> Result<(Counts, Counts)> {
    let (mut map, mut unmap) = (Counts::default(), Counts::default());
    let phys = domain.translate(iova).ok_or(EIO)?;
    for number in 0..WARM_UP + REPETITIONS {
        let (unmap_ticks, unmapped) = measure::ticks(|| domain.unmap(iova, KILO_4));
        if unmapped != KILO_4 {
            return Err(EIO);
        }
        let (map_ticks, answer) = measure::ticks(|| domain.map(iova, phys, KILO_4, Gfp::ATOMIC));
        answer.ok()?;
        if number >= WARM_UP {
            unmap.add(unmap_ticks);
            map.add(map_ticks);
        }
    }
    Ok((map, unmap))
}

pub(crate) fn measure(report: &mut Report) -> Result {
    let mut domain = ground::domain(true)?;
    let mut used = 0;
    for size in SIZES {
        grow(&mut domain, used, size)?;
        used = size;
        let (map, unmap) = measure_at(&mut domain, BASE + used / 2 + 3 * KILO_4)?;
        let mib = used / MEGA;
        report.say(format_args!("growth op=map mib={mib} {}", map.net()))?;
        report.say(format_args!("growth op=unmap mib={mib} {}", unmap.net()))?;
    }
    if domain.unmap(BASE, used) != used {
        return Err(EIO);
    }
    Ok(())
}
