// SPDX-License-Identifier: GPL-2.0

//! The core's request for a paging domain, and the domain before it is passed to the core.

use super::paging_domain::PagingDomain;
use super::traits::{Driver, NewPaging, Paging, PagingRequest};
use crate::bindings;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kernel::prelude::*;

/// A call of `iommu_ops::domain_alloc_paging_flags`.
///
/// # Invariants
///
/// `module` is the module of this code, and the device for which the core calls holds it.
pub(super) struct AllocRequest<D> {
    module: *mut bindings::module,
    _driver: PhantomData<fn() -> D>,
}

impl<D: Driver> AllocRequest<D> {
    /// Creates the request.
    ///
    /// # Safety
    ///
    /// `module` must be the module of this code, to which the caller has a reference for as long as
    /// the request lives.
    pub(super) unsafe fn new(module: *mut bindings::module) -> Self {
        // INVARIANT: By this function's contract.
        AllocRequest {
            module,
            _driver: PhantomData,
        }
    }
}

impl<D: Driver> PagingRequest<D::Device> for AllocRequest<D> {
    type Domain = NewDomain;

    fn create<P: Paging<Device = D::Device>>(self, new: NewPaging<P>) -> Result<NewDomain> {
        // SAFETY: By the type's invariants.
        let domain = unsafe { PagingDomain::<P, D>::create(new, self.module)? };
        // INVARIANT: Created just now.
        Ok(NewDomain(NonNull::new(domain).ok_or(ENOMEM)?))
    }
}

/// A paging domain that the core does not have yet. It is freed if it is dropped.
///
/// # Invariants
///
/// From [`PagingDomain::create`], and nothing else refers to it.
pub(super) struct NewDomain(NonNull<bindings::iommu_domain>);

impl NewDomain {
    /// Returns the domain, which the caller passes to the core.
    pub(super) fn into_raw(self) -> *mut bindings::iommu_domain {
        ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for NewDomain {
    fn drop(&mut self) {
        let domain = self.0.as_ptr();
        // SAFETY: A live domain by the type's invariants, with the operations of its type. Nothing
        // is attached to it, because the core does not have it.
        unsafe {
            if let Some(free) = (*domain).ops.as_ref().and_then(|ops| ops.free) {
                free(domain)
            }
        }
    }
}
