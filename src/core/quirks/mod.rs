// SPDX-License-Identifier: GPL-2.0

//! Quirks: the units that the driver leaves out, and the workarounds that others need, which the
//! registers of the units do not report.
//!
//! The result depends only on the machine's PCI functions, the DMAR table, the kernel configuration
//! and the `ignore=` parameter. A function that is untrusted, or that is not on a root bus, does
//! not activate a quirk. A unit is left out because it serves no device only if none of the devices
//! that firmware names can appear later either.

pub mod ignore;
pub mod table;

pub use ignore::IgnoreList;

use crate::dmar::{DeviceScope, Drhd, ScopeKind};
use crate::spec::address::{PhysAddr, Segment, SourceId};
use crate::spec::capability::Capability;
use core::fmt;
use table::{Effect, Quirk, INTEL, QUIRKS};

/// The properties of a PCI function on which quirks depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciFunction {
    /// The segment.
    pub segment: Segment,
    /// The function's own requester ID.
    pub source: SourceId,
    /// The vendor identifier.
    pub vendor: u16,
    /// The device identifier.
    pub device: u16,
    /// The class code, 24 bits.
    pub class: u32,
    /// Whether the kernel does not trust the function: it is behind an external-facing port.
    pub untrusted: bool,
    /// Whether there is no bridge above the function.
    pub on_root_bus: bool,
    /// The secondary and the subordinate bus of a bridge.
    pub buses_below: Option<(u8, u8)>,
    /// The value of the register that [`table::register_of`] names, or `None` if it names none or
    /// the register cannot be read.
    pub register: Option<u32>,
}

impl PciFunction {
    /// Returns whether the function is a display device.
    pub const fn is_display(&self) -> bool {
        self.class >> 16 == 0x03
    }

    /// Returns whether the function can be trusted to be part of the chipset that its identifiers
    /// name.
    const fn is_of_chipset(&self) -> bool {
        self.vendor == INTEL && self.on_root_bus && !self.untrusted
    }

    /// Returns whether the function is the graphics device of the chipset or of the processor.
    pub const fn is_integrated_graphics(&self) -> bool {
        self.is_of_chipset() && self.is_display()
    }

    /// Returns whether the function is a DMA engine with a dedicated unit, and firmware has
    /// assigned it to another unit, whose registers are at `base`. Its requests do not pass that
    /// unit.
    pub fn is_behind_wrong_unit(&self, base: PhysAddr) -> bool {
        let right = self
            .register
            .map(|bar| u64::from(bar & table::VTBAR_ADDRESS) + table::IOAT_UNIT);
        self.is_ioat() && right.is_some_and(|right| right != base.raw())
    }
}

/// The reason why a function has an identity domain by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityReason {
    /// The kernel configuration demands it for integrated graphics; the user may choose another
    /// domain.
    KernelConfig,
    /// The device does not work with any other domain.
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
    /// The quirk.
    pub quirk: &'static Quirk,
    /// The segment of the function that has it.
    pub segment: Segment,
    /// The requester ID of that function.
    pub source: SourceId,
}

impl fmt::Display for QuirkMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.segment, self.source, self.quirk.why)
    }
}

/// The workarounds that a unit needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workarounds {
    /// Whether its write buffer must be flushed although its capabilities do not report that.
    pub flush_write_buffer: bool,
    /// The quirk that forbids turning its translation off, if there is one.
    pub keep_translation: Option<QuirkMatch>,
}

impl Workarounds {
    /// Returns the capabilities of the unit, given the value `said` of its register.
    pub const fn capability(&self, said: Capability) -> Capability {
        if self.flush_write_buffer {
            said.with_write_buffer_flush()
        } else {
            said
        }
    }

    /// Returns whether translation must stay on. Only units that drain requests have this bug: they
    /// wait for requests that never complete.
    pub const fn keeps_translation(&self, cap: Capability) -> bool {
        self.keep_translation.is_some() && (cap.drains_reads() || cap.drains_writes())
    }
}

/// The reason why a unit is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveOutReason {
    /// The user named the address of its registers.
    Named,
    /// The user wants graphics to be left out, and the unit serves nothing else.
    Graphics,
    /// Graphics do not work behind the unit, and it serves nothing else.
    Quirk(QuirkMatch),
    /// The machine has no device that the unit could serve.
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

/// The decision for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitVerdict {
    /// The driver uses the unit, with these workarounds.
    Serve(Workarounds),
    /// The driver does not touch the unit, and treats its devices as behind no unit.
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
    /// Returns the quirks of a machine with these functions.
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

    /// Returns the quirks that apply to any unit.
    pub fn of_all_units(&self) -> impl Iterator<Item = QuirkMatch> {
        let quirks = [self.flush_write_buffer, self.identity_for_sound];
        quirks.into_iter().flatten()
    }

    /// Returns the quirk that forbids deferred flushes, or `None` where graphics are left out.
    pub fn strict(&self, ignore: &IgnoreList<'_>) -> Option<QuirkMatch> {
        let left_out = self.leave_graphics_out.is_some() || ignore.graphics();
        self.strict.filter(|_| !left_out)
    }

    /// Returns the reason why `function` gets an identity domain by default, if it does; `graphics`
    /// is whether the kernel is configured to do so for integrated graphics.
    pub fn identity(&self, function: &PciFunction, graphics: bool) -> Option<IdentityReason> {
        if self.identity_for_sound.is_some() && function.is_azalia() {
            return Some(IdentityReason::Required);
        }
        (graphics && function.is_integrated_graphics()).then_some(IdentityReason::KernelConfig)
    }

    /// Decides whether the driver uses `unit`.
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

/// The device that a scope names on this machine.
enum ScopeTarget<'m> {
    /// The scope names this function.
    Function(&'m PciFunction),
    /// The scope names no device that exists or could appear later.
    Nothing,
    /// The scope names a device that could appear later, or its kind is unknown.
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
        // These devices send interrupts only.
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
    // No device is plugged into a root bus, but a device may appear behind a bridge.
    let starts_below_bridge = functions.iter().any(|function| {
        // A bridge without a bus has 0 here.
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

/// Returns whether `unit` serves no device that exists or could appear later.
fn serves_nothing(unit: &Drhd<'_>, functions: &[PciFunction]) -> bool {
    let nothing = |scope| matches!(named(&scope, unit.segment, functions), ScopeTarget::Nothing);
    !unit.include_all && unit.scopes.iter().all(nothing)
}

/// Returns whether `unit` serves only trusted display devices, at least one.
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
