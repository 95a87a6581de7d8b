// SPDX-License-Identifier: GPL-2.0

//! The table of quirks: the chips, the effect, and the text for the log.
//!
//! The identifiers are known from chipsets, and the in-tree driver lists them too. A quirk applies
//! only to a function of a chipset: made by Intel, on a root bus, and trusted. An untrusted device
//! could present any identifier.

use super::PciFunction;

/// Intel's vendor identifier.
pub const INTEL: u16 = 0x8086;

/// The functions to which a quirk applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceIds {
    /// Functions with one of these device identifiers.
    Exact(&'static [u16]),
    /// Display devices whose device identifier has one of these upper halves.
    Display(&'static [u8]),
}

/// The condition on a register of the function for the quirk to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The quirk always applies.
    Always,
    /// All of these bits are clear; false if the register cannot be read.
    Clear(u32),
    /// At least one of these bits is set; false if the register cannot be read.
    Set(u32),
}

/// The effect of a quirk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Units that serve only graphics are left out.
    LeaveGraphicsOut,
    /// The write buffer of all units is flushed, even if their capabilities do not require it.
    FlushWriteBuffer,
    /// Flushes are not deferred.
    Strict,
    /// Translation of units that serve only graphics is never turned off.
    KeepTranslation,
    /// The sound device gets an identity domain.
    IdentityForSound,
}

/// One quirk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirk {
    /// The functions to which it applies.
    pub ids: DeviceIds,
    /// The condition under which it applies.
    pub condition: Condition,
    /// Its effect.
    pub effect: Effect,
    /// The reason, as text for the log: "FUNCTION: ...".
    pub why: &'static str,
}

/// The host bridges of the 4 series (GM45, G41 to G45, Q43, Q45, B43).
const SERIES_4: &[u16] = &[0x2a40, 0x2e00, 0x2e10, 0x2e20, 0x2e30, 0x2e40, 0x2e90];

/// The graphics devices of Broadwell.
const BROADWELL: &[u16] = &[
    0x1602, 0x1606, 0x160a, 0x160b, 0x160d, 0x160e, 0x1612, 0x1616, 0x161a, 0x161b, 0x161d, 0x161e,
    0x1622, 0x1626, 0x162a, 0x162b, 0x162d, 0x162e, 0x1632, 0x1636, 0x163a, 0x163b, 0x163d, 0x163e,
];

/// The host bridges of Calpella (Ironlake graphics).
const CALPELLA: &[u16] = &[0x0040, 0x0062, 0x006a];

/// The bit in GGC of Calpella that is set if firmware has reserved memory for the shadow of the
/// graphics table.
const SHADOW_TABLE: u32 = 0x800;

/// The fields of VTISOCHCTRL of Tylersburg: whether sound uses the non-isochronous unit (bit 0),
/// and how many IOTLB entries the isochronous unit has (bits 4:2).
const NOT_ISOCHRONOUS_OR_ENTRIES: u32 = 0x1d;

/// The system management registers of Tylersburg (5500, 5520, X58).
const TYLERSBURG: u16 = 0x342e;

/// The sound device (Azalia) of the ICH10.
const AZALIA: u16 = 0x3a3e;

/// The I/OAT DMA engine of Sandy Bridge EP.
const IOAT: u16 = 0x402f;

/// The offset of the registers of that engine's unit from the address in VTBAR.
pub(super) const IOAT_UNIT: u64 = 0xa000;

/// The address bits of VTBAR.
pub(super) const VTBAR_ADDRESS: u32 = 0xffff_0000;

/// The host bridges of the 5500, 5520 and X58.
const TYLERSBURG_BRIDGES: &[u16] = &[0x3403, 0x3405, 0x3406];

/// All quirks that the presence of a chip activates.
pub const QUIRKS: &[Quirk] = &[
    Quirk {
        ids: DeviceIds::Exact(&[0x29b2]),
        condition: Condition::Always,
        effect: Effect::LeaveGraphicsOut,
        why: "graphics of the Q35 malfunction behind a remapping unit",
    },
    Quirk {
        ids: DeviceIds::Exact(SERIES_4),
        condition: Condition::Always,
        effect: Effect::LeaveGraphicsOut,
        why: "graphics of the 4 series chipsets malfunction behind a remapping unit",
    },
    Quirk {
        ids: DeviceIds::Exact(&[0x0044]),
        condition: Condition::Always,
        effect: Effect::LeaveGraphicsOut,
        why: "graphics of the QM57 and QS57 malfunction behind a remapping unit",
    },
    Quirk {
        ids: DeviceIds::Exact(BROADWELL),
        condition: Condition::Always,
        effect: Effect::LeaveGraphicsOut,
        why: "graphics of Broadwell malfunction behind a remapping unit",
    },
    Quirk {
        ids: DeviceIds::Exact(CALPELLA),
        condition: Condition::Clear(SHADOW_TABLE),
        effect: Effect::LeaveGraphicsOut,
        why: "firmware has reserved no memory for a shadow table, without which graphics \
              malfunction behind a remapping unit",
    },
    Quirk {
        ids: DeviceIds::Exact(CALPELLA),
        condition: Condition::Set(SHADOW_TABLE),
        effect: Effect::Strict,
        why: "graphics of Ironlake must be idle during a flush: flushes are not deferred",
    },
    Quirk {
        ids: DeviceIds::Exact(SERIES_4),
        condition: Condition::Always,
        effect: Effect::FlushWriteBuffer,
        why: "the write buffers of this chipset's units are flushed, although CAP.RWBF does not \
              require it",
    },
    Quirk {
        ids: DeviceIds::Display(&[0x45, 0x46, 0x4c, 0x4e, 0x7d, 0x8a, 0x98, 0x9a, 0xa7]),
        condition: Condition::Always,
        effect: Effect::KeepTranslation,
        why: "a unit that serves only graphics of this kind may never finish turning translation \
              off: translation is left on",
    },
    Quirk {
        ids: DeviceIds::Exact(&[TYLERSBURG]),
        condition: Condition::Clear(NOT_ISOCHRONOUS_OR_ENTRIES),
        effect: Effect::IdentityForSound,
        why: "firmware gave the isochronous unit no IOTLB entries, so that translated DMA of the \
              sound device behind it would never complete",
    },
];

/// A register in configuration space on which a quirk depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigRegister {
    /// Whether the register belongs to the first function on the same bus, not to the function
    /// itself.
    pub of_first_on_bus: bool,
    /// The offset in bytes.
    pub offset: u16,
    /// The size in bytes: 2 or 4.
    pub bytes: u8,
}

/// Returns the register whose value [`PciFunction::register`] must hold for a function with these
/// identifiers, if there is one.
pub fn register_of(vendor: u16, device: u16) -> Option<ConfigRegister> {
    let (of_first_on_bus, offset, bytes) = match device {
        _ if vendor != INTEL => return None,
        // GGC
        _ if CALPELLA.contains(&device) => (false, 0x52, 2),
        // VTISOCHCTRL
        TYLERSBURG => (false, 0x188, 4),
        // VTBAR
        IOAT => (true, 0xb0, 4),
        _ => return None,
    };
    Some(ConfigRegister {
        of_first_on_bus,
        offset,
        bytes,
    })
}

impl Quirk {
    /// Returns whether the quirk applies to `function`.
    pub fn is_of(&self, function: &PciFunction) -> bool {
        let named = match self.ids {
            DeviceIds::Exact(ids) => ids.contains(&function.device),
            DeviceIds::Display(halves) => {
                let [half, _] = function.device.to_be_bytes();
                function.is_display() && halves.contains(&half)
            }
        };
        let holds = match (self.condition, function.register) {
            (Condition::Always, _) => true,
            (Condition::Clear(bits), Some(value)) => value & bits == 0,
            (Condition::Set(bits), Some(value)) => value & bits != 0,
            (_, None) => false,
        };
        function.is_of_chipset() && named && holds
    }
}

impl PciFunction {
    /// Returns whether the function shows that the chipset does not drain interrupts when it remaps
    /// them: it is a host bridge of Tylersburg, up to revision B3 or of revision 0x22. `revision`
    /// is called only for such a bridge.
    pub fn has_interrupt_erratum(&self, revision: impl FnOnce() -> Option<u8>) -> bool {
        self.is_of_chipset()
            && TYLERSBURG_BRIDGES.contains(&self.device)
            && match revision() {
                Some(0x22) => self.device == 0x3405,
                Some(revision) => revision <= 0x13,
                None => true,
            }
    }

    /// Returns whether the function is the sound device whose DMA a unit without IOTLB entries
    /// would stop.
    pub(super) fn is_azalia(&self) -> bool {
        self.is_of_chipset() && self.device == AZALIA
    }

    /// Returns whether the function is a DMA engine that has a dedicated unit.
    pub(super) fn is_ioat(&self) -> bool {
        self.is_of_chipset() && self.device == IOAT
    }
}
