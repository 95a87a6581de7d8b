// SPDX-License-Identifier: GPL-2.0

//! Attach: what [`vtd_core::concurrent::attach`] does in order with a device, its unit and a target.
//!
//! A device's first attach, and one that returns it to its previous domain, need no memory, because
//! the core cannot handle their failure. The context tables are allocated when the device is
//! probed. Its entry in the group record is reserved when it joins its group. The domain-id of a
//! default domain, and its place in the domain's list of units, are allocated with the domain.

use super::attachment::{attached_to, AttachState, AttachTarget, AttachedDomain, AttachedTo};
use super::info::DeviceInfo;
use super::neighbours::refuse_neighbour_of_untranslated;
use super::ownership::{Grant, GroupRecords};
use super::trace::{trace_attach, trace_refusal};
use crate::unit::{AllocatedDomainId, DeviceTlb, Translation, WasInstalled};
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::device::Device;
use kernel_ext::iommu::{AttachArgs, DomainInfo, DomainKind, RegionKind};
use kernel_ext::trace::RefusedBy;
use kernel_ext::{log_dev_err, log_dev_info, log_dev_warn};
use vtd_core::concurrent::attach::{
    self, AttachAttempt, AttachedDevice, DomainChange, NamedDomain, RefusingStep,
};
use vtd_core::ownership::{
    AttachPhase, AttachRequest, BoundDriver, DomainInterface, Owner, OwnerState, RequestedDomain,
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
    info.restore_after_reset();
    refuse_reserved(info, args).inspect_err(refused(RefusedBy::ReservedMemory))?;
    let named = |domain: DomainInfo| NamedDomain {
        kind: attached_to(domain.kind),
        token: domain.token,
    };
    let change = DomainChange {
        old: args.old.map(named),
        new: named(args.new),
    };
    let attempt = Attempt {
        dev,
        info,
        args,
        target,
    };
    attach::attach(info, &attempt, &change)
}

impl AttachedDevice for DeviceInfo {
    type Records = GroupRecords;
    type Grant = Grant;
    type Domain = Arc<dyn AttachedDomain>;
    type DomainId = Arc<AllocatedDomainId>;
    type Translation = Translation;
    type Error = Error;

    const BLOCKED: Translation = Translation::Blocked;
    const PASS_THROUGH: Translation = Translation::PassThrough;

    fn locked<R>(&self, work: impl FnOnce(&mut GroupRecords, &mut AttachState) -> R) -> R {
        let mut groups = self.ownership.lock();
        work(&mut groups, &mut self.state.lock().attach)
    }

    fn locked_state<R>(&self, work: impl FnOnce(&mut AttachState) -> R) -> R {
        work(&mut self.state.lock().attach)
    }

    fn commit(&self, groups: &mut GroupRecords, grant: Grant) -> OwnerState {
        groups.commit(&self.pci, grant)
    }

    fn leave_group(&self, groups: &mut GroupRecords, state: &AttachState) {
        groups.remove_member(&self.pci, state)
    }

    fn leave(&self, domain: &Arc<dyn AttachedDomain>) -> Option<Arc<AllocatedDomainId>> {
        domain.detach_unit(&self.unit, self.device_tlb.as_deref())
    }

    fn install(&self, before: WasInstalled, new: Translation) -> Result {
        let silenced = self.unit.is_fault_processing_disabled(&self.requesters);
        self.stop_device_tlb();
        let tlb = self.device_tlb.as_deref();
        self.unit.install(&self.requesters, before, new, tlb)?;
        if new.device_tlb() {
            self.start_device_tlb();
        }
        let recorded = silenced && !self.unit.is_fault_processing_disabled(&self.requesters);
        if recorded && self.fault_limit.may_announce() {
            log_dev_info!(
                self.pci.as_device(),
                "{}: {self}: its faults are recorded again",
                &*self.unit
            );
        }
        Ok(())
    }

    fn is_cut_off(&self) -> bool {
        self.unit.has_failed() || self.device_tlb.as_deref().is_some_and(DeviceTlb::is_lost)
    }

    fn report_attached(&self, from: AttachedTo, state: &AttachState) {
        trace_attach(self, from, state)
    }
}

/// A request of the core to attach a device to `target`.
struct Attempt<'a, T> {
    dev: &'a Device,
    info: &'a DeviceInfo,
    args: &'a AttachArgs,
    target: &'a T,
}

impl<T: AttachTarget> AttachAttempt<DeviceInfo> for Attempt<'_, T> {
    fn check_owner(&self, groups: &mut GroupRecords, state: &AttachState) -> Result<Grant> {
        check_ownership(groups, self.dev, self.info, self.args, state)
    }

    fn check_tables(&self) -> Result {
        self.target.check(&self.info.unit)
    }

    fn join(&self, retained_id: Option<Arc<AllocatedDomainId>>) -> Result<(Translation, u16)> {
        let to = self
            .target
            .attach_unit(
                &self.info.unit,
                retained_id,
                self.info.device_tlb.as_deref(),
            )
            .inspect_err(|e| self.info.explain_no_domain_id(*e))?;
        let id = match to {
            Translation::SecondStage { id, .. } | Translation::FirstStage { id, .. } => id.raw(),
            Translation::PassThrough | Translation::Blocked => 0,
        };
        Ok((to, id))
    }

    fn domain(&self) -> Option<Arc<dyn AttachedDomain>> {
        self.target.domain()
    }

    fn report_cut_off(&self, accepted: bool) {
        if self.args.new.kind != DomainKind::Blocked {
            log_cut_off(self.info, accepted, self.args)
        }
    }

    fn report_refusal(&self, by: RefusingStep, error: &Error) {
        let by = match by {
            RefusingStep::Owner => RefusedBy::Owner,
            RefusingStep::Tables => RefusedBy::Tables,
            RefusingStep::DomainId => RefusedBy::DomainId,
            RefusingStep::Unit => RefusedBy::Unit,
        };
        trace_refusal(self.info, self.args, by)(error)
    }
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
    state: &AttachState,
) -> Result<Grant> {
    // The core forms the group before it attaches a member.
    let group = state.group_id.ok_or(ENODEV)?;
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

/// Logs an attach of a device that is cut off, and its outcome.
fn log_cut_off(info: &DeviceInfo, accepted: bool, args: &AttachArgs) {
    if let Some(note) = info.log_limit.allow_line() {
        log_dev_err!(
            info.pci.as_device(),
            "{}: {info}: {}: {}{note}",
            &*info.unit,
            match (accepted, args.old) {
                (true, None) => "first domain set, but the device stays blocked",
                (true, Some(_)) => "domain restored, but the device stays blocked",
                (false, _) => "not attached",
            },
            match info.unit.has_failed() {
                true => "the unit failed earlier; reload vtd or reboot",
                false => info.remedy(),
            }
        );
    }
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
    attach::release(info, stays_attached)
}

/// Puts a device that is being released in pass-through if firmware reserved memory for it (RMRR)
/// and continues to use it. Returns whether it is in pass-through.
///
/// # Context
///
/// May sleep.
pub(crate) fn pass_through_if_reserved(info: &DeviceInfo) -> bool {
    info.regions.iter().any(|region| region.in_use) && attach::pass_through(info)
}
