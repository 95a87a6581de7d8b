// SPDX-License-Identifier: GPL-2.0

//! The outcome of the root- and context-entry lookup for a requester (VT-d 3.4.2, 7.1.3).

use super::address::PhysAddr;
use super::context::{ContextEntry, TranslationType};
use super::fault::FaultReason;
use super::level::AddressWidth;
use super::root::RootEntry;

/// The outcome of the lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextLookup {
    /// Requests fault, with the reason that a fault record would hold.
    Faulted(FaultReason),
    /// Requests pass untranslated.
    PassThrough,
    /// Requests are translated by these page tables.
    Tables {
        /// The top table.
        top: PhysAddr,
        /// The width of the tables.
        width: AddressWidth,
    },
}

impl ContextLookup {
    /// Looks up these entries as a unit with `host_bits` physical address bits does.
    pub fn of(root: RootEntry, context: ContextEntry, host_bits: u32) -> Self {
        let faulted = |code| Self::Faulted(FaultReason::new(code));
        if !root.is_present() {
            return faulted(0x1);
        }
        if root.reserved_bits(host_bits) != [0, 0] {
            return faulted(0xa);
        }
        if !context.is_present() {
            return faulted(0x2);
        }
        if context.reserved_bits(host_bits) != [0, 0] {
            return faulted(0xb);
        }
        match (context.translation_type(), context.width()) {
            (TranslationType::Reserved, _) | (_, None) => faulted(0x3),
            (TranslationType::PassThrough, Some(_)) => Self::PassThrough,
            (TranslationType::Translate | TranslationType::TranslateWithDeviceTlb, Some(width)) => {
                Self::Tables {
                    top: context.table(),
                    width,
                }
            }
        }
    }
}
