// SPDX-License-Identifier: GPL-2.0

//! Domains with page tables: the C structure and the C operations.

use super::callbacks::attach;
use super::gather::Gather;
use super::held::Held;
use super::traits::{Driver, NewPaging, Paging, Protection};
use crate::bindings;
use crate::errno::eopnotsupp;
use crate::pages::Gfp;
use core::marker::PhantomData;
use kernel::prelude::*;
use kernel::types::Opaque;

/// The C structure of a domain, followed by the driver's part.
///
/// For domains that are marked as `iommupt`, the core maps and unmaps whole ranges with the
/// operations of `struct pt_iommu`. A kernel without `CONFIG_IOMMU_PT` calls the ordinary
/// operations for each page size. Both call the same methods of [`Paging`].
///
/// # Invariants
///
/// - `pt` is initialised for the operation tables of `P`. Allocated as a `KBox` by [`Self::create`]
///   and freed by [`Self::free`].
/// - Holds a reference to `module`, because iommufd keeps a domain for longer than its devices.
#[repr(C)]
pub(super) struct PagingDomain<P: Paging, D> {
    pt: Opaque<bindings::pt_iommu>,
    tables: P::Tables,
    paging: P,
    module: *mut bindings::module,
    _driver: PhantomData<fn() -> D>,
}

/// A table without operations.
pub(super) const NO_DOMAIN_OPS: bindings::iommu_domain_ops = bindings::iommu_domain_ops {
    attach_dev: None,
    set_dev_pasid: None,
    map_pages: None,
    unmap_pages: None,
    flush_iotlb_all: None,
    iotlb_sync_map: None,
    iotlb_sync: None,
    cache_invalidate_user: None,
    iova_to_phys: None,
    enforce_cache_coherency: None,
    set_pgtable_quirks: None,
    free: None,
};

/// The operation tables of `P`'s domains, for devices that `D` probes.
struct OperationTables<P, D>(PhantomData<(P, D)>);

impl<P: Paging, D: Driver<Device = P::Device>> OperationTables<P, D> {
    const DOMAIN: bindings::iommu_domain_ops = bindings::iommu_domain_ops {
        attach_dev: Some(PagingDomain::<P, D>::attach_dev),
        map_pages: Some(PagingDomain::<P, D>::map_pages),
        unmap_pages: Some(PagingDomain::<P, D>::unmap_pages),
        flush_iotlb_all: Some(PagingDomain::<P, D>::flush_iotlb_all),
        iotlb_sync: Some(PagingDomain::<P, D>::iotlb_sync),
        iova_to_phys: Some(PagingDomain::<P, D>::iova_to_phys),
        enforce_cache_coherency: Some(PagingDomain::<P, D>::enforce_cache_coherency),
        free: Some(PagingDomain::<P, D>::free),
        iotlb_sync_map: Some(PagingDomain::<P, D>::iotlb_sync_map),
        set_dev_pasid: None,
        cache_invalidate_user: None,
        set_pgtable_quirks: None,
    };

    /// The core expects a table of generic_pt, in which no operation is NULL. All fields are
    /// listed, so that the driver does not compile for a kernel with one more operation.
    const RANGED: bindings::pt_iommu_ops = bindings::pt_iommu_ops {
        map_range: Some(PagingDomain::<P, D>::map_range),
        unmap_range: Some(PagingDomain::<P, D>::unmap_range),
        set_dirty: Some(PagingDomain::<P, D>::set_dirty),
        get_info: Some(PagingDomain::<P, D>::get_info),
        deinit: Some(PagingDomain::<P, D>::deinit),
    };
}

impl<P: Paging, D: Driver<Device = P::Device>> PagingDomain<P, D> {
    /// Allocates the domain; the core owns it from here on.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails, or [`ENODEV`] while the module is being unloaded.
    ///
    /// # Safety
    ///
    /// `module` must be the module of this code, to which the caller has a reference.
    pub(super) unsafe fn create(
        new: NewPaging<P>,
        module: *mut bindings::module,
    ) -> Result<*mut bindings::iommu_domain> {
        let mut pt = bindings::pt_iommu {
            ops: &OperationTables::<P, D>::RANGED,
            nid: new.node.raw(),
            ..Default::default()
        };
        // The core sets the type of domains that it allocates; iommufd calls
        // domain_alloc_paging_flags directly, and the driver must set the type.
        pt.domain.type_ = bindings::__IOMMU_DOMAIN_PAGING;
        pt.domain.ops = &OperationTables::<P, D>::DOMAIN;
        pt.domain.is_iommupt = cfg!(CONFIG_IOMMU_PT);
        pt.domain.pgsize_bitmap = new.aperture.page_sizes as usize;
        pt.domain.geometry.aperture_end = new.aperture.last;
        pt.domain.geometry.force_aperture = true;
        let domain = KBox::new(
            PagingDomain::<P, D> {
                pt: Opaque::new(pt),
                tables: new.tables,
                paging: new.paging,
                module,
                _driver: PhantomData,
            },
            new.charge.flags(),
        )?;
        // SAFETY: A live module by this function's contract.
        if !unsafe { bindings::try_module_get(module) } {
            return Err(ENODEV);
        }
        // INVARIANT: Initialised above, and the module is held.
        Ok(KBox::into_raw(domain).cast())
    }

    /// Returns the driver's part of a domain.
    ///
    /// # Safety
    ///
    /// `domain` must come from [`Self::create`] and not have been freed.
    #[inline(always)]
    unsafe fn paging<'a>(domain: *mut bindings::iommu_domain) -> &'a P {
        // SAFETY: The structure begins with the domain, `repr(C)` at each step.
        unsafe { &(*domain.cast::<Self>()).paging }
    }

    /// Returns the driver's part of a domain, and `iova..iova + len` of its tables.
    ///
    /// # Safety
    ///
    /// As for [`Self::paging`], and for [`Held::new`] with this range.
    #[inline(always)]
    unsafe fn held<'a>(
        domain: *mut bindings::iommu_domain,
        iova: u64,
        len: u64,
    ) -> (&'a P, Held<'a, P::Tables>) {
        // SAFETY: As in `paging`; the range is held by this function's contract.
        unsafe {
            let tables = &(*domain.cast::<Self>()).tables;
            (Self::paging(domain), Held::new(tables, iova, len))
        }
    }

    /// Implements `iommu_domain_ops::attach_dev`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with a live domain of [`Self::create`], a live device that `D`
    /// probed, and the live domain that it is attached to, which is of the same driver or null;
    /// with the mutex of the device's group held.
    unsafe extern "C" fn attach_dev(
        domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        // SAFETY: By this function's contract.
        unsafe {
            let paging = Self::paging(domain);
            attach::<D>(dev, old, domain, |_, dev, data, args| {
                paging.attach_dev(dev, data, args)
            })
        }
    }

    /// Implements `pt_iommu_ops::map_range`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with the table of a live domain of [`Self::create`], a range that
    /// its caller holds for changes, see [`Held`], and room for the count.
    unsafe extern "C" fn map_range(
        table: *mut bindings::pt_iommu,
        iova: u64,
        phys: u64,
        len: u64,
        prot: u32,
        gfp: bindings::gfp_t,
        mapped: *mut usize,
    ) -> i32 {
        // SAFETY: By this function's contract; `pt_iommu` begins with the domain.
        unsafe {
            let (paging, range) = Self::held(table.cast(), iova, len);
            match paging.map_range(range, phys, Protection(prot), Gfp(gfp)) {
                Ok(()) => {
                    *mapped += len as usize;
                    0
                }
                Err(e) => e.to_errno(),
            }
        }
    }

    /// Implements `pt_iommu_ops::unmap_range`.
    ///
    /// # Safety
    ///
    /// As for [`Self::map_range`], with an initialised gather of the caller's own in place of the
    /// count.
    #[inline(never)]
    unsafe extern "C" fn unmap_range(
        table: *mut bindings::pt_iommu,
        iova: u64,
        len: u64,
        gather: *mut bindings::iommu_iotlb_gather,
    ) -> usize {
        // SAFETY: `pt_iommu` begins with the domain; the range and the gather are the caller's own.
        unsafe {
            let (paging, range) = Self::held(table.cast(), iova, len);
            paging.unmap_range(range, Gather::from_raw(gather)) as usize
        }
    }

    /// Implements `pt_iommu_ops::set_dirty`, which is not supported: the driver has no dirty
    /// tracking.
    ///
    /// # Safety
    ///
    /// None: any arguments are ignored.
    unsafe extern "C" fn set_dirty(_table: *mut bindings::pt_iommu, _iova: u64) -> i32 {
        eopnotsupp().to_errno()
    }

    /// Implements `pt_iommu_ops::deinit`. Does nothing: [`Self::free`] frees the tables with the
    /// domain.
    ///
    /// # Safety
    ///
    /// None: any arguments are ignored.
    unsafe extern "C" fn deinit(_table: *mut bindings::pt_iommu) {}

    /// Implements `pt_iommu_ops::get_info`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with the table of a live domain of [`Self::create`] and room for
    /// the answer.
    unsafe extern "C" fn get_info(
        table: *mut bindings::pt_iommu,
        info: *mut bindings::pt_iommu_info,
    ) {
        // SAFETY: By this function's contract.
        unsafe { (*info).pgsize_bitmap = (*table).domain.pgsize_bitmap as u64 }
    }

    /// Implements `iommu_domain_ops::map_pages`.
    ///
    /// # Safety
    ///
    /// As for [`Self::map_range`]: called for a live domain of [`Self::create`] by a core that
    /// does not use `pt_iommu_ops`.
    unsafe extern "C" fn map_pages(
        domain: *mut bindings::iommu_domain,
        iova: usize,
        phys: bindings::phys_addr_t,
        size: usize,
        count: usize,
        prot: i32,
        gfp: bindings::gfp_t,
        mapped: *mut usize,
    ) -> i32 {
        let Some(len) = size.checked_mul(count) else {
            return EINVAL.to_errno();
        };
        let (table, prot) = (domain.cast(), prot as u32);
        // SAFETY: By this function's contract; `pt_iommu` begins with the domain.
        unsafe { Self::map_range(table, iova as u64, phys, len as u64, prot, gfp, mapped) }
    }

    /// Implements `iommu_domain_ops::unmap_pages`.
    ///
    /// # Safety
    ///
    /// As for [`Self::unmap_range`]: called for a live domain of [`Self::create`] by a core that
    /// does not use `pt_iommu_ops`.
    unsafe extern "C" fn unmap_pages(
        domain: *mut bindings::iommu_domain,
        iova: usize,
        size: usize,
        count: usize,
        gather: *mut bindings::iommu_iotlb_gather,
    ) -> usize {
        let len = size.saturating_mul(count) as u64;
        // SAFETY: By this function's contract; `pt_iommu` begins with the domain.
        unsafe { Self::unmap_range(domain.cast(), iova as u64, len, gather) }
    }

    /// Implements `iommu_domain_ops::flush_iotlb_all`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with a live domain of [`Self::create`]; in any context.
    unsafe extern "C" fn flush_iotlb_all(domain: *mut bindings::iommu_domain) {
        // SAFETY: By this function's contract.
        unsafe { Self::paging(domain) }.flush_iotlb_all()
    }

    /// Implements `iommu_domain_ops::iotlb_sync`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with a live domain of [`Self::create`] and a gather of the caller's
    /// own that unmaps of this domain have filled; in any context.
    unsafe extern "C" fn iotlb_sync(
        domain: *mut bindings::iommu_domain,
        gather: *mut bindings::iommu_iotlb_gather,
    ) {
        // SAFETY: By this function's contract.
        let (paging, mut gather) = unsafe { (Self::paging(domain), Gather::from_raw(gather)) };
        paging.iotlb_sync(gather.as_mut());
        // Not before the invalidation: until then, hardware may walk them.
        gather.free_tables();
    }

    /// Implements `iommu_domain_ops::iotlb_sync_map`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with a live domain of [`Self::create`]; in any context.
    unsafe extern "C" fn iotlb_sync_map(
        domain: *mut bindings::iommu_domain,
        iova: usize,
        len: usize,
    ) -> i32 {
        // SAFETY: By this function's contract.
        match unsafe { Self::paging(domain) }.iotlb_sync_map(iova as u64, len as u64) {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        }
    }

    /// Implements `iommu_domain_ops::iova_to_phys`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core with a live domain of [`Self::create`], whose caller keeps the
    /// address from being unmapped concurrently.
    unsafe extern "C" fn iova_to_phys(
        domain: *mut bindings::iommu_domain,
        iova: u64,
    ) -> bindings::phys_addr_t {
        // SAFETY: By this function's contract; the range is only borrowed.
        let (paging, byte) = unsafe { Self::held(domain, iova, 1) };
        paging.iova_to_phys(&byte).unwrap_or(0)
    }

    /// Implements `iommu_domain_ops::enforce_cache_coherency`.
    ///
    /// # Safety
    ///
    /// Called by iommufd or VFIO with a live domain of [`Self::create`].
    unsafe extern "C" fn enforce_cache_coherency(domain: *mut bindings::iommu_domain) -> bool {
        // SAFETY: By this function's contract.
        let (paging, tables) = unsafe { (Self::paging(domain), &(*domain.cast::<Self>()).tables) };
        paging.enforce_cache_coherency(tables)
    }

    /// Implements `iommu_domain_ops::free`.
    ///
    /// # Safety
    ///
    /// Called by the IOMMU core, once, with a live domain of [`Self::create`] that no device is
    /// attached to and that is not used any more.
    unsafe extern "C" fn free(domain: *mut bindings::iommu_domain) {
        // SAFETY: Made by `create`; the core frees it once, when no device uses it.
        let domain = unsafe { KBox::from_raw(domain.cast::<Self>()) };
        let module = domain.module;
        drop(domain);
        // SAFETY: The reference was taken in `create`. The module may be freed after this, so no
        // code of it may run afterwards: this call is a tail call, compiled to a jump, so that the
        // kernel's function returns to the core directly (`make host-check` checks it). See
        // Documentation/architecture.rst, "Lifetimes".
        unsafe { bindings::module_put(module) };
    }
}
