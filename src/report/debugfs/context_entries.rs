// SPDX-License-Identifier: GPL-2.0

//! Root entries and context entries: `vtd/dmarN/contexts`, decoded, and
//! `iommu/intel/dmar_translation_struct`, in the format of the in-tree driver. A chunk is a bus.

use super::view::{chunk_done, unit_at, UnitView};
use crate::machine::Machine;
use crate::unit::{BusSnapshot, Unit};
use core::fmt::{self, Write};
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;
use vtd_core::install::RequesterEntry;
use vtd_core::spec::address::{Pasid, SourceId};
use vtd_core::spec::context_lookup::{ContextLookup, LookupEntries};
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::root::RootEntry;

/// Written in place of a bus that could not be read for lack of memory.
const NO_MEMORY: &str = "(not all is shown: no memory)";

/// Formats what the entries of a requester permit.
struct EntriesText<'a> {
    root: RootEntry,
    source: SourceId,
    entries: &'a LookupEntries,
}

impl fmt::Display for EntriesText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(id) = RequesterEntry::from(*self.entries).domain() else {
            return f.write_str("blocked");
        };
        // Whether a pointer lies within physical memory is not checked here.
        let every_bit = 64;
        match ContextLookup::of(self.root, self.entries, self.source.devfn(), every_bit) {
            ContextLookup::Tables { top, width, stage } => {
                write!(f, "domain-id {id}, table {top}, {width}")?;
                if self.entries.mode() == TranslationTableMode::Scalable {
                    write!(f, ", {stage}")?;
                }
                Ok(())
            }
            ContextLookup::PassThrough => write!(f, "pass-through, domain-id {id}"),
            ContextLookup::Faulted(reason) => f.write_str(reason.description()),
        }
    }
}

/// Returns the first bus at or above `from` that has entries. If it cannot be read, writes
/// [`NO_MEMORY`] and returns [`None`].
fn next_bus(unit: &Unit, from: u64, to: &mut Text<'_>) -> Option<BusSnapshot> {
    match unit.next_bus_snapshot(u8::try_from(from).ok()?) {
        Ok(bus) => bus,
        Err(_) => {
            let _ = writeln!(to, "{NO_MEMORY}");
            None
        }
    }
}

/// Writes the entries of one unit: the requester, what the entry permits, and how many devices
/// share it.
pub(super) fn show_unit(of: &UnitView, number: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
    let unit = &*of.unit;
    if number == 0 {
        let (at, condition) = (unit.root_table(), unit.state_name());
        return chunk_done(
            writeln!(to, "{unit}: root table at {at:#x}, {condition}"),
            Some(1),
        );
    }
    let bus_entries = next_bus(unit, number - 1, to)?;
    let mut write = || {
        let (bus, segment) = (bus_entries.bus, unit.segment());
        write!(to, "bus {segment}:{bus:02x}:")?;
        let tables = bus_entries.context_tables(unit.mode());
        match tables {
            [None, None] => writeln!(to, " root entry cleared, all blocked")?,
            [Some(table), None] | [None, Some(table)] => writeln!(to, " context table at {table}")?,
            [Some(lower), Some(upper)] => writeln!(to, " context tables at {lower} and {upper}")?,
        }
        for (source, entry, uses) in &bus_entries.entries {
            let recorded = if RequesterEntry::from(*entry).fault_processing_disabled() {
                ", faults not recorded"
            } else {
                ""
            };
            writeln!(
                to,
                "  {source} {}, {uses} device(s){recorded}",
                EntriesText {
                    root: bus_entries.root,
                    source: *source,
                    entries: entry,
                }
            )?;
        }
        Ok(())
    };
    chunk_done(write(), Some(u64::from(bus_entries.bus) + 2))
}

/// Chunks of a unit: the heading, then the buses, then the end.
const PARTS_PER_UNIT: u64 = 512;
const END_PART: u64 = 257;

fn write_entries(bus_entries: &BusSnapshot, to: &mut Text<'_>) -> fmt::Result {
    let [root_low, root_high] = bus_entries.root.words();
    for (source, entry, _) in bus_entries
        .entries
        .iter()
        .filter(|(_, entry, _)| RequesterEntry::from(*entry).is_present())
    {
        let [low, high, ..] = entry.context_words();
        write!(
            to,
            "{source}\t{root_high:#018x}:{root_low:#018x}\t{high:#018x}:{low:#018x}\t"
        )?;
        // No PASIDs in legacy mode.
        let (number, [low, second, third]) = match entry {
            LookupEntries::Legacy(_) => (-1, [0; 3]),
            LookupEntries::Scalable { pasid, .. } => {
                let [low, second, third, ..] = pasid.words();
                (Pasid::RID_PASID.raw() as i32, [low, second, third])
            }
        };
        writeln!(to, "{number:<6}\t{third:#018x}:{second:#018x}:{low:#018x}")?;
    }
    Ok(())
}

/// Writes the present entries of all units, in the format of the in-tree driver.
pub(super) fn show_all(
    machine: &Arc<Machine>,
    number: u64,
    _: &mut u64,
    to: &mut Text<'_>,
) -> Option<u64> {
    let (index, part) = (number / PARTS_PER_UNIT, number % PARTS_PER_UNIT);
    let unit = unit_at(machine, index)?;
    let (first, next_unit) = (index * PARTS_PER_UNIT, (index + 1) * PARTS_PER_UNIT);
    if part == 0 && !unit.is_translating() {
        return chunk_done(
            writeln!(to, "DMA Remapping is not enabled on {unit}"),
            Some(next_unit),
        );
    }
    if part == 0 {
        let at = unit.root_table();
        let written = writeln!(to, "IOMMU {unit}: Root Table Address: {at:#x}").and_then(|()| {
            writeln!(
                to,
                "B.D.F\tRoot_entry\t\t\t\tContext_entry\t\t\t\tPASID\tPASID_table_entry"
            )
        });
        return chunk_done(written, Some(first + 1));
    }
    match (part < END_PART)
        .then(|| next_bus(unit, part - 1, to))
        .flatten()
    {
        Some(bus_entries) => chunk_done(
            write_entries(&bus_entries, to),
            Some(first + u64::from(bus_entries.bus) + 2),
        ),
        None => chunk_done(writeln!(to), Some(next_unit)),
    }
}
