// SPDX-License-Identifier: GPL-2.0

//! Which unit, and which reserved regions, belong to a device.

use super::region::Rmrr;
use super::unit::Drhd;
use super::{Dmar, Structure};
use crate::spec::address::{Segment, SourceId};

impl<'a> Dmar<'a> {
    /// The unit that translates a device, or `None` if none does.
    ///
    /// `chain` is the way to the device: the functions from the root bus down, bridges
    /// first, the device itself last. A unit that names the device, or a bridge above
    /// it, comes before one with INCLUDE_PCI_ALL (VT-d 8.3); of several, the one that
    /// names the closest; of equals, the one that is listed last, as the in-tree driver takes
    /// it. Of several with INCLUDE_PCI_ALL, the one that is listed first, as there.
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

    /// The regions that must stay mapped one to one for a device; `chain` as in
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

    /// Whether translation requests of a device below the root port that leads `chain`
    /// are taken: an ATSR structure covers it, or claims all ports of the segment.
    pub fn takes_translation_requests(&self, segment: Segment, chain: &[SourceId]) -> bool {
        self.structures().any(|structure| match structure {
            Structure::Atsr(ports) => {
                ports.segment == segment
                    && (ports.all_ports || ports.scopes.covers(chain).is_some())
            }
            _ => false,
        })
    }
}
