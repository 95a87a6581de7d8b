// SPDX-License-Identifier: GPL-2.0

//! `vtd/groups`, `vtd/users` and `vtd/domains`: whose the devices are, and what they can reach.
//!
//! Lines of `name=value` words. A domain's number is written `#4`, here and in every text, so that it
//! is not taken for a domain-id: that belongs to a unit, and may be the number of another domain.
//! Parts have the number of a group, of a device or of a domain. No such number is used twice:
//! whatever comes or goes during a reading, no other line is left out or repeated.

use super::debugfs::ended;
use crate::device::DeviceInfo;
use crate::domain::{DomainLook, Listed};
use crate::driver::Vtd;
use core::fmt::{self, Write};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;
use kernel_ext::device::{Device, Name};
use vtd_core::ownership::{State as Owned, Via};

/// A driver's name, or `-`.
struct Bound(Option<Name>);

impl Bound {
    fn of(device: &Device) -> Self {
        Bound(device.driver().map(|driver| driver.name))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => name.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// The line of `users` for a device.
pub(super) fn user(info: &DeviceInfo, to: &mut dyn Write) -> fmt::Result {
    let (is, group) = {
        let state = info.state.lock();
        (state.is, state.group_id())
    };
    let group = group.map_or(-1, i64::from);
    let driver = Bound::of(info.pci.as_device());
    writeln!(to, "{info} {group} {driver} {is}")
}

/// The lines of `users` for devices that run on untranslated, or are behind a unit that is left out.
pub(super) fn untranslated(vtd: &Vtd, to: &mut dyn Write) -> fmt::Result {
    let mut written = Ok(());
    vtd.untranslated.adopted.for_each(|device| {
        let device = device.as_device();
        let line = writeln!(to, "{device} -1 {} untranslated", Bound::of(device));
        written = written.and(line);
    });
    vtd.untranslated.left_out.for_each(|device| {
        let device = device.as_device();
        let line = writeln!(to, "{device} -1 {} no-unit", Bound::of(device));
        written = written.and(line);
    });
    written
}

/// The untranslated devices' part of `users`: above the number of any device.
const UNTRANSLATED: u64 = 1 << 61;

/// As `/sys/kernel/vtd/users`, but whole however long it is; a part is a device.
pub(super) fn users(vtd: &Arc<Vtd>, number: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
    if number > UNTRANSLATED {
        return None;
    }
    match vtd.device_from(number) {
        Some(info) => ended(user(&info, to), Some(info.number + 1)),
        None => ended(untranslated(vtd, to), Some(UNTRANSLATED + 1)),
    }
}

fn owner(states: &[Owned]) -> &'static str {
    let has = |wanted: fn(&Owned) -> bool| states.iter().any(wanted);
    if has(|state| matches!(state, Owned::User(owner) if owner.via == Via::Iommufd)) {
        "iommufd"
    } else if has(|state| matches!(state, Owned::User(_))) {
        "user"
    } else if has(|state| matches!(state, Owned::KernelOwn)) {
        "driver"
    } else if has(|state| matches!(state, Owned::Kernel)) {
        "kernel"
    } else {
        "nobody"
    }
}

fn member(info: &DeviceInfo, owner: &str, to: &mut Text<'_>) -> fmt::Result {
    let (is, group, id, domain) = {
        let state = info.state.lock();
        let domain = state.attached().map(|domain| domain.number());
        (state.is, state.group_id(), state.domain_id, domain)
    };
    match group {
        Some(group) => write!(to, "group={group}")?,
        None => write!(to, "group=-")?,
    }
    let driver = Bound::of(info.pci.as_device());
    write!(
        to,
        " owner={owner} device={info} driver={driver} unit={} attached={is}",
        *info.unit
    )?;
    match domain {
        Some(domain) => write!(to, " domain=#{domain} domain-id={id}")?,
        None => write!(to, " domain=- domain-id=-")?,
    }
    let (faults, _) = info.fault_reports.counts();
    write!(to, " faults={faults} requesters=")?;
    for (index, requester) in info.requesters.iter().enumerate() {
        write!(to, "{}{requester}", if index == 0 { "" } else { "," })?;
    }
    writeln!(to)
}

/// A line for each member of each group; a part is a group, 0 the devices that are in none.
pub(super) fn groups(vtd: &Arc<Vtd>, number: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
    let group = number.checked_sub(1);
    let Ok(members) = vtd.members_of(group) else {
        return ended(writeln!(to, "(not all is shown: no memory)"), None);
    };
    let mut states = KVec::new();
    for info in &members {
        let owned = info.state.lock().owned;
        // One less is judged where there is no memory.
        let _ = states.push(owned, GFP_KERNEL);
    }
    let owner = owner(&states);
    let mut written = members.iter().try_for_each(|info| member(info, owner, to));
    if number == 0 {
        vtd.untranslated.adopted.for_each(|device| {
            let device = device.as_device();
            let line = writeln!(
                to,
                "group=- owner=kernel device={device} driver={} unit=- attached=untranslated \
                 domain=- domain-id=- faults=0 requesters=-",
                Bound::of(device)
            );
            written = written.and(line);
        });
    }
    ended(written, vtd.group_above(group).map(|group| group + 1))
}

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
        "domain=#{} made-for={} home={} width={} levels={} coherent={} snoops={} lazy={} units=",
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
