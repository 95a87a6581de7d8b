// SPDX-License-Identifier: GPL-2.0

//! `vtd/walk`: for a requester and an address, shows each entry that a unit reads in its walk, from
//! the root entry on, and the result of a read and of a write.
//!
//! The entries are read from memory at one moment. The hardware's caches, which may hold older
//! entries, are not read.

use crate::device::{AttachedDomain, DeviceInfo, TraceSteps, MSI_WINDOW};
use crate::machine::{Machine, RequesterUsers};
use crate::unit::{RequesterEntries, Unit};
use core::fmt::{self, Write};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::debugfs::{SeqFile, Text};
use vtd_core::describe::fault::RefusalText;
use vtd_core::install::RequesterEntry;
use vtd_core::pgtable::{TraceStep, WalkOutcome, WalkTrace};
use vtd_core::spec::address::{DomainId, Pasid, PhysAddr};
use vtd_core::spec::context_lookup::{ContextLookup, LookupEntries};
use vtd_core::spec::level::Stage;
use vtd_core::spec::pasid::{PasidDirectoryEntry, PasidEntry};
use vtd_core::spec::pte::{Access, DecodedEntry};
use vtd_core::walk_request::WalkRequest;

/// The file, with the latest request that was written to it.
#[pin_data]
pub(super) struct WalkFile {
    machine: Arc<Machine>,
    #[pin]
    request: Mutex<Option<WalkRequest>>,
}

impl WalkFile {
    /// Creates the file's state, without a request.
    pub(super) fn new(machine: Arc<Machine>) -> impl PinInit<Self> {
        pin_init!(Self {
            machine,
            request <- new_mutex!(None, "vtd walk request"),
        })
    }
}

impl SeqFile for WalkFile {
    const WRITABLE: bool = true;

    fn write(&self, text: &str) -> Result {
        let request = WalkRequest::parse(text).ok_or(EINVAL)?;
        *self.request.lock() = Some(request);
        Ok(())
    }

    /// Writes the whole answer as one chunk, so that all of it answers the same request.
    fn show_chunk(&self, _: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
        let request = *self.request.lock();
        // A write to `Text` never fails: if the chunk does not fit, seq_file calls again for it.
        let _ = match request {
            Some(request) => write_answer(&self.machine, request, to),
            None => writeln!(
                to,
                "no request yet: write a requester and an address to this file, such as \
                 0000:00:05.0 0xffffe000"
            ),
        };
        None
    }
}

fn write_answer(machine: &Machine, request: WalkRequest, to: &mut Text<'_>) -> fmt::Result {
    writeln!(to, "{request}")?;
    let (segment, source) = (request.segment, request.source);
    let host_bits = machine.host_bits();
    let users = machine.users_of(segment, source);
    if let Some(info) = users.first() {
        let (entries, attached) = info.read_entries(source);
        let target = RequesterAtUnit {
            request,
            unit: &info.unit,
            entries: &entries,
            lookup: ContextLookup::of(entries.root, &entries.lookup, source.devfn(), host_bits),
        };
        return write_walk(&target, Some((&**info, &users)), attached.as_deref(), to);
    }
    let mut none = true;
    for served in machine.units().filter(|one| one.unit.segment() == segment) {
        none = false;
        let entries = served.unit.entries(source);
        let target = RequesterAtUnit {
            request,
            unit: &served.unit,
            entries: &entries,
            lookup: ContextLookup::of(entries.root, &entries.lookup, source.devfn(), host_bits),
        };
        write_walk(&target, None, None, to)?;
    }
    if none {
        writeln!(to, "no unit of this driver serves segment {segment}")?;
    }
    Ok(())
}

/// A requester at its unit, with its root and context entry.
struct RequesterAtUnit<'a> {
    request: WalkRequest,
    unit: &'a Unit,
    entries: &'a RequesterEntries,
    lookup: ContextLookup,
}

/// Writes the walk of one unit.
fn write_walk(
    target: &RequesterAtUnit<'_>,
    found: Option<(&DeviceInfo, &RequesterUsers)>,
    attached: Option<&dyn AttachedDomain>,
    to: &mut Text<'_>,
) -> fmt::Result {
    let (unit, iova) = (target.unit, target.request.iova);
    match found {
        Some((_, users)) if users.is_shared() => {
            write!(to, "{unit}, {}: {users}", unit.state_name())?
        }
        Some((info, _)) => write!(to, "{unit}, {}: device {info}", unit.state_name())?,
        None => write!(
            to,
            "{unit}, {}: no device of this driver",
            unit.state_name()
        )?,
    }
    writeln!(to, ", root table {:#x}", unit.root_table())?;
    write_root_and_context(target, to)?;
    let mut steps: TraceSteps = [None; 5];
    // Page tables are walked only if they belong to the domain that is held here.
    let trace = match (target.lookup, attached) {
        (ContextLookup::Faulted(reason), _) => Some(WalkTrace::faulted(reason)),
        (ContextLookup::PassThrough, _) => {
            let there = WalkOutcome::Translated(PhysAddr::new(iova.raw()));
            Some(WalkTrace {
                read: there,
                write: there,
            })
        }
        (ContextLookup::Tables { top, .. }, Some(domain)) if domain.top_table() == top => {
            let mode = target.entries.lookup.mode();
            Some(domain.trace_walk(iova, mode, &mut steps))
        }
        (ContextLookup::Tables { .. }, _) => None,
    };
    for step in steps.iter().flatten() {
        write_entry(step, target.lookup, to)?;
    }
    if let (Some(domain), ContextLookup::Tables { .. }) = (attached, target.lookup) {
        let lazy = if domain.is_lazy() {
            ", lazy (until its next flush the unit may still cache what was unmapped)"
        } else {
            ""
        };
        let (number, history) = (domain.number(), domain.history_of(iova.raw()));
        writeln!(to, "domain #{number} in vtd/domains{lazy}: {history}")?;
    }
    write_verdict(target, trace, to)
}

/// Writes the root entry, and the context entry if the root entry is present.
fn write_root_and_context(target: &RequesterAtUnit<'_>, to: &mut Text<'_>) -> fmt::Result {
    let (entries, source) = (target.entries, target.request.source);
    let [low, high] = entries.root.words();
    write!(
        to,
        "root entry {:#04x} at {:#x}: ",
        source.bus(),
        entries.root_at
    )?;
    let Some(at) = entries.context_at(source) else {
        return writeln!(to, "{high:#018x}:{low:#018x}: not present");
    };
    let devfn = source.devfn();
    let table = entries.root.context_table(entries.lookup.mode(), devfn);
    let table = table.map_or(0, PhysAddr::raw);
    writeln!(to, "{high:#018x}:{low:#018x}: context table {table:#x}")?;
    let [low, high, ..] = entries.lookup.context_words();
    write!(
        to,
        "context entry {devfn:#04x} at {at:#x}: {high:#018x}:{low:#018x}: "
    )?;
    let entry = RequesterEntry::from(entries.lookup);
    let recorded = if entry.fault_processing_disabled() {
        ", faults not recorded"
    } else {
        ""
    };
    match entries.lookup {
        LookupEntries::Scalable {
            context,
            directory,
            pasid,
        } if context.is_present() => {
            let at = context.directory();
            writeln!(to, "PASID directory {at}{recorded}")?;
            write_pasid(target.lookup, (at, directory), pasid, to)
        }
        _ => {
            write_context(entry.domain(), target.lookup, to)?;
            writeln!(to, "{recorded}")
        }
    }
}

/// Writes the directory entry and the entry of RID_PASID.
fn write_pasid(
    lookup: ContextLookup,
    (at, directory): (PhysAddr, PasidDirectoryEntry),
    entry: PasidEntry,
    to: &mut Text<'_>,
) -> fmt::Result {
    write!(
        to,
        "PASID directory entry 0x0 at {at}: {:#018x}: ",
        directory.raw()
    )?;
    let Some(table) = directory.table() else {
        return writeln!(to, "not present");
    };
    writeln!(to, "PASID table {table}")?;
    let [low, second, third, ..] = entry.words();
    write!(
        to,
        "PASID entry {} (requests without PASID) at {table}: \
         {third:#018x}:{second:#018x}:{low:#018x}: ",
        Pasid::RID_PASID
    )?;
    match lookup {
        _ if !entry.is_present() => writeln!(to, "not present"),
        ContextLookup::Faulted(reason) => writeln!(to, "{}", reason.description()),
        ContextLookup::PassThrough => writeln!(to, "pass-through, domain-id {}", entry.domain()),
        ContextLookup::Tables { top, width, stage } => writeln!(
            to,
            "domain-id {}, {stage} table {top}, {width}{}",
            entry.domain(),
            match stage {
                Stage::Second => "",
                Stage::First if entry.forces_snooping() => ", snoops",
                Stage::First => ", no snoop bit",
            }
        ),
    }
}

/// Writes the context entry of a unit in legacy mode, with its domain-id if it is present, or one that
/// is not present.
fn write_context(id: Option<DomainId>, lookup: ContextLookup, to: &mut Text<'_>) -> fmt::Result {
    match (id, lookup) {
        (None, _) => to.write_str("not present"),
        (_, ContextLookup::Faulted(reason)) => to.write_str(reason.description()),
        (Some(id), ContextLookup::PassThrough) => write!(to, "pass-through, domain-id {id}"),
        (Some(id), ContextLookup::Tables { top, width, .. }) => {
            write!(to, "domain-id {id}, table {top}, {width}")
        }
    }
}

/// Returns words for what an entry permits.
fn access_words(access: Access) -> &'static str {
    match access {
        Access::Read => "reads",
        Access::Write => "writes",
        Access::ReadWrite => "reads and writes",
    }
}

/// Writes one entry of a page table. Whether accesses snoop is said by the leaves of a second stage, and
/// by the PASID entry of a first.
fn write_entry(
    step: &TraceStep<PhysAddr>,
    lookup: ContextLookup,
    to: &mut Text<'_>,
) -> fmt::Result {
    let (level, raw) = (step.level.number(), step.entry);
    let (table, index) = (step.table, step.index);
    write!(
        to,
        "level {level}: table {table}, entry {index}: {raw:#018x}: "
    )?;
    match step.meaning {
        DecodedEntry::Absent => writeln!(to, "not present"),
        DecodedEntry::Table { address, access } => {
            writeln!(to, "table {address}, {}", access_words(access))
        }
        DecodedEntry::Leaf {
            address,
            size,
            access,
            snoop,
        } => writeln!(
            to,
            "page of {size} at {address}, {}{}",
            access_words(access),
            match lookup {
                ContextLookup::Tables {
                    stage: Stage::First,
                    ..
                } => "",
                _ if snoop => ", snoops",
                _ => ", no snoop bit",
            }
        ),
    }
}

/// Formats the result of a request as a clause.
struct OutcomeText {
    outcome: WalkOutcome,
    access: Access,
    /// The stage of the tables, if there are any.
    stage: Option<Stage>,
}

impl fmt::Display for OutcomeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reason, level) = match self.outcome {
            WalkOutcome::Translated(there) => return write!(f, "reaches memory at {there}"),
            WalkOutcome::Faulted { reason, level } => (reason, level),
        };
        f.write_str("is refused")?;
        if let Some(level) = level {
            write!(f, " at level {}", level.number())?;
        }
        let (access, stage) = (self.access, self.stage);
        write!(
            f,
            ": {}",
            RefusalText {
                reason,
                access,
                stage
            }
        )
    }
}

/// Writes the last sentence, with the result of a read and of a write.
fn write_verdict(
    target: &RequesterAtUnit<'_>,
    trace: Option<WalkTrace>,
    to: &mut Text<'_>,
) -> fmt::Result {
    let (unit, iova) = (target.unit, target.request.iova);
    let (window, bytes) = MSI_WINDOW;
    if (window..window + bytes).contains(&iova.raw()) {
        let last = window + bytes - 1;
        return writeln!(
            to,
            "The tables do not apply: a write to {window:#x} to {last:#x} is an interrupt request, \
             which is not remapped, and a read there reads no memory (VT-d 3.14)."
        );
    }
    if !unit.is_translating() {
        return writeln!(
            to,
            "The tables do not apply: translation of {unit} is off, and reads and writes reach \
             memory at {iova}."
        );
    }
    let Some(trace) = trace else {
        return writeln!(
            to,
            "The walk stops here: the tables do not belong to a domain of this requester, which \
             may be being attached to another one; try again."
        );
    };
    let untranslated = if target.lookup == ContextLookup::PassThrough {
        ", untranslated"
    } else {
        ""
    };
    let stage = match target.lookup {
        ContextLookup::Tables { stage, .. } => Some(stage),
        ContextLookup::Faulted(_) | ContextLookup::PassThrough => None,
    };
    let text = |outcome, access| OutcomeText {
        outcome,
        access,
        stage,
    };
    let (read, write) = (
        text(trace.read, Access::Read),
        text(trace.write, Access::Write),
    );
    writeln!(to, "A read {read}; a write {write}{untranslated}.")
}
