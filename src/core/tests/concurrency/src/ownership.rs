// SPDX-License-Identifier: GPL-2.0

//! Members of one group are attached concurrently, with fewer restrictions than in the core, which
//! has a mutex for each group. In every order, no member reaches a user's memory while another one
//! reaches the kernel's or a second user's. The unit of the model asserts this at each entry. At
//! the end, the group records must agree with the installed entries.

use crate::shim::attach_checks::{AccessControl, RateLimit, UntranslatedDevices};
use crate::shim::device::{Device, Driver};
use crate::shim::group_unit::{Translation, Unit, Whose, FIRST_USER};
use crate::shim::iommu::{self, AttachArgs, DomainInfo, DomainKind};
use crate::shim::pci::PciDevice;
use crate::shim::prelude::{KVec, Result, EBUSY, EIO};
use crate::shim::sync::Mutex;
use loom::thread::{spawn, JoinHandle};
use std::sync::Arc;
use vtd_core::ownership::OwnerState;
use vtd_core::spec::address::{DomainId, PhysAddr, Segment, SourceId};
use vtd_core::spec::level::AddressWidth;

subjects! {
    device device_unlocked_before_install device_installed_after_unlock device_never_checked
    device_not_committed device_not_recorded device_not_stored device_checked_another
    device_removed_first device_never_removed device_all_removed device_granted_unrecorded
    device_reserved_ignored device_first_refused
}

/// The domains, by their domain-ids.
const BLOCKED: u16 = 0;
const IDENTITY: u16 = 1;
const DMA: u16 = 2;
const ONE: u16 = FIRST_USER;
const OTHER: u16 = FIRST_USER + 1;

fn view(domain: u16) -> DomainInfo {
    let kind = match domain {
        BLOCKED => DomainKind::Blocked,
        IDENTITY => DomainKind::Identity,
        DMA => DomainKind::DmaApi,
        _ => DomainKind::Iommufd,
    };
    let token = usize::from(domain);
    DomainInfo { kind, token }
}

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

/// Defines a group whose devices a test attaches from one thread or from several.
macro_rules! group {
    ($module:ident) => {
        use $module::attachment::DeviceState;
        use $module::info::DeviceInfo;

        #[derive(Clone)]
        struct Group {
            unit: Arc<Unit>,
            records: Arc<$module::ownership::Ownership>,
        }

        #[derive(Clone)]
        struct Member(Arc<DeviceInfo>);

        impl Group {
            fn new() -> Self {
                Self {
                    unit: Arc::new(Unit::new()),
                    records: $module::ownership::Ownership::new().unwrap(),
                }
            }

            /// Adds a device that was since attached to these domains, one after the other.
            fn member(&self, requester: u16, since: &[u16]) -> Member {
                let source = SourceId::from_raw(requester);
                let mut requesters = KVec::new();
                // The requester ID of a device behind it maps to this device too.
                for source in [source, SourceId::from_raw(requester + 0x100)] {
                    requesters.push(source, ()).unwrap();
                }
                let driver = Some(Driver {
                    name: "vfio-pci",
                    driver_managed_dma: true,
                });
                let name = "0000:00:01.0";
                let member = Member(Arc::new(DeviceInfo {
                    number: u64::from(requester),
                    unit: self.unit.clone(),
                    pci: PciDevice(Arc::new(Device { name, driver })),
                    segment: Segment::new(0),
                    source,
                    untrusted: false,
                    identity_reason: None,
                    requesters,
                    regions: KVec::new(),
                    bound_before: loom::sync::atomic::AtomicBool::new(false),
                    ownership: self.records.clone(),
                    untranslated: Arc::new(UntranslatedDevices),
                    access_control: Arc::new(AccessControl),
                    state: Mutex::new(DeviceState::new()),
                    log_limit: RateLimit,
                    fault_limit: RateLimit,
                }));
                member.0.join_group(iommu::Group(0)).unwrap();
                member.goes(BLOCKED, since).unwrap();
                member
            }

            /// Checks that the group records agree with the installed entries.
            fn agrees(&self, members: &[&Member]) {
                let mut groups = self.records.lock();
                let record = groups.find(0).map(|record| record.group);
                let counted = record.unwrap_or_default();
                let (mut kernel, mut users) = (0, 0);
                for Member(info) in members {
                    let reaches = self.unit.entries(info.source);
                    let is = match info.state.lock().owner_state {
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
                }
                let found = (counted.kernel_members(), counted.user_members());
                assert_eq!(found, (kernel, users), "a wrong record");
                assert!(kernel == 0 || users == 0, "a mixture in the record");
            }
        }

        impl Member {
            /// Attaches the device to one domain after the other until an attach is refused.
            fn goes(&self, from: u16, to: &[u16]) -> Result {
                let mut old = from;
                for &new in to {
                    self.attach(Some(view(old)), new)?;
                    old = new;
                }
                Ok(())
            }

            /// Does what [`Self::goes`] does, in a separate thread.
            fn goes_concurrently(&self, from: u16, to: &'static [u16]) -> JoinHandle<Result> {
                let member = self.clone();
                spawn(move || member.goes(from, to))
            }

            /// Makes the first attach of the device.
            fn begins(&self, new: u16) -> Result {
                self.attach(None, new)
            }

            fn attach(&self, old: Option<DomainInfo>, new: u16) -> Result {
                let args = AttachArgs {
                    old,
                    new: view(new),
                };
                let device = self.0.pci.as_device();
                $module::attach::attach(device, &self.0, &args, &translation(new))
            }

            fn leaves(&self) {
                $module::attach::release(&self.0, false);
            }
        }
    };
}

/// Attaches two devices for two owners concurrently, in a group without an owner. Exactly one of
/// them is refused.
macro_rules! rivals {
    ($module:ident, $($one:expr, $other:expr;)+) => {$(
        crate::check(|| {
            group!($module);
            let group = Group::new();
            let (a, b) = (group.member(8, &[]), group.member(9, &[]));
            let other = b.goes_concurrently(BLOCKED, &[$other]);
            let mine = a.goes(BLOCKED, &[$one]);
            let theirs = other.join().unwrap();
            match (mine, theirs) {
                (Ok(()), Err(refusal)) | (Err(refusal), Ok(())) => assert_eq!(refusal, EBUSY),
                both => panic!("not one of them: {both:?}"),
            }
            group.agrees(&[&a, &b]);
        });
    )+};
}

macro_rules! kernel_and_user {
    ($module:ident) => {
        rivals! { $module, DMA, ONE; IDENTITY, ONE; }
    };
}

macro_rules! two_users {
    ($module:ident) => {
        rivals! { $module, ONE, OTHER; }
    };
}

/// A user returns a member, which is blocked and then attached for the kernel, while the other one
/// is claimed and attached to the same user's domain.
macro_rules! claim_and_return {
    ($module:ident) => {
        crate::check(|| {
            group!($module);
            let group = Group::new();
            let (a, b) = (group.member(8, &[ONE]), group.member(9, &[]));
            let back = a.goes_concurrently(ONE, &[BLOCKED, DMA]);
            let claimed = b.goes(BLOCKED, &[ONE]);
            let back = back.join().unwrap();
            assert!(back.is_ok() != claimed.is_ok(), "not one of them");
            group.agrees(&[&a, &b]);
        })
    };
}

/// A user returns a member while the other one, which is claimed, is attached to another domain.
macro_rules! handed_over {
    ($module:ident) => {
        handed_over!($module, DMA);
        handed_over!($module, OTHER);
    };
    ($module:ident, $to:expr) => {
        crate::check(|| {
            group!($module);
            let group = Group::new();
            let (a, b) = (group.member(8, &[ONE]), group.member(9, &[BLOCKED]));
            let back = a.goes_concurrently(ONE, &[BLOCKED]);
            let early = b.goes(BLOCKED, &[$to]);
            back.join()
                .unwrap()
                .expect("to be blocked is never refused");
            if early.is_err() {
                b.goes(BLOCKED, &[$to])
                    .expect("the returned member still conflicts");
            }
            group.agrees(&[&a, &b]);
        })
    };
}

/// A user's member is removed while another one, which stays, is attached for the kernel.
macro_rules! one_removed {
    ($module:ident) => {
        crate::check(|| {
            group!($module);
            let group = Group::new();
            let (a, b) = (group.member(8, &[ONE]), group.member(9, &[]));
            let leaving = {
                let a = a.clone();
                spawn(move || a.leaves())
            };
            let early = b.goes(BLOCKED, &[DMA]);
            leaving.join().unwrap();
            if early.is_err() {
                b.goes(BLOCKED, &[DMA])
                    .expect("the removed member still conflicts");
            }
            group.agrees(&[&b]);
        })
    };
}

/// One of two members of a user is removed while a new device is attached for the kernel.
macro_rules! one_removed_one_added {
    ($module:ident) => {
        crate::check(|| {
            group!($module);
            let group = Group::new();
            let (a, b) = (group.member(8, &[ONE]), group.member(9, &[ONE]));
            let leaving = spawn(move || a.leaves());
            let c = group.member(10, &[]);
            let is_refused = || {
                let attached = c.goes(BLOCKED, &[DMA]);
                assert_eq!(attached, Err(EBUSY), "while a user has another member");
            };
            is_refused();
            leaving.join().unwrap();
            is_refused();
            group.agrees(&[&b, &c]);
        })
    };
}

/// The unit fails while one member is returned to the kernel and another is attached to a user's
/// domain: no memory is reached and no record mixes owners, whether the attaches are granted or
/// not.
macro_rules! unit_fails_concurrently {
    ($module:ident) => {
        crate::check(|| {
            group!($module);
            let group = Group::new();
            let (a, b) = (
                group.member(8, &[DMA, BLOCKED]),
                group.member(9, &[BLOCKED]),
            );
            let failing = {
                let unit = group.unit.clone();
                spawn(move || unit.fail())
            };
            let back = a.goes_concurrently(BLOCKED, &[DMA]);
            let claimed = b.goes(BLOCKED, &[ONE]);
            let back = back.join().unwrap();
            failing.join().unwrap();
            assert!(back.is_err() || claimed.is_err(), "both");
            let is_kernels = a.0.state.lock().owner_state == OwnerState::Kernel;
            assert_eq!(back.is_ok(), is_kernels, "granted and not committed");
            group.agrees(&[&a, &b]);
        })
    };
}

/// The unit fails while a new device behind it is attached for the first time. The first attach is
/// granted, and so are later attaches that must not fail. An attach to a user's domain is refused.
macro_rules! found_behind_failed {
    ($module:ident) => {
        found_behind_failed!($module, DMA);
        found_behind_failed!($module, IDENTITY);
    };
    ($module:ident, $default:expr) => {
        crate::check(|| {
            group!($module);
            let group = Group::new();
            let a = group.member(8, &[]);
            let failing = {
                let unit = group.unit.clone();
                spawn(move || unit.fail())
            };
            a.begins($default).expect("a first attach is refused");
            failing.join().unwrap();
            group.agrees(&[&a]);
            a.goes($default, &[BLOCKED])
                .expect("to be blocked is never refused");
            assert_eq!(a.goes(BLOCKED, &[ONE]), Err(EIO), "given to a user");
            a.goes(BLOCKED, &[$default])
                .expect("the return to the default domain is refused");
            group.agrees(&[&a]);
        })
    };
}

laws! {
    a_user_and_the_kernel_are_never_in_one_group: device, kernel_and_user;
    records_unlocked_before_the_install_are_noticed: device_unlocked_before_install, "a mixture";
    a_refusal_that_is_ignored_is_noticed: device_never_checked, "a mixture";
    a_grant_that_is_not_committed_is_noticed: device_not_committed, "a mixture";
    checking_another_group_is_noticed: device_checked_another, "a mixture";
}

laws! {
    two_users_are_never_in_one_group: device, two_users;
    a_grant_that_is_not_recorded_is_noticed: device_not_recorded, "a mixture";
}

laws! {
    a_claim_and_a_return_never_mix_a_group: device, claim_and_return;
    a_state_that_is_not_stored_is_noticed: device_not_stored, "not what is installed";
}

laws! {
    a_returned_device_is_blocked_before_another_owner_attaches: device, handed_over;
    an_install_after_unlocking_is_noticed: device_installed_after_unlock, "a mixture";
}

laws! {
    a_removed_device_is_blocked_before_others_attach: device, one_removed;
    a_device_removed_before_it_is_blocked_is_noticed: device_removed_first, "a mixture";
    a_device_that_is_never_removed_is_noticed: device_never_removed, "the removed member still conflicts";
    a_record_without_reserved_members_is_noticed: device_reserved_ignored, "the removed member still conflicts";
}

laws! {
    removing_a_device_keeps_the_others_recorded: device, one_removed_one_added;
    a_record_removed_with_one_member_is_noticed: device_all_removed, "while a user has another member";
}

laws! {
    a_concurrent_unit_failure_mixes_no_group: device, unit_fails_concurrently;
    a_return_that_is_not_recorded_is_noticed: device_granted_unrecorded, "granted and not committed";
}

laws! {
    a_first_attach_behind_a_failed_unit_succeeds: device, found_behind_failed;
    a_first_attach_that_is_refused_is_noticed: device_first_refused, "a first attach is refused";
}
