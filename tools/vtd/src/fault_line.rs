// SPDX-License-Identifier: GPL-2.0

//! Lines about faults, by vtd, by the in-tree driver or in QEMU's trace, in the words of vtd_core.

mod forms;

pub use forms::Decoder;

use crate::bdf::Bdf;
use serde_json::{json, Value};
use std::fmt::Write;
use vtd_core::spec::fault::FaultReason;

/// One refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A device, or a requester ID of several devices or of none.
    pub noun: &'static str,
    pub bdf: Bdf,
    /// Driver, group, owner; empty if the line does not have them.
    pub who: String,
    /// read, write, ...; empty for an interrupt request.
    pub access: String,
    /// The address, or the index of the interrupt; `None` in compatibility format.
    pub address: Option<u64>,
    pub pasid: Option<u64>,
    /// `None` if the line does not have it.
    pub reason: Option<u64>,
    pub rest: String,
    /// Whether vtd wrote the line.
    pub is_ours: bool,
}

/// A line about faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Fault(Fault),
    /// Any other information, and its usual cause.
    Note(String, &'static str),
    /// A line about anything else.
    Other(String),
}

const DRIVER: &str =
    "the device used an address that its driver did not map, mapped for the other \
                      direction only, or had unmapped already";
const DETACHED: &str = "the device was never attached, or it is blocked: by a claim of its group, \
                        or because its unit failed earlier";
const TABLES: &str = "the unit could not parse the tables: an error of the driver or of the unit";
const RMRR: &str = "firmware uses memory through the device at all times, and the kernel gives \
                    such devices to no user; vtd why DEVICE shows the memory, and what can be done";
const UNSAFE: &str = "interrupts are not remapped, so the device could raise any of them; vtd why \
                      DEVICE says why they are not";

impl Fault {
    fn reason_code(&self) -> Option<FaultReason> {
        let code = u8::try_from(self.reason?).ok()?;
        Some(FaultReason::new(code))
    }

    /// Returns the usual cause, or an empty text.
    pub fn cause(&self) -> &'static str {
        let Some(reason) = self.reason_code() else {
            return "";
        };
        match reason.code() {
            0x05 | 0x06 | 0x71 | 0x79 | 0x85 | 0x86 => DRIVER,
            0x01 | 0x02 | 0x39 | 0x41 | 0x59 => DETACHED,
            0x04 => "a driver that does not use the DMA API, or did not get the limit from it",
            0x25 => "an interrupt that was not remapped: sent before remapping was on, or forged",
            0x26 => {
                "an interrupt with another device's requester ID: from an unknown alias, or forged"
            }
            _ if reason.is_caused_by_tables() => TABLES,
            _ => "",
        }
    }

    /// Returns whether `other` is the same request, refused at another time for the same reason.
    pub fn repeats(&self, other: &Self) -> bool {
        // The history of the address has times.
        let history = |fault: &Self| {
            let signs = fault.rest.chars().filter(|sign| !sign.is_ascii_digit());
            signs.collect::<String>()
        };
        history(self) == history(other)
            && (
                self.bdf,
                &self.access,
                self.address,
                self.reason,
                self.pasid,
            ) == (
                other.bdf,
                &other.access,
                other.address,
                other.reason,
                other.pasid,
            )
    }

    pub fn words(&self) -> String {
        let mut text = format!("{} {}{} ", self.noun, self.bdf, self.who);
        match self.address {
            None => text += "interrupt request in compatibility format",
            Some(index) if self.access.is_empty() => {
                let _ = write!(text, "interrupt request {index:#x}");
            }
            Some(address) => {
                let _ = write!(text, "{} of {address:#x}", self.access);
            }
        }
        if let Some(pasid) = self.pasid {
            let _ = write!(text, " (PASID {pasid:#x})");
        }
        text += " refused";
        if let Some(code) = self.reason {
            let words = self
                .reason_code()
                .map_or("a reason out of range", |it| it.description());
            let section = self.reason_code().map_or("7.1.3", |it| it.section());
            let _ = write!(text, ": {words} (VT-d {section}, reason {code:#04x})");
        }
        if !self.rest.is_empty() {
            let _ = write!(text, ", {}", self.rest);
        }
        text
    }
}

impl Line {
    pub fn words(&self) -> String {
        match self {
            Self::Fault(fault) => fault.words(),
            Self::Note(text, _) | Self::Other(text) => text.clone(),
        }
    }

    pub fn cause(&self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.cause(),
            Self::Note(_, cause) => cause,
            Self::Other(_) => "",
        }
    }

    pub fn json(&self) -> Value {
        match self {
            Self::Note(text, cause) => json!({"kind": "note", "words": text, "cause": cause}),
            Self::Other(text) => json!({"kind": "other", "words": text}),
            Self::Fault(fault) => json!({
                "kind": "fault",
                "device": fault.bdf.to_string(),
                "is_device": fault.noun == "device",
                "who": fault.who.trim_matches([' ', '(', ')']),
                "access": fault.access,
                "address": fault.address.map(|address| format!("{address:#x}")),
                "pasid": fault.pasid,
                "reason": fault.reason,
                "words": fault.words(),
                "rest": fault.rest,
                "cause": fault.cause(),
                "by": if fault.is_ours { "vtd" } else { "in-tree" },
            }),
        }
    }
}

#[cfg(test)]
mod tests;
