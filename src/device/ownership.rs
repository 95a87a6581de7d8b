// SPDX-License-Identifier: GPL-2.0

//! Who may own a device: the rules of [`vtd_core::ownership`], fed with what attach can see.
//!
//! # Invariants
//!
//! A group's account has each member that was ever attached, once, in the state that its
//! [`DeviceInfo`] holds; it counts the same states. It has room for the members that are coming,
//! those that were never attached.

use super::attachment::State as DeviceState;
use core::fmt;
use kernel::prelude::*;
use kernel::sync::lock::mutex::MutexBackend;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::pci::PciDevice;
use vtd_core::ownership::{Group, Refusal, Request, State, Via};

struct Account {
    members: KVec<Member>,
    /// How many were never attached.
    coming: usize,
    group: Group,
}

/// One device of a group, as refusals name it.
struct Member {
    device: PciDevice,
    state: State,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.device.as_device();
        match device.driver() {
            Some(driver) => write!(f, "{device} (driver {}, ", driver.name)?,
            None => write!(f, "{device} (no driver, ")?,
        }
        match self.state {
            State::Blocked => f.write_str("blocked)"),
            State::Kernel => f.write_str("owned by the kernel)"),
            State::KernelOwn => f.write_str("in a domain of its driver's)"),
            State::User(owner) => f.write_str(match owner.via {
                Via::Iommufd => "owned by a user through iommufd)",
                Via::Api => "owned by a user through VFIO or another module)",
            }),
        }
    }
}

/// The members of a group but one.
struct Siblings<'a>(&'a Account, &'a PciDevice);

impl fmt::Display for Siblings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self
            .0
            .members
            .iter()
            .filter(|member| !member.device.is(self.1));
        match rest.next() {
            None => return f.write_str("its group has no other devices"),
            Some(first) => write!(f, "other devices in its group: {first}")?,
        }
        rest.try_for_each(|member| write!(f, ", {member}"))
    }
}

/// The accounts of all groups.
pub(crate) struct Groups {
    /// By the groups' numbers, which the core gives out anew when a group goes: an attach finds
    /// its account at once, however many there are.
    accounts: KVec<Option<KBox<Account>>>,
}

/// A granted request, to be [settled](Groups::settle) once the hardware has followed.
pub(crate) struct Granted {
    id: u32,
    group: Group,
    state: State,
}

/// A refused request, in words.
pub(super) struct Refused<'a> {
    id: u32,
    account: &'a Account,
    device: &'a PciDevice,
    state: State,
    refusal: Refusal,
}

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = Member {
            device: self.device.clone(),
            state: self.state,
        };
        let siblings = Siblings(self.account, self.device);
        write!(
            f,
            "group {}: {member} {}; {siblings}",
            self.id, self.refusal
        )
    }
}

/// The accounts of all groups of the machine.
#[pin_data]
pub(crate) struct Ownership {
    #[pin]
    groups: Mutex<Groups>,
}

impl Ownership {
    /// No groups yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                groups <- new_mutex!(Groups { accounts: KVec::new() }, "vtd groups"),
            }),
            GFP_KERNEL,
        )
    }

    /// Locks the accounts. May sleep.
    pub(crate) fn lock(&self) -> kernel::sync::lock::Guard<'_, Groups, MutexBackend> {
        self.groups.lock()
    }
}

impl Groups {
    /// Makes room for a device that is to be a member of group `id`. [`ENOMEM`].
    pub(super) fn join(&mut self, id: u32) -> Result {
        let account = self.account(id)?;
        account.members.reserve(account.coming + 1, GFP_KERNEL)?;
        account.coming += 1;
        Ok(())
    }

    /// Asks whether `device`, which is in `state`, may have what it requests. [`ENODEV`] if its group
    /// has no account.
    pub(super) fn ask<'a>(
        &'a mut self,
        id: u32,
        device: &'a PciDevice,
        state: &DeviceState,
        request: &Request,
    ) -> Result<Result<Granted, Refused<'a>>> {
        let account = self.known(id).ok_or(ENODEV)?;
        let mut group = account.group;
        if !state.counted {
            group = group.with_member();
        }
        Ok(match group.transition(state.owned, request) {
            Ok((group, state)) => Ok(Granted { id, group, state }),
            Err(refusal) => Err(Refused {
                id,
                account,
                device,
                state: state.owned,
                refusal,
            }),
        })
    }

    /// Whether `device` is a member of group `id` that was attached.
    pub(super) fn has_member(&self, id: u32, device: &PciDevice) -> bool {
        let account = self.accounts.get(id as usize).and_then(Option::as_ref);
        account.is_some_and(|account| {
            let mut members = account.members.iter();
            members.any(|member| member.device.is(device))
        })
    }

    /// The account of a group, a new one if there is none.
    fn account(&mut self, id: u32) -> Result<&mut Account> {
        let at = id as usize;
        while self.accounts.len() <= at {
            self.accounts.push(None, GFP_KERNEL)?;
        }
        let slot = self.accounts.get_mut(at).ok_or(EINVAL)?;
        match slot {
            Some(account) => Ok(account),
            None => {
                let account = Account {
                    members: KVec::new(),
                    coming: 0,
                    group: Group::EMPTY,
                };
                Ok(slot.insert(KBox::new(account, GFP_KERNEL)?))
            }
        }
    }

    /// The account of a group that has one.
    fn known(&mut self, id: u32) -> Option<&mut Account> {
        self.accounts.get_mut(id as usize)?.as_deref_mut()
    }

    /// Books what was granted to a device; returns its new state.
    pub(super) fn settle(&mut self, device: &PciDevice, granted: Granted) -> State {
        if let Some(account) = self.known(granted.id) {
            account.group = granted.group;
            let known = account
                .members
                .iter_mut()
                .find(|member| member.device.is(device));
            match known {
                Some(member) => member.state = granted.state,
                None => {
                    let member = Member {
                        device: device.clone(),
                        state: granted.state,
                    };
                    let _ = account.members.push_within_capacity(member);
                    account.coming = account.coming.saturating_sub(1);
                }
            }
        }
        granted.state
    }

    /// Strikes a device off that leaves for good.
    pub(crate) fn forget(&mut self, device: &PciDevice, state: &DeviceState) {
        let Some(id) = state.group_id() else {
            return;
        };
        let Some(account) = self.known(id) else {
            return;
        };
        if state.counted {
            account.group = account.group.without_member(state.owned);
            account.members.retain(|member| !member.device.is(device));
        } else {
            account.coming = account.coming.saturating_sub(1);
        }
        if account.members.is_empty() && account.coming == 0 {
            if let Some(slot) = self.accounts.get_mut(id as usize) {
                *slot = None;
            }
        }
    }
}
