// SPDX-License-Identifier: GPL-2.0

//! A device's place below its root bus, as device scopes describe it (VT-d 8.3.1), the requester
//! IDs under which its requests arrive, and its neighbours.

use core::iter::successors;
use kernel::prelude::*;
use kernel_ext::pci::PciDevice;
use vtd_core::quirks::PciFunction;
use vtd_core::spec::address::{Segment, SourceId};

/// The functions from the root bus down to a device.
pub(crate) struct PciPath {
    /// Their segment.
    pub(crate) segment: Segment,
    /// Bridges first, the device last. A virtual function is represented by its physical function,
    /// which is the one that firmware lists.
    pub(crate) functions: KVec<SourceId>,
    /// The properties of the last function on which quirks depend, without a register.
    pub(crate) last: PciFunction,
}

/// Returns the properties of a function on which quirks depend, without a register. [`None`] in a
/// segment that firmware cannot name.
pub(super) fn function_of(device: &PciDevice) -> Option<PciFunction> {
    let properties = device.properties();
    Some(PciFunction {
        // No DMAR table can name a segment that needs more than 16 bits.
        segment: Segment::new(u16::try_from(properties.segment).ok()?),
        source: SourceId::from_raw(properties.requester),
        vendor: properties.vendor,
        device: properties.device,
        class: properties.class,
        untrusted: properties.untrusted,
        on_root_bus: device.is_on_root_bus(),
        buses_below: device.buses_below(),
        register: None,
    })
}

impl PciPath {
    /// Returns the path of `device`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails. [`ENODEV`]: the device is being removed, or firmware
    /// cannot name its segment.
    pub(crate) fn of(device: &PciDevice) -> Result<PciPath> {
        let dma_device = device.dma_device().ok_or(ENODEV)?;
        let function = dma_device.physical_function().ok_or(ENODEV)?;
        let last = function_of(&function).ok_or(ENODEV)?;
        // Enough for devices below most root ports.
        let mut functions = KVec::with_capacity(4, GFP_KERNEL)?;
        functions.push(last.source, GFP_KERNEL)?;
        let mut next = function.upstream();
        while let Some(bridge) = next {
            functions.push(
                SourceId::from_raw(bridge.properties().requester),
                GFP_KERNEL,
            )?;
            next = bridge.upstream();
        }
        functions.reverse();
        Ok(PciPath {
            segment: last.segment,
            functions,
            last,
        })
    }
}

/// Returns every requester ID that `pci` may use, its own first.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails. [`ENODEV`]: the device is being removed.
pub(super) fn requesters_of(pci: &PciDevice) -> Result<KVec<SourceId>> {
    let dma_device = pci.dma_device().ok_or(ENODEV)?;
    let mut requesters = KVec::new();
    dma_device.for_each_requester(|requester| {
        let source = SourceId::from_raw(requester);
        if !requesters.contains(&source) {
            requesters.push(source, GFP_KERNEL)?;
        }
        Ok(())
    })?;
    Ok(requesters)
}

/// Returns whether `other`, which is in no group, is a neighbour of `device`: in the same slot, a
/// bridge above it, or below a bridge that is `in_group` with it. The core would have added such a
/// device to the group.
pub(super) fn is_neighbour(
    other: &PciDevice,
    device: &PciDevice,
    in_group: &impl Fn(&PciDevice) -> bool,
) -> bool {
    let (own, others) = (device.properties(), other.properties());
    let same_slot = others.segment == own.segment
        && others.requester >> 3 == own.requester >> 3
        && others.requester != own.requester;
    let above = |device: &PciDevice| successors(device.upstream(), PciDevice::upstream);
    same_slot
        || above(device).any(|bridge| bridge.is_same_as(other))
        || above(other).any(|bridge| in_group(&bridge))
}
