// SPDX-License-Identifier: GPL-2.0

//! Domains: what a device is attached to.

use super::change::Change;
use super::gather::Gather;
use super::held::Held;
use super::operations::Driver;
use crate::bindings;
use crate::device::Device;
use crate::errno::eopnotsupp;
use crate::pages::{Charge, Gfp, NumaNode};
use core::marker::PhantomData;
use core::pin::Pin;
use kernel::prelude::*;
use kernel::types::Opaque;

/// What a mapping permits: the core's bits.
#[derive(Clone, Copy)]
pub struct Protection(u32);

impl Protection {
    /// The device may read.
    #[inline(always)]
    pub fn read(self) -> bool {
        self.0 & bindings::IOMMU_READ != 0
    }

    /// The device may write.
    #[inline(always)]
    pub fn write(self) -> bool {
        self.0 & bindings::IOMMU_WRITE != 0
    }
}

/// The addresses that a domain can translate.
pub struct Aperture {
    /// Highest IOVA, inclusive.
    pub last: u64,
    /// Bit mask of page sizes in bytes.
    pub page_sizes: u64,
}

/// A domain with page tables.
///
/// Map, unmap, flush and sync are called in any context and from several threads at once; that
/// ranges of concurrent maps and unmaps do not overlap is what [`Held`] stands for.
pub trait Paging: Send + Sync + Sized + 'static {
    /// Whose domain it is.
    type Driver: Driver<Paging = Self>;

    /// Its tables. They lie in the core's domain, so that a [`Held`] range is one of these and of
    /// no other domain's.
    type Tables: Send + Sync + 'static;

    /// Lets `dev` use this domain instead of the one it uses now. An error has changed nothing.
    fn attach(
        &self,
        dev: &Device,
        data: &<Self::Driver as Driver>::Device,
        change: &Change,
    ) -> Result;

    /// Maps the range to `phys`; all of it, or an error and nothing.
    fn map(&self, range: Held<'_, Self::Tables>, phys: u64, prot: Protection, gfp: Gfp) -> Result;

    /// Unmaps up to the whole range from its start on, and tells `gather` what to flush. Returns
    /// how many bytes were unmapped; the first hole ends it.
    fn unmap(&self, range: Held<'_, Self::Tables>, gather: Pin<&mut Gather>) -> u64;

    /// Makes hardware forget every translation of the domain.
    fn flush_all(&self);

    /// Makes hardware forget what `gather` holds. When it returns, memory and tables are reused.
    fn sync(&self, gather: Pin<&mut Gather>);

    /// Makes hardware see new mappings, where it does not by itself.
    fn sync_map(&self, iova: u64, len: u64) -> Result;

    /// Where the start of the range, one byte, leads, if it is mapped.
    fn translate(&self, byte: &Held<'_, Self::Tables>) -> Option<u64>;

    /// Makes every access snoop, from now on and whatever the device asks. Whether it could be
    /// done.
    fn enforce_cache_coherency(&self, tables: &Self::Tables) -> bool;
}

/// A paging domain about to be handed to the core.
pub struct NewPaging<P: Paging> {
    /// The driver's part.
    pub paging: P,
    /// Its tables.
    pub tables: P::Tables,
    /// What it can translate.
    pub aperture: Aperture,
    /// NUMA node of its tables.
    pub node: NumaNode,
    /// Whom what is left to allocate is charged to.
    pub charge: Charge,
}

/// The C structure with the driver's part behind it.
///
/// The core calls domains that are marked as `iommupt` by range through `struct pt_iommu`; on
/// kernels without them it goes page size by page size through the ordinary operations. Both end
/// in the same methods of [`Paging`].
///
/// # Invariants
///
/// `pt` is initialised for the operation tables of `P`. Allocated as a `KBox` by [`Self::create`]
/// and freed by [`Self::free`].
/// Holds a reference to `module`: iommufd keeps domains longer than their devices stay.
#[repr(C)]
pub(super) struct PagingDomain<P: Paging> {
    pt: Opaque<bindings::pt_iommu>,
    tables: P::Tables,
    paging: P,
    module: *mut bindings::module,
}

/// The operations of a domain that has none.
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

/// The operation tables of `P`'s domains.
pub(super) struct Tables<P>(PhantomData<P>);

impl<P: Paging> Tables<P> {
    pub(super) const DOMAIN: bindings::iommu_domain_ops = bindings::iommu_domain_ops {
        attach_dev: Some(PagingDomain::<P>::attach),
        map_pages: Some(PagingDomain::<P>::map_pages),
        unmap_pages: Some(PagingDomain::<P>::unmap_pages),
        flush_iotlb_all: Some(PagingDomain::<P>::flush_all),
        iotlb_sync: Some(PagingDomain::<P>::sync),
        iova_to_phys: Some(PagingDomain::<P>::iova_to_phys),
        enforce_cache_coherency: Some(PagingDomain::<P>::enforce_cache_coherency),
        free: Some(PagingDomain::<P>::free),
        iotlb_sync_map: Some(PagingDomain::<P>::sync_map),
        set_dev_pasid: None,
        cache_invalidate_user: None,
        set_pgtable_quirks: None,
    };

    /// For the core this is a table of generic_pt, and its operations are never NULL there; so a
    /// kernel with one more does not compile here.
    const RANGED: bindings::pt_iommu_ops = bindings::pt_iommu_ops {
        map_range: Some(PagingDomain::<P>::map_range),
        unmap_range: Some(PagingDomain::<P>::unmap_range),
        set_dirty: Some(PagingDomain::<P>::set_dirty),
        get_info: Some(PagingDomain::<P>::get_info),
        deinit: Some(PagingDomain::<P>::deinit),
    };
}

impl<P: Paging> PagingDomain<P> {
    /// Allocates the domain; the core owns it from here on.
    ///
    /// # Safety
    ///
    /// `module` must be the module of this code, on which the caller has a reference.
    pub(super) unsafe fn create(
        new: NewPaging<P>,
        module: *mut bindings::module,
    ) -> Result<*mut bindings::iommu_domain> {
        let mut pt = bindings::pt_iommu {
            ops: &Tables::<P>::RANGED,
            nid: new.node.raw(),
            ..Default::default()
        };
        // The core sets the type of domains that it asks for; iommufd, which calls
        // domain_alloc_paging_flags itself, leaves it to the driver.
        pt.domain.type_ = bindings::__IOMMU_DOMAIN_PAGING;
        pt.domain.ops = &Tables::<P>::DOMAIN;
        pt.domain.is_iommupt = cfg!(CONFIG_IOMMU_PT);
        pt.domain.pgsize_bitmap = new.aperture.page_sizes as usize;
        pt.domain.geometry.aperture_end = new.aperture.last;
        pt.domain.geometry.force_aperture = true;
        let domain = KBox::new(
            PagingDomain {
                pt: Opaque::new(pt),
                tables: new.tables,
                paging: new.paging,
                module,
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

    /// # Safety
    ///
    /// `domain` must come from [`Self::create`] and not have been freed.
    #[inline(always)]
    unsafe fn paging<'a>(domain: *mut bindings::iommu_domain) -> &'a P {
        // SAFETY: The structure begins with the domain, `repr(C)` at each step.
        unsafe { &(*domain.cast::<Self>()).paging }
    }

    /// Its driver's part, and `iova..iova + len` of its tables.
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

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn attach(
        domain: *mut bindings::iommu_domain,
        dev: *mut bindings::device,
        old: *mut bindings::iommu_domain,
    ) -> i32 {
        // SAFETY: The core passes live domains and a device that this driver probed.
        unsafe {
            let paging = Self::paging(domain);
            super::context::attach::<P::Driver>(dev, old, domain, |_, dev, data, change| {
                paging.attach(dev, data, change)
            })
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn map_range(
        table: *mut bindings::pt_iommu,
        iova: u64,
        phys: u64,
        len: u64,
        prot: u32,
        gfp: bindings::gfp_t,
        mapped: *mut usize,
    ) -> i32 {
        // SAFETY: The core passes a domain of ours, with which `pt_iommu` begins, a range that its
        // caller holds, and a place for the count.
        unsafe {
            let (paging, range) = Self::held(table.cast(), iova, len);
            match paging.map(range, phys, Protection(prot), Gfp(gfp)) {
                Ok(()) => {
                    *mapped += len as usize;
                    0
                }
                Err(e) => e.to_errno(),
            }
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
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
            paging.unmap(range, Gather::from_raw(gather)) as usize
        }
    }

    /// `pt_iommu_ops.set_dirty`: these tables have no dirty bits that anyone reads.
    ///
    /// # Safety
    ///
    /// None: any arguments are ignored.
    unsafe extern "C" fn set_dirty(_table: *mut bindings::pt_iommu, _iova: u64) -> i32 {
        eopnotsupp().to_errno()
    }

    /// `pt_iommu_ops.deinit`: nothing, because the tables go with the domain, in [`Self::free`].
    ///
    /// # Safety
    ///
    /// None: any arguments are ignored.
    unsafe extern "C" fn deinit(_table: *mut bindings::pt_iommu) {}

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn get_info(
        table: *mut bindings::pt_iommu,
        info: *mut bindings::pt_iommu_info,
    ) {
        // SAFETY: The core passes a domain of ours and room for the answer.
        unsafe { (*info).pgsize_bitmap = (*table).domain.pgsize_bitmap as u64 }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
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
        // SAFETY: The core passes a domain of ours, with which `pt_iommu` begins.
        unsafe { Self::map_range(table, iova as u64, phys, len as u64, prot, gfp, mapped) }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn unmap_pages(
        domain: *mut bindings::iommu_domain,
        iova: usize,
        size: usize,
        count: usize,
        gather: *mut bindings::iommu_iotlb_gather,
    ) -> usize {
        let len = size.saturating_mul(count) as u64;
        // SAFETY: The core passes a domain of ours, with which `pt_iommu` begins.
        unsafe { Self::unmap_range(domain.cast(), iova as u64, len, gather) }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn flush_all(domain: *mut bindings::iommu_domain) {
        // SAFETY: The core passes a domain of ours.
        unsafe { Self::paging(domain) }.flush_all()
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn sync(
        domain: *mut bindings::iommu_domain,
        gather: *mut bindings::iommu_iotlb_gather,
    ) {
        // SAFETY: The core passes a domain of ours and its own gather.
        let (paging, mut gather) = unsafe { (Self::paging(domain), Gather::from_raw(gather)) };
        paging.sync(gather.as_mut());
        // Never before the flush: hardware may still have been walking them.
        gather.free_tables();
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn sync_map(
        domain: *mut bindings::iommu_domain,
        iova: usize,
        len: usize,
    ) -> i32 {
        // SAFETY: The core passes a domain of ours.
        match unsafe { Self::paging(domain) }.sync_map(iova as u64, len as u64) {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn iova_to_phys(
        domain: *mut bindings::iommu_domain,
        iova: u64,
    ) -> bindings::phys_addr_t {
        // SAFETY: The core passes a domain of ours, and its caller keeps the address from being
        // unmapped concurrently; the range is only borrowed.
        let (paging, byte) = unsafe { Self::held(domain, iova, 1) };
        paging.translate(&byte).unwrap_or(0)
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn enforce_cache_coherency(domain: *mut bindings::iommu_domain) -> bool {
        // SAFETY: The core passes a domain of ours.
        let (paging, tables) = unsafe { (Self::paging(domain), &(*domain.cast::<Self>()).tables) };
        paging.enforce_cache_coherency(tables)
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn free(domain: *mut bindings::iommu_domain) {
        // SAFETY: Made by `create`; the core frees it once, when no device uses it.
        let domain = unsafe { KBox::from_raw(domain.cast::<Self>()) };
        let module = domain.module;
        drop(domain);
        // SAFETY: Taken in `create`. Nothing of this module may be needed after it: this is the last
        // call, made by a jump, so that the kernel's function returns to the core (`make
        // host-check` checks). Between the end of its work and its own return is only code of the
        // kernel. See Documentation/architecture.rst, "Lifetimes".
        unsafe { bindings::module_put(module) };
    }
}
