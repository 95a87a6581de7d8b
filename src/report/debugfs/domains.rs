// SPDX-License-Identifier: GPL-2.0

//! `vtd/domains`: the domains with page tables, in lines like those of `vtd/groups`.

use super::view::ended;
use crate::domain::{DomainLook, Listed};
use crate::machine::Vtd;
use core::fmt::{self, Write};
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;

fn yes(is: bool) -> &'static str {
    if is {
        "yes"
    } else {
        "no"
    }
}

fn domain(domain: &DomainLook, to: &mut Text<'_>) -> fmt::Result {
    let (width, mapped) = (domain.width(), domain.mapped());
    write!(
        to,
        "domain=#{} allocated-for={} primary={} width={} levels={} coherent={} snoops={} lazy={} \
         units=",
        domain.number(),
        domain.made_for(),
        **domain.home(),
        width.bits(),
        width.levels(),
        yes(domain.is_coherent()),
        yes(domain.snoops()),
        yes(domain.is_lazy()),
    )?;
    let mut none = true;
    let mut written = Ok(());
    let looked = domain.for_each_unit(|unit, id, devices| {
        let comma = if none { "" } else { "," };
        written = written.and_then(|()| write!(to, "{comma}{unit}:{id}:{devices}"));
        none = false;
    });
    written?;
    if none {
        to.write_str(if looked.is_ok() { "-" } else { "?" })?;
    }
    let (flushes, flushes_all) = domain.flushes();
    write!(
        to,
        " maps={} unmaps={} mapped-bytes={} unmapped-bytes={} flushes={flushes} \
         flushes-all={flushes_all}",
        mapped.maps, mapped.unmaps, mapped.mapped_bytes, mapped.unmapped_bytes
    )?;
    match domain.census() {
        Some(census) => writeln!(
            to,
            " tables={} leaves-2m={} leaves-1g={}",
            census.tables, census.leaves_2m, census.leaves_1g
        ),
        None => writeln!(to, " tables=? leaves-2m=? leaves-1g=?"),
    }
}

/// A line for each domain with tables, whoever made it; a part is a domain.
pub(super) fn domains(vtd: &Arc<Vtd>, number: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
    let look = vtd.domains.from(number)?;
    ended(domain(&look, to), Some(look.number() + 1))
}
