// SPDX-License-Identifier: GPL-2.0

//! Selects the unit and the reserved regions of a device.

use super::drhd::Drhd;
use super::region::Rmrr;
use super::{Dmar, Structure};
use crate::spec::address::{Segment, SourceId};

impl<'a> Dmar<'a> {
    /// Returns the unit that translates a device, or `None` if no unit does.
    ///
    /// `chain` is the path to the device: the functions from the root bus down, bridges first, the
    /// device itself last. A unit that names the device, or a bridge above it, takes precedence
    /// over one with INCLUDE_PCI_ALL (VT-d 8.3). Among several such units, the one that names the
    /// function closest to the device is returned; among equals, the last one in the table. Among
    /// several units with INCLUDE_PCI_ALL, the first one in the table is returned. Both are the
    /// choices of the in-tree driver.
    pub fn unit_for(&self, segment: Segment, chain: &[SourceId]) -> Option<Drhd<'a>> {
        let mut named: Option<(usize, Drhd<'a>)> = None;
        let mut rest = None;
        for unit in self.units().filter(|unit| unit.segment == segment) {
            if let Some(depth) = unit.scopes.covers(chain) {
                if named.is_none_or(|(best, _)| depth >= best) {
                    named = Some((depth, unit));
                }
            }
            if unit.include_all {
                rest = rest.or(Some(unit));
            }
        }
        named.map(|(_, unit)| unit).or(rest)
    }

    /// Returns the regions that must stay identity-mapped for a device; `chain` is as in
    /// [`unit_for`](Self::unit_for).
    pub fn regions_for<'c>(
        &self,
        segment: Segment,
        chain: &'c [SourceId],
    ) -> impl Iterator<Item = Rmrr<'a>> + use<'a, 'c> {
        self.reserved_regions().filter(move |region| {
            region.segment == segment && region.scopes.covers(chain).is_some()
        })
    }

    /// Returns whether the integrated device at the end of `chain` has a device-TLB: a SATC structure
    /// names it.
    pub fn has_device_tlb(&self, segment: Segment, chain: &[SourceId]) -> bool {
        self.device_tlb(segment, chain).is_some()
    }

    /// Returns whether the integrated device at the end of `chain` needs its device-TLB
    /// (ATC_REQUIRED), or `None` if no SATC structure names the device.
    pub fn device_tlb(&self, segment: Segment, chain: &[SourceId]) -> Option<bool> {
        let listed = self.structures().filter_map(|structure| match structure {
            Structure::Satc(devices) => {
                let names = devices.segment == segment && devices.scopes.covers(chain).is_some();
                names.then_some(devices.atc_required)
            }
            _ => None,
        });
        listed.reduce(|one, other| one || other)
    }

    /// Returns whether the root port at the start of `chain` takes translation requests of devices
    /// below it: an ATSR structure names it, or claims all ports of the segment.
    pub fn takes_translation_requests(&self, segment: Segment, chain: &[SourceId]) -> bool {
        // A scope that names a port further down says nothing about the root port.
        let root_port = chain.get(..1).unwrap_or_default();
        self.structures().any(|structure| match structure {
            Structure::Atsr(ports) => {
                ports.segment == segment
                    && (ports.all_ports || ports.scopes.covers(root_port).is_some())
            }
            _ => false,
        })
    }
}
