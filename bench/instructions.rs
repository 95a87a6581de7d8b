// SPDX-License-Identifier: GPL-2.0

//! Instructions that one `iommu_map()` and one `iommu_unmap()` take.
//!
//! Each work is mapped and unmapped again at the same place, with nothing else in the domain but
//! what the work asks for. Every mapping is looked up and every unmap checked, outside of the
//! times: a driver is not fast for doing nothing.

use crate::ground;
use crate::report::Report;
use crate::ticks::{empty, Counts, REPETITIONS, WARM_UP};
use crate::work::{Round, Work, WORKS};
use kernel::prelude::*;
use kernel_ext::bench::measure;
use kernel_ext::bench::Domain;
use kernel_ext::log_err;

#[derive(Default)]
struct Tallies {
    map: Counts,
    unmap: Counts,
}

fn repeat(domain: &mut Domain, round: Round, tallies: &mut Tallies) -> Result {
    let (ticks, answer) = measure::ticks(|| round.map(domain));
    answer.ok()?;
    tallies.map.add(ticks);
    if !round.is_mapped(domain) {
        return Err(EIO);
    }
    let (ticks, unmapped) = measure::ticks(|| round.unmap(domain));
    round.is_whole(unmapped)?;
    if !round.is_unmapped(domain) {
        return Err(EIO);
    }
    tallies.unmap.add(ticks);
    Ok(())
}

fn measure_work(domain: &mut Domain, work: &Work) -> Result<Tallies> {
    let (mut ignored, mut tallies) = (Tallies::default(), Tallies::default());
    work.surround(domain)?;
    for number in 0..WARM_UP + REPETITIONS {
        let into = if number < WARM_UP {
            &mut ignored
        } else {
            &mut tallies
        };
        repeat(domain, work.round(number), into)?;
    }
    work.clear(domain);
    Ok(tallies)
}

fn measure_works(report: &mut Report, attached: bool) -> Result {
    for work in &WORKS {
        // A domain of its own, so that no work finds another's tables.
        let tallies = measure_work(&mut ground::domain(attached)?, work)
            .inspect_err(|err| log_err!("{} failed with error {}", work.name, err.to_errno()))?;
        for (op, tally) in [("map", tallies.map), ("unmap", tallies.unmap)] {
            report.say(format_args!(
                "instructions op={op} work={} attached={} {}",
                work.name,
                u8::from(attached),
                tally.net()
            ))?;
        }
    }
    Ok(())
}

pub(crate) fn measure(report: &mut Report) -> Result {
    let clock = empty();
    let (ticks, ()) = measure::ticks(measure::known);
    report.say(format_args!(
        "clock empty={clock} known={} expected={}",
        ticks.wrapping_sub(clock),
        measure::KNOWN
    ))?;
    measure_works(report, false)?;
    measure_works(report, true)
}
