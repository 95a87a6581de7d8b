// SPDX-License-Identifier: GPL-2.0

//! The workarounds that this machine's chipset and firmware need, and the units that are left out.
//!
//! The devices of a unit that is left out are behind no unit, whatever the DMAR table says.

use super::topology::{function_of, PciPath};
use kernel::prelude::*;
use kernel_ext::pci::PciDevice;
use kernel_ext::{log_err, log_info, log_warn};
use vtd_core::dmar::{Dmar, Drhd};
use vtd_core::quirks::{
    table, IdentityReason, IgnoreList, PciFunction, Quirks, UnitVerdict, Workarounds,
};
use vtd_core::relax_list::RelaxList;
use vtd_core::spec::address::{PhysAddr, Segment, SourceId};

/// Whether the in-tree driver of this kernel would give integrated graphics an identity domain.
const GRAPHICS_IDENTITY: bool = cfg!(CONFIG_INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF);

/// The quirks of the machine, as found at load.
pub(crate) struct Chipset {
    quirks: Quirks,
    strict: bool,
    /// Whether interrupt remapping is faulty.
    interrupt_erratum: bool,
    /// The register base of each unit, and its workarounds if the unit is used.
    units: KVec<(PhysAddr, Option<Workarounds>)>,
    /// The devices whose reserved memory does not keep users away.
    relax: RelaxList<'static>,
    /// Functions that firmware lists behind a unit that their requests do not pass.
    misplaced: KVec<(Segment, SourceId)>,
}

impl Chipset {
    /// Inspects every PCI function and decides for every unit whether it is used. Logs each unit
    /// that is left out. Reads no register of a unit.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: `ignore` or `rmrr` cannot be parsed, and the log says why. [`ENOMEM`] if an allocation
    /// fails.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn find(dmar: &Dmar<'_>, ignore: &str, rmrr: &'static str) -> Result<Self> {
        let ignore = IgnoreList::parse(ignore, dmar).map_err(|why| {
            log_err!("not loaded: {why}");
            EINVAL
        })?;
        let relax = RelaxList::parse(rmrr).map_err(|why| {
            log_err!("not loaded: {why}");
            EINVAL
        })?;
        let functions = list_functions()?;
        warn_of_absent(&relax, &functions);
        let quirks = Quirks::of(&functions);
        let strict = quirks.strict(&ignore);
        let mut found = Chipset {
            quirks,
            strict: strict.is_some(),
            interrupt_erratum: functions
                .iter()
                .any(|function| function.has_interrupt_erratum(|| revision_of(function))),
            units: KVec::new(),
            relax,
            misplaced: KVec::new(),
        };
        for (index, unit) in dmar.units().enumerate() {
            let base = unit.register_base;
            let workarounds = match quirks.verdict(&unit, &functions, &ignore) {
                UnitVerdict::Serve(workarounds) => {
                    if let Some(why) = workarounds.keep_translation {
                        log_info!("dmar{index}: {why}");
                    }
                    Some(workarounds)
                }
                UnitVerdict::LeaveOut(reason) => {
                    log_warn!("dmar{index}: the unit at {base} is left out: {reason}");
                    None
                }
            };
            found.units.push((base, workarounds), GFP_KERNEL)?;
        }
        quirks.of_all_units().for_each(|quirk| log_info!("{quirk}"));
        if let Some(quirk) = strict {
            log_info!("{quirk}");
        }
        found.find_misplaced(dmar, &functions)?;
        Ok(found)
    }

    fn find_misplaced(&mut self, dmar: &Dmar<'_>, functions: &[PciFunction]) -> Result {
        for function in functions
            .iter()
            .filter(|function| function.register.is_some())
        {
            // Quirks apply to functions on root buses only.
            let unit = dmar.unit_for(function.segment, &[function.source]);
            if unit.is_some_and(|unit| function.is_behind_wrong_unit(unit.register_base)) {
                log_warn!(
                    "{}:{}: firmware lists it behind the wrong unit: it is treated as behind no \
                     unit",
                    function.segment,
                    function.source
                );
                let place = (function.segment, function.source);
                self.misplaced.push(place, GFP_KERNEL)?;
            }
        }
        Ok(())
    }

    /// Returns the workarounds of the unit whose registers are at `base`, or [`None`] if it is left
    /// out.
    pub(crate) fn workarounds_of(&self, base: PhysAddr) -> Option<Workarounds> {
        let unit = self.units.iter().find(|(other, _)| *other == base);
        unit.and_then(|(_, workarounds)| *workarounds)
    }

    /// Leaves out a unit that turned out to translate nothing.
    pub(crate) fn leave_out(&mut self, base: PhysAddr) {
        if let Some((_, workarounds)) = self.units.iter_mut().find(|(other, _)| *other == base) {
            *workarounds = None;
        }
    }

    /// Returns whether flushes must not be deferred.
    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    /// Returns whether the chipset's interrupt remapping is faulty.
    pub(crate) fn has_interrupt_erratum(&self) -> bool {
        self.interrupt_erratum
    }

    /// Returns the unit that serves the device at the end of `path`.
    pub(crate) fn unit_for<'a>(&self, dmar: &Dmar<'a>, path: &PciPath) -> Option<Drhd<'a>> {
        let unit = dmar.unit_for(path.segment, &path.functions)?;
        self.serves(unit.register_base, path).then_some(unit)
    }

    /// Returns whether there may be a device that the DMAR table puts behind a unit and that is
    /// behind none.
    pub(crate) fn leaves_something_out(&self) -> bool {
        !self.misplaced.is_empty()
            || self
                .units
                .iter()
                .any(|(_, workarounds)| workarounds.is_none())
    }

    /// Returns whether the device at the end of `path` is behind no unit although the DMAR table
    /// gives it one.
    pub(crate) fn leaves_out(&self, dmar: &Dmar<'_>, path: &PciPath) -> bool {
        let unit = dmar.unit_for(path.segment, &path.functions);
        unit.is_some_and(|unit| !self.serves(unit.register_base, path))
    }

    fn serves(&self, base: PhysAddr, path: &PciPath) -> bool {
        let place = (path.last.segment, path.last.source);
        self.workarounds_of(base).is_some() && !self.misplaced.contains(&place)
    }

    /// Returns whether the user wants the device at the end of `path` to be given to users although
    /// firmware reserves memory for it.
    pub(crate) fn relaxes(&self, path: &PciPath) -> bool {
        self.relax.contains(path.segment, path.last.source)
    }

    /// Returns why the device at the end of `path` has an identity domain by default, if it has.
    pub(crate) fn identity_reason(&self, path: &PciPath) -> Option<IdentityReason> {
        self.quirks.identity(&path.last, GRAPHICS_IDENTITY)
    }
}

/// Warns of names in `rmrr=` that belong to no device.
fn warn_of_absent(relax: &RelaxList<'_>, functions: &[PciFunction]) {
    for (segment, source) in relax.devices() {
        let is_it = |one: &PciFunction| (one.segment, one.source) == (segment, source);
        if !functions.iter().any(is_it) {
            log_warn!(
                "rmrr=relax:{segment}:{source}: there is no such device; its reserved memory is \
                 relaxed if it is added later"
            );
        }
    }
}

/// Returns all PCI functions, with the registers on which quirks depend.
fn list_functions() -> Result<KVec<PciFunction>> {
    let mut functions = KVec::new();
    for device in PciDevice::all() {
        let Some(mut function) = function_of(&device) else {
            continue;
        };
        function.register = register_of(&device, &function);
        functions.push(function, GFP_KERNEL)?;
    }
    Ok(functions)
}

/// Returns the revision of a function.
fn revision_of(function: &PciFunction) -> Option<u8> {
    let device = PciDevice::find(function.segment.raw(), function.source.raw())?;
    device.read_config(8, 4).map(|register| register as u8)
}

fn register_of(device: &PciDevice, function: &PciFunction) -> Option<u32> {
    let register = table::register_of(function.vendor, function.device)?;
    if register.of_first_on_bus {
        let first = SourceId::new(function.source.bus(), 0, 0)?;
        return PciDevice::find(function.segment.raw(), first.raw())?
            .read_config(register.offset, register.bytes);
    }
    device.read_config(register.offset, register.bytes)
}
