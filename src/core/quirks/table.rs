// SPDX-License-Identifier: GPL-2.0

//! Which chips need what, and the sentence that says so.
//!
//! The identifiers are facts that chipsets have shown and that the in-tree driver knows, too. A
//! quirk counts only for a function of a chipset: Intel's, on a root bus, and not one that is
//! untrusted, which could give itself any identifier.

use super::PciFunction;

/// Intel's vendor identifier.
pub const INTEL: u16 = 0x8086;

/// The functions that a quirk is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceIds {
    /// Those with one of these device identifiers.
    Exact(&'static [u16]),
    /// Display devices whose device identifier has one of these upper halves.
    Display(&'static [u8]),
}

/// What a register of the function must say for the quirk to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// All of these bits are clear; not if the register cannot be read.
    Clear(u32),
    /// One of these bits is set; not if the register cannot be read.
    Set(u32),
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Units that serve graphics alone are left out.
    LeaveGraphicsOut,
    /// The write buffer of all units is flushed, whatever their capabilities say.
    FlushWriteBuffer,
    /// Flushes are not deferred.
    Strict,
    /// Translation of units that serve graphics alone is never turned off.
    KeepTranslation,
    /// The sound device gets an identity domain.
    IdentityForSound,
}

/// One quirk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirk {
    /// The functions.
    pub ids: DeviceIds,
    /// What must be true of them.
    pub condition: Condition,
    /// What is done.
    pub effect: Effect,
    /// Why, as the log says it: "FUNCTION: ...".
    pub why: &'static str,
}

/// Host bridges of the 4 series (GM45, G41 to G45, Q43, Q45, B43).
const SERIES_4: &[u16] = &[0x2a40, 0x2e00, 0x2e10, 0x2e20, 0x2e30, 0x2e40, 0x2e90];

/// Graphics of Broadwell.
const BROADWELL: &[u16] = &[
    0x1602, 0x1606, 0x160a, 0x160b, 0x160d, 0x160e, 0x1612, 0x1616, 0x161a, 0x161b, 0x161d, 0x161e,
    0x1622, 0x1626, 0x162a, 0x162b, 0x162d, 0x162e, 0x1632, 0x1636, 0x163a, 0x163b, 0x163d, 0x163e,
];

/// Host bridges of Calpella (Ironlake graphics).
const CALPELLA: &[u16] = &[0x0040, 0x0062, 0x006a];

/// In GGC of Calpella: firmware has set memory aside for the shadow of the graphics table.
const SHADOW_TABLE: u32 = 0x800;

/// In VTISOCHCTRL of Tylersburg: sound goes through the unit for everything (bit 0); how many IOTLB
/// entries the isochronous unit has (bits 4:2).
const NOT_ISOCHRONOUS_OR_ENTRIES: u32 = 0x1d;

/// The system management registers of Tylersburg (5500, 5520, X58).
const TYLERSBURG: u16 = 0x342e;

/// The sound device (Azalia) of the ICH10.
const AZALIA: u16 = 0x3a3e;

/// The I/OAT DMA engine of Sandy Bridge EP.
const IOAT: u16 = 0x402f;

/// Where the unit of that engine is, from what VTBAR holds.
pub(super) const IOAT_UNIT: u64 = 0xa000;

/// The part of VTBAR that is an address.
pub(super) const VTBAR_ADDRESS: u32 = 0xffff_0000;

/// All quirks of which a chip's presence decides.
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
    /// Whether it is not the function's own, but that of the first function on its bus.
    pub of_first_on_bus: bool,
    /// Where it is, in bytes.
    pub offset: u16,
    /// Its bytes: 2 or 4.
    pub bytes: u8,
}

/// The register that [`Function::register`] must hold for a function with these identifiers.
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
    /// Whether `function` has it.
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
    /// Whether it is the sound device that a unit without IOTLB entries would stop.
    pub(super) fn is_azalia(&self) -> bool {
        self.is_of_chipset() && self.device == AZALIA
    }

    /// Whether it is a DMA engine that has a unit of its own.
    pub(super) fn is_ioat(&self) -> bool {
        self.is_of_chipset() && self.device == IOAT
    }
}
