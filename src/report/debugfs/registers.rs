// SPDX-License-Identifier: GPL-2.0

//! The registers: `vtd/dmarN/registers`, decoded, and `iommu/intel/iommu_regset`, in the format of
//! the in-tree driver.
//!
//! A read changes no register of a unit. The value of a register that a unit does not have is
//! undefined.

use super::view::{chunk_done, unit_at, UnitView};
use crate::machine::Machine;
use crate::unit::Unit;
use core::fmt::{self, Write};
use kernel::sync::Arc;
use kernel_ext::debugfs::Text;
use vtd_core::describe::register::{Register, NAMED_REGISTERS};
use vtd_core::spec::fault::FaultRecord;
use vtd_core::spec::registers as regs;

/// How many fault recording registers are shown even if they are empty.
const MIN_SHOWN_RECORDS: u32 = 8;

fn write_register(name: &str, register: Register, value: u64, to: &mut Text<'_>) -> fmt::Result {
    let offset = register.offset();
    match register {
        Register::Narrow(_) => write!(to, "{name:<9} {offset:#05x} {value:#010x}         "),
        Register::Wide(_) => write!(to, "{name:<9} {offset:#05x} {value:#018x} "),
    }
}

fn write_fault_records(unit: &Unit, to: &mut Text<'_>) -> fmt::Result {
    for index in 0..unit.cap().fault_record_count() {
        let Some(at) = regs::fault_record(unit.cap(), index) else {
            break;
        };
        let (low, high) = (Register::Wide(at.low), Register::Wide(at.high));
        let (info, rest) = (unit.read(low), unit.read(high));
        let record = FaultRecord::decode(info, rest);
        if record.is_none() && index >= MIN_SHOWN_RECORDS {
            continue;
        }
        write_register("FRCD low", low, info, to)?;
        writeln!(to, " record {index}")?;
        write_register("FRCD high", high, rest, to)?;
        match record {
            Some(record) => writeln!(to, " {record}")?,
            None => writeln!(to, " empty")?,
        }
    }
    Ok(())
}

/// Writes all registers that the unit has: name, offset, value, meaning.
pub(super) fn show_unit(of: &UnitView, _: u64, _: &mut u64, to: &mut Text<'_>) -> Option<u64> {
    let unit = &*of.unit;
    let mut write = || {
        let base = unit.register_base();
        writeln!(to, "{unit} at {base:#x}, {}", unit.state_name())?;
        for named in NAMED_REGISTERS {
            if !named.is_on(unit.cap(), unit.ecap()) {
                continue;
            }
            let value = unit.read(named.register);
            write_register(named.name, named.register, value, to)?;
            writeln!(to, " {}", named.describe(value))?;
        }
        let iotlb = regs::iotlb(unit.ecap());
        for (name, register) in [("IVA", iotlb.address), ("IOTLB", iotlb.command)] {
            let register = Register::Wide(register);
            write_register(name, register, unit.read(register), to)?;
            writeln!(to)?;
        }
        write_fault_records(unit, to)
    };
    chunk_done(write(), None)
}

/// Writes all registers of all units, those of 32 bits first; a chunk is a unit.
pub(super) fn show_all(
    machine: &Arc<Machine>,
    number: u64,
    _: &mut u64,
    to: &mut Text<'_>,
) -> Option<u64> {
    let unit = unit_at(machine, number)?;
    let mut write = || {
        let base = unit.register_base();
        writeln!(to, "IOMMU: {unit} Register Base Address: {base:x}")?;
        writeln!(to, "Name\t\t\tOffset\t\tContents")?;
        for narrow in [true, false] {
            let wanted = NAMED_REGISTERS
                .iter()
                .filter(|named| matches!(named.register, Register::Narrow(_)) == narrow);
            for named in wanted {
                let (offset, value) = (named.register.offset(), unit.read(named.register));
                writeln!(to, "{:<16}\t{offset:#04x}\t\t{value:#018x}", named.name)?;
            }
        }
        writeln!(to)
    };
    chunk_done(write(), Some(number + 1))
}
