// SPDX-License-Identifier: GPL-2.0

//! A paging domain: map, unmap, and the invalidation of what was unmapped.
//!
//! What happens on unmap: `unmap_range` clears the leaf entries, unlinks the page tables that
//! became empty, and adds the range and these tables to the core's `iommu_iotlb_gather`. The core
//! then calls `iotlb_sync`, which invalidates the range in the IOTLB and the paging-structure
//! caches of every unit that walks the tables (VT-d 6.5). Only after that does `kernel_ext` free
//! the page tables, and may the memory and the IOVA be reused. With lazy flushing, the core calls
//! `flush_iotlb_all` later instead, and frees the IOVA and the page tables after that. `deferred`
//! holds the memory until then.
//!
//! # Invariants
//!
//! - Every unit in `attachments` can walk the tables: width, page sizes, coherency, snoop.
//! - A mapping is in the tables from `map_range` until `unmap_range`. Units may have it cached
//!   until `iotlb_sync` returns, and only then are its memory and its page tables reused.
//! - An attached device holds a reference to [`DomainInner`], and so to the tables, until no unit
//!   walks them for it.

use super::attachments::Attachments;
use super::counters::DomainCounters;
use super::flush_list::{AllUnits, FlushList};
use super::flush_policy::{FlushChoice, FlushPolicy, StrictReason};
use super::history::MappingHistory;
use super::holding::Holding;
use super::purpose::DomainPurpose;
use super::registry::Domains;
use crate::device::{self, AttachTarget, AttachedDomain, DeviceInfo};
use crate::unit::{AllocatedDomainId, DeviceTlb, DomainIdOwner, Translation, Unit};
use core::marker::PhantomData;
use core::ops::ControlFlow;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::device::{Device, Name};
use kernel_ext::iommu::{
    Aperture, AttachArgs, DomainKind, Gather, Held, NewPaging, Paging, PagingRequest, Protection,
};
use kernel_ext::log_debug;
use kernel_ext::pages::{Charge, Gfp};
use vtd_core::compatibility::TableFormat;
use vtd_core::concurrent::attachments::AttachedUnits;
use vtd_core::invalidation::InvalidationRange;
use vtd_core::pgtable::{FirstStage, Format, SecondStage, VisitEnd, VisitedLeaf};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::level::Stage;
use vtd_core::spec::pte::Access;
use vtd_tables::{DomainTables, SharedTables};

/// How many page tables are searched for leaves in one step, with interrupts off.
pub(super) const TABLES_PER_VISIT: u32 = 16;

/// A paging domain, owned by the IOMMU core. There is one type, with its own C operations, for each
/// kind of tables that units walk.
struct Domain<F: Format, const COHERENT: bool>(Arc<DomainInner>, PhantomData<fn() -> F>);

impl<F: Format, const COHERENT: bool> Drop for Domain<F, COHERENT> {
    fn drop(&mut self) {
        // No device is attached any more: nothing that the domain holds can be reached.
        self.0.flush_all();
        self.0.domains.remove(&self.0);
    }
}

/// The part of a domain that attached devices and reports share.
#[pin_data]
pub(crate) struct DomainInner {
    /// The number of the domain, which no other domain has or had.
    pub(super) number: u64,
    pub(super) tables: Arc<dyn SharedTables>,
    pub(super) format: TableFormat,
    /// The unit of the device for which the domain was allocated.
    pub(super) primary_unit: Arc<Unit>,
    /// The device for which the domain was allocated.
    pub(super) allocated_for: Name,
    pub(super) flushing: FlushPolicy,
    pub(super) holding: Holding,
    pub(super) history: MappingHistory,
    pub(super) counters: DomainCounters,
    /// Whether devices' accesses are forced to snoop: in a second stage by the leaves, so it is set
    /// only while nothing is mapped; in a first stage by the PASID entries.
    pub(super) snoop: AtomicBool,
    /// The list that the domain is in.
    domains: Arc<Domains<DomainInner>>,
    #[pin]
    pub(super) attachments: Attachments,
}

/// What a new domain is for.
pub(crate) struct NewDomainArgs<'a> {
    /// The unit of the device.
    pub(crate) primary_unit: Arc<Unit>,
    /// The bits of a physical address of the machine.
    pub(crate) host_bits: u32,
    /// The device for which the domain is allocated.
    pub(crate) device: &'a Device,
    /// Its purpose.
    pub(crate) purpose: DomainPurpose,
    /// When it is flushed.
    pub(crate) flushing: FlushChoice,
    /// The list to add it to.
    pub(crate) domains: &'a Arc<Domains<DomainInner>>,
}

impl NewDomainArgs<'_> {
    /// Creates an empty domain of the type whose tables the unit walks, and lists it.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the unit cannot walk any page tables; [`ENOMEM`] if an allocation fails;
    /// [`ENOSPC`] if there is no domain-id for a group's first default domain.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn create<R: PagingRequest<DeviceInfo>>(self, request: R) -> Result<R::Domain> {
        let format = self
            .primary_unit
            .walk_capabilities()
            .format(self.host_bits)
            .ok_or(EINVAL)?;
        match (format.stage, format.coherent) {
            (Stage::Second, true) => {
                request.create(Domain::<SecondStage, true>::new(format, self)?)
            }
            (Stage::Second, false) => {
                request.create(Domain::<SecondStage, false>::new(format, self)?)
            }
            (Stage::First, true) => request.create(Domain::<FirstStage, true>::new(format, self)?),
            (Stage::First, false) => {
                request.create(Domain::<FirstStage, false>::new(format, self)?)
            }
        }
    }
}

impl<F: Format, const COHERENT: bool> Domain<F, COHERENT> {
    /// Creates a domain with tables of `format`.
    ///
    /// # Errors
    ///
    /// Those of [`NewDomainArgs::create`].
    fn new(format: TableFormat, args: NewDomainArgs<'_>) -> Result<NewPaging<Self>> {
        let (primary_unit, device) = (args.primary_unit, args.device);
        let (purpose, domains) = (args.purpose, args.domains);
        let charge = purpose.charge();
        let geometry = format.geometry;
        let node = device.numa_node();
        let tables = DomainTables::new(geometry, node, charge)?;
        let shared = tables.shared();
        let counters = DomainCounters::new(charge)?;
        let units = AllUnits::new(primary_unit.clone(), domains.units().clone(), charge)?;
        let inner = Arc::pin_init(
            pin_init!(DomainInner {
                number: domains.alloc_number(),
                tables: shared,
                format,
                attachments <- Attachments::new(FlushList::new(units), format.stage),
                primary_unit,
                allocated_for: device.name(),
                flushing: FlushPolicy::new(args.flushing),
                holding: Holding::new(),
                history: MappingHistory::new(),
                counters,
                domains: domains.clone(),
                snoop: AtomicBool::new(false),
            }),
            charge.flags(),
        )?;
        if purpose == DomainPurpose::FirstDefault {
            inner.allocate_history(charge)?;
            inner.attachments.reserve_primary()?;
        }
        domains.add(&inner)?;
        Ok(NewPaging {
            paging: Domain(inner, PhantomData),
            tables,
            aperture: Aperture {
                last: geometry.last_iova().raw(),
                page_sizes: geometry.page_sizes(),
            },
            node,
            charge,
        })
    }
}

impl DomainInner {
    /// Allocates the history, so that maps and unmaps are recorded from now on.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    fn allocate_history(&self, charge: Charge) -> Result {
        let mapped = || self.counters.mapped().maps > 0;
        self.history.allocate(charge, mapped)
    }

    /// Checks that `unit` can walk the tables as they are.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if it cannot. The caller may try another domain, so the reason is logged at debug
    /// level only.
    fn check_unit(&self, unit: &Unit) -> Result {
        let tables = TableFormat {
            snoops: self.snoop.load(Ordering::Acquire),
            ..self.format
        };
        unit.walk_capabilities()
            .check(&tables, kernel_ext::pages::PAGE_SIZE as u64)
            .map_err(|why| {
                log_debug!(
                    "{unit}: the domain allocated for {} is not compatible: {why}",
                    self.allocated_for
                );
                EINVAL
            })
    }

    /// Adds an unmapped range to the gather and to the reports.
    #[inline(always)]
    pub(super) fn record_unmap(&self, iova: u64, bytes: u64, gather: Pin<&mut Gather>) {
        gather.add(iova, bytes);
        self.history.record_unmap(iova, bytes);
        self.counters.count_unmap(bytes);
    }

    /// Visits leaves from `from` on, in up to [`TABLES_PER_VISIT`] page tables.
    pub(super) fn visit_leaves(
        &self,
        from: Iova,
        visit: &mut dyn FnMut(&VisitedLeaf) -> ControlFlow<()>,
    ) -> VisitEnd {
        self.tables.visit_part(from, TABLES_PER_VISIT, visit)
    }

    /// Returns whether nothing is mapped.
    ///
    /// # Context
    ///
    /// May sleep between the steps of the search.
    fn is_empty(&self) -> bool {
        let mut from = Iova::new(0);
        loop {
            match self.visit_leaves(from, &mut |_| ControlFlow::Break(())) {
                VisitEnd::Done => return true,
                VisitEnd::Broken => return false,
                VisitEnd::At(next) => from = next,
            }
        }
    }
}

/// The target of one attach: this domain, for one device.
struct PagingTarget<'a> {
    domain: &'a Arc<DomainInner>,
    /// The account that a new domain-id counts against.
    id_owner: DomainIdOwner,
    /// Why the domain must be strict.
    strict: StrictReason,
}

impl AttachTarget for PagingTarget<'_> {
    fn check(&self, unit: &Unit) -> Result {
        self.domain.check_unit(unit)
    }

    fn attach_unit(
        &self,
        unit: &Arc<Unit>,
        retained_id: Option<Arc<AllocatedDomainId>>,
        tlb: Option<&DeviceTlb>,
    ) -> Result<Translation> {
        let domain = self.domain;
        domain.flushing.stay_strict(self.strict);
        if self.id_owner == DomainIdOwner::Kernel {
            domain.attachments.retain_units();
        }
        let (table, width) = (domain.tables.top_table(), domain.format.geometry.width);
        let id = domain
            .attachments
            .attach_unit(unit, self.id_owner, retained_id)?;
        let join = |tlb| domain.attachments.join_device_tlb(unit, tlb, id);
        let (stage, device_tlb) = (domain.format.stage, tlb.is_some_and(join));
        Ok(Translation::of_table(stage, table, width, id, device_tlb))
    }

    fn domain(&self) -> Option<Arc<dyn AttachedDomain>> {
        Some(self.domain.clone())
    }
}

impl<F: Format, const COHERENT: bool> Paging for Domain<F, COHERENT> {
    type Device = DeviceInfo;
    type Tables = DomainTables<F, COHERENT>;

    fn attach_dev(&self, dev: &Device, info: &DeviceInfo, args: &AttachArgs) -> Result {
        let inner = &self.0;
        let id_owner = match args.new.kind {
            DomainKind::DmaApi => DomainIdOwner::Kernel,
            _ => DomainIdOwner::User,
        };
        // Before any lock: an allocation that is charged to a user may wait for reclaim.
        inner.allocate_history(id_owner.charge())?;
        let target = PagingTarget {
            domain: inner,
            id_owner,
            strict: match () {
                () if info.untrusted => StrictReason::Untrusted,
                () if info.device_tlb.is_some() => StrictReason::DeviceTlb,
                // r8152 warns of each buffer page that has a reference it does not know.
                () if info.pci.properties().class >> 8 == device::CLASS_USB => {
                    StrictReason::NotTolerated
                }
                () => StrictReason::None,
            },
        };
        device::attach(dev, info, args, &target)
    }

    #[inline(always)]
    fn map_range(
        &self,
        range: Held<'_, Self::Tables>,
        phys: u64,
        prot: Protection,
        gfp: Gfp,
    ) -> Result {
        let access = F::permitted(Access::new(prot.read(), prot.write()).ok_or(EINVAL)?);
        let (iova, len) = (range.iova(), range.len());
        DomainTables::map(range, PhysAddr::new(phys), access, gfp, self)?;
        let inner = &*self.0;
        inner.history.record_map(iova, len, access);
        inner.counters.count_map(len);
        Ok(())
    }

    #[inline(always)]
    fn unmap_range(&self, range: Held<'_, Self::Tables>, mut gather: Pin<&mut Gather>) -> u64 {
        let iova = range.iova();
        let inner = &*self.0;
        let held = match gather.is_queued() && !inner.flushing.follows_core() {
            true => inner.unmap_held(range, gather.as_mut()),
            false => Err(range),
        };
        let bytes = held.unwrap_or_else(|range| DomainTables::unmap(range, gather.as_mut()));
        inner.record_unmap(iova, bytes, gather);
        bytes
    }

    fn flush_iotlb_all(&self) {
        self.0.counters.count_flush_all();
        self.0.flush_all()
    }

    fn iotlb_sync(&self, gather: Pin<&mut Gather>) {
        let (first, last) = gather.range();
        if let Some(range) =
            InvalidationRange::new(Iova::new(first), Iova::new(last), gather.has_tables())
        {
            self.0.counters.count_flush();
            self.0.attachments.flush_list.invalidate_range(range)
        }
    }

    fn iotlb_sync_map(&self, iova: u64, len: u64) -> Result {
        self.0.attachments.flush_list.sync_map(Iova::new(iova), len)
    }

    fn iova_to_phys(&self, byte: &Held<'_, Self::Tables>) -> Option<u64> {
        DomainTables::iova_to_phys(byte).map(PhysAddr::raw)
    }

    fn enforce_cache_coherency(&self, tables: &Self::Tables) -> bool {
        let inner = &*self.0;
        if inner.snoop.load(Ordering::Acquire) {
            return true;
        }
        let snoops = |unit: &Unit| unit.ecap().snoop_control();
        // On units that can, every PASID entry that points to a first stage forces snooping.
        let by_leaves = F::STAGE == Stage::Second;
        let can = snoops(&inner.primary_unit)
            && inner.attachments.all_units(snoops)
            && (!by_leaves || inner.is_empty());
        if can {
            if by_leaves {
                tables.snoop();
            }
            inner.snoop.store(true, Ordering::Release);
        }
        can
    }
}
