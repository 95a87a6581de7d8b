// SPDX-License-Identifier: GPL-2.0

//! What the DMAR table of a dump says about a device, decoded by the driver's own parser.

use crate::bdf::Bdf;
use crate::machine::{Device, Machine};
use vtd_core::dmar::{Dmar, DmarError, Drhd, ScopeKind, Scopes, Structure};
use vtd_core::spec::address::SourceId;

/// Returns the table, or `None` if the dump has none.
pub fn table<'a>(machine: &Machine<'a>) -> Option<Result<Dmar<'a>, DmarError>> {
    machine.dump.bytes("acpi/DMAR").map(Dmar::parse)
}

/// Returns the path to a device: the functions from the root bus down, itself last.
///
/// A virtual function is served by its physical function's unit.
pub fn chain(machine: &Machine<'_>, bdf: Bdf, device: &Device) -> Vec<SourceId> {
    if let Some((physical, found)) = device
        .physical
        .and_then(|physical| Some((physical, machine.devices.get(&physical)?)))
        .filter(|(_, found)| found.physical.is_none())
    {
        return chain(machine, physical, found);
    }
    let above = device.bridges.iter().map(|bridge| bridge.source);
    above.chain([bdf.source]).collect()
}

/// Returns the unit that firmware lists for a device.
pub fn unit_of<'a>(
    machine: &Machine<'a>,
    dmar: &Dmar<'a>,
    bdf: Bdf,
    device: &Device,
) -> Option<Drhd<'a>> {
    dmar.unit_for(bdf.vtd_segment()?, &chain(machine, bdf, device))
}

/// Returns the memory that firmware reserves for a device: first and last byte.
pub fn reserved(
    machine: &Machine<'_>,
    dmar: &Dmar<'_>,
    bdf: Bdf,
    device: &Device,
) -> Vec<(u64, u64)> {
    let Some(segment) = bdf.vtd_segment() else {
        return Vec::new();
    };
    let chain = chain(machine, bdf, device);
    let regions = dmar.regions_for(segment, &chain);
    regions
        .map(|region| (region.base.raw(), region.limit.raw()))
        .collect()
}

/// Returns the names of ACPI devices that do DMA and are no PCI devices.
pub fn acpi_devices(dmar: &Dmar<'_>) -> Vec<String> {
    let names = dmar.structures().filter_map(|structure| match structure {
        Structure::Andd(andd) => Some(crate::root::plain(andd.name)),
        _ => None,
    });
    names
        .map(|name| name.trim_end_matches(['\0', '?']).to_owned())
        .collect()
}

/// Returns what a unit serves, in words.
pub fn serves(unit: &Drhd<'_>) -> String {
    let named = scope_names(unit.scopes);
    let segment = unit.segment;
    let all = format!("every device of segment {segment} that no other unit serves");
    match (unit.include_all, named.is_empty()) {
        (true, true) => all,
        (true, false) => format!("{}, and {all}", named.join(", ")),
        (false, true) => "nothing".to_owned(),
        (false, false) => named.join(", "),
    }
}

/// Returns the devices that may send translation requests (ATS), in words; `None` if firmware lists
/// none.
pub fn translation_requests(dmar: &Dmar<'_>) -> Option<String> {
    let mut listed = Vec::new();
    for structure in dmar.structures() {
        match structure {
            Structure::Atsr(ports) if ports.all_ports => listed.push(format!(
                "devices below all root ports of segment {} (ATSR)",
                ports.segment
            )),
            Structure::Atsr(ports) => listed.extend(
                (scope_names(ports.scopes).into_iter()).map(|name| format!("{name} (ATSR)")),
            ),
            Structure::Satc(devices) => listed.extend(
                (scope_names(devices.scopes).into_iter()).map(|name| format!("{name} (SATC)")),
            ),
            _ => {}
        }
    }
    (!listed.is_empty()).then(|| crate::text::list(&listed))
}

fn scope_names(scopes: Scopes<'_>) -> Vec<String> {
    let name = |scope: vtd_core::dmar::DeviceScope<'_>| {
        let path: Vec<_> = scope
            .path()
            .map(|(device, function)| format!("{device:02x}.{function:x}"))
            .collect();
        let place = format!("{:02x}:{}", scope.start_bus, path.join("/"));
        match scope.kind {
            ScopeKind::Endpoint => place,
            ScopeKind::Bridge => format!("all below {place}"),
            ScopeKind::IoApic => format!("IOAPIC {}", scope.enumeration_id),
            ScopeKind::Hpet => format!("HPET {}", scope.enumeration_id),
            ScopeKind::Namespace => format!("ACPI device {}", scope.enumeration_id),
            ScopeKind::Unknown(code) => format!("a scope of type {code}"),
        }
    };
    scopes.iter().map(name).collect()
}
