// SPDX-License-Identifier: GPL-2.0

//! The outcome of the lookup from the root entry to the page tables of a requester, for requests
//! without PASID (VT-d 3.4, 7.1.3).

use super::address::PhysAddr;
use super::context::{ContextEntry, TranslationType};
use super::fault::FaultReason;
use super::level::{AddressWidth, Stage};
use super::pasid::{PasidDirectoryEntry, PasidEntry, PasidTranslation};
use super::registers::TranslationTableMode;
use super::root::RootEntry;
use super::scalable_context::ScalableContextEntry;

/// The entries of one requester, as memory holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupEntries {
    /// Legacy mode.
    Legacy(ContextEntry),
    /// Scalable mode.
    Scalable {
        /// The context entry.
        context: ScalableContextEntry,
        /// The directory entry of RID_PASID; zero if there is no directory.
        directory: PasidDirectoryEntry,
        /// The entry of RID_PASID; zero if there is no table.
        pasid: PasidEntry,
    },
}

impl LookupEntries {
    /// Returns the mode of the unit whose entries these are.
    pub const fn mode(&self) -> TranslationTableMode {
        match self {
            Self::Legacy(_) => TranslationTableMode::Legacy,
            Self::Scalable { .. } => TranslationTableMode::Scalable,
        }
    }

    /// Returns the words of the context entry, the lowest bits first; two of them are 0 in legacy
    /// mode.
    pub const fn context_words(&self) -> [u64; 4] {
        match self {
            Self::Legacy(context) => {
                let [low, high] = context.words();
                [low, high, 0, 0]
            }
            Self::Scalable { context, .. } => context.words(),
        }
    }
}

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
        /// Their stage.
        stage: Stage,
    },
}

impl ContextLookup {
    /// Looks up the entries of the device and function `devfn` as a unit with `host_bits` physical
    /// address bits does.
    pub fn of(root: RootEntry, entries: &LookupEntries, devfn: u8, host_bits: u32) -> Self {
        let mode = entries.mode();
        let (absent, reserved) = match mode {
            TranslationTableMode::Legacy => (0x1, 0xa),
            TranslationTableMode::Scalable => (0x39, 0x3a),
        };
        if root.context_table(mode, devfn).is_none() {
            return Self::faulted(absent);
        }
        if root.reserved_bits(mode, devfn, host_bits) != [0, 0] {
            return Self::faulted(reserved);
        }
        match *entries {
            LookupEntries::Legacy(context) => Self::of_context(context, host_bits),
            LookupEntries::Scalable {
                context,
                directory,
                pasid,
            } => Self::of_scalable(context, directory, pasid, host_bits),
        }
    }

    const fn faulted(code: u8) -> Self {
        Self::Faulted(FaultReason::new(code))
    }

    fn of_context(context: ContextEntry, host_bits: u32) -> Self {
        if !context.is_present() {
            return Self::faulted(0x2);
        }
        if context.reserved_bits(host_bits) != [0, 0] {
            return Self::faulted(0xb);
        }
        match (context.translation_type(), context.width()) {
            (TranslationType::Reserved, _) | (_, None) => Self::faulted(0x3),
            (TranslationType::PassThrough, Some(_)) => Self::PassThrough,
            (TranslationType::Translate | TranslationType::TranslateWithDeviceTlb, Some(width)) => {
                Self::Tables {
                    top: context.table(),
                    width,
                    stage: Stage::Second,
                }
            }
        }
    }

    fn of_scalable(
        context: ScalableContextEntry,
        directory: PasidDirectoryEntry,
        pasid: PasidEntry,
        host_bits: u32,
    ) -> Self {
        if !context.is_present() {
            return Self::faulted(0x41);
        }
        if context.reserved_bits(host_bits) != [0; 4] {
            return Self::faulted(0x42);
        }
        if directory.table().is_none() {
            return Self::faulted(0x51);
        }
        if directory.reserved_bits(host_bits) != 0 {
            return Self::faulted(0x52);
        }
        if !pasid.is_present() {
            return Self::faulted(0x59);
        }
        if !pasid.is_within(host_bits) {
            return Self::faulted(0x5a);
        }
        let tables = |top, width: Option<_>, stage| match width {
            Some(width) => Self::Tables { top, width, stage },
            None => Self::faulted(0x5b),
        };
        match pasid.translation() {
            PasidTranslation::PassThrough => Self::PassThrough,
            PasidTranslation::SecondStage => {
                tables(pasid.second_stage_table(), pasid.width(), Stage::Second)
            }
            PasidTranslation::FirstStage => tables(
                pasid.first_stage_table(),
                pasid.first_stage_width(),
                Stage::First,
            ),
            // The driver writes no nested entries.
            PasidTranslation::Nested | PasidTranslation::Reserved => Self::faulted(0x5b),
        }
    }
}
