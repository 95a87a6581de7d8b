// SPDX-License-Identifier: GPL-2.0

//! `vtd/groups`: the members and the owner of each group.
//!
//! Each line has `name=value` words. A domain's number is written with `#`, as in `#4`, here and in
//! every other file and log line. A domain-id has no `#`: it belongs to a unit, and may be equal to
//! the number of another domain.
//!
//! A chunk has the number of a group; in other files it has that of a device or of a domain. Such
//! numbers are never reused. So if something is added or removed while a file is read, no other
//! line is omitted or repeated.

use super::users::DriverName;
use super::view::chunk_done;
use crate::device::DeviceInfo;
use crate::machine::Machine;
use core::fmt::{self, Write};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;
use vtd_core::ownership::{DomainInterface, OwnerState};

fn owner_name(states: &[OwnerState]) -> &'static str {
    let has = |wanted: fn(&OwnerState) -> bool| states.iter().any(wanted);
    if has(
        |state| matches!(state, OwnerState::User(owner) if owner.interface == DomainInterface::Iommufd),
    ) {
        "iommufd"
    } else if has(|state| matches!(state, OwnerState::User(_))) {
        "user"
    } else if has(|state| matches!(state, OwnerState::KernelOwn)) {
        "driver"
    } else if has(|state| matches!(state, OwnerState::Kernel)) {
        "kernel"
    } else {
        "nobody"
    }
}

fn write_member(info: &DeviceInfo, owner: &str, to: &mut Text<'_>) -> fmt::Result {
    let (attached_to, group, id, domain) = {
        let state = info.state.lock();
        let domain = state.domain().map(|domain| domain.number());
        (state.attached_to, state.group_id, state.domain_id, domain)
    };
    match group {
        Some(group) => write!(to, "group={group}")?,
        None => write!(to, "group=-")?,
    }
    let driver = DriverName::of(info.pci.as_device());
    write!(
        to,
        " owner={owner} device={info} driver={driver} unit={} attached={attached_to}",
        *info.unit
    )?;
    match domain {
        Some(domain) => write!(to, " domain=#{domain} domain-id={id}")?,
        None => write!(to, " domain=- domain-id=-")?,
    }
    let (faults, _) = info.fault_limit.counts();
    write!(to, " faults={faults} requesters=")?;
    for (index, requester) in info.requesters.iter().enumerate() {
        write!(to, "{}{requester}", if index == 0 { "" } else { "," })?;
    }
    writeln!(to)
}

/// Writes a line for each member of each group. A chunk is a group; chunk 0 has the devices that
/// are in no group.
pub(super) fn show_groups(
    machine: &Arc<Machine>,
    number: u64,
    _: &mut u64,
    to: &mut Text<'_>,
) -> Option<u64> {
    let group = number.checked_sub(1);
    let Ok(members) = machine.members_of(group) else {
        return chunk_done(writeln!(to, "(not all is shown: no memory)"), None);
    };
    let mut states = KVec::new();
    for info in &members {
        let owner_state = info.state.lock().owner_state;
        // Without memory, the owner is derived from the other members.
        let _ = states.push(owner_state, GFP_KERNEL);
    }
    let owner = owner_name(&states);
    let mut written = members
        .iter()
        .try_for_each(|info| write_member(info, owner, to));
    if number == 0 {
        machine.untranslated.adopted.for_each(|device| {
            let device = device.as_device();
            let line = writeln!(
                to,
                "group=- owner=kernel device={device} driver={} unit=- attached=untranslated \
                 domain=- domain-id=- faults=0 requesters=-",
                DriverName::of(device)
            );
            written = written.and(line);
        });
    }
    chunk_done(written, machine.next_group(group).map(|group| group + 1))
}
