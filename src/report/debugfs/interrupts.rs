// SPDX-License-Identifier: GPL-2.0

//! Interrupt remapping: `vtd/dmarN/interrupts`, in words, and `iommu/intel/ir_translation_struct`, in
//! the format of the in-tree driver. The first chunk of the former is its first line; each further
//! one is an entry.

use super::view::{chunk_done, unit_at, UnitView};
use crate::machine::Machine;
use crate::unit::{InterruptSnapshot, Unit};
use core::fmt::{self, Write};
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;
use vtd_core::interrupt_policy::InterruptPolicy;
use vtd_core::spec::interrupt::ApicMode;

/// Formats what an entry does.
struct EntryText<'a>(&'a InterruptSnapshot, ApicMode);

impl fmt::Display for EntryText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EntryText(snapshot, mode) = self;
        let entry = snapshot.entry;
        if !entry.is_present() {
            f.write_str("absent")?;
        } else {
            let target = entry.target(*mode);
            let kind = if target.logical { "logical " } else { "" };
            write!(
                f,
                "vector {:#04x} at {kind}{:#x}",
                target.vector, target.destination
            )?;
        }
        match entry.source_check() {
            Some(check) => write!(f, ", from {check}")?,
            None => f.write_str(", from any requester")?,
        }
        if entry.is_fault_processing_disabled() {
            f.write_str(", faults not recorded")?;
        }
        Ok(())
    }
}

fn write_summary(of: &UnitView, to: &mut Text<'_>) -> fmt::Result {
    let unit = &*of.unit;
    let Some(served) = of.machine.served(&of.unit) else {
        return Ok(());
    };
    match served.interrupts.policy() {
        InterruptPolicy::Off(why) => return writeln!(to, "{unit}: not remapped: {why}"),
        InterruptPolicy::Remapped(_, None) => write!(to, "{unit}: remapped, devices isolated")?,
        InterruptPolicy::Remapped(_, Some(user)) => write!(
            to,
            "{unit}: remapped, devices not isolated because of {user}"
        )?,
    }
    let (used, all) = unit.interrupt_counts();
    let at = unit.interrupt_table().unwrap_or_default();
    let state = if unit.remaps_interrupts() {
        "on"
    } else {
        "off"
    };
    writeln!(
        to,
        "; {state}, table at {at:#x}, {used} of {all} entries in use"
    )
}

/// Writes what the unit guarantees, and its entries in use: the index, the device, and the effect.
pub(super) fn show_unit(of: &UnitView, number: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
    if number == 0 {
        return chunk_done(write_summary(of, to), Some(1));
    }
    let unit = &*of.unit;
    let found = unit.next_interrupt(usize::try_from(number - 1).ok()?)?;
    let written = writeln!(
        to,
        "{:>5} {}:{} {}",
        found.index,
        unit.segment(),
        found.owner,
        EntryText(&found, unit.apic_mode())
    );
    chunk_done(written, Some(found.index as u64 + 2))
}

fn write_entry(found: &InterruptSnapshot, to: &mut Text<'_>) -> fmt::Result {
    let entry = found.entry;
    // The in-tree driver shows the field SID as a source-id and DST as it is, whatever they mean.
    let (sid, dst, vector) = (entry.high as u16, entry.low >> 32, (entry.low >> 16) as u8);
    writeln!(
        to,
        " {:<5} {:02x}:{:02x}.{:01x} {dst:08x} {vector:02x}  {:016x}\t{:016x}",
        found.index,
        sid >> 8,
        sid >> 3 & 0x1f,
        sid & 7,
        entry.high,
        entry.low
    )
}

fn write_table(unit: &Unit, to: &mut Text<'_>) -> fmt::Result {
    writeln!(to, "Remapped Interrupt supported on IOMMU: {unit}")?;
    match unit.interrupt_table().filter(|_| unit.remaps_interrupts()) {
        None => writeln!(to, "Interrupt Remapping is not enabled")?,
        Some(at) => {
            writeln!(to, " IR table address:{at:x}")?;
            writeln!(to, " Entry SrcID   DstID    Vct IRTE_high\t\tIRTE_low")?;
            let mut from = 0;
            while let Some(found) = unit.next_interrupt(from) {
                from = found.index + 1;
                if found.entry.is_present() {
                    write_entry(&found, to)?;
                }
            }
        }
    }
    writeln!(to)
}

/// Writes the tables of all units that support interrupt remapping; a chunk is a unit. There are no
/// posted interrupts.
pub(super) fn show_all(
    machine: &Arc<Machine>,
    number: u64,
    _: &mut u64,
    to: &mut Text<'_>,
) -> Option<u64> {
    let Some(unit) = unit_at(machine, number) else {
        let ended = number > machine.units().count() as u64;
        return if ended {
            None
        } else {
            chunk_done(writeln!(to, "****\n"), Some(number + 1))
        };
    };
    let written = match unit.ecap().interrupt_remapping() {
        true => write_table(unit, to),
        false => Ok(()),
    };
    chunk_done(written, Some(number + 1))
}
