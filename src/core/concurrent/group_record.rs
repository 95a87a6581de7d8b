// SPDX-License-Identifier: GPL-2.0

//! The record of one group: its members, and who owns them. The caller has a lock for it.
//!
//! # Invariants
//!
//! A record lists every member that has ever been attached, once, with the state that the member's
//! [`AttachState`](super::attach::AttachState) holds. Its counters match these states. Capacity for
//! members that have not been attached yet is reserved.

use crate::ownership::{AttachRequest, GroupState, OwnerState, Refusal};

/// A list of members, with capacity for those that have not been attached yet.
pub trait MemberList {
    /// A device.
    type Device;

    /// Returns where the state of a member is, if it is in the list.
    fn state_of(&mut self, device: &Self::Device) -> Option<&mut OwnerState>;

    /// Adds a device that is not in the list, within the capacity.
    fn push(&mut self, device: &Self::Device, state: OwnerState);

    /// Removes a device.
    fn remove(&mut self, device: &Self::Device);

    /// Returns whether no device is in the list.
    fn has_none(&self) -> bool;
}

/// The record of one group.
pub struct GroupRecord<M> {
    members: M,
    /// The number of members that have never been attached.
    reserved: usize,
    group: GroupState,
}

/// A granted request, to be [committed](GroupRecord::commit) once the context entries are written.
pub struct Grant {
    group: GroupState,
    state: OwnerState,
}

impl Grant {
    /// Returns the new state of the device.
    pub fn state(&self) -> OwnerState {
        self.state
    }
}

impl<M: MemberList> GroupRecord<M> {
    /// Creates the record of a group without members.
    pub fn new(members: M) -> Self {
        Self {
            members,
            reserved: 0,
            group: GroupState::EMPTY,
        }
    }

    /// Returns the members that have been attached.
    pub fn members(&self) -> &M {
        &self.members
    }

    /// Returns the state of the group.
    pub fn group(&self) -> GroupState {
        self.group
    }

    /// Reserves capacity for one more member: `reserve` makes the list have it for a number of
    /// members.
    ///
    /// # Errors
    ///
    /// The error of `reserve`.
    pub fn reserve<E>(
        &mut self,
        reserve: impl FnOnce(&mut M, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        reserve(&mut self.members, self.reserved + 1)?;
        self.reserved += 1;
        Ok(())
    }

    /// Checks whether a device in `state`, which is in the list or not, may have what it requests.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub fn check(
        &self,
        is_listed: bool,
        state: OwnerState,
        request: &AttachRequest,
    ) -> Result<Grant, Refusal> {
        let group = match is_listed {
            true => self.group,
            false => self.group.with_member(),
        };
        let (group, state) = group.transition(state, request)?;
        Ok(Grant { group, state })
    }

    /// Records what was granted to a device. Returns its new state.
    pub fn commit(&mut self, device: &M::Device, grant: Grant) -> OwnerState {
        self.group = grant.group;
        match self.members.state_of(device) {
            Some(state) => *state = grant.state,
            None => {
                self.members.push(device, grant.state);
                self.reserved = self.reserved.saturating_sub(1);
            }
        }
        grant.state
    }

    /// Removes a device in `state`, which is in the list or not. Returns whether the group has no
    /// members any more.
    pub fn remove(&mut self, device: &M::Device, is_listed: bool, state: OwnerState) -> bool {
        if is_listed {
            self.group = self.group.without_member(state);
            self.members.remove(device);
        } else {
            self.reserved = self.reserved.saturating_sub(1);
        }
        self.members.has_none() && self.reserved == 0
    }
}
