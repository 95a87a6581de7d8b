// SPDX-License-Identifier: GPL-2.0

//! Attach: checks ownership, then compatibility, then writes the context entries. An attach that is
//! refused has changed nothing.
//!
//! A device's first attach, and one that returns it to its previous domain, need no memory, because
//! the core cannot handle their failure. The context tables are allocated when the device is
//! probed. Its entry in the group record is reserved when it joins its group. The domain-id of a
//! default domain, and its place in the domain's list of units, are allocated with the domain.
//!
//! A device may be blocked only for the duration of a reset. The core then returns it to its
//! previous domain, and warns (WARN) about a driver that refuses. So a blocked device retains a
//! reference to the domain-id of its previous domain, which it uses again when it returns.

use super::attachment::{AttachTarget, AttachedTo, DeviceState};
use super::info::DeviceInfo;
use super::neighbours::refuse_neighbour_of_untranslated;
use super::ownership::{Grant, GroupRecords};
use super::trace::{trace_attach, trace_refusal};
use crate::unit::{Translation, WasInstalled};
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel_ext::device::Device;
use kernel_ext::iommu::{AttachArgs, DomainKind, RegionKind};
use kernel_ext::trace::RefusedBy;
use kernel_ext::{log_dev_err, log_dev_info, log_dev_warn};
use vtd_core::ownership::{
    AttachPhase, AttachRequest, BoundDriver, DomainInterface, Owner, RequestedDomain,
};

/// Attaches a device to `target`, for all of its requester IDs. The target is checked and the
/// device is added to it once ownership is granted.
///
/// # Errors
///
/// [`EBUSY`]: the device has another owner, or cannot be isolated from an untranslated device.
/// [`EPERM`]: firmware reserved memory for it, and `target` is not a domain of the kernel. The
/// errors of [`AttachTarget`] and of `Unit::install`. The log has the reason.
///
/// # Context
///
/// May sleep. The core holds the group's mutex.
pub(crate) fn attach(
    dev: &Device,
    info: &DeviceInfo,
    args: &AttachArgs,
    target: &impl AttachTarget,
) -> Result {
    let refused = |by| trace_refusal(info, args, by);
    refuse_neighbour_of_untranslated(info, args).inspect_err(refused(RefusedBy::Neighbour))?;
    if args.new.kind != DomainKind::Blocked {
        info.access_control.hold_for_attach();
    }
    refuse_reserved(info, args).inspect_err(refused(RefusedBy::ReservedMemory))?;
    let mut groups = info.ownership.lock();
    let mut state = info.state.lock();
    let grant = check_ownership(&mut groups, dev, info, args, &state)
        .inspect_err(refused(RefusedBy::Owner))?;
    target
        .check(&info.unit)
        .inspect_err(refused(RefusedBy::Tables))?;
    let to = add_unit(info, &mut state, args, target).inspect_err(refused(RefusedBy::DomainId))?;
    let attached = target.domain();
    let from = state.attached_to;
    let before = match from {
        AttachedTo::Blocked => WasInstalled::No,
        _ => WasInstalled::Yes,
    };
    let silenced = info.unit.is_fault_processing_disabled(&info.requesters);
    if let Err(e) = info.unit.install(&info.requesters, before, to) {
        if !accept_while_failed(info, &state, args) {
            if let Some(attached) = attached {
                drop(attached.detach_unit(&info.unit));
            }
            refused(RefusedBy::Unit)(&e);
            return Err(e);
        }
    }
    state.owner_state = groups.commit(&info.pci, grant);
    record(&mut state, args, to);
    let recorded = silenced && !info.unit.is_fault_processing_disabled(&info.requesters);
    if recorded && info.fault_limit.may_announce() {
        log_dev_info!(
            info.pci.as_device(),
            "{}: {info}: its faults are recorded again",
            &*info.unit
        );
    }
    let old = core::mem::replace(&mut state.domain, attached);
    let share = old.as_ref().and_then(|old| old.detach_unit(&info.unit));
    state.retained_id = share.filter(|_| args.new.kind == DomainKind::Blocked);
    trace_attach(info, from, &state);
    drop(state);
    drop(groups);
    // Dropped after the locks are released: it may be the last reference to the domain.
    drop(old);
    Ok(())
}

/// Checks whether the owner of `args.new` may have the device.
///
/// # Errors
///
/// [`EBUSY`]: its group has another owner. The log has the reason.
fn check_ownership(
    groups: &mut GroupRecords,
    dev: &Device,
    info: &DeviceInfo,
    args: &AttachArgs,
    state: &DeviceState,
) -> Result<Grant> {
    // The core forms the group before it attaches a member.
    let group = state.group_id().ok_or(ENODEV)?;
    let request = AttachRequest {
        wanted: wanted(args),
        driver: driver_of(dev, info),
        phase: AttachPhase::Attach,
    };
    groups
        .check(group, &info.pci, state, &request)?
        .map_err(|refused| {
            if let Some(note) = info.log_limit.allow_line() {
                log_dev_warn!(info.pci.as_device(), "{}: {refused}{note}", &*info.unit);
            }
            EBUSY
        })
}

/// Adds the device's unit to `target`, which can use it. Returns what to install.
///
/// # Errors
///
/// Those of [`AttachTarget::attach_unit`].
fn add_unit(
    info: &DeviceInfo,
    state: &mut DeviceState,
    args: &AttachArgs,
    target: &impl AttachTarget,
) -> Result<Translation> {
    let to_previous = state.previous_domain == Some(args.new.token);
    let retained_id = state.retained_id.take_if(|_| to_previous);
    target
        .attach_unit(&info.unit, retained_id)
        .inspect_err(|e| info.explain_no_domain_id(*e))
}

/// Records that `to` is installed for the domain `args.new`.
fn record(state: &mut DeviceState, args: &AttachArgs, to: Translation) {
    state.attached_to = args.new.kind.into();
    state.domain_id = match to {
        Translation::SecondStage { id, .. } => id.raw(),
        _ => 0,
    };
    state.in_group_record = true;
    state.previous_domain = args.old.map(|old| old.token);
}

fn wanted(args: &AttachArgs) -> RequestedDomain {
    let owner = |interface| Owner {
        interface,
        token: args.new.token,
    };
    match args.new.kind {
        DomainKind::Blocked => RequestedDomain::Blocked,
        DomainKind::Identity => RequestedDomain::Identity,
        DomainKind::DmaApi => RequestedDomain::Dma,
        DomainKind::Iommufd => RequestedDomain::Unmanaged(owner(DomainInterface::Iommufd)),
        DomainKind::Unmanaged => RequestedDomain::Unmanaged(owner(DomainInterface::Api)),
    }
}

fn driver_of(dev: &Device, info: &DeviceInfo) -> BoundDriver {
    match dev.driver() {
        None => {
            info.bound_before.store(false, Ordering::Relaxed);
            BoundDriver::None
        }
        Some(driver) if driver.driver_managed_dma => BoundDriver::ManagesDma,
        Some(_) if info.bound_before.load(Ordering::Relaxed) => BoundDriver::UnknownToCore,
        Some(_) => BoundDriver::KnownToCore,
    }
}

/// Returns whether the attach succeeds in spite of an error of `install`, because the unit has
/// failed and the core cannot handle a refusal. Nothing behind a failed unit reaches memory,
/// whatever the device is attached to, so this grants no more than was requested. Logs the outcome,
/// also if the attach is refused.
fn accept_while_failed(info: &DeviceInfo, state: &DeviceState, args: &AttachArgs) -> bool {
    if !info.unit.has_failed() {
        return false;
    }
    let accepted = must_not_fail(state, args);
    if args.new.kind == DomainKind::Blocked {
        return accepted;
    }
    if let Some(note) = info.log_limit.allow_line() {
        log_dev_err!(
            info.pci.as_device(),
            "{}: {info}: {}: the unit failed earlier; reload vtd or reboot{note}",
            &*info.unit,
            match (accepted, args.old) {
                (true, None) => "first domain set, but the device stays blocked",
                (true, Some(_)) => "domain restored, but the device stays blocked",
                (false, _) => "not attached",
            }
        );
    }
    accepted
}

/// Returns whether the core relies on this attach, and warns about a driver that refuses it. These
/// are the first attach of a device, an attach that blocks it, one that returns it to its previous
/// domain (after a reset, or because a sibling was refused), and one that returns it to the kernel
/// from a user or from a claim.
fn must_not_fail(state: &DeviceState, args: &AttachArgs) -> bool {
    let is_kernel_domain = |kind| matches!(kind, DomainKind::DmaApi | DomainKind::Identity);
    let Some(old) = args.old else {
        return true;
    };
    args.new.kind == DomainKind::Blocked
        || state.previous_domain == Some(args.new.token)
        || (is_kernel_domain(args.new.kind) && !is_kernel_domain(old.kind))
}

/// Checks that a device for which firmware reserved memory (RMRR) is not given to a user, in whose
/// domain nothing would map that memory. The core refuses a claim in this case, but not an attach
/// to a domain that a driver allocated.
///
/// # Errors
///
/// [`EPERM`]: the device would be given to a user. The log has the reason.
fn refuse_reserved(info: &DeviceInfo, args: &AttachArgs) -> Result {
    let is_unmanaged = matches!(args.new.kind, DomainKind::Iommufd | DomainKind::Unmanaged);
    let reserved = info
        .regions
        .iter()
        .find(|region| is_unmanaged && region.kind == RegionKind::Direct);
    let Some(region) = reserved else {
        return Ok(());
    };
    if let Some(note) = info.log_limit.allow_line() {
        log_dev_warn!(
            info.pci.as_device(),
            "{}: {info} cannot be given to a user: firmware requires it to reach {:#x} to {:#x} at \
             all times (RMRR), which only a kernel domain maps; ask the platform's vendor{note}",
            &*info.unit,
            region.start,
            region.start.saturating_add(region.bytes).saturating_sub(1)
        );
    }
    Err(EPERM)
}

/// Releases a device: blocks it, unless `stays_attached`, and only then removes it from the record
/// of its group, so that the group may get another owner.
///
/// # Context
///
/// May sleep.
pub(crate) fn release(info: &DeviceInfo, stays_attached: bool) {
    if !stays_attached {
        block(info);
    }
    info.leave_group();
}

/// Puts a device that is being released in pass-through if firmware reserved memory for it (RMRR)
/// and continues to use it. Returns whether it is in pass-through.
///
/// # Context
///
/// May sleep.
pub(crate) fn pass_through_if_reserved(info: &DeviceInfo) -> bool {
    if !info.regions.iter().any(|region| region.in_use) {
        return false;
    }
    let mut state = info.state.lock();
    let before = match state.attached_to {
        AttachedTo::Identity => return true,
        AttachedTo::Blocked => WasInstalled::No,
        AttachedTo::Dma => WasInstalled::Yes,
        // What a user has programmed does not get all of memory on unload.
        AttachedTo::Unmanaged => return false,
    };
    let to = Translation::PassThrough;
    if info.unit.install(&info.requesters, before, to).is_err() {
        return false;
    }
    let from = core::mem::replace(&mut state.attached_to, AttachedTo::Identity);
    let old = state.domain.take();
    trace_attach(info, from, &state);
    drop(state);
    if let Some(old) = old {
        drop(old.detach_unit(&info.unit));
    }
    true
}

/// Blocks a device that is being released, whatever it is attached to.
fn block(info: &DeviceInfo) {
    let mut state = info.state.lock();
    state.retained_id = None;
    if state.attached_to == AttachedTo::Blocked {
        return;
    }
    // A unit that has failed blocks the device as well.
    let _ = info
        .unit
        .install(&info.requesters, WasInstalled::Yes, Translation::Blocked);
    let from = core::mem::replace(&mut state.attached_to, AttachedTo::Blocked);
    let old = state.domain.take();
    trace_attach(info, from, &state);
    drop(state);
    if let Some(old) = old {
        drop(old.detach_unit(&info.unit));
    }
}
