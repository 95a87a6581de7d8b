// SPDX-License-Identifier: GPL-2.0

//! Decides who may own a device: applies the rules of [`vtd_core::ownership`] to what an attach can
//! observe, with the records of all groups ([`vtd_core::concurrent::group_record`]).

use super::attachment::AttachState;
use core::fmt;
use kernel::prelude::*;
use kernel::sync::lock::mutex::MutexBackend;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::pci::PciDevice;
use vtd_core::concurrent::group_record::{self, MemberList};
use vtd_core::ownership::{AttachRequest, DomainInterface, OwnerState, Refusal};

type GroupRecord = group_record::GroupRecord<Members>;

/// The members of a group.
struct Members(KVec<Member>);

impl MemberList for Members {
    type Device = PciDevice;

    fn state_of(&mut self, device: &PciDevice) -> Option<&mut OwnerState> {
        let mut members = self.0.iter_mut();
        let member = members.find(|member| member.device.is_same_as(device))?;
        Some(&mut member.state)
    }

    fn push(&mut self, device: &PciDevice, state: OwnerState) {
        let device = device.clone();
        let _ = self.0.push_within_capacity(Member { device, state });
    }

    fn remove(&mut self, device: &PciDevice) {
        self.0.retain(|member| !member.device.is_same_as(device));
    }

    fn has_none(&self) -> bool {
        self.0.is_empty()
    }
}

/// One device of a group, as it is named when a request is refused.
struct Member {
    device: PciDevice,
    state: OwnerState,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.device.as_device();
        match device.driver() {
            Some(driver) => write!(f, "{device} (driver {}, ", driver.name)?,
            None => write!(f, "{device} (no driver, ")?,
        }
        match self.state {
            OwnerState::Blocked => f.write_str("blocked)"),
            OwnerState::Kernel => f.write_str("owned by the kernel)"),
            OwnerState::KernelOwn => f.write_str("in a domain of its driver's)"),
            OwnerState::User(owner) => f.write_str(match owner.interface {
                DomainInterface::Iommufd => "owned by a user through iommufd)",
                DomainInterface::Api => "owned by a user through VFIO or another module)",
            }),
        }
    }
}

/// The members of a group except one.
struct Siblings<'a>(&'a GroupRecord, &'a PciDevice);

impl fmt::Display for Siblings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self
            .0
            .members()
            .0
            .iter()
            .filter(|member| !member.device.is_same_as(self.1));
        match rest.next() {
            None => return f.write_str("its group has no other devices"),
            Some(first) => write!(f, "other devices in its group: {first}")?,
        }
        rest.try_for_each(|member| write!(f, ", {member}"))
    }
}

/// The records of all groups.
pub(crate) struct GroupRecords {
    /// Indexed by group ID, which the core reuses when a group is removed. An attach finds the
    /// record in constant time, however many groups there are.
    records: KVec<Option<KBox<GroupRecord>>>,
}

/// A granted request of a member of a group, to be [committed](GroupRecords::commit) once the context
/// entries are written.
pub(crate) struct Grant {
    id: u32,
    grant: group_record::Grant,
}

/// A refused request, with what its message needs.
pub(super) struct Refused<'a> {
    id: u32,
    record: &'a GroupRecord,
    device: &'a PciDevice,
    state: OwnerState,
    refusal: Refusal,
}

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = Member {
            device: self.device.clone(),
            state: self.state,
        };
        let siblings = Siblings(self.record, self.device);
        write!(
            f,
            "group {}: {member} {}; {siblings}",
            self.id, self.refusal
        )
    }
}

/// The records of all groups of the machine, and the lock that protects them.
#[pin_data]
pub(crate) struct Ownership {
    #[pin]
    groups: Mutex<GroupRecords>,
}

impl Ownership {
    /// Creates the records, with no groups.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                groups <- new_mutex!(GroupRecords { records: KVec::new() }, "vtd groups"),
            }),
            GFP_KERNEL,
        )
    }

    /// Locks the records.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn lock(&self) -> kernel::sync::lock::Guard<'_, GroupRecords, MutexBackend> {
        self.groups.lock()
    }
}

impl GroupRecords {
    /// Reserves capacity for a device that is to be a member of group `id`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn reserve_member(&mut self, id: u32) -> Result {
        let record = self.find_or_add(id)?;
        record.reserve(|members, more| Ok(members.0.reserve(more, GFP_KERNEL)?))
    }

    /// Checks whether `device`, which is in `state`, may have what it requests.
    ///
    /// # Errors
    ///
    /// [`ENODEV`]: its group has no record.
    pub(super) fn check<'a>(
        &'a mut self,
        id: u32,
        device: &'a PciDevice,
        state: &AttachState,
        request: &AttachRequest,
    ) -> Result<Result<Grant, Refused<'a>>> {
        let record = self.find(id).ok_or(ENODEV)?;
        let checked = record.check(state.in_group_record, state.owner_state, request);
        Ok(match checked {
            Ok(grant) => Ok(Grant { id, grant }),
            Err(refusal) => Err(Refused {
                id,
                record,
                device,
                state: state.owner_state,
                refusal,
            }),
        })
    }

    /// Returns whether `device` is a member of group `id` and has been attached.
    pub(super) fn has_member(&self, id: u32, device: &PciDevice) -> bool {
        let record = self.records.get(id as usize).and_then(Option::as_ref);
        record.is_some_and(|record| {
            let mut members = record.members().0.iter();
            members.any(|member| member.device.is_same_as(device))
        })
    }

    /// Returns the record of a group, after adding it if there was none.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    fn find_or_add(&mut self, id: u32) -> Result<&mut GroupRecord> {
        let at = id as usize;
        while self.records.len() <= at {
            self.records.push(None, GFP_KERNEL)?;
        }
        let slot = self.records.get_mut(at).ok_or(EINVAL)?;
        match slot {
            Some(record) => Ok(record),
            None => {
                let record = GroupRecord::new(Members(KVec::new()));
                Ok(slot.insert(KBox::new(record, GFP_KERNEL)?))
            }
        }
    }

    /// Returns the record of a group, if there is one.
    fn find(&mut self, id: u32) -> Option<&mut GroupRecord> {
        self.records.get_mut(id as usize)?.as_deref_mut()
    }

    /// Records what was granted to a device. Returns its new state.
    pub(super) fn commit(&mut self, device: &PciDevice, grant: Grant) -> OwnerState {
        match self.find(grant.id) {
            Some(record) => record.commit(device, grant.grant),
            None => grant.grant.state(),
        }
    }

    /// Removes a device that is being released from the record of its group.
    pub(super) fn remove_member(&mut self, device: &PciDevice, state: &AttachState) {
        let Some(id) = state.group_id else {
            return;
        };
        let Some(record) = self.find(id) else {
            return;
        };
        if record.remove(device, state.in_group_record, state.owner_state) {
            if let Some(slot) = self.records.get_mut(id as usize) {
                *slot = None;
            }
        }
    }
}
