// SPDX-License-Identifier: GPL-2.0

//! The same works for QEMU's trace of the unit to count: between two marks there are the round
//! trips of one work and no attach.

use crate::ground;
use crate::report::Report;
use crate::work::{Work, WORKS};
use kernel::prelude::*;
use kernel_ext::bench::measure::TraceMarker;
use kernel_ext::bench::Domain;

const ROUNDS: u32 = 16;
const FIRST_MARK: u32 = 1000;

fn play(domain: &mut Domain, work: &Work, marker: &TraceMarker, mark: u32) -> Result {
    work.surround(domain)?;
    marker.set(mark);
    for number in 0..ROUNDS {
        let round = work.round(number);
        round.map(domain).ok()?;
        let unmapped = round.unmap(domain);
        round.is_whole(unmapped)?;
    }
    marker.set(mark + 1);
    work.clear(domain);
    Ok(())
}

pub(crate) fn count(report: &mut Report) -> Result {
    let marker = TraceMarker::find().ok_or(ENODEV)?;
    for (work, mark) in WORKS.iter().zip((FIRST_MARK..).step_by(2)) {
        play(&mut ground::domain(true)?, work, &marker, mark)?;
        report.say(format_args!(
            "descriptors work={} mark={mark} rounds={ROUNDS}",
            work.name
        ))?;
    }
    Ok(())
}
