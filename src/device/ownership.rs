// SPDX-License-Identifier: GPL-2.0

//! Who may own a device: the rules of [`vtd_core::ownership`], fed with what attach can see.
//!
//! # Invariants
//!
//! A group's account has each member that was ever attached, once, in the state that its
//! [`DeviceInfo`] holds; it counts the same states. It has room for the members that are coming,
//! those that were never attached.

use super::adopted::AdoptedDevices;
use super::info::{DeviceInfo, State as DeviceState};
use super::left_out::LeftOutDevices;
use core::fmt;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel::sync::lock::mutex::MutexBackend;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::device::Device;
use kernel_ext::iommu::{AttachArgs, DomainKind};
use kernel_ext::log_warn;
use kernel_ext::pci::PciDevice;
use vtd_core::ownership::{Driver, Group, Owner, Phase, Request, State, Via, Wanted};

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
            State::Kernel => f.write_str("the kernel's)"),
            State::KernelOwn => f.write_str("its driver's own domain)"),
            State::User(owner) => f.write_str(match owner.via {
                Via::Iommufd => "a user's by iommufd)",
                Via::Api => "a user's by VFIO or another module)",
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
            None => return f.write_str("it has no siblings in its group"),
            Some(first) => write!(f, "its siblings: {first}")?,
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

/// The accounts of all groups of the machine.
#[pin_data]
pub(crate) struct Ownership {
    #[pin]
    groups: Mutex<Groups>,
    /// Devices that run on untranslated, of whose groups the core knows nothing.
    #[pin]
    pub(crate) adopted: AdoptedDevices,
    /// Devices behind no unit, although firmware gives them one.
    #[pin]
    pub(crate) left_out: LeftOutDevices,
}

impl Ownership {
    /// No groups yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                groups <- new_mutex!(Groups { accounts: KVec::new() }, "vtd groups"),
                adopted <- AdoptedDevices::new(),
                left_out <- LeftOutDevices::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Locks the accounts. May sleep.
    pub(crate) fn lock(&self) -> kernel::sync::lock::Guard<'_, Groups, MutexBackend> {
        self.groups.lock()
    }
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

impl Ownership {
    /// [`EBUSY`], with the reason in the log, if a user shall have a device beside one that runs
    /// untranslated and cannot be isolated from it.
    pub(super) fn refuse_beside_adopted(&self, info: &DeviceInfo, change: &AttachArgs) -> Result {
        let to_user = matches!(change.new.kind, DomainKind::Iommufd | DomainKind::Unmanaged);
        if !to_user {
            return Ok(());
        }
        let other = {
            let group = info.state.lock().group_id();
            let mut groups = self.lock();
            let account = group.and_then(|id| groups.known(id));
            let in_group = |device: &PciDevice| {
                let mut members = account.iter().flat_map(|account| account.members.iter());
                members.any(|member| member.device.is(device))
            };
            self.left_out.refuse_beside(info, &in_group)?;
            let adopted = &self.adopted;
            adopted.beside(&info.pci, &info.unit, &info.requesters, in_group)
        };
        match other {
            None => Ok(()),
            Some(other) => {
                if let Some(note) = info.log.ask() {
                    log_warn!(
                        "{}: {info} cannot be given to a user while {}, which cannot be isolated \
                         from it, runs untranslated; remove and rescan that device first{note}",
                        &*info.unit,
                        other.as_device()
                    );
                }
                Err(EBUSY)
            }
        }
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

    /// Asks whether `change` may be. [`EBUSY`] if not, with the reason in the log.
    pub(super) fn ask(
        &mut self,
        id: u32,
        dev: &Device,
        info: &DeviceInfo,
        state: &DeviceState,
        change: &AttachArgs,
    ) -> Result<Granted> {
        let account = self.known(id).ok_or(ENODEV)?;
        let mut group = account.group;
        if !state.counted {
            group = group.with_member();
        }
        let request = Request {
            wanted: wanted(change),
            driver: driver_of(dev, info),
            phase: Phase::Attach,
        };
        match group.transition(state.owned, &request) {
            Ok((group, state)) => Ok(Granted { id, group, state }),
            Err(refusal) => {
                let member = Member {
                    device: info.pci.clone(),
                    state: state.owned,
                };
                if let Some(note) = info.log.ask() {
                    log_warn!(
                        "{}: group {id}: {member} {refusal}; {}{note}",
                        &*info.unit,
                        Siblings(account, &info.pci)
                    );
                }
                Err(EBUSY)
            }
        }
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
