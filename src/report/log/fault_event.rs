// SPDX-License-Identifier: GPL-2.0

//! The fields of the trace event `vtd:fault`.

use crate::device::DeviceInfo;
use crate::unit::Unit;
use kernel_ext::trace::{FaultEvent, Request};
use vtd_core::spec::fault::{FaultRecord, FaultRequest};

/// Returns the fields for a fault of `device`, if a device of the driver has the requester ID. The
/// domain is the one that it is attached to now.
///
/// # Context
///
/// May sleep.
pub(super) fn fault_event(
    unit: &Unit,
    device: Option<&DeviceInfo>,
    record: &FaultRecord,
) -> FaultEvent {
    let (request, address) = match (record.is_interrupt(), record.interrupt_index()) {
        (true, Some(index)) => (Request::Interrupt, index.into()),
        (true, None) => (Request::CompatibilityInterrupt, 0),
        (false, _) => (memory_request(record.request), record.address().raw()),
    };
    let (domain, domain_id) = device.map_or((0, 0), |info| {
        let state = info.state.lock();
        let number = state.domain().map(|domain| domain.number());
        number.map_or((0, 0), |number| (number, state.domain_id))
    });
    FaultEvent {
        unit: unit.index() as u32,
        segment: unit.segment().raw(),
        source: record.source.raw(),
        request: request as u8,
        reason: record.reason.code(),
        address,
        pasid: record.pasid.map_or(-1, |pasid| pasid as i32),
        domain,
        domain_id,
    }
}

fn memory_request(request: FaultRequest) -> Request {
    match request {
        FaultRequest::Read => Request::Read,
        FaultRequest::Write => Request::Write,
        FaultRequest::Execute => Request::Execute,
        FaultRequest::Atomic => Request::Atomic,
        FaultRequest::PageRequest => Request::PageRequest,
    }
}
