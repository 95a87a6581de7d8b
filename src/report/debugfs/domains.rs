// SPDX-License-Identifier: GPL-2.0

//! `vtd/domains`: the paging domains, in lines like those of `vtd/groups`.

use super::view::chunk_done;
use crate::domain::{DomainInner, Listed};
use crate::machine::Machine;
use core::fmt::{self, Write};
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;

fn str_yes_no(value: bool) -> &'static str {
    if value {
        "yes"
    } else {
        "no"
    }
}

fn write_domain(domain: &DomainInner, to: &mut Text<'_>) -> fmt::Result {
    let (width, mapped) = (domain.width(), domain.mapped());
    write!(
        to,
        "domain=#{} allocated-for={} primary={} width={} levels={} coherent={} snoops={} lazy={} \
         units=",
        domain.number(),
        domain.allocated_for(),
        **domain.primary_unit(),
        width.bits(),
        width.levels(),
        str_yes_no(domain.is_coherent()),
        str_yes_no(domain.snoops()),
        str_yes_no(domain.is_lazy()),
    )?;
    let mut none = true;
    let mut written = Ok(());
    let listed = domain.for_each_unit(|unit, id, devices| {
        let comma = if none { "" } else { "," };
        written = written.and_then(|()| write!(to, "{comma}{unit}:{id}:{devices}"));
        none = false;
    });
    written?;
    if none {
        to.write_str(if listed.is_ok() { "-" } else { "?" })?;
    }
    let (flushes, flushes_all) = domain.flushes();
    write!(
        to,
        " maps={} unmaps={} mapped-bytes={} unmapped-bytes={} flushes={flushes} \
         flushes-all={flushes_all}",
        mapped.maps, mapped.unmaps, mapped.mapped_bytes, mapped.unmapped_bytes
    )?;
    let held = mapped.held;
    write!(
        to,
        " held-pages={} held-now={} held-most={} held-freed={} held-lost={}",
        held.total, held.now, held.most, held.freed, held.lost
    )?;
    match domain.count_tables() {
        Some(census) => writeln!(
            to,
            " tables={} leaves-2m={} leaves-1g={}",
            census.tables, census.leaves_2m, census.leaves_1g
        ),
        None => writeln!(to, " tables=? leaves-2m=? leaves-1g=?"),
    }
}

/// Writes a line for each paging domain of the kernel and of users; a chunk is a domain.
pub(super) fn show_domains(
    machine: &Arc<Machine>,
    number: u64,
    _: &mut u64,
    to: &mut Text<'_>,
) -> Option<u64> {
    let domain = machine.domains.first_from(number)?;
    chunk_done(write_domain(&domain, to), Some(domain.number() + 1))
}
