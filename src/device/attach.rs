// SPDX-License-Identifier: GPL-2.0

//! Attach: ownership, then compatibility, then the context entries. A refusal has changed nothing.
//!
//! A device's first attach, and the way back to a domain of before, need no memory: the core cannot
//! cope with their refusal. The context tables are made when the device is probed, its account when
//! it joins its group, a default domain's id and its place among its units when it is made.
//!
//! A device that is blocked may only be so for the time of a reset, after which the core gives it
//! back the domain of before and warns of a driver that refuses. So it takes a share in the
//! domain-id along that it had there, and brings it back.

use super::attachment::{AttachTarget, State, Use};
use super::info::DeviceInfo;
use super::neighbours::refuse_beside_untranslated;
use super::regions::Region;
use crate::unit::{Claimed, Translation};
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel_ext::device::Device;
use kernel_ext::iommu::{AttachArgs, DomainKind, RegionKind};
use kernel_ext::{log_err, log_info, log_warn};
use vtd_core::ownership::{Driver, Owner, Phase, Request, Via, Wanted};

/// Attaches a device, for all of its requester IDs.
///
/// `target` is checked and joined once ownership is granted. [`EBUSY`] if the device is someone
/// else's; the errors of [`AttachTarget`]. The log has the reason.
pub(crate) fn attach(
    dev: &Device,
    info: &DeviceInfo,
    change: &AttachArgs,
    target: &impl AttachTarget,
) -> Result {
    refuse_beside_untranslated(info, change)?;
    if change.new.kind != DomainKind::Blocked {
        info.access_control.hold_for_attach();
    }
    refuse_reserved(info, change)?;
    let mut groups = info.ownership.lock();
    let mut state = info.state.lock();
    // The core forms the group before it attaches a member.
    let group = state.group_id().ok_or(ENODEV)?;
    let request = Request {
        wanted: wanted(change),
        driver: driver_of(dev, info),
        phase: Phase::Attach,
    };
    let granted = groups
        .ask(group, &info.pci, &state, &request)?
        .map_err(|refused| {
            if let Some(note) = info.log.ask() {
                log_warn!("{}: {refused}{note}", &*info.unit);
            }
            EBUSY
        })?;

    let returns = state.came_from == Some(change.new.identity);
    let brought = state.took_along.take_if(|_| returns);
    target.check(&info.unit)?;
    let to = target
        .join(&info.unit, brought)
        .inspect_err(|e| info.explain_no_id(*e))?;
    let attached = target.attached();
    let before = match state.is {
        Use::Blocked => Claimed::No,
        _ => Claimed::Yes,
    };
    let silenced = info.unit.is_silenced(&info.requesters);
    if let Err(e) = info.unit.install(&info.requesters, before, to) {
        if !goes_on_blocked(info, &state, change) {
            if let Some(attached) = attached {
                drop(attached.leave(&info.unit));
            }
            return Err(e);
        }
    }
    state.is = match change.new.kind {
        DomainKind::Blocked => Use::Blocked,
        DomainKind::Identity => Use::Identity,
        DomainKind::DmaApi => Use::Dma,
        DomainKind::Iommufd | DomainKind::Unmanaged => Use::Unmanaged,
    };
    state.domain_id = match to {
        Translation::SecondStage { id, .. } => id.raw(),
        _ => 0,
    };
    state.owned = groups.settle(&info.pci, granted);
    state.counted = true;
    state.came_from = change.old.map(|old| old.identity);
    let recorded = silenced && !info.unit.is_silenced(&info.requesters);
    if recorded && info.fault_reports.may_announce() {
        log_info!("{}: {info}: its faults are recorded again", &*info.unit);
    }
    let left = core::mem::replace(&mut state.attached, attached);
    let share = left.as_ref().and_then(|left| left.leave(&info.unit));
    state.took_along = share.filter(|_| change.new.kind == DomainKind::Blocked);
    drop(state);
    drop(groups);
    // Without the locks: it may be the last that there is of the domain.
    drop(left);
    Ok(())
}

fn wanted(change: &AttachArgs) -> Wanted {
    let owner = |via| Owner {
        via,
        token: change.new.identity,
    };
    match change.new.kind {
        DomainKind::Blocked => Wanted::Blocked,
        DomainKind::Identity => Wanted::Identity,
        DomainKind::DmaApi => Wanted::Dma,
        DomainKind::Iommufd => Wanted::Unmanaged(owner(Via::Iommufd)),
        DomainKind::Unmanaged => Wanted::Unmanaged(owner(Via::Api)),
    }
}

fn driver_of(dev: &Device, info: &DeviceInfo) -> Driver {
    match dev.driver() {
        None => {
            info.bound_before.store(false, Ordering::Relaxed);
            Driver::None
        }
        Some(driver) if driver.manages_dma => Driver::ManagesDma,
        Some(_) if info.bound_before.load(Ordering::Relaxed) => Driver::Uncounted,
        Some(_) => Driver::Counted,
    }
}

/// After an error of `install`: whether the attach is done all the same, because the unit was closed
/// and the core cannot cope with a refusal. Nothing behind a closed unit reaches memory, whatever the
/// device is said to be attached to, so no more is granted than was asked for. What the log says is
/// not for the granted attach alone.
fn goes_on_blocked(info: &DeviceInfo, state: &State, change: &AttachArgs) -> bool {
    if !info.unit.has_failed() {
        return false;
    }
    let goes_on = is_way_back(state, change);
    if change.new.kind == DomainKind::Blocked {
        return goes_on;
    }
    if let Some(note) = info.log.ask() {
        log_err!(
            "{}: {info} {}: the unit failed earlier, and every device behind it stays blocked: \
             reload vtd or reboot{note}",
            &*info.unit,
            match (goes_on, change.old) {
                (true, None) => "gets its first domain, but stays blocked",
                (true, Some(_)) => "gets its domain back, but stays blocked",
                (false, _) => "is not attached",
            }
        );
    }
    goes_on
}

/// Whether the core relies on this attach: it warns of a driver that refuses it. That is the first
/// one of a device, to be blocked, to get back the domain of before (a reset is over; a sibling was
/// refused), and to get back to the kernel from a user or from being claimed.
fn is_way_back(state: &State, change: &AttachArgs) -> bool {
    let is_kernels = |kind| matches!(kind, DomainKind::DmaApi | DomainKind::Identity);
    let Some(old) = change.old else {
        return true;
    };
    change.new.kind == DomainKind::Blocked
        || state.came_from == Some(change.new.identity)
        || (is_kernels(change.new.kind) && !is_kernels(old.kind))
}

/// [`EPERM`], with the reason in the log, if the domain is someone else's and firmware goes on
/// using the device: nothing would map what firmware reserved for it. The core refuses a claim for
/// that, but not a driver's own domain.
fn refuse_reserved(info: &DeviceInfo, change: &AttachArgs) -> Result {
    let is_other = matches!(change.new.kind, DomainKind::Iommufd | DomainKind::Unmanaged);
    let reserved = info
        .regions
        .iter()
        .find(|region| is_other && region.kind == RegionKind::Direct);
    let Some(region) = reserved else {
        return Ok(());
    };
    if let Some(note) = info.log.ask() {
        log_warn!(
            "{}: {info} cannot be given to a user: firmware requires it to reach {:#x} to {:#x} at \
             all times (RMRR), which only a kernel domain maps; ask the platform's vendor{note}",
            &*info.unit,
            region.start,
            region.start.saturating_add(region.bytes).saturating_sub(1)
        );
    }
    Err(EPERM)
}

/// A device leaves for good: it is blocked, unless it `keeps` what it is attached to, and only then
/// struck off its group's account, which lets others in.
pub(crate) fn leave(info: &DeviceInfo, keeps: bool) {
    if !keeps {
        block(info);
    }
    info.close_account();
}

/// Lets a device that leaves pass untranslated if firmware reserved memory for it (RMRR), with which
/// it goes on working. Whether it does. May sleep.
pub(crate) fn pass_reserved(info: &DeviceInfo) -> bool {
    let reserved = |region: &Region| region.kind == RegionKind::Direct;
    if !info.regions.iter().any(reserved) {
        return false;
    }
    let mut state = info.state.lock();
    let before = match state.is {
        Use::Identity => return true,
        Use::Blocked => Claimed::No,
        Use::Dma | Use::Unmanaged => Claimed::Yes,
    };
    let to = Translation::PassThrough;
    if info.unit.install(&info.requesters, before, to).is_err() {
        return false;
    }
    state.is = Use::Identity;
    let left = state.attached.take();
    drop(state);
    if let Some(left) = left {
        drop(left.leave(&info.unit));
    }
    true
}

/// Blocks a device that leaves, whatever it was attached to.
fn block(info: &DeviceInfo) {
    let mut state = info.state.lock();
    state.took_along = None;
    if state.is == Use::Blocked {
        return;
    }
    // A unit that fails has blocked the device as well.
    let _ = info
        .unit
        .install(&info.requesters, Claimed::Yes, Translation::Blocked);
    state.is = Use::Blocked;
    let left = state.attached.take();
    drop(state);
    if let Some(left) = left {
        drop(left.leave(&info.unit));
    }
}
