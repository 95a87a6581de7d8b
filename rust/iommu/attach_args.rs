// SPDX-License-Identifier: GPL-2.0

//! The old and the new domain of an attach.

use crate::bindings;

/// The kind of a domain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DomainKind {
    /// No DMA at all.
    Blocked,
    /// DMA addresses are physical addresses.
    Identity,
    /// Paging, for the kernel's DMA API.
    DmaApi,
    /// Paging, on behalf of iommufd.
    Iommufd,
    /// Paging, on behalf of other users: VFIO, or a driver that allocates a separate domain.
    Unmanaged,
}

/// One of the domains of an attach.
#[derive(Clone, Copy)]
pub struct DomainInfo {
    /// Its kind.
    pub kind: DomainKind,
    /// Distinguishes live domains; never dereferenced.
    pub token: usize,
}

/// The domains of an attach.
pub struct AttachArgs {
    /// The domain that the device uses now; [`None`] at its first attach.
    pub old: Option<DomainInfo>,
    /// The domain that it shall use.
    pub new: DomainInfo,
}

impl DomainInfo {
    /// Reads the kind of a domain; [`None`] for null.
    ///
    /// # Safety
    ///
    /// `domain` must be null or a live domain of this driver.
    unsafe fn of(domain: *mut bindings::iommu_domain) -> Option<DomainInfo> {
        if domain.is_null() {
            return None;
        }
        // SAFETY: Live by this function's contract; type and cookie do not change while a domain
        // is being attached.
        let (kind, cookie) = unsafe { ((*domain).type_, (*domain).cookie_type) };
        let kind = match kind {
            bindings::IOMMU_DOMAIN_BLOCKED => DomainKind::Blocked,
            k if k == bindings::__IOMMU_DOMAIN_PT => DomainKind::Identity,
            k if k & bindings::__IOMMU_DOMAIN_DMA_API != 0 => DomainKind::DmaApi,
            _ if cookie == bindings::iommu_domain_cookie_type_IOMMU_COOKIE_IOMMUFD => {
                DomainKind::Iommufd
            }
            _ => DomainKind::Unmanaged,
        };
        Some(DomainInfo {
            kind,
            token: domain as usize,
        })
    }
}

impl AttachArgs {
    /// Reads the kinds of both domains; [`None`] if `new` is null.
    ///
    /// # Safety
    ///
    /// Both must be live domains of this driver; `old` may be null.
    pub(super) unsafe fn new(
        old: *mut bindings::iommu_domain,
        new: *mut bindings::iommu_domain,
    ) -> Option<AttachArgs> {
        // SAFETY: By this function's contract.
        unsafe {
            Some(AttachArgs {
                old: DomainInfo::of(old),
                new: DomainInfo::of(new)?,
            })
        }
    }
}
