// SPDX-License-Identifier: GPL-2.0

//! A change of domains, as an attach sees it.

use crate::bindings;

/// What a domain is, as far as it shows.
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
    /// Paging, on behalf of anyone else: VFIO, or a driver of its own domain.
    Unmanaged,
}

/// One domain, seen from an attach.
#[derive(Clone, Copy)]
pub struct DomainView {
    /// What it is.
    pub kind: DomainKind,
    /// Tells domains apart while they live; never dereferenced.
    pub identity: usize,
}

/// A change of domains.
pub struct Change {
    /// What the device uses now; [`None`] the first time.
    pub old: Option<DomainView>,
    /// What it shall use.
    pub new: DomainView,
}

impl DomainView {
    /// # Safety
    ///
    /// `domain` must be null or a live domain of this driver.
    unsafe fn of(domain: *mut bindings::iommu_domain) -> Option<DomainView> {
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
        Some(DomainView {
            kind,
            identity: domain as usize,
        })
    }
}

impl Change {
    /// # Safety
    ///
    /// Both must be live domains of this driver; `old` may be null.
    pub(super) unsafe fn new(
        old: *mut bindings::iommu_domain,
        new: *mut bindings::iommu_domain,
    ) -> Option<Change> {
        // SAFETY: By this function's contract.
        unsafe {
            Some(Change {
                old: DomainView::of(old),
                new: DomainView::of(new)?,
            })
        }
    }
}
