// SPDX-License-Identifier: GPL-2.0

//! A user gets no device that cannot be isolated from one that no unit translates.

use super::info::DeviceInfo;
use core::fmt;
use kernel::prelude::*;
use kernel_ext::iommu::{AttachArgs, DomainKind};
use kernel_ext::log_warn;
use kernel_ext::pci::PciDevice;

/// A device that no unit translates and that another one cannot be isolated from.
enum Neighbour {
    /// Its unit is left out.
    LeftOut(PciDevice),
    /// It runs on as it was when the driver was loaded.
    Adopted(PciDevice),
    /// There was no memory to list those that are left out.
    Unknown,
}

impl fmt::Display for Neighbour {
    /// Why the other one cannot be given to a user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut(device) => write!(
                f,
                ": {}, which cannot be isolated from it, is behind no unit",
                device.as_device()
            ),
            Self::Adopted(device) => write!(
                f,
                " while {}, which cannot be isolated from it, is in pass-through; remove and \
                 rescan that device first",
                device.as_device()
            ),
            Self::Unknown => f.write_str(
                ": not enough memory to list the devices that it cannot \
                                          be isolated from",
            ),
        }
    }
}

/// May sleep.
fn neighbour_of(info: &DeviceInfo) -> Option<Neighbour> {
    let group = info.state.lock().group_id();
    let groups = info.ownership.lock();
    let in_group = |device: &PciDevice| group.is_some_and(|id| groups.has_member(id, device));
    let (lists, requesters) = (&info.untranslated, &info.requesters);
    match lists
        .left_out
        .find_neighbour(&info.pci, info.segment, requesters, in_group)
    {
        Err(_) => return Some(Neighbour::Unknown),
        Ok(Some(other)) => return Some(Neighbour::LeftOut(other)),
        Ok(None) => {}
    }
    lists
        .adopted
        .find_neighbour(&info.pci, &info.unit, requesters, in_group)
        .map(Neighbour::Adopted)
}

/// [`EBUSY`], with the reason in the log, if a user shall have a device beside one that runs
/// untranslated and cannot be isolated from it.
pub(super) fn refuse_neighbour_of_untranslated(info: &DeviceInfo, args: &AttachArgs) -> Result {
    let to_user = matches!(args.new.kind, DomainKind::Iommufd | DomainKind::Unmanaged);
    let Some(neighbour) = to_user.then(|| neighbour_of(info)).flatten() else {
        return Ok(());
    };
    if let Some(note) = info.log_limit.allow_line() {
        log_warn!(
            "{}: {info} cannot be given to a user{neighbour}{note}",
            &*info.unit
        );
    }
    Err(EBUSY)
}
