// SPDX-License-Identifier: GPL-2.0

//! The trace event `vtd:invalidate`: one for each invalidation that is submitted, through the queue
//! or through registers, and none for waits.

use kernel_ext::trace::{self, Cache, InvalidateEvent, Scope};
use vtd_core::spec::address::{DomainId, Pasid};
use vtd_core::spec::descriptor::Descriptor;
use vtd_core::spec::invalidation::{InterruptScope, Invalidation, PasidIotlbScope, PasidScope};
use vtd_core::spec::scope::{ContextScope, Granularity, IotlbScope};

/// Traces a descriptor that is about to be submitted to the queue of unit number `unit`. The caller
/// holds the lock of the queue.
// The number is given by reference, so that it is read only if the event is enabled.
#[inline(always)]
pub(super) fn trace_descriptor(unit: &usize, [low, high]: [u64; 2]) {
    if trace::is_invalidate_enabled() {
        emit_descriptor(unit, low, high);
    }
}

/// Traces a command that is about to be written into the registers of unit number `unit`. The caller
/// holds their lock.
pub(super) fn trace_command(unit: usize, what: Invalidation) {
    if trace::is_invalidate_enabled() {
        emit(unit, what, true);
    }
}

#[cold]
#[inline(never)]
fn emit_descriptor(unit: &usize, low: u64, high: u64) {
    if let Ok(Descriptor::Invalidate(what, _)) = Descriptor::decode_wide([low, high, 0, 0]) {
        emit(*unit, what, false);
    }
}

#[cold]
#[inline(never)]
fn emit(unit: usize, what: Invalidation, by_register: bool) {
    trace::invalidate(&InvalidateEvent {
        unit: unit as u32,
        by_register,
        ..fields(what)
    });
}

/// Returns the fields that say what is invalidated.
fn fields(what: Invalidation) -> InvalidateEvent {
    match what {
        Invalidation::Context(scope) => context_fields(scope),
        Invalidation::Iotlb(scope) => iotlb_fields(scope),
        Invalidation::Pasid(scope) => pasid_fields(scope),
        Invalidation::PasidIotlb(scope) => pasid_iotlb_fields(scope),
        Invalidation::InterruptEntries(InterruptScope::Global) => {
            of(Cache::Interrupt, Granularity::Global)
        }
        Invalidation::InterruptEntries(InterruptScope::Entries { index, mask }) => {
            InvalidateEvent {
                first: index.into(),
                order: mask,
                ..of(Cache::Interrupt, Granularity::Selective)
            }
        }
        Invalidation::DeviceTlb(scope) => InvalidateEvent {
            source: scope.source.raw(),
            first: scope.block.address().raw(),
            order: scope.block.address_mask(),
            ..of(Cache::DeviceTlb, Granularity::Selective)
        },
    }
}

fn context_fields(scope: ContextScope) -> InvalidateEvent {
    let event = of(Cache::Context, scope.granularity());
    match scope {
        ContextScope::Global => event,
        ContextScope::Domain(id) => InvalidateEvent {
            domain_id: id.raw(),
            ..event
        },
        ContextScope::Device { domain, source, .. } => InvalidateEvent {
            domain_id: domain.raw(),
            source: source.raw(),
            ..event
        },
    }
}

fn iotlb_fields(scope: IotlbScope) -> InvalidateEvent {
    let event = of(Cache::Iotlb, scope.granularity());
    match scope {
        IotlbScope::Global => event,
        IotlbScope::Domain(id) => InvalidateEvent {
            domain_id: id.raw(),
            ..event
        },
        IotlbScope::Pages {
            domain,
            block,
            leaves_only,
        } => InvalidateEvent {
            domain_id: domain.raw(),
            first: block.address().raw(),
            order: block.address_mask(),
            leaves_only,
            ..event
        },
    }
}

fn pasid_fields(scope: PasidScope) -> InvalidateEvent {
    match scope {
        PasidScope::Global => of(Cache::Pasid, Granularity::Global),
        PasidScope::Domain(id) => InvalidateEvent {
            domain_id: id.raw(),
            ..of(Cache::Pasid, Granularity::Domain)
        },
        PasidScope::Pasid { domain, pasid } => InvalidateEvent {
            cache: Cache::Pasid as u8,
            ..of_pasid(domain, pasid)
        },
    }
}

fn pasid_iotlb_fields(scope: PasidIotlbScope) -> InvalidateEvent {
    let cache = Cache::PasidIotlb as u8;
    match scope {
        PasidIotlbScope::Pasid { domain, pasid } => InvalidateEvent {
            cache,
            ..of_pasid(domain, pasid)
        },
        PasidIotlbScope::Pages {
            domain,
            pasid,
            block,
            leaves_only,
        } => InvalidateEvent {
            cache,
            scope: Scope::Selective as u8,
            first: block.address().raw(),
            order: block.address_mask(),
            leaves_only,
            ..of_pasid(domain, pasid)
        },
    }
}

/// Returns the fields of all that is tagged with a domain-id and a PASID.
fn of_pasid(domain: DomainId, pasid: Pasid) -> InvalidateEvent {
    InvalidateEvent {
        scope: Scope::Pasid as u8,
        domain_id: domain.raw(),
        pasid: pasid.raw(),
        ..Default::default()
    }
}

fn of(cache: Cache, granularity: Granularity) -> InvalidateEvent {
    InvalidateEvent {
        cache: cache as u8,
        scope: match granularity {
            Granularity::Global => Scope::Global,
            Granularity::Domain => Scope::Domain,
            Granularity::Selective => Scope::Selective,
        } as u8,
        ..Default::default()
    }
}
