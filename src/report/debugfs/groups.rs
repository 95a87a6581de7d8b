// SPDX-License-Identifier: GPL-2.0

//! `vtd/groups`: whose the devices are.
//!
//! Lines of `name=value` words. A domain's number is written `#4`, here and in every text, so that it
//! is not taken for a domain-id: that belongs to a unit, and may be the number of another domain.
//! Parts have the number of a group, as those of other files have that of a device or of a domain. No
//! such number is used twice: whatever comes or goes during a reading, no other line is left out or
//! repeated.

use super::users::Bound;
use super::view::ended;
use crate::device::DeviceInfo;
use crate::machine::Vtd;
use core::fmt::{self, Write};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;
use vtd_core::ownership::{State as Owned, Via};

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
