// SPDX-License-Identifier: GPL-2.0

//! The choice of the mode of a unit: scalable where the unit has that mode and tables for it.

use crate::compatibility::{Restriction, WalkCapabilities};
use crate::spec::capability::{Capability, ExtendedCapability};
use crate::spec::level::AddressWidth;
use crate::spec::registers::TranslationTableMode;
use core::fmt;

/// Why a unit is left in legacy mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyReason {
    /// It has no scalable mode.
    NoScalableMode,
    /// The user has chosen legacy mode.
    Chosen,
    /// Its invalidation queue is not used.
    NoQueue,
    /// It has no stage in scalable mode.
    NoStage,
}

impl fmt::Display for LegacyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoScalableMode => "the unit has no scalable mode",
            Self::Chosen => "as chosen by scalable=0",
            Self::NoQueue => "scalable mode needs the invalidation queue, which is not used",
            Self::NoStage => "the unit has no stage in scalable mode",
        })
    }
}

/// Checks whether a unit with these registers can be put into scalable mode. `wanted`: whether the
/// user wants that. `queued`: whether its invalidation queue is used.
///
/// # Errors
///
/// The reason why it is left in legacy mode.
pub fn check_scalable_mode(
    cap: Capability,
    ecap: ExtendedCapability,
    wanted: bool,
    queued: bool,
) -> Result<(), LegacyReason> {
    let unit = WalkCapabilities {
        cap,
        ecap,
        mode: TranslationTableMode::Scalable,
        restriction: Restriction::default(),
    };
    match unit.stage() {
        _ if !ecap.scalable_mode() => Err(LegacyReason::NoScalableMode),
        _ if !wanted => Err(LegacyReason::Chosen),
        _ if !queued => Err(LegacyReason::NoQueue),
        None => Err(LegacyReason::NoStage),
        Some(_) => Ok(()),
    }
}

/// Returns the parameter by which the in-tree driver puts units into the mode that they are in, or
/// `None` if it has no choice. Each unit is given by why it is in legacy mode, if it is.
///
/// In a crash kernel that driver keeps the tables of a unit only if its own mode is the same. Or else it
/// turns translation off for a moment, while devices may still do DMA.
pub fn in_tree_parameter(
    mut units: impl Iterator<Item = Option<LegacyReason>>,
) -> Option<&'static str> {
    let mut found = None;
    units
        .find_map(|reason| match reason {
            None => Some("intel_iommu=on,sm_on"),
            Some(LegacyReason::NoScalableMode) => None,
            Some(_) => {
                found = Some("intel_iommu=on,sm_off");
                None
            }
        })
        .or(found)
}

/// Returns the width of the widest tables that a unit walks in a mode for which it was checked, or
/// `None` if it walks none.
pub fn widest(cap: Capability, mode: TranslationTableMode) -> Option<AddressWidth> {
    match mode {
        TranslationTableMode::Legacy => cap.widest(),
        // `CAP.SAGAW` is about the second stage. A unit may have a first stage only.
        TranslationTableMode::Scalable => Some(cap.widest().unwrap_or(AddressWidth::Bits48)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// QEMU's unit with `scalable-mode=on`.
    const CAP: u64 = 0x80d2_008c_222f_0606;
    const ECAP: u64 = 0x4800_80f0_0f4a;
    const SMTS: u64 = 1 << 43;
    const SSTS: u64 = 1 << 46;
    const FSTS: u64 = 1 << 47;

    fn check(ecap: u64, wanted: bool, queued: bool) -> Result<(), LegacyReason> {
        let (cap, ecap) = (
            Capability::from_raw(CAP),
            ExtendedCapability::from_raw(ecap),
        );
        check_scalable_mode(cap, ecap, wanted, queued)
    }

    #[test]
    fn scalable_mode_needs_the_units_capability_a_stage_and_the_queue() {
        assert_eq!(check(ECAP, true, true), Ok(()));
        assert_eq!(check(ECAP & !SSTS | FSTS, true, true), Ok(()));
        assert_eq!(
            check(ECAP & !SMTS, true, true),
            Err(LegacyReason::NoScalableMode)
        );
        assert_eq!(check(ECAP, false, true), Err(LegacyReason::Chosen));
        assert_eq!(check(ECAP, true, false), Err(LegacyReason::NoQueue));
        assert_eq!(check(ECAP & !SSTS, true, true), Err(LegacyReason::NoStage));
    }

    #[test]
    fn the_in_tree_driver_needs_a_word_where_a_unit_has_both_modes() {
        let word = |units: &[Option<LegacyReason>]| in_tree_parameter(units.iter().copied());
        let (none, chosen) = (
            Some(LegacyReason::NoScalableMode),
            Some(LegacyReason::Chosen),
        );
        assert_eq!(word(&[none, none]), None);
        assert_eq!(word(&[none, chosen]), Some("intel_iommu=on,sm_off"));
        assert_eq!(word(&[chosen, None]), Some("intel_iommu=on,sm_on"));
        assert_eq!(word(&[None, none]), Some("intel_iommu=on,sm_on"));
        assert_eq!(word(&[]), None);
    }

    #[test]
    fn a_unit_without_second_stage_widths_walks_first_stage_tables_or_none() {
        const SAGAW: u64 = 0x1f << 8;
        let (all, none) = (
            Capability::from_raw(CAP),
            Capability::from_raw(CAP & !SAGAW),
        );
        let first = ExtendedCapability::from_raw(ECAP & !SSTS | FSTS);
        let second = ExtendedCapability::from_raw(ECAP);
        assert_eq!(check_scalable_mode(none, first, true, true), Ok(()));
        assert_eq!(
            check_scalable_mode(none, second, true, true),
            Err(LegacyReason::NoStage)
        );
        let bits48 = Some(AddressWidth::Bits48);
        assert_eq!(widest(none, TranslationTableMode::Scalable), bits48);
        assert_eq!(widest(none, TranslationTableMode::Legacy), None);
        for mode in [TranslationTableMode::Legacy, TranslationTableMode::Scalable] {
            assert_eq!(widest(all, mode), bits48);
        }
    }
}
