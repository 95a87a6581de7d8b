// SPDX-License-Identifier: GPL-2.0

//! A paging domain.
//!
//! # Invariants
//!
//! - Every unit in `attachments` can walk the tables: width, page sizes, coherency, snoop.
//! - A mapping is in the tables from `map` to `unmap` and nowhere else; what hardware has cached of
//!   it is gone when `sync` returns, and only then are its memory and its tables reused.
//! - A device that is attached holds [`Inner`], and so the tables, until no unit walks them for it.

use super::attachments::{self, Attachments};
use super::counters::Activity;
use super::flush_policy::Flushing;
use super::history::History;
use super::purpose::Purpose;
use super::registry::{Domains, Listed};
use crate::device::{self, AttachTarget, Attached, DeviceInfo};
use crate::unit::{Asker, Mapped, TakenId, Translation, Unit};
use core::ops::ControlFlow;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::device::{Device, Name};
use kernel_ext::iommu::{
    Aperture, AttachArgs, DomainKind, Gather, Held, NewPaging, Paging, Protection,
};
use kernel_ext::log_debug;
use kernel_ext::pages::{Charge, Gfp};
use vtd_core::compatibility::Format;
use vtd_core::invalidation::Range;
use vtd_core::pgtable::{Visit, VisitEnd, Way};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::pte::Access;
use vtd_tables::{Tables, Tree};

/// How many tables are walked at once, with interrupts off, to look for leaves.
pub(super) const TABLES: u32 = 16;

/// A domain, as the core holds it.
pub(crate) struct Domain(Arc<Inner>);

impl Drop for Domain {
    fn drop(&mut self) {
        self.0.domains.remove(&self.0);
    }
}

/// A domain, as the devices in it and those who look at it hold it.
#[pin_data]
pub(crate) struct Inner {
    /// What tells it from other domains, also from those that are gone.
    number: u64,
    pub(super) tree: Arc<Tree>,
    pub(super) format: Format,
    /// The unit for which the domain was made.
    home: Arc<Unit>,
    /// The device for which the domain was made.
    pub(super) made_for: Name,
    pub(super) flushing: Flushing,
    history: History,
    pub(super) activity: Activity,
    /// Whether leaves force the device's accesses to snoop; set before the first mapping only.
    pub(super) snoop: AtomicBool,
    /// Where it is listed.
    domains: Arc<Domains<Inner>>,
    #[pin]
    pub(super) attachments: Attachments,
}

impl Domain {
    /// An empty domain made for `device`, which the unit `home` serves. `told_of_lazy`: the log has
    /// said for all devices what lazy flushing costs. [`EINVAL`] if the unit cannot walk any tables,
    /// [`ENOMEM`], [`ENOSPC`] if a first default domain finds no domain-id. May sleep.
    pub(crate) fn new(
        home: Arc<Unit>,
        host_bits: u32,
        device: &Device,
        purpose: Purpose,
        told_of_lazy: bool,
        domains: &Arc<Domains<Inner>>,
    ) -> Result<NewPaging<Self>> {
        let charge = purpose.charge();
        let format = home.walker().format(host_bits).ok_or(EINVAL)?;
        let geometry = format.geometry;
        let node = device.numa_node();
        let tables = Tables::new(geometry, format.coherent, node, charge)?;
        let tree = tables.tree().clone();
        let history = History::new();
        let activity = Activity::new(charge)?;
        let attachments = Attachments::new(home.clone());
        let inner = Arc::pin_init(
            pin_init!(Inner {
                number: domains.number(),
                tree,
                format,
                home,
                made_for: device.name(),
                flushing: Flushing::new(told_of_lazy),
                history,
                activity,
                domains: domains.clone(),
                snoop: AtomicBool::new(false),
                attachments <- attachments,
            }),
            charge.flags(),
        )?;
        if purpose == Purpose::FirstDefault {
            inner.begin_history(charge)?;
            inner.attachments.prepare()?;
        }
        domains.add(&inner)?;
        Ok(NewPaging {
            paging: Domain(inner),
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

impl Inner {
    /// What happens is remembered from now on. [`ENOMEM`]. May sleep.
    fn begin_history(&self, charge: Charge) -> Result {
        let mapped = || self.activity.mapped().maps > 0;
        self.history.begin(charge, mapped)
    }

    /// Whether `unit` can walk the tables as they are. [`EINVAL`] if not: the caller may try
    /// another domain, so the reason is logged for debugging only.
    fn check_unit(&self, unit: &Unit) -> Result {
        let tables = Format {
            snoops: self.snoop.load(Ordering::Acquire),
            ..self.format
        };
        unit.walker()
            .check(&tables, kernel_ext::pages::PAGE_SIZE as u64)
            .map_err(|why| {
                log_debug!(
                    "{unit}: the domain allocated for {} is not compatible: {why}",
                    self.made_for
                );
                EINVAL
            })
    }

    /// Walks [`TABLES`] tables for leaves from `from` on.
    fn look(&self, from: Iova, see: &mut impl FnMut(&Visit) -> ControlFlow<()>) -> VisitEnd {
        self.tree.visit_part(from, TABLES, see)
    }

    fn is_empty(&self) -> bool {
        let mut from = Iova::new(0);
        loop {
            match self.look(from, &mut |_| ControlFlow::Break(())) {
                VisitEnd::Done => return true,
                VisitEnd::Broken => return false,
                VisitEnd::At(next) => from = next,
            }
        }
    }
}

impl Listed for Inner {
    fn number(&self) -> u64 {
        self.number
    }

    fn home(&self) -> &Arc<Unit> {
        &self.home
    }

    fn mapped(&self) -> Mapped {
        self.activity.mapped()
    }
}

impl Attached for Inner {
    fn leave(&self, unit: &Arc<Unit>) -> Option<Arc<TakenId>> {
        self.attachments.leave(unit)
    }

    fn top(&self) -> PhysAddr {
        self.tree.top()
    }

    fn leaves(&self, from: Iova, found: &mut KVec<Visit>) -> Option<Iova> {
        let mut left_out = None;
        let mut take = |leaf: &Visit| match found.push_within_capacity(*leaf) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => {
                left_out = Some(leaf.iova);
                ControlFlow::Break(())
            }
        };
        match self.look(from, &mut take) {
            VisitEnd::Done => None,
            VisitEnd::Broken => left_out,
            VisitEnd::At(next) => Some(next),
        }
    }

    fn way(&self, address: Iova, steps: &mut device::Steps) -> Way {
        self.way_of(address, steps)
    }

    fn past(&self, address: u64) -> device::Past {
        self.history.of(address)
    }

    fn is_lazy(&self) -> bool {
        self.flushing.is_lazy()
    }

    fn number(&self) -> u64 {
        self.number
    }
}

/// The domain, for a device that is attached to it.
struct PagingTarget<'a> {
    domain: &'a Arc<Inner>,
    /// Who wants the device there.
    asker: Asker,
    /// Whether the device is [untrusted](DeviceInfo::untrusted).
    untrusted: bool,
}

impl AttachTarget for PagingTarget<'_> {
    fn check(&self, unit: &Unit) -> Result {
        self.domain.check_unit(unit)
    }

    fn join(&self, unit: &Arc<Unit>, brought: Option<Arc<TakenId>>) -> Result<Translation> {
        let domain = self.domain;
        if self.untrusted {
            domain.flushing.stay_strict();
        }
        if self.asker == Asker::Kernel {
            domain.attachments.keep();
        }
        Ok(Translation::SecondStage {
            table: domain.tree.top(),
            width: domain.format.geometry.width,
            id: domain.attachments.join(unit, self.asker, brought)?,
        })
    }

    fn attached(&self) -> Option<Arc<dyn Attached>> {
        Some(self.domain.clone())
    }
}

impl Paging for Domain {
    type Device = DeviceInfo;
    type Tables = Tables;

    fn attach_dev(&self, dev: &Device, info: &DeviceInfo, change: &AttachArgs) -> Result {
        let inner = &self.0;
        let asker = match change.new.kind {
            DomainKind::DmaApi => Asker::Kernel,
            _ => Asker::User,
        };
        // Before any lock: whoever pays may have to wait until memory of his is free.
        inner.begin_history(asker.charge())?;
        let target = PagingTarget {
            domain: inner,
            asker,
            untrusted: info.untrusted,
        };
        device::attach(dev, info, change, &target)
    }

    #[inline(always)]
    fn map_range(&self, range: Held<'_, Tables>, phys: u64, prot: Protection, gfp: Gfp) -> Result {
        let access = Access::new(prot.read(), prot.write()).ok_or(EINVAL)?;
        let (iova, len) = (range.iova(), range.len());
        Tables::map(range, PhysAddr::new(phys), access, gfp, self)?;
        let inner = &*self.0;
        inner.history.mapped(iova, len, access);
        inner.activity.count_map(len);
        Ok(())
    }

    #[inline(always)]
    fn unmap_range(&self, range: Held<'_, Tables>, mut gather: Pin<&mut Gather>) -> u64 {
        let iova = range.iova();
        let bytes = Tables::unmap(range, gather.as_mut());
        let inner = &*self.0;
        if gather.is_queued() && inner.flushing.must_be_strict(&inner.made_for) {
            // The flush queue was forced upon a device that stays strict: flush before the caller
            // reuses the memory; the queue then only delays the reuse of the address.
            if let Some(range) = attachments::range(iova, bytes, gather.has_tables()) {
                inner.attachments.forget(range);
            }
        }
        gather.add(iova, bytes);
        inner.history.unmapped(iova, bytes);
        inner.activity.count_unmap(bytes);
        bytes
    }

    fn flush_iotlb_all(&self) {
        self.0.activity.count_flush_all();
        self.0.attachments.forget_all()
    }

    fn iotlb_sync(&self, gather: Pin<&mut Gather>) {
        let (first, last) = gather.range();
        if let Some(range) = Range::new(Iova::new(first), Iova::new(last), gather.has_tables()) {
            self.0.activity.count_flush();
            self.0.attachments.forget(range)
        }
    }

    fn iotlb_sync_map(&self, iova: u64, len: u64) -> Result {
        self.0.attachments.publish(iova, len)
    }

    fn iova_to_phys(&self, byte: &Held<'_, Tables>) -> Option<u64> {
        Tables::translate(byte).map(PhysAddr::raw)
    }

    fn enforce_cache_coherency(&self, tables: &Tables) -> bool {
        let inner = &*self.0;
        if inner.snoop.load(Ordering::Acquire) {
            return true;
        }
        let can = inner.format.geometry.snoop_control
            && inner.attachments.all(|unit| unit.ecap().snoop_control())
            && inner.is_empty();
        if can {
            tables.snoop();
            inner.snoop.store(true, Ordering::Release);
        }
        can
    }
}
