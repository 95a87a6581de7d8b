// SPDX-License-Identifier: GPL-2.0

//! Describes faults in words (VT-d 7.1.3 and its table of fault conditions).

use crate::spec::fault::{FaultReason, FaultRecord, FaultRequest};
use crate::spec::level::Stage;
use crate::spec::pte::Access;
use core::fmt;

impl FaultRequest {
    /// Returns the request in one word.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Execute => "execute",
            Self::Write => "write",
            Self::PageRequest => "page request",
            Self::Atomic => "atomic",
        }
    }
}

impl fmt::Display for FaultRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

impl fmt::Display for FaultRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interrupt_index() {
            Some(index) => write!(f, "interrupt {index:#x} of {}", self.source)?,
            None if self.is_interrupt() => {
                write!(f, "interrupt in compatibility format of {}", self.source)?
            }
            None => write!(
                f,
                "DMA {} of {:#x} by {}",
                self.request,
                self.address(),
                self.source
            )?,
        }
        if let Some(pasid) = self.pasid {
            write!(f, " (PASID {pasid:#x})")?;
        }
        write!(f, " refused: {}", self.reason)
    }
}

impl FaultReason {
    /// Returns the reason in words.
    pub const fn description(self) -> &'static str {
        match description(self.code()) {
            Some(words) => words,
            None => "a reason that this driver does not know",
        }
    }
}

impl fmt::Display for FaultReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (reason {:#x})", self.description(), self.code())
    }
}

/// Formats why a walk ends: the reason that the specification has for it and, if it is another one,
/// the reason that QEMU's unit reports.
pub struct RefusalText {
    /// The specification's reason.
    pub reason: FaultReason,
    /// The refused access.
    pub access: Access,
    /// The stage of the tables, if any were walked.
    pub stage: Option<Stage>,
}

impl fmt::Display for RefusalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, section) = (self.reason.description(), self.reason.section());
        let code = self.reason.code();
        write!(f, "{words} (VT-d {section}, reason {code:#04x}")?;
        if let Some(reported) = self.reason.in_legacy_mode(self.access, self.stage) {
            write!(f, ", which QEMU reports as {:#04x}", reported.code())?;
        }
        f.write_str(")")
    }
}

/// Returns the meaning of reason `code`, or `None` if the code is reserved or unknown.
const fn description(code: u8) -> Option<&'static str> {
    match code {
        0x00..=0x1f => legacy(code),
        0x20..=0x2f => interrupt(code),
        0x30..=0x5f => scalable_tables(code),
        _ => scalable_pages(code),
    }
}

const fn legacy(code: u8) -> Option<&'static str> {
    Some(match code {
        0x1 => "no device of its bus has been attached (root entry not present)",
        0x2 => "the device is not attached to any domain (context entry not present)",
        0x3 => "its context entry is not valid",
        0x4 => "the address is beyond the width of the unit or of the domain",
        0x5 => "the page is not mapped for writing",
        0x6 => "the page is not mapped for reading",
        0x7 => "a page-table page could not be read",
        0x8 => "the root table could not be read",
        0x9 => "the context table could not be read",
        0xa => "reserved bits are set in its root entry",
        0xb => "reserved bits are set in its context entry",
        0xc => "reserved bits are set in a page-table entry",
        0xd => "its context entry does not allow this type of request",
        _ => return None,
    })
}

const fn interrupt(code: u8) -> Option<&'static str> {
    Some(match code {
        0x20 => "reserved bits are set in the remappable interrupt request",
        0x21 => "the interrupt index is beyond the remapping table",
        0x22 => "the interrupt remapping entry is not present",
        0x23 => "the interrupt remapping table could not be read",
        0x24 => "reserved bits are set in the interrupt remapping entry",
        0x25 => "compatibility-format interrupts are blocked",
        0x26 => "the interrupt remapping entry belongs to another source-id",
        _ => return None,
    })
}

const fn scalable_tables(code: u8) -> Option<&'static str> {
    Some(match code {
        0x30 => "the root table address is not valid",
        0x31 => "a request with PASID came while the unit is in legacy mode",
        0x32 => "a page request came while the unit is in legacy mode",
        0x38 => "the root table could not be read (scalable mode)",
        0x39 => "the scalable-mode root entry is not present",
        0x3a => "reserved bits are set in the scalable-mode root entry",
        0x40 => "the context table could not be read (scalable mode)",
        0x41 => "the scalable-mode context entry is not present",
        0x42 => "reserved bits are set in the scalable-mode context entry",
        0x43 => "the scalable-mode context entry is not valid",
        0x44 => "its context entry does not allow device-TLB requests",
        0x45 => "its context entry does not allow requests with PASID",
        0x46 => "the PASID is above the limit of its context entry",
        0x47 => "its context entry does not allow page requests",
        0x48 => "the RID-PASID of its context entry is not valid",
        0x50 => "the PASID directory could not be read",
        0x51 => "the PASID directory entry is not present",
        0x52 => "reserved bits are set in the PASID directory entry",
        0x58 => "the PASID table could not be read",
        0x59 => "the PASID is not attached to any domain (PASID entry not present)",
        0x5a => "reserved bits are set in the PASID entry",
        0x5b => "the PASID entry is not valid",
        0x5c => "its PASID entry does not allow execute requests",
        0x5d => "its PASID entry does not allow supervisor requests",
        _ => return None,
    })
}

const fn scalable_pages(code: u8) -> Option<&'static str> {
    Some(match code {
        0x70 => "a first-stage table could not be read",
        0x71 => "the page is not mapped (first stage)",
        0x72 => "reserved bits are set in a first-stage entry",
        0x73 => "the topmost first-stage table could not be read",
        0x74 => "a first-stage table lies beyond the second stage's width",
        0x75 => "the topmost first-stage table is not readable through the second stage",
        0x76 => "a first-stage table is not readable through the second stage",
        0x77 => "a first-stage table is not writable through the second stage",
        0x78 => "a second-stage table could not be read",
        0x79 => "the page is not mapped (second stage)",
        0x7a => "reserved bits are set in a second-stage entry",
        0x7b => "the second-stage table pointer is not valid",
        0x7c => "a second-stage accessed or dirty flag had to be set without snooping",
        0x80 => "the address is not canonical (first stage)",
        0x81 => "a user request reached a supervisor page (first stage)",
        0x82 => "the page is not executable (first stage)",
        0x83 => "the translated address is beyond the host's width",
        0x84 => "the address is beyond the second stage's width",
        0x85 => "the page is not mapped for writing (scalable mode)",
        0x86 => "the page is not mapped for reading (scalable mode)",
        0x87 => "the address is in the interrupt range",
        0x90 => "a first-stage accessed or dirty flag had to be set without snooping",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_has_words() {
        for code in 0..=u8::MAX {
            assert_eq!(
                description(code).is_some(),
                FaultReason::new(code).is_known(),
                "{code:#x}"
            );
        }
    }
}
