// SPDX-License-Identifier: GPL-2.0

//! What root and context entry let a requester do, as a unit judges them (VT-d 3.4.2, 7.1.3).

use super::address::PhysAddr;
use super::context::{ContextEntry, TranslationType};
use super::fault::FaultReason;
use super::level::AddressWidth;
use super::root::RootEntry;

/// Where the requests of a requester go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextLookup {
    /// Nowhere: refused, as a fault record says it.
    Faulted(FaultReason),
    /// To memory, untranslated.
    PassThrough,
    /// Through these tables.
    Tables {
        /// The top one.
        top: PhysAddr,
        /// Their width.
        width: AddressWidth,
    },
}

impl ContextLookup {
    /// The passage by these entries of a unit with `host_bits` of physical address.
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
