// SPDX-License-Identifier: GPL-2.0

//! A group of devices behind one unit, and how they are attached: by the files of `vtd_core`, or with
//! one mistake. `ownership.rs` has what must hold.

use crate::concurrent::{attach, group_record};
use crate::ownership::{AttachRequest, OwnerState};
use crate::shim::group_unit::{Translation, Unit, Whose, FIRST_USER};
use crate::shim::prelude::{Result, EBUSY, ENODEV, ENOSPC};
use loom::sync::Mutex;
use loom::thread::{spawn, JoinHandle};
use std::cell::RefCell;
use std::sync::Arc;
use vtd_core::ownership::{AttachPhase, BoundDriver, DomainInterface, Owner, RequestedDomain};
use vtd_core::spec::address::{DomainId, PhysAddr, SourceId};
use vtd_core::spec::level::AddressWidth;

mistakes! {
    attach_not_committed attach_not_stored attach_removed_first attach_never_removed attach_first_refused
    attach_granted_unrecorded attach_left_early attach_never_left attach_joined_for_nothing
    attach_retained_for_another attach_not_retained
    group_record_never_checked group_record_not_recorded group_record_all_removed
    group_record_reserved_ignored
}

/// The domains, by their domain-ids.
pub(crate) const BLOCKED: u16 = 0;
pub(crate) const IDENTITY: u16 = 1;
pub(crate) const DMA: u16 = 2;
pub(crate) const ONE: u16 = FIRST_USER;
pub(crate) const OTHER: u16 = FIRST_USER + 1;

fn translation(domain: u16) -> Translation {
    match domain {
        BLOCKED => Translation::Blocked,
        IDENTITY => Translation::PassThrough,
        _ => Translation::SecondStage {
            table: PhysAddr::new(0x1000),
            width: AddressWidth::Bits48,
            id: DomainId::new(domain),
        },
    }
}

fn wanted(domain: u16) -> RequestedDomain {
    match domain {
        BLOCKED => RequestedDomain::Blocked,
        IDENTITY => RequestedDomain::Identity,
        DMA => RequestedDomain::Dma,
        _ => RequestedDomain::Unmanaged(Owner {
            interface: DomainInterface::Iommufd,
            token: usize::from(domain),
        }),
    }
}

/// Whether the driver's part of an attach is right, or in which way it is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    /// The records are locked for the whole attach.
    Held,
    /// They are locked for each step.
    EachStep,
    /// The entries are written when they are unlocked.
    InstallLater,
}

/// Declares a module with a group and its members for each version of the files in `vtd_core`.
macro_rules! devices {
    ($($name:ident: $attach:ident $record:ident $lock:ident;)+) => {$(
        pub(crate) mod $name {
            use super::*;
            use vtd_core::install::WasInstalled;
            use super::$attach::{self as attach, AttachState, AttachedTo, DomainChange, NamedDomain};
            use super::$record as record;

            pub(crate) struct Members(Vec<(u16, OwnerState)>);

            impl record::MemberList for Members {
                type Device = u16;

                fn state_of(&mut self, device: &u16) -> Option<&mut OwnerState> {
                    let mut members = self.0.iter_mut();
                    members.find(|one| one.0 == *device).map(|one| &mut one.1)
                }

                fn push(&mut self, device: &u16, state: OwnerState) {
                    self.0.push((*device, state));
                }

                fn remove(&mut self, device: &u16) {
                    self.0.retain(|one| one.0 != *device);
                }

                fn has_none(&self) -> bool {
                    self.0.is_empty()
                }
            }

            #[derive(Clone)]
            pub(crate) struct Group {
                pub(crate) unit: Arc<Unit>,
                /// The lock of the records, and the record.
                records: Arc<(Mutex<()>, Mutex<Option<record::GroupRecord<Members>>>)>,
                /// How many devices each domain has.
                pub(crate) joined: Arc<Mutex<Vec<u16>>>,
                /// Whether no domain-id is free.
                pub(crate) full: Arc<std::sync::atomic::AtomicBool>,
            }

            pub(crate) struct Device {
                group: Group,
                requester: u16,
                pub(crate) state: Mutex<AttachState<u16, u16>>,
                /// What is written when the records are unlocked.
                later: RefCell<Vec<(WasInstalled, Translation)>>,
            }

            #[derive(Clone)]
            pub(crate) struct Member(pub(crate) Arc<Device>);

            impl Device {
                /// Returns its requester IDs: that of a device behind it maps to it, too.
                fn sources(&self) -> [SourceId; 2] {
                    [self.requester, self.requester + 0x100].map(SourceId::from_raw)
                }

                fn write(&self, before: WasInstalled, new: Translation) -> Result {
                    self.group.unit.install(&self.sources(), before, new)
                }
            }

            impl attach::AttachedDevice for Device {
                /// The lock is held.
                type Records = ();
                type Grant = record::Grant;
                type Domain = u16;
                type DomainId = u16;
                type Translation = Translation;
                type Error = crate::shim::prelude::Error;

                const BLOCKED: Translation = Translation::Blocked;
                const PASS_THROUGH: Translation = Translation::PassThrough;

                fn locked<R>(
                    &self,
                    work: impl FnOnce(&mut (), &mut AttachState<u16, u16>) -> R,
                ) -> R {
                    let lock = (Lock::$lock != Lock::EachStep)
                        .then(|| self.group.records.0.lock().unwrap());
                    let done = work(&mut (), &mut self.state.lock().unwrap());
                    drop(lock);
                    for (before, new) in self.later.take() {
                        let _ = self.write(before, new);
                    }
                    done
                }

                fn locked_state<R>(
                    &self,
                    work: impl FnOnce(&mut AttachState<u16, u16>) -> R,
                ) -> R {
                    work(&mut self.state.lock().unwrap())
                }

                fn commit(&self, _: &mut (), grant: record::Grant) -> OwnerState {
                    let mut record = self.group.records.1.lock().unwrap();
                    match record.as_mut() {
                        Some(record) => record.commit(&self.requester, grant),
                        None => grant.state(),
                    }
                }

                fn leave_group(&self, _: &mut (), state: &AttachState<u16, u16>) {
                    let mut all = self.group.records.1.lock().unwrap();
                    let listed = state.in_group_record;
                    let empty = all.as_mut().is_some_and(|record| {
                        record.remove(&self.requester, listed, state.owner_state)
                    });
                    if empty {
                        *all = None;
                    }
                }

                fn leave(&self, domain: &u16) -> Option<u16> {
                    let reaches = self.group.unit.entries(self.sources()[0]);
                    let of_domain = match *domain {
                        DMA => Some(Whose::Kernel),
                        user => Some(Whose::User(user)),
                    };
                    assert!(
                        reaches != of_domain || Lock::$lock == Lock::InstallLater,
                        "left while it is installed"
                    );
                    let mut joined = self.group.joined.lock().unwrap();
                    let at = joined.iter().position(|one| one == domain)?;
                    Some(joined.swap_remove(at))
                }

                fn install(&self, before: WasInstalled, new: Translation) -> Result {
                    if Lock::$lock == Lock::InstallLater {
                        self.later.borrow_mut().push((before, new));
                        return Ok(());
                    }
                    self.write(before, new)
                }

                fn is_cut_off(&self) -> bool {
                    self.group.unit.has_failed()
                }

                fn report_attached(&self, _: AttachedTo, _: &AttachState<u16, u16>) {}
            }

            /// Attaches a device to a domain.
            struct Attempt<'a>(&'a Device, u16);

            impl attach::AttachAttempt<Device> for Attempt<'_> {
                fn check_owner(
                    &self,
                    _: &mut (),
                    state: &AttachState<u16, u16>,
                ) -> Result<record::Grant> {
                    let request = AttachRequest {
                        wanted: wanted(self.1),
                        driver: BoundDriver::ManagesDma,
                        phase: AttachPhase::Attach,
                    };
                    let mut record = self.0.group.records.1.lock().unwrap();
                    let record = record.as_mut().ok_or(ENODEV)?;
                    let checked = record.check(state.in_group_record, state.owner_state, &request);
                    checked.map_err(|_| EBUSY)
                }

                fn check_tables(&self) -> Result {
                    Ok(())
                }

                fn join(&self, retained_id: Option<u16>) -> Result<(Translation, u16)> {
                    let id = self.1;
                    assert!(
                        retained_id.is_none_or(|retained| retained == id),
                        "the domain-id of another domain"
                    );
                    if self.domain().is_some() {
                        if self.0.group.full.load(std::sync::atomic::Ordering::Relaxed) && retained_id.is_none() {
                            return Err(ENOSPC);
                        }
                        self.0.group.joined.lock().unwrap().push(id);
                    }
                    Ok((translation(id), id))
                }

                fn domain(&self) -> Option<u16> {
                    Some(self.1).filter(|domain| *domain >= DMA)
                }

                fn report_cut_off(&self, _: bool) {}

                fn report_refusal(&self, _: attach::RefusingStep, _: &crate::shim::prelude::Error) {}
            }

            fn named(domain: u16) -> NamedDomain {
                let kind = match domain {
                    BLOCKED => AttachedTo::Blocked,
                    IDENTITY => AttachedTo::Identity,
                    DMA => AttachedTo::Dma,
                    _ => AttachedTo::Unmanaged,
                };
                let token = usize::from(domain);
                NamedDomain { kind, token }
            }

            impl Group {
                pub(crate) fn new() -> Self {
                    Self {
                        unit: Arc::new(Unit::new()),
                        records: Arc::new((Mutex::new(()), Mutex::new(None))),
                        joined: Arc::new(Mutex::new(Vec::new())),
                        full: Arc::default(),
                    }
                }

                /// Adds a device that was since attached to these domains, one after the other.
                pub(crate) fn member(&self, requester: u16, since: &[u16]) -> Member {
                    let member = Member(Arc::new(Device {
                        group: self.clone(),
                        requester,
                        state: Mutex::new(AttachState::blocked()),
                        later: RefCell::default(),
                    }));
                    {
                        let _lock = self.records.0.lock().unwrap();
                        let mut record = self.records.1.lock().unwrap();
                        let new = || record::GroupRecord::new(Members(Vec::new()));
                        let record = record.get_or_insert_with(new);
                        record.reserve(|_, _| -> Result { Ok(()) }).unwrap();
                    }
                    member.goes(BLOCKED, since).unwrap();
                    member
                }

                /// Checks that the group records and the domains agree with the installed entries.
                pub(crate) fn agrees(&self, members: &[&Member]) {
                    let record = self.records.1.lock().unwrap();
                    let counted = record.as_ref().map(|record| record.group());
                    let counted = counted.unwrap_or_default();
                    let (mut kernel, mut users) = (0, 0);
                    let mut domains = Vec::new();
                    for Member(device) in members {
                        let reaches = self.unit.entries(device.sources()[0]);
                        let state = device.state.lock().unwrap();
                        let is = match state.owner_state {
                            OwnerState::Blocked => None,
                            OwnerState::Kernel | OwnerState::KernelOwn => Some(Whose::Kernel),
                            OwnerState::User(owner) => Some(Whose::User(owner.token as u16)),
                        };
                        assert!(
                            reaches == is || self.unit.has_failed(),
                            "not what is installed"
                        );
                        kernel += u32::from(is == Some(Whose::Kernel));
                        users += u32::from(matches!(is, Some(Whose::User(_))));
                        domains.extend(state.domain);
                    }
                    let found = (counted.kernel_members(), counted.user_members());
                    assert_eq!(found, (kernel, users), "a wrong record");
                    assert!(kernel == 0 || users == 0, "a mixture in the record");
                    let mut joined = self.joined.lock().unwrap();
                    joined.sort();
                    domains.sort();
                    assert_eq!(*joined, domains, "a domain has another device");
                }
            }

            impl Member {
                /// Attaches the device to one domain after the other until an attach is refused.
                pub(crate) fn goes(&self, from: u16, to: &[u16]) -> Result {
                    let mut old = from;
                    for &new in to {
                        self.attach(Some(named(old)), new)?;
                        old = new;
                    }
                    Ok(())
                }

                /// Does what [`Self::goes`] does, in a separate thread.
                pub(crate) fn goes_concurrently(
                    &self,
                    from: u16,
                    to: &'static [u16],
                ) -> JoinHandle<Result> {
                    let member = self.clone();
                    spawn(move || member.goes(from, to))
                }

                /// Makes the first attach of the device.
                pub(crate) fn begins(&self, new: u16) -> Result {
                    self.attach(None, new)
                }

                fn attach(&self, old: Option<NamedDomain>, new: u16) -> Result {
                    let change = DomainChange {
                        old,
                        new: named(new),
                    };
                    attach::attach(&*self.0, &Attempt(&self.0, new), &change)
                }

                pub(crate) fn leaves(&self) {
                    attach::release(&*self.0, false);
                    let id = self.0.state.lock().unwrap().domain_id;
                    assert_eq!(id, 0, "a blocked device has a domain-id");
                }
            }
        }
    )+};
}

devices! {
    device: attach group_record Held;
    device_unlocked_before_install: attach group_record EachStep;
    device_installed_after_unlock: attach group_record InstallLater;
    device_never_checked: attach group_record_never_checked Held;
    device_not_committed: attach_not_committed group_record Held;
    device_not_recorded: attach group_record_not_recorded Held;
    device_not_stored: attach_not_stored group_record Held;
    device_removed_first: attach_removed_first group_record Held;
    device_never_removed: attach_never_removed group_record Held;
    device_all_removed: attach group_record_all_removed Held;
    device_granted_unrecorded: attach_granted_unrecorded group_record Held;
    device_reserved_ignored: attach group_record_reserved_ignored Held;
    device_first_refused: attach_first_refused group_record Held;
    device_left_early: attach_left_early group_record Held;
    device_never_left: attach_never_left group_record Held;
    device_joined_for_nothing: attach_joined_for_nothing group_record Held;
    device_retained_for_another: attach_retained_for_another group_record Held;
    device_not_retained: attach_not_retained group_record Held;
}
