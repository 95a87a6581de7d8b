// SPDX-License-Identifier: GPL-2.0

//! Who may do DMA: the devices of a group are under the kernel or under one user,
//! never both.
//!
//! A *group* is the devices that cannot be isolated from each other. The kernel's IOMMU
//! core keeps account of a group's owner, but does not look at it when a domain is
//! attached, and does not count drivers that were bound before the remapping driver
//! registered. So every attach is also put to the rules in here, by what `attach_dev`
//! can see. The core attaches a group's members one after another and attaches the old
//! domain again to all of them when one is refused; so refusing for one's own device
//! refuses for the group, and states that differ between members occur while it works.
//!
//! Each member has a [`OwnerState`]; a [`GroupState`] counts them. [`GroupState::transition`] is a pure
//! function: the caller stores the result only when the hardware has followed, and
//! serialises the calls for a group (the core's group mutex is held in `attach_dev`).
//!
//! Never refused:
//! - the blocked state, but for one case: the claim of a group while a driver that
//!   the core did not count drives this very device ([`Refusal::DriverUnknownToCore`]). A reset
//!   and a release make the same request; the caller tells them apart by [`AttachPhase`].
//! - the way back to the default domain, from wherever the device itself is, unless a
//!   user still has another device of the group and this one is blocked: nobody needs
//!   that way, and going it would make the mixture.
//!
//! What the rules trust: the core lets only the holder of a group replace its domain by
//! another one. A replacement within iommufd is therefore taken for the same owner's.

use core::fmt;

/// A user who has devices: VFIO's container or iommufd's context, as far as it can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// By which interface.
    pub interface: DomainInterface,
    /// What tells the owner from others of that interface: the address of the domain.
    pub token: usize,
}

/// The interface through which a domain is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DomainInterface {
    /// iommufd (`IOMMU_COOKIE_IOMMUFD`): always a user.
    Iommufd,
    /// The IOMMU API itself: VFIO's type 1 for a user, or a driver for its own device.
    Api,
}

/// What a member of a group is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnerState {
    /// Nothing: the device cannot do DMA. The state before the first attach, too.
    Blocked,
    /// The group's default domain, by which the DMA API works: translated or identity.
    Kernel,
    /// An unmanaged domain that the device's own kernel driver fills.
    KernelOwn,
    /// A user's domain.
    User(Owner),
}

/// The domain that is to be attached.
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
    /// None.
    None,
    /// A kernel driver that was bound when the core could count it: the core refuses a
    /// claim of the group itself.
    KnownToCore,
    /// A kernel driver that was bound before the remapping driver registered: the core
    /// knows nothing of it.
    UnknownToCore,
    /// A driver with `driver_managed_dma`: vfio-pci, a port driver.
    ManagesDma,
}

impl BoundDriver {
    /// Whether the device's DMA belongs to the kernel while this driver is bound.
    const fn is_kernel(self) -> bool {
        matches!(self, Self::KnownToCore | Self::UnknownToCore)
    }
}

/// In what the request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttachPhase {
    /// Anything else: a claim, a user's attach or detach, a new default domain.
    Attach,
    /// A reset of the device: the core blocks it and attaches the group's domain again
    /// afterwards. Seen by config accesses being blocked (`pci_dev::block_cfg_access`) on
    /// a device that has ATS; the core does this for no other.
    Reset,
    /// The device leaves the group: the request names the driver's `release_domain`, if it has one.
    Release,
}

/// What `attach_dev` is asked, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttachRequest {
    /// The domain.
    pub wanted: RequestedDomain,
    /// The driver bound to the device now.
    pub driver: BoundDriver,
    /// What it is part of.
    pub phase: AttachPhase,
}

/// Why a request is refused; `-EBUSY`, each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The group is claimed while this device has a kernel driver that the core did not count.
    DriverUnknownToCore,
    /// A user's domain for a device that a kernel driver drives.
    UserOverDriver,
    /// A user's domain in a group of which the kernel has this many other devices.
    UserWithKernel(u32),
    /// A domain of the kernel's in a group of which a user has this many other devices.
    KernelWithUser(u32),
    /// A second user's domain in a group of which a user has this many other devices.
    SecondOwner(u32),
}

impl fmt::Display for Refusal {
    /// A sentence that follows the device's name: what, why, and what to do.
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

/// How many members of a group are in which state.
///
/// # Invariants
///
/// - No member is under a user while another one is under the kernel, but while the core
///   takes a whole group back from a user to its default domain in one go, device by
///   device. (It blocks a user's group first, so this is not known to happen.)
/// - There are two owners only while the core replaces the domain of one by the other's,
///   both by the same interface.
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

    /// The group with one more member, which is [`OwnerState::Blocked`].
    pub const fn with_member(self) -> Self {
        Self {
            blocked: self.blocked.saturating_add(1),
            ..self
        }
    }

    /// The group without a member that was in `state`.
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

    /// The group after a member that was in `from` was blocked by a failure, rather than
    /// by a request.
    pub fn with_blocked_member(self, from: OwnerState) -> Self {
        self.without_member(from).with_member()
    }

    /// How many members the kernel has.
    pub const fn kernel_members(&self) -> u32 {
        self.kernel.saturating_add(self.kernel_own)
    }

    /// How many members users have.
    pub fn user_members(&self) -> u32 {
        self.owners()
            .fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// The users who have members, and how many; two only during a replacement.
    pub fn owners(&self) -> impl Iterator<Item = (Owner, u32)> {
        self.users.into_iter().flatten()
    }

    /// The group, and the member's state, after `request` was granted to a member that is in
    /// `from`.
    ///
    /// # Errors
    ///
    /// Why it is refused; nothing has changed then.
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

    /// Of the other members: may this one go to the default domain?
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

    /// Of the other members: may this one go to an unmanaged domain, and whose is it?
    fn allow_unmanaged(
        &self,
        from: OwnerState,
        request: &AttachRequest,
        owner: Owner,
    ) -> Result<OwnerState, Refusal> {
        let users = self.user_members();
        // A domain made by the IOMMU API is the bound driver's own; a device without
        // a driver follows the rest of its group.
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

    /// The group with one more member, which is in `state`.
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
        // An owner who is alone stands first.
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

/// May a device that is in `from` be blocked?
fn block(from: OwnerState, request: &AttachRequest) -> Result<OwnerState, Refusal> {
    let claim = from == OwnerState::Kernel && request.phase == AttachPhase::Attach;
    if claim && request.driver == BoundDriver::UnknownToCore {
        return Err(Refusal::DriverUnknownToCore);
    }
    Ok(OwnerState::Blocked)
}
