// SPDX-License-Identifier: GPL-2.0

//! Refuses to give a user a device that cannot be isolated from an untranslated one.

use super::info::DeviceInfo;
use core::fmt;
use kernel::prelude::*;
use kernel_ext::iommu::{AttachArgs, DomainKind};
use kernel_ext::log_dev_warn;
use kernel_ext::pci::PciDevice;

/// A device that no unit translates, and from which another device cannot be isolated.
enum Neighbour {
    /// Its unit is left out.
    LeftOut(PciDevice),
    /// It was left in pass-through when the driver was loaded.
    Adopted(PciDevice),
    /// There was not enough memory to list the devices that are left out.
    Unknown,
}

impl fmt::Display for Neighbour {
    /// Formats why the other device cannot be given to a user, as the end of a sentence.
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

/// Returns an untranslated device from which `info` cannot be isolated, if there is one.
///
/// # Context
///
/// May sleep.
fn neighbour_of(info: &DeviceInfo) -> Option<Neighbour> {
    let group = info.state.lock().group_id;
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

/// Checks that a device that is to be given to a user can be isolated from all untranslated
/// devices.
///
/// # Errors
///
/// [`EBUSY`]: it cannot. The log has the reason.
///
/// # Context
///
/// May sleep.
pub(super) fn refuse_neighbour_of_untranslated(info: &DeviceInfo, args: &AttachArgs) -> Result {
    let to_user = matches!(args.new.kind, DomainKind::Iommufd | DomainKind::Unmanaged);
    let Some(neighbour) = to_user.then(|| neighbour_of(info)).flatten() else {
        return Ok(());
    };
    if let Some(note) = info.log_limit.allow_line() {
        log_dev_warn!(
            info.pci.as_device(),
            "{}: {info} cannot be given to a user{neighbour}{note}",
            &*info.unit
        );
    }
    Err(EBUSY)
}
