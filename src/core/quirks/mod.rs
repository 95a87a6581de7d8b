// SPDX-License-Identifier: GPL-2.0

//! What the units' own registers do not say: which of them are better left alone, and which need
//! more care than others. A pure function of the machine's PCI functions, of the DMAR table, of how
//! the kernel was configured and of what the user wants.
//!
//! What is untrusted, or is not on a root bus, changes nothing. A unit is left out for lack of
//! devices only if none of those that firmware names can come later, either.

pub mod ignore;
pub mod table;

pub use ignore::IgnoreList;

use crate::dmar::{DeviceScope, Drhd, ScopeKind};
use crate::spec::address::{PhysAddr, Segment, SourceId};
use crate::spec::capability::Capability;
use core::fmt;
use table::{Effect, Quirk, INTEL, QUIRKS};

/// What quirks depend on of one PCI function of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciFunction {
    /// Its segment.
    pub segment: Segment,
    /// Its own requester ID.
    pub source: SourceId,
    /// Its vendor.
    pub vendor: u16,
    /// Its model.
    pub device: u16,
    /// Its class code, 24 bits.
    pub class: u32,
    /// Whether the kernel does not trust it: it is behind a port that faces outwards.
    pub untrusted: bool,
    /// Whether there is no bridge above it.
    pub on_root_bus: bool,
    /// The secondary and the subordinate bus, of a bridge.
    pub buses_below: Option<(u8, u8)>,
    /// What the register holds that [`table::register_of`] names; `None` if it names none, or if
    /// it cannot be read.
    pub register: Option<u32>,
}

impl PciFunction {
    /// Whether it is a display device.
    pub const fn is_display(&self) -> bool {
        self.class >> 16 == 0x03
    }

    /// Whether its identifiers can be relied on to be those of a chipset.
    const fn is_of_chipset(&self) -> bool {
        self.vendor == INTEL && self.on_root_bus && !self.untrusted
    }

    /// Whether it is graphics of the chipset or of the processor.
    pub const fn is_integrated_graphics(&self) -> bool {
        self.is_of_chipset() && self.is_display()
    }

    /// Whether it is a DMA engine with a unit of its own and firmware gave it another one, with its
    /// registers at `base`. Its requests do not pass that unit.
    pub fn is_behind_wrong_unit(&self, base: PhysAddr) -> bool {
        let right = self
            .register
            .map(|bar| u64::from(bar & table::VTBAR_ADDRESS) + table::IOAT_UNIT);
        self.is_ioat() && right.is_some_and(|right| right != base.raw())
    }
}

/// What a function must be treated with that has an identity domain by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityReason {
    /// Integrated graphics, as the kernel was configured; the user may choose otherwise.
    KernelConfig,
    /// The device does not work behind any other one.
    Required,
}

impl fmt::Display for IdentityReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KernelConfig => {
                "integrated graphics, as this kernel is configured \
                 (CONFIG_INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF)"
            }
            Self::Required => "the isochronous unit has no IOTLB entries for it",
        })
    }
}

/// A quirk that the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuirkMatch {
    /// Which.
    pub quirk: &'static Quirk,
    /// The segment of the function that has it.
    pub segment: Segment,
    /// That function.
    pub source: SourceId,
}

impl fmt::Display for QuirkMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.segment, self.source, self.quirk.why)
    }
}

/// More care than usual that a unit needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workarounds {
    /// Its write buffer has to be flushed although its capabilities do not say so.
    pub flush_write_buffer: bool,
    /// Why its translation may never go off once it was on, if that is so.
    pub keep_translation: Option<QuirkMatch>,
}

impl Workarounds {
    /// What the unit can do, given what its register says.
    pub const fn capability(&self, said: Capability) -> Capability {
        if self.flush_write_buffer {
            said.with_write_buffer_flush()
        } else {
            said
        }
    }

    /// Whether translation must not be turned off. Only units that drain have the fault: they wait
    /// for requests that never end.
    pub const fn keeps_translation(&self, cap: Capability) -> bool {
        self.keep_translation.is_some() && (cap.drains_reads() || cap.drains_writes())
    }
}

/// Why a unit is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveOutReason {
    /// The user named its registers.
    Named,
    /// The user wants graphics to be left out, and it serves nothing else.
    Graphics,
    /// Graphics do not work behind it, and it serves nothing else.
    Quirk(QuirkMatch),
    /// Nothing is there that it could serve.
    NoDevice,
}

impl fmt::Display for LeaveOutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("ignore= names it"),
            Self::Graphics => f.write_str("it serves only graphics, and ignore=graphics was given"),
            Self::Quirk(found) => write!(f, "it serves only graphics. {found}"),
            Self::NoDevice => {
                f.write_str("none of the devices that firmware lists behind it exists")
            }
        }
    }
}

/// What becomes of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitVerdict {
    /// It is served.
    Serve(Workarounds),
    /// It is not touched: its devices are behind no unit.
    LeaveOut(LeaveOutReason),
}

/// The quirks of one machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    leave_graphics_out: Option<QuirkMatch>,
    flush_write_buffer: Option<QuirkMatch>,
    strict: Option<QuirkMatch>,
    keep_translation: Option<QuirkMatch>,
    identity_for_sound: Option<QuirkMatch>,
}

impl Quirks {
    /// Those of a machine with these functions.
    pub fn of(functions: &[PciFunction]) -> Self {
        let find = |effect| {
            functions.iter().find_map(|function| {
                let mut quirks = QUIRKS.iter().filter(|quirk| quirk.effect == effect);
                let quirk = quirks.find(|quirk| quirk.is_of(function))?;
                Some(QuirkMatch {
                    quirk,
                    segment: function.segment,
                    source: function.source,
                })
            })
        };
        Self {
            leave_graphics_out: find(Effect::LeaveGraphicsOut),
            flush_write_buffer: find(Effect::FlushWriteBuffer),
            strict: find(Effect::Strict),
            keep_translation: find(Effect::KeepTranslation),
            identity_for_sound: find(Effect::IdentityForSound)
                .filter(|_| functions.iter().any(PciFunction::is_azalia)),
        }
    }

    /// Those that change something whatever units there are.
    pub fn of_all_units(&self) -> impl Iterator<Item = QuirkMatch> {
        let quirks = [self.flush_write_buffer, self.identity_for_sound];
        quirks.into_iter().flatten()
    }

    /// What keeps flushes from being deferred; nothing does where graphics are left out.
    pub fn strict(&self, ignore: &IgnoreList<'_>) -> Option<QuirkMatch> {
        let left_out = self.leave_graphics_out.is_some() || ignore.graphics();
        self.strict.filter(|_| !left_out)
    }

    /// Whether `function` gets an identity domain by default, on a kernel that was configured so for
    /// integrated graphics or not.
    pub fn identity(&self, function: &PciFunction, graphics: bool) -> Option<IdentityReason> {
        if self.identity_for_sound.is_some() && function.is_azalia() {
            return Some(IdentityReason::Required);
        }
        (graphics && function.is_integrated_graphics()).then_some(IdentityReason::KernelConfig)
    }

    /// What becomes of `unit`.
    pub fn verdict(
        &self,
        unit: &Drhd<'_>,
        functions: &[PciFunction],
        ignore: &IgnoreList<'_>,
    ) -> UnitVerdict {
        let graphics = || serves_graphics_alone(unit, functions);
        if ignore.contains(unit.register_base) {
            return UnitVerdict::LeaveOut(LeaveOutReason::Named);
        }
        if serves_nothing(unit, functions) {
            return UnitVerdict::LeaveOut(LeaveOutReason::NoDevice);
        }
        if ignore.graphics() && graphics() {
            return UnitVerdict::LeaveOut(LeaveOutReason::Graphics);
        }
        if let Some(found) = self.leave_graphics_out.filter(|_| graphics()) {
            return UnitVerdict::LeaveOut(LeaveOutReason::Quirk(found));
        }
        UnitVerdict::Serve(Workarounds {
            flush_write_buffer: self.flush_write_buffer.is_some(),
            keep_translation: self.keep_translation.filter(|_| graphics()),
        })
    }
}

/// What a scope names on this machine.
enum ScopeTarget<'m> {
    /// This function.
    Function(&'m PciFunction),
    /// Nothing that is there, or could come.
    Nothing,
    /// What is not known, or could come.
    Unknown,
}

fn at(functions: &[PciFunction], segment: Segment, source: SourceId) -> Option<&PciFunction> {
    functions
        .iter()
        .find(|function| function.segment == segment && function.source == source)
}

fn named<'m>(
    scope: &DeviceScope<'_>,
    segment: Segment,
    functions: &'m [PciFunction],
) -> ScopeTarget<'m> {
    match scope.kind {
        ScopeKind::Endpoint | ScopeKind::Bridge => {}
        // They send interrupts only.
        ScopeKind::IoApic | ScopeKind::Hpet => return ScopeTarget::Nothing,
        ScopeKind::Namespace | ScopeKind::Unknown(_) => return ScopeTarget::Unknown,
    }
    let secondary = |segment, bridge| {
        at(functions, segment, bridge)?
            .buses_below
            .map(|(bus, _)| bus)
    };
    let there = scope
        .resolve(segment, secondary)
        .and_then(|source| at(functions, segment, source));
    if let Some(function) = there {
        return ScopeTarget::Function(function);
    }
    // Nothing is plugged into a root bus, but where a bridge is, something may come.
    let starts_below_bridge = functions.iter().any(|function| {
        // 0 is that of a bridge without a bus.
        let below =
            |(first, last): (u8, u8)| first > 0 && (first..=last).contains(&scope.start_bus);
        function.segment == segment && function.buses_below.is_some_and(below)
    });
    let first = scope
        .path()
        .next()
        .and_then(|(device, number)| SourceId::new(scope.start_bus, device, number))
        .and_then(|source| at(functions, segment, source));
    if starts_below_bridge || first.is_some() {
        ScopeTarget::Unknown
    } else {
        ScopeTarget::Nothing
    }
}

/// Whether nothing is there, or could come, that `unit` serves.
fn serves_nothing(unit: &Drhd<'_>, functions: &[PciFunction]) -> bool {
    let nothing = |scope| matches!(named(&scope, unit.segment, functions), ScopeTarget::Nothing);
    !unit.include_all && unit.scopes.iter().all(nothing)
}

/// Whether display devices that can be trusted are all that `unit` serves.
fn serves_graphics_alone(unit: &Drhd<'_>, functions: &[PciFunction]) -> bool {
    let mut found = false;
    for scope in unit.scopes {
        match named(&scope, unit.segment, functions) {
            ScopeTarget::Function(function) if function.is_display() && !function.untrusted => {
                found = true
            }
            ScopeTarget::Nothing => {}
            ScopeTarget::Function(_) | ScopeTarget::Unknown => return false,
        }
    }
    found && !unit.include_all
}
