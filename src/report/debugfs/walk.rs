// SPDX-License-Identifier: GPL-2.0

//! `vtd/walk`: asked of a requester and an address, it tells each entry that a unit reads on the
//! way, from the root entry on, and what becomes of a read and of a write there.
//!
//! Told from memory, at one moment: nothing is asked of hardware, which may remember more.

use crate::device::{Attached, DeviceInfo, Steps, MSI_WINDOW};
use crate::machine::{Users, Vtd};
use crate::unit::{EntriesLook, Unit};
use core::fmt::{self, Write};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::debugfs::{SeqFile, Text};
use vtd_core::pgtable::{Fate, Step, Way};
use vtd_core::spec::address::PhysAddr;
use vtd_core::spec::context::ContextEntry;
use vtd_core::spec::context_lookup::Passage;
use vtd_core::spec::fault::FaultReason;
use vtd_core::spec::pte::{Access, Meaning};
use vtd_core::walk_request::Question;

/// The file, and what it was asked last.
#[pin_data]
pub(super) struct Walks {
    vtd: Arc<Vtd>,
    #[pin]
    asked: Mutex<Option<Question>>,
}

impl Walks {
    /// Nothing was asked yet.
    pub(super) fn new(vtd: Arc<Vtd>) -> impl PinInit<Self> {
        pin_init!(Self {
            vtd,
            asked <- new_mutex!(None, "vtd walk question"),
        })
    }
}

impl SeqFile for Walks {
    const WRITABLE: bool = true;

    fn write(&self, text: &str) -> Result {
        let question = Question::parse(text).ok_or(EINVAL)?;
        *self.asked.lock() = Some(question);
        Ok(())
    }

    /// The whole answer is one part, so that it is one question's.
    fn show_chunk(&self, _: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
        let asked = *self.asked.lock();
        // Writing to a text never fails: what does not fit is asked for again.
        let _ = match asked {
            Some(question) => answer(&self.vtd, question, to),
            None => writeln!(
                to,
                "no request yet: write a requester and an address to this file, such as \
                 0000:00:05.0 0xffffe000"
            ),
        };
        None
    }
}

fn answer(vtd: &Vtd, question: Question, to: &mut Text<'_>) -> fmt::Result {
    writeln!(to, "{question}")?;
    let (segment, source) = (question.segment, question.source);
    let host_bits = vtd.host_bits();
    let users = vtd.users_of(segment, source);
    if let Some(info) = users.first() {
        let (look, attached) = info.entries(source);
        let passed = Passed {
            question,
            unit: &info.unit,
            look: &look,
            passage: Passage::of(look.root, look.context, host_bits),
        };
        return told(&passed, Some((&**info, &users)), attached.as_deref(), to);
    }
    let mut none = true;
    for served in vtd.units().filter(|one| one.unit.segment() == segment) {
        none = false;
        let look = served.unit.entries(source);
        let passed = Passed {
            question,
            unit: &served.unit,
            look: &look,
            passage: Passage::of(look.root, look.context, host_bits),
        };
        told(&passed, None, None, to)?;
    }
    if none {
        writeln!(to, "no unit of this driver serves segment {segment}")?;
    }
    Ok(())
}

/// A requester at its unit.
struct Passed<'a> {
    question: Question,
    unit: &'a Unit,
    look: &'a EntriesLook,
    passage: Passage,
}

/// What is told of one unit.
fn told(
    passed: &Passed<'_>,
    found: Option<(&DeviceInfo, &Users)>,
    attached: Option<&dyn Attached>,
    to: &mut Text<'_>,
) -> fmt::Result {
    let (unit, iova) = (passed.unit, passed.question.iova);
    match found {
        Some((_, users)) if users.are_several() => {
            write!(to, "{unit}, {}: {users}", unit.condition())?
        }
        Some((info, _)) => write!(to, "{unit}, {}: device {info}", unit.condition())?,
        None => write!(to, "{unit}, {}: no device of this driver", unit.condition())?,
    }
    writeln!(to, ", root table {:#x}", unit.root_table())?;
    entries(passed, to)?;
    let mut steps: Steps = [None; 5];
    // Tables are followed only where they are those of a domain that is held here.
    let way = match (passed.passage, attached) {
        (Passage::Refused(reason), _) => Some(Way::closed(reason)),
        (Passage::Untranslated, _) => {
            let there = Fate::Reaches(PhysAddr::new(iova.raw()));
            Some(Way {
                read: there,
                write: there,
            })
        }
        (Passage::Tables { top, .. }, Some(domain)) if domain.top() == top => {
            Some(domain.way(iova, &mut steps))
        }
        (Passage::Tables { .. }, _) => None,
    };
    for step in steps.iter().flatten() {
        entry(step, to)?;
    }
    if let (Some(domain), Passage::Tables { .. }) = (attached, passed.passage) {
        let lazy = if domain.is_lazy() {
            ", lazy (until its next flush the unit may still cache what was unmapped)"
        } else {
            ""
        };
        let (number, past) = (domain.number(), domain.past(iova.raw()));
        writeln!(to, "domain #{number} in vtd/domains{lazy}: {past}")?;
    }
    end(passed, way, to)
}

/// Root and context entry, as far as a unit reads them.
fn entries(passed: &Passed<'_>, to: &mut Text<'_>) -> fmt::Result {
    let (look, source) = (passed.look, passed.question.source);
    let [low, high] = look.root.words();
    write!(
        to,
        "root entry {:#04x} at {:#x}: ",
        source.bus(),
        look.root_at
    )?;
    let Some(at) = look.context_at(source) else {
        return writeln!(to, "{high:#018x}:{low:#018x}: not present");
    };
    let table = look.root.context_table().map_or(0, PhysAddr::raw);
    writeln!(to, "{high:#018x}:{low:#018x}: context table {table:#x}")?;
    let [low, high] = look.context.words();
    let devfn = source.devfn();
    write!(
        to,
        "context entry {devfn:#04x} at {at:#x}: {high:#018x}:{low:#018x}: "
    )?;
    context(look.context, passed.passage, to)?;
    writeln!(
        to,
        "{}",
        if look.context.faults_unrecorded() {
            ", faults not recorded"
        } else {
            ""
        }
    )
}

fn context(entry: ContextEntry, passage: Passage, to: &mut Text<'_>) -> fmt::Result {
    match passage {
        _ if !entry.is_present() => to.write_str("not present"),
        Passage::Refused(reason) => to.write_str(reason.words()),
        Passage::Untranslated => write!(to, "pass-through, domain-id {}", entry.domain()),
        Passage::Tables { top, width } => {
            write!(to, "domain-id {}, table {top}, {width}", entry.domain())
        }
    }
}

/// What an entry permits.
fn permitted(access: Access) -> &'static str {
    match access {
        Access::Read => "reads",
        Access::Write => "writes",
        Access::ReadWrite => "reads and writes",
    }
}

/// One entry of a page table.
fn entry(step: &Step<PhysAddr>, to: &mut Text<'_>) -> fmt::Result {
    let (level, raw) = (step.level.number(), step.entry.raw());
    let (table, index) = (step.table, step.index);
    write!(
        to,
        "level {level}: table {table}, entry {index}: {raw:#018x}: "
    )?;
    match step.entry.meaning(step.level) {
        Meaning::Absent => writeln!(to, "not present"),
        Meaning::Table { address, access } => {
            writeln!(to, "table {address}, {}", permitted(access))
        }
        Meaning::Leaf {
            address,
            size,
            access,
            snoop,
        } => writeln!(
            to,
            "page of {size} at {address}, {}, {}",
            permitted(access),
            if snoop { "snoops" } else { "no snoop bit" }
        ),
    }
}

/// What becomes of a request, as a clause.
struct Becomes(Fate);

impl fmt::Display for Becomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = |f: &mut fmt::Formatter<'_>, reason: FaultReason| {
            let (words, section, code) = (reason.words(), reason.section(), reason.code());
            write!(f, "{words} (VT-d {section}, reason {code:#04x})")
        };
        match self.0 {
            Fate::Reaches(there) => write!(f, "reaches memory at {there}"),
            Fate::Refused {
                reason,
                level: None,
            } => {
                f.write_str("is refused: ")?;
                why(f, reason)
            }
            Fate::Refused {
                reason,
                level: Some(level),
            } => {
                write!(f, "is refused at level {}: ", level.number())?;
                why(f, reason)
            }
        }
    }
}

/// The last sentence.
fn end(passed: &Passed<'_>, way: Option<Way>, to: &mut Text<'_>) -> fmt::Result {
    let (unit, iova) = (passed.unit, passed.question.iova);
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
    let Some(way) = way else {
        return writeln!(
            to,
            "The walk stops here: the tables do not belong to a domain of this requester, which \
             may be being attached to another one; try again."
        );
    };
    let untranslated = if passed.passage == Passage::Untranslated {
        ", untranslated"
    } else {
        ""
    };
    let (read, write) = (Becomes(way.read), Becomes(way.write));
    writeln!(to, "A read {read}; a write {write}{untranslated}.")
}
