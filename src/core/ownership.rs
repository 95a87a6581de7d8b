// SPDX-License-Identifier: GPL-2.0

//! The rules of DMA ownership: the devices of a group are owned by the kernel or by one user, never
//! by both.
//!
//! A *group* is a set of devices that cannot be isolated from each other. The kernel's IOMMU core
//! records the owner of a group, but it does not check the owner when a domain is attached, and it
//! does not count drivers that were bound before the remapping driver registered. Therefore the
//! driver also checks every attach against the rules in this module, using what `attach_dev` can
//! observe. The core attaches the members of a group one after another. If one is refused, it
//! attaches the old domain to all of them again. So a refusal for one device is a refusal for its
//! group, and members have different states while the core works.
//!
//! Each member has an [`OwnerState`], and a [`GroupState`] counts the members in each state.
//! [`GroupState::transition`] is a pure function. The caller stores the result only after the
//! hardware has been changed, and it serialises the calls for a group (the core holds its group
//! mutex during `attach_dev`).
//!
//! Two requests are never refused:
//! - the blocked state, with one exception: a claim of the group while this device has a driver
//!   that the core did not count ([`Refusal::DriverUnknownToCore`]). A reset and a release make the
//!   same request; the caller distinguishes them by [`AttachPhase`].
//! - the return to the default domain, from any state of the device, with one exception: the device
//!   is blocked and a user still has another device of the group. No caller needs that transition,
//!   and it would mix the owners.
//!
//! The rules rely on the core: it lets only the owner of a group replace its domain by another one.
//! They therefore attribute a replacement within iommufd to the same owner.

use core::fmt;

/// A user that owns devices: a VFIO container or an iommufd context, as far as the driver can
/// identify it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The interface that the user has opened.
    pub interface: DomainInterface,
    /// The value that distinguishes the owner from others of that interface: the address of the
    /// domain.
    pub token: usize,
}

/// The interface that maps memory in a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DomainInterface {
    /// iommufd (`IOMMU_COOKIE_IOMMUFD`): always for a user.
    Iommufd,
    /// The IOMMU API: VFIO type 1 for a user, or a driver for its own device.
    Api,
}

/// The ownership state of a group's member: the kind of domain to which it is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnerState {
    /// Attached to no domain: the device cannot do DMA. This is also the state before the first
    /// attach.
    Blocked,
    /// Attached to the group's default domain, which the DMA API uses: translated or identity.
    Kernel,
    /// Attached to an unmanaged domain in which the device's own kernel driver maps memory.
    KernelOwn,
    /// Attached to a user's domain.
    User(Owner),
}

/// The domain that an attach requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestedDomain {
    /// `IOMMU_DOMAIN_BLOCKED`.
    Blocked,
    /// `IOMMU_DOMAIN_IDENTITY`.
    Identity,
    /// `IOMMU_DOMAIN_DMA` or `IOMMU_DOMAIN_DMA_FQ`.
    Dma,
    /// `IOMMU_DOMAIN_UNMANAGED`.
    Unmanaged(Owner),
}

/// The driver bound to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BoundDriver {
    /// No driver is bound.
    None,
    /// A kernel driver that was bound when the core could count it. The core itself refuses a claim
    /// of the group.
    KnownToCore,
    /// A kernel driver that was bound before the remapping driver registered, so that the core has
    /// not counted it.
    UnknownToCore,
    /// A driver with `driver_managed_dma`: vfio-pci, a port driver.
    ManagesDma,
}

impl BoundDriver {
    /// Returns whether the device's DMA belongs to the kernel while this driver is bound.
    const fn is_kernel(self) -> bool {
        matches!(self, Self::KnownToCore | Self::UnknownToCore)
    }
}

/// The operation of which an attach is a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttachPhase {
    /// Any other operation: a claim, a user's attach or detach, a new default domain.
    Attach,
    /// A reset of the device: the core blocks the device, and attaches the group's domain again
    /// afterwards. The driver recognises it by blocked config accesses
    /// (`pci_dev::block_cfg_access`) on a device that has ATS; the core does this for no other
    /// device.
    Reset,
    /// The device is removed from the group: the request is for the driver's `release_domain`, if
    /// it has one.
    Release,
}

/// The request of an `attach_dev` call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttachRequest {
    /// The requested domain.
    pub wanted: RequestedDomain,
    /// The driver that is bound to the device now.
    pub driver: BoundDriver,
    /// The operation of which the request is a part.
    pub phase: AttachPhase,
}

/// The reason why a request is refused. The errno is always `-EBUSY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The group is claimed while this device has a kernel driver that the core did not count.
    DriverUnknownToCore,
    /// A user's domain is requested for a device that has a kernel driver.
    UserOverDriver,
    /// A user's domain is requested in a group in which the kernel owns this many other devices.
    UserWithKernel(u32),
    /// A domain of the kernel is requested in a group in which a user owns this many other devices.
    KernelWithUser(u32),
    /// A second user's domain is requested in a group in which a user owns this many other devices.
    SecondOwner(u32),
}

impl fmt::Display for Refusal {
    /// Writes a sentence that follows the device's name: what is refused, why, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DriverUnknownToCore => f.write_str(
                "is driven by a kernel driver that was bound before vtd was loaded, so its group \
                 cannot be given to a user; unbind that driver, or remove and rescan the device",
            ),
            Self::UserOverDriver => f.write_str(
                "is driven by a kernel driver, so it cannot be attached to a user's domain; \
                 unbind that driver first",
            ),
            Self::UserWithKernel(count) => write!(
                f,
                "cannot be attached to a user's domain while the kernel has {count} other \
                 device(s) of its group; unbind their drivers and claim the group first",
            ),
            Self::KernelWithUser(count) => write!(
                f,
                "cannot be attached to a domain of the kernel while a user has {count} other \
                 device(s) of its group; close the user of the group first",
            ),
            Self::SecondOwner(count) => write!(
                f,
                "cannot be attached to a second user's domain while another user has {count} \
                 other device(s) of its group; give all devices of the group to one user",
            ),
        }
    }
}

/// The number of members of a group in each state.
///
/// # Invariants
///
/// - No member is owned by a user while another one is owned by the kernel. The only exception is
///   the time while the core returns a whole group from a user to its default domain, device by
///   device. (It blocks a user's group first, so this is not known to happen.)
/// - There are two owners only while the core replaces the domain of one by the domain of the
///   other, both by the same interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GroupState {
    blocked: u32,
    kernel: u32,
    kernel_own: u32,
    users: [Option<(Owner, u32)>; 2],
}

impl GroupState {
    /// A group without members.
    pub const EMPTY: Self = Self {
        blocked: 0,
        kernel: 0,
        kernel_own: 0,
        users: [None; 2],
    };

    /// Returns the group with one more member, which is [`OwnerState::Blocked`].
    pub const fn with_member(self) -> Self {
        Self {
            blocked: self.blocked.saturating_add(1),
            ..self
        }
    }

    /// Returns the group without one member that was in `state`.
    pub fn without_member(self, state: OwnerState) -> Self {
        let mut rest = self;
        match state {
            OwnerState::Blocked => rest.blocked = rest.blocked.saturating_sub(1),
            OwnerState::Kernel => rest.kernel = rest.kernel.saturating_sub(1),
            OwnerState::KernelOwn => rest.kernel_own = rest.kernel_own.saturating_sub(1),
            OwnerState::User(owner) => rest.remove_user(owner),
        }
        rest
    }

    /// Returns the group after a failure, rather than a request, has blocked a member that was in
    /// `from`.
    pub fn with_blocked_member(self, from: OwnerState) -> Self {
        self.without_member(from).with_member()
    }

    /// Returns how many members the kernel owns.
    pub const fn kernel_members(&self) -> u32 {
        self.kernel.saturating_add(self.kernel_own)
    }

    /// Returns how many members users own.
    pub fn user_members(&self) -> u32 {
        self.owners()
            .fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Returns the users that own members, and how many each owns. There are two users only during
    /// a replacement.
    pub fn owners(&self) -> impl Iterator<Item = (Owner, u32)> {
        self.users.into_iter().flatten()
    }

    /// Grants or refuses `request` of a member that is in `from`. If granted, returns the new state
    /// of the group and of the member.
    ///
    /// # Errors
    ///
    /// The reason why the request is refused (`-EBUSY`).
    pub fn transition(
        self,
        from: OwnerState,
        request: &AttachRequest,
    ) -> Result<(Self, OwnerState), Refusal> {
        let others = self.without_member(from);
        let to = match request.wanted {
            RequestedDomain::Blocked => block(from, request)?,
            RequestedDomain::Identity | RequestedDomain::Dma => {
                others.allow_kernel(from, request)?
            }
            RequestedDomain::Unmanaged(owner) => others.allow_unmanaged(from, request, owner)?,
        };
        Ok((others.with_state(to)?, to))
    }

    /// Checks whether a member may be attached to the default domain; `self` counts the other
    /// members.
    fn allow_kernel(
        &self,
        from: OwnerState,
        request: &AttachRequest,
    ) -> Result<OwnerState, Refusal> {
        let users = self.user_members();
        let returns = from != OwnerState::Blocked || request.phase == AttachPhase::Release;
        if users > 0 && !returns {
            return Err(Refusal::KernelWithUser(users));
        }
        Ok(OwnerState::Kernel)
    }

    /// Checks whether a member may be attached to an unmanaged domain, and returns the state that
    /// names its owner; `self` counts the other members.
    fn allow_unmanaged(
        &self,
        from: OwnerState,
        request: &AttachRequest,
        owner: Owner,
    ) -> Result<OwnerState, Refusal> {
        let users = self.user_members();
        // A domain of the IOMMU API belongs to the bound driver. A device without a driver is
        // treated like the rest of its group.
        let follows = request.driver == BoundDriver::None && self.kernel_own > 0;
        if owner.interface == DomainInterface::Api && (request.driver.is_kernel() || follows) {
            return match users {
                0 => Ok(OwnerState::KernelOwn),
                _ => Err(Refusal::KernelWithUser(users)),
            };
        }
        if request.driver.is_kernel() {
            return Err(Refusal::UserOverDriver);
        }
        if self.kernel_members() > 0 {
            return Err(Refusal::UserWithKernel(self.kernel_members()));
        }
        let replaced = match from {
            OwnerState::User(old) if old.interface == owner.interface => Some(old),
            _ => None,
        };
        if self
            .owners()
            .any(|(of, _)| of != owner && Some(of) != replaced)
        {
            return Err(Refusal::SecondOwner(users));
        }
        Ok(OwnerState::User(owner))
    }

    /// Returns the group with one more member, which is in `state`.
    fn with_state(self, state: OwnerState) -> Result<Self, Refusal> {
        let mut group = self;
        match state {
            OwnerState::Blocked => group.blocked = group.blocked.saturating_add(1),
            OwnerState::Kernel => group.kernel = group.kernel.saturating_add(1),
            OwnerState::KernelOwn => group.kernel_own = group.kernel_own.saturating_add(1),
            OwnerState::User(owner) => group.add_user(owner)?,
        }
        Ok(group)
    }

    fn remove_user(&mut self, owner: Owner) {
        let [one, other] = self.users.map(|user| match user {
            Some((of, count)) if of == owner => match count.saturating_sub(1) {
                0 => None,
                left => Some((of, left)),
            },
            _ => user,
        });
        // A single owner is in the first slot.
        self.users = match one {
            None => [other, None],
            Some(_) => [one, other],
        };
    }

    fn add_user(&mut self, owner: Owner) -> Result<(), Refusal> {
        for (of, count) in self.users.iter_mut().flatten() {
            if *of == owner {
                *count = count.saturating_add(1);
                return Ok(());
            }
        }
        match self.users.iter_mut().find(|user| user.is_none()) {
            Some(free) => {
                *free = Some((owner, 1));
                Ok(())
            }
            None => Err(Refusal::SecondOwner(self.user_members())),
        }
    }
}

/// Checks whether a device that is in `from` may be blocked.
fn block(from: OwnerState, request: &AttachRequest) -> Result<OwnerState, Refusal> {
    let claim = from == OwnerState::Kernel && request.phase == AttachPhase::Attach;
    if claim && request.driver == BoundDriver::UnknownToCore {
        return Err(Refusal::DriverUnknownToCore);
    }
    Ok(OwnerState::Blocked)
}
