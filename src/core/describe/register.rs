// SPDX-License-Identifier: GPL-2.0

//! Names the registers and describes their values in words (VT-d 11.4).

use crate::spec::address::{PhysAddr, PAGE_SIZE};
use crate::spec::bits;
use crate::spec::capability::{Capability, ExtendedCapability};
use crate::spec::queue::DescriptorWidth;
use crate::spec::registers::{self as regs, Reg32, Reg64};
use crate::spec::status::{Fsts, Gcmd, Gsts};
use core::fmt;

/// A register, with its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// A register of 32 bits.
    Narrow(Reg32),
    /// A register of 64 bits.
    Wide(Reg64),
}

impl Register {
    /// Returns the offset from the register base in bytes.
    pub const fn offset(self) -> usize {
        match self {
            Self::Narrow(register) => register.offset(),
            Self::Wide(register) => register.offset(),
        }
    }
}

/// A register that has the same offset on every unit that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedRegister {
    /// The specification's abbreviation.
    pub name: &'static str,
    /// The register.
    pub register: Register,
}

macro_rules! named {
    ($($kind:ident $name:ident)*) => {
        &[$(NamedRegister { name: stringify!($name), register: Register::$kind(regs::$name) },)*]
    };
}

/// All named registers, by offset.
pub const NAMED_REGISTERS: &[NamedRegister] = named! {
    Narrow VER Wide CAP Wide ECAP Narrow GCMD Narrow GSTS Wide RTADDR Wide CCMD
    Narrow FSTS Narrow FECTL Narrow FEDATA Narrow FEADDR Narrow FEUADDR
    Narrow PMEN Narrow PLMBASE Narrow PLMLIMIT Wide PHMBASE Wide PHMLIMIT
    Wide IQH Wide IQT Wide IQA Narrow ICS Narrow IECTL Narrow IEDATA Narrow IEADDR Narrow IEUADDR
    Wide IQERCD Wide IRTA
    Wide PQH Wide PQT Wide PQA Narrow PRS Narrow PECTL Narrow PEDATA Narrow PEADDR Narrow PEUADDR
};

impl NamedRegister {
    /// Returns whether a unit with these capabilities has the register.
    pub fn is_on(&self, cap: Capability, ecap: ExtendedCapability) -> bool {
        match self.register.offset() {
            0x64..=0x6f => cap.protected_low_memory() || cap.protected_high_memory(),
            0x70..=0x7f => cap.protected_high_memory(),
            0x80..=0xb7 => ecap.queued_invalidation(),
            0xb8..=0xbf => ecap.interrupt_remapping(),
            0xc0..=0xef => ecap.page_request(),
            _ => true,
        }
    }

    /// Returns a description of `value`, which was read from the register.
    pub fn describe(&self, value: u64) -> RegisterText {
        RegisterText {
            register: self.register,
            value,
        }
    }
}

/// The value of a register in words; empty where the number is sufficient.
pub struct RegisterText {
    register: Register,
    value: u64,
}

fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
    none: &str,
) -> fmt::Result {
    let mut first = true;
    for item in items {
        write!(f, "{}{item}", if first { "" } else { ", " })?;
        first = false;
    }
    f.write_str(if first { none } else { "" })
}

fn states(status: Gsts) -> impl Iterator<Item = &'static str> {
    [
        (Gcmd::TRANSLATION, "translation on"),
        (Gcmd::SET_ROOT_TABLE, "root table set"),
        (Gcmd::FLUSH_WRITE_BUFFER, "write buffer being flushed"),
        (Gcmd::QUEUE, "queue on"),
        (Gcmd::INTERRUPT_REMAPPING, "interrupt remapping on"),
    ]
    .into_iter()
    .filter_map(move |(bit, words)| status.has_taken_effect(bit).then_some(words))
}

impl fmt::Display for RegisterText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, low) = (self.value, self.value as u32);
        match self.register {
            Register::Narrow(regs::VER) => {
                let (major, minor) = regs::version(low);
                write!(f, "version {major}.{minor}")
            }
            Register::Wide(regs::CAP) => Capability::from_raw(value).fmt(f),
            Register::Wide(regs::ECAP) => ExtendedCapability::from_raw(value).fmt(f),
            Register::Narrow(regs::GSTS) => list(f, states(Gsts::from_raw(low)), "all off"),
            Register::Wide(regs::RTADDR) => {
                write!(f, "root table at {}", PhysAddr::new(value).page())
            }
            Register::Narrow(regs::FSTS) => {
                let status = Fsts::from_raw(low);
                if status.has_fault_record() {
                    write!(f, "record {} is filled, ", status.first_fault_record())?;
                }
                list(f, status.errors(), "no error")
            }
            Register::Narrow(regs::FECTL) => f.write_str(match low {
                control if control & regs::FECTL_IM == 0 => "interrupt on",
                control if control & regs::FECTL_IP == 0 => "interrupt masked",
                _ => "interrupt masked, and one is pending",
            }),
            Register::Narrow(regs::PMEN) => f.write_str(if low & regs::PMEN_PRS == 0 {
                "protected memory off"
            } else {
                "protected memory on"
            }),
            Register::Wide(regs::IQH | regs::IQT) => {
                write!(f, "descriptor {}", DescriptorWidth::Bits128.slot(value))
            }
            Register::Wide(regs::IQA) => write!(
                f,
                "{} descriptors at {}",
                DescriptorWidth::of(value).slots(PAGE_SIZE as u32) << bits::field(value, 2, 0),
                PhysAddr::new(value).page()
            ),
            _ => Ok(()),
        }
    }
}
