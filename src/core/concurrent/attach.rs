// SPDX-License-Identifier: GPL-2.0

//! The order in which a device is attached, put in pass-through, and released.
//!
//! An attach checks the owner and the tables of the target, adds the device to the target, writes
//! the context entries, and then records what it did. Until then nothing but the target has changed,
//! and an error takes the device out of it again. What the device was attached to loses it last: its
//! flushes must reach the unit until no context entry points to its tables.
//!
//! A device may be blocked only for the duration of a reset. The core then returns it to its
//! previous domain, and warns (WARN) about a driver that refuses. So a blocked device retains its
//! domain-id in the previous domain, which it uses again when it returns.
//!
//! # Locks
//!
//! [`AttachedDevice::locked`] locks the records of all groups, and within that the state of the
//! device. Both are held from the check of the owner until what was granted is recorded.

use crate::install::WasInstalled;
use crate::ownership::OwnerState;
use core::fmt;

/// What a device is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachedTo {
    /// Nothing: its requests are blocked.
    Blocked,
    /// All of memory.
    Identity,
    /// A domain of the DMA API.
    Dma,
    /// A domain that a user or another driver allocated.
    Unmanaged,
}

impl AttachedTo {
    fn is_kernel_domain(self) -> bool {
        matches!(self, AttachedTo::Dma | AttachedTo::Identity)
    }

    /// Returns whether a device that is attached to it has something installed.
    fn is_installed(self) -> WasInstalled {
        match self {
            AttachedTo::Blocked => WasInstalled::No,
            _ => WasInstalled::Yes,
        }
    }
}

impl fmt::Display for AttachedTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AttachedTo::Blocked => "blocked",
            AttachedTo::Identity => "identity",
            AttachedTo::Dma => "DMA",
            AttachedTo::Unmanaged => "unmanaged",
        })
    }
}

/// A domain of the core, as an attach names it.
#[derive(Clone, Copy)]
pub struct NamedDomain {
    /// What a device becomes attached to with it.
    pub kind: AttachedTo,
    /// A number that no other domain has, as long as this one exists.
    pub token: usize,
}

/// A request of the core to attach a device.
#[derive(Clone, Copy)]
pub struct DomainChange {
    /// The domain that the core had set before; [`None`] before the first one.
    pub old: Option<NamedDomain>,
    /// The domain to attach to.
    pub new: NamedDomain,
}

/// The state of a device that an attach changes, with references `D` to domains that have page
/// tables, and `I` to domain-ids.
pub struct AttachState<D, I> {
    /// The number of its group, once known.
    pub group_id: Option<u32>,
    /// What it is attached to.
    pub attached_to: AttachedTo,
    /// Its domain-id there; 0 where there is none.
    pub domain_id: u16,
    /// Its ownership state, as the record of its group has it.
    pub owner_state: OwnerState,
    /// Whether the record of its group lists the device.
    pub in_group_record: bool,
    /// The domain that it is attached to. It is notified when the device is detached.
    pub domain: Option<D>,
    /// The domain before this one, to which the core may have to return the device. It is only
    /// compared.
    previous_domain: Option<usize>,
    /// Its reference to the domain-id that it had before, while it is blocked. The core blocks a
    /// device for a reset, and the attach afterwards must not fail because all ids are taken.
    retained_id: Option<I>,
}

impl<D, I> AttachState<D, I> {
    /// Creates the state of a new device, which is blocked and in no group.
    pub fn blocked() -> Self {
        AttachState {
            group_id: None,
            attached_to: AttachedTo::Blocked,
            domain_id: 0,
            owner_state: OwnerState::Blocked,
            in_group_record: false,
            domain: None,
            previous_domain: None,
            retained_id: None,
        }
    }

    /// Returns whether the core relies on this attach, and warns about a driver that refuses it.
    /// These are the first attach of a device, an attach that blocks it, one that returns it to its
    /// previous domain (after a reset, or because a sibling was refused), and one that returns it to
    /// the kernel from a user or from a claim.
    fn must_not_fail(&self, change: &DomainChange) -> bool {
        let Some(old) = change.old else {
            return true;
        };
        let new = change.new;
        new.kind == AttachedTo::Blocked
            || self.previous_domain == Some(new.token)
            || (new.kind.is_kernel_domain() && !old.kind.is_kernel_domain())
    }
}

/// The step that refused an attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusingStep {
    /// Another owner has the group.
    Owner,
    /// The unit cannot walk the tables.
    Tables,
    /// The unit has no domain-id left.
    DomainId,
    /// The device is cut off, or there is no memory for a context table.
    Unit,
}

/// The state of a device `A`.
type State<A> = AttachState<<A as AttachedDevice>::Domain, <A as AttachedDevice>::DomainId>;

/// A device and its unit.
pub trait AttachedDevice {
    /// The records of all groups.
    type Records;
    /// A granted request, to be committed.
    type Grant;
    /// A reference to a domain with page tables.
    type Domain;
    /// A reference to a domain-id, which is in use as long as there is one.
    type DomainId;
    /// What is installed for the requesters.
    type Translation: Copy;
    /// Why a step was refused.
    type Error;

    /// What is installed for a blocked device.
    const BLOCKED: Self::Translation;
    /// What is installed for a device that reaches all of memory.
    const PASS_THROUGH: Self::Translation;

    /// Calls `work` with the records and the state of the device locked, in this order.
    fn locked<R>(&self, work: impl FnOnce(&mut Self::Records, &mut State<Self>) -> R) -> R;

    /// Calls `work` with the state of the device locked.
    fn locked_state<R>(&self, work: impl FnOnce(&mut State<Self>) -> R) -> R;

    /// Records what was granted. Returns the new state of the device.
    fn commit(&self, records: &mut Self::Records, grant: Self::Grant) -> OwnerState;

    /// Removes the device from the record of its group.
    fn leave_group(&self, records: &mut Self::Records, state: &State<Self>);

    /// Removes the device from a domain, for which nothing is installed any more. Returns its
    /// reference to the domain-id that it had.
    fn leave(&self, domain: &Self::Domain) -> Option<Self::DomainId>;

    /// Installs `new` for all requester IDs of the device.
    ///
    /// # Errors
    ///
    /// The device is cut off, or nothing has changed.
    fn install(&self, before: WasInstalled, new: Self::Translation) -> Result<(), Self::Error>;

    /// Returns whether nothing that is installed lets the device reach memory: its unit has failed, or
    /// the device itself was cut off.
    fn is_cut_off(&self) -> bool;

    /// Reports that the device, which was attached to `from`, now is to what the state has.
    fn report_attached(&self, from: AttachedTo, state: &State<Self>);
}

/// An attempt to attach a device to a target. Its methods are called in this order.
pub trait AttachAttempt<A: AttachedDevice> {
    /// Checks whether the owner of the target may have the device.
    ///
    /// # Errors
    ///
    /// The group of the device has another owner.
    fn check_owner(&self, records: &mut A::Records, state: &State<A>)
        -> Result<A::Grant, A::Error>;

    /// Checks whether the unit can use the target.
    ///
    /// # Errors
    ///
    /// It cannot.
    fn check_tables(&self) -> Result<(), A::Error>;

    /// Adds the device to the target, and returns what to install, with its domain-id or 0.
    /// `retained_id`: the domain-id that it had there before, if it retained it.
    ///
    /// # Errors
    ///
    /// The unit has no domain-id left.
    fn join(&self, retained_id: Option<A::DomainId>) -> Result<(A::Translation, u16), A::Error>;

    /// Returns the domain that the device was added to, if it has page tables.
    fn domain(&self) -> Option<A::Domain>;

    /// Reports that the device is cut off, and whether the attach is `accepted` all the same.
    fn report_cut_off(&self, accepted: bool);

    /// Reports that the attach was refused.
    fn report_refusal(&self, by: RefusingStep, error: &A::Error);
}

/// Attaches a device. An attach that is refused has changed nothing.
///
/// An error because the device is cut off does not refuse an attach that the core relies on: it reaches
/// no memory, whatever it is attached to, so this grants no more than was requested.
///
/// # Errors
///
/// The error of the step that refused it.
pub fn attach<A: AttachedDevice>(
    device: &A,
    attempt: &impl AttachAttempt<A>,
    change: &DomainChange,
) -> Result<(), A::Error> {
    let refused = |by| move |error: &A::Error| attempt.report_refusal(by, error);
    let old = device.locked(|records, state| {
        let grant = attempt
            .check_owner(records, state)
            .inspect_err(refused(RefusingStep::Owner))?;
        attempt
            .check_tables()
            .inspect_err(refused(RefusingStep::Tables))?;
        let to_previous = state.previous_domain == Some(change.new.token);
        let (to, domain_id) = attempt
            .join(state.retained_id.take_if(|_| to_previous))
            .inspect_err(refused(RefusingStep::DomainId))?;
        let domain = attempt.domain();
        let from = state.attached_to;
        if let Err(error) = device.install(from.is_installed(), to) {
            if !is_accepted(device, attempt, state, change) {
                if let Some(domain) = domain {
                    drop(device.leave(&domain));
                }
                attempt.report_refusal(RefusingStep::Unit, &error);
                return Err(error);
            }
        }
        state.owner_state = device.commit(records, grant);
        state.attached_to = change.new.kind;
        state.domain_id = domain_id;
        state.in_group_record = true;
        state.previous_domain = change.old.map(|old| old.token);
        let old = core::mem::replace(&mut state.domain, domain);
        let share = old.as_ref().and_then(|old| device.leave(old));
        state.retained_id = share.filter(|_| change.new.kind == AttachedTo::Blocked);
        device.report_attached(from, state);
        Ok(old)
    })?;
    // Dropped after the locks are released: it may be the last reference to the domain.
    drop(old);
    Ok(())
}

/// Returns whether the attach succeeds in spite of an error.
fn is_accepted<A: AttachedDevice>(
    device: &A,
    attempt: &impl AttachAttempt<A>,
    state: &State<A>,
    change: &DomainChange,
) -> bool {
    if !device.is_cut_off() {
        return false;
    }
    let accepted = state.must_not_fail(change);
    attempt.report_cut_off(accepted);
    accepted
}

/// Releases a device: blocks it, unless `stays_attached`, and only then removes it from the record
/// of its group, so that the group may get another owner.
pub fn release<A: AttachedDevice>(device: &A, stays_attached: bool) {
    if !stays_attached {
        block(device);
    }
    device.locked(|records, state| device.leave_group(records, state));
}

/// Blocks a device that is being released, whatever it is attached to.
fn block<A: AttachedDevice>(device: &A) {
    let old = device.locked_state(|state| {
        state.retained_id = None;
        if state.attached_to == AttachedTo::Blocked {
            return None;
        }
        // A unit that has failed blocks the device as well.
        let _ = device.install(WasInstalled::Yes, A::BLOCKED);
        change_to(device, state, AttachedTo::Blocked)
    });
    if let Some(old) = old {
        drop(device.leave(&old));
    }
}

/// Puts a device that is being released in pass-through, if the kernel had it. Returns whether it is
/// in pass-through.
pub fn pass_through<A: AttachedDevice>(device: &A) -> bool {
    let changed = device.locked_state(|state| {
        match state.attached_to {
            AttachedTo::Identity => return Some(None),
            AttachedTo::Blocked | AttachedTo::Dma => {}
            // What a user has programmed does not get all of memory on unload.
            AttachedTo::Unmanaged => return None,
        }
        let before = state.attached_to.is_installed();
        device.install(before, A::PASS_THROUGH).ok()?;
        Some(change_to(device, state, AttachedTo::Identity))
    });
    if let Some(Some(old)) = &changed {
        drop(device.leave(old));
    }
    changed.is_some()
}

/// Records what is installed now. Returns the domain to remove the device from.
fn change_to<A: AttachedDevice>(
    device: &A,
    state: &mut State<A>,
    to: AttachedTo,
) -> Option<A::Domain> {
    let from = core::mem::replace(&mut state.attached_to, to);
    state.domain_id = 0;
    let old = state.domain.take();
    device.report_attached(from, state);
    old
}
