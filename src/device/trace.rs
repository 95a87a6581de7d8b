// SPDX-License-Identifier: GPL-2.0

//! The trace events `vtd:attach` and `vtd:refuse`.

use super::attachment::{attached_to, AttachState, AttachedTo};
use super::info::DeviceInfo;
use kernel::prelude::*;
use kernel_ext::iommu::AttachArgs;
use kernel_ext::trace::{self, AttachEvent, Attached, RefuseEvent, RefusedBy};

fn code(to: AttachedTo) -> u8 {
    match to {
        AttachedTo::Blocked => Attached::Blocked as u8,
        AttachedTo::Identity => Attached::Identity as u8,
        AttachedTo::Dma => Attached::Dma as u8,
        AttachedTo::Unmanaged => Attached::Unmanaged as u8,
    }
}

/// Traces that the device, which was attached to `from`, now is to what `state` has.
///
/// # Context
///
/// Any context.
pub(super) fn trace_attach(info: &DeviceInfo, from: AttachedTo, state: &AttachState) {
    trace::attach(info.pci.as_device(), || {
        let domain = state.domain.as_ref();
        AttachEvent {
            unit: info.unit.index() as u32,
            group: state.group_id.map_or(-1, |group| group as i32),
            from: code(from),
            to: code(state.attached_to),
            domain: domain.map_or(0, |domain| domain.number()),
            domain_id: domain.map_or(0, |_| state.domain_id),
        }
    });
}

/// Traces that an attach was refused with `error`. Returns what [`Result::inspect_err`] takes.
///
/// # Context
///
/// Any context.
pub(super) fn trace_refusal<'a>(
    info: &'a DeviceInfo,
    args: &'a AttachArgs,
    by: RefusedBy,
) -> impl FnOnce(&Error) + 'a {
    move |error| {
        trace::refuse(info.pci.as_device(), || RefuseEvent {
            unit: info.unit.index() as u32,
            from: code(
                args.old
                    .map_or(AttachedTo::Blocked, |old| attached_to(old.kind)),
            ),
            to: code(attached_to(args.new.kind)),
            why: by as u8,
            error: error.to_errno(),
        });
    }
}
