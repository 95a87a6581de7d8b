// SPDX-License-Identifier: GPL-2.0

//! Who may own a device: the rules of [`vtd_core::ownership`], fed with what attach can see.
//!
//! # Invariants
//!
//! A group's account counts each member that was ever attached, in the state that its
//! [`DeviceInfo`] holds.

use super::adopted::AdoptedDevices;
use super::info::{DeviceInfo, State as DeviceState};
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel::sync::lock::mutex::MutexBackend;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::device::Device;
use kernel_ext::iommu::{Change, DomainKind};
use kernel_ext::log_warn;
use vtd_core::ownership::{Driver, Group, Owner, Phase, Request, State, Via, Wanted};

struct Account {
    id: u32,
    members: u32,
    group: Group,
}

/// The accounts of all groups.
pub(crate) struct Groups {
    accounts: KVec<Account>,
}

/// A granted request, to be [settled](Groups::settle) once the hardware has followed.
pub(crate) struct Granted {
    id: u32,
    group: Group,
    state: State,
    joins: bool,
}

/// The accounts of all groups of the machine.
#[pin_data]
pub(crate) struct Ownership {
    #[pin]
    groups: Mutex<Groups>,
    /// Devices that run on untranslated, of whose groups the core knows nothing.
    #[pin]
    pub(crate) adopted: AdoptedDevices,
}

impl Ownership {
    /// No groups yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                groups <- new_mutex!(Groups { accounts: KVec::new() }, "vtd groups"),
                adopted <- AdoptedDevices::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Locks the accounts. May sleep.
    pub(crate) fn lock(&self) -> kernel::sync::lock::Guard<'_, Groups, MutexBackend> {
        self.groups.lock()
    }
}

fn wanted(change: &Change) -> Wanted {
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

impl Ownership {
    /// [`EBUSY`], with the reason in the log, if a user shall have a device beside one that runs
    /// untranslated and cannot be isolated from it.
    pub(super) fn refuse_beside_adopted(&self, info: &DeviceInfo, change: &Change) -> Result {
        let to_user = matches!(change.new.kind, DomainKind::Iommufd | DomainKind::Unmanaged);
        let other = to_user.then(|| self.adopted.beside(&info.pci, &info.requesters));
        match other.flatten() {
            None => Ok(()),
            Some(other) => {
                log_warn!(
                    "{}: {info} cannot be given to a user while {}, which cannot be isolated from \
                     it, runs untranslated; remove and rescan that device first",
                    &*info.unit,
                    other.as_device()
                );
                Err(EBUSY)
            }
        }
    }
}

impl Groups {
    /// Asks whether `change` may be. [`EBUSY`] if not, with the reason in the log.
    pub(super) fn ask(
        &mut self,
        id: u32,
        dev: &Device,
        info: &DeviceInfo,
        state: &DeviceState,
        change: &Change,
    ) -> Result<Granted> {
        let joins = !state.counted;
        let known = self.accounts.iter().find(|account| account.id == id);
        let mut group = known.map_or(Group::EMPTY, |account| account.group);
        if joins {
            group = group.with_member();
        }
        let request = Request {
            wanted: wanted(change),
            driver: driver_of(dev, info),
            phase: Phase::Attach,
        };
        if known.is_none() {
            // Room first, so that settling cannot fail.
            self.accounts.reserve(1, GFP_KERNEL)?;
        }
        match group.transition(state.owned, &request) {
            Ok((group, state)) => Ok(Granted {
                id,
                group,
                state,
                joins,
            }),
            Err(refusal) => {
                log_warn!("{}: group {id}: {dev} {refusal}", &*info.unit);
                Err(EBUSY)
            }
        }
    }

    /// Books what was granted; returns the device's new state.
    pub(super) fn settle(&mut self, granted: Granted) -> State {
        let account = self
            .accounts
            .iter_mut()
            .find(|account| account.id == granted.id);
        if let Some(account) = account {
            account.group = granted.group;
            account.members += u32::from(granted.joins);
        } else {
            let _ = self.accounts.push_within_capacity(Account {
                id: granted.id,
                members: 1,
                group: granted.group,
            });
        }
        granted.state
    }

    /// Strikes a device off that leaves for good.
    pub(crate) fn forget(&mut self, state: &DeviceState) {
        let Some(id) = state.group.filter(|_| state.counted) else {
            return;
        };
        let Some(at) = self.accounts.iter().position(|account| account.id == id) else {
            return;
        };
        let Some(account) = self.accounts.get_mut(at) else {
            return;
        };
        account.group = account.group.without_member(state.owned);
        account.members = account.members.saturating_sub(1);
        if account.members == 0 {
            let _ = self.accounts.remove(at);
        }
    }
}
