// SPDX-License-Identifier: GPL-2.0

//! Describes DMAR tables and capability registers in short lines, for comparison with another
//! program that decodes them: `describe table FILE...`, `describe ats FILE...`, and
//! `describe caps CAP:ECAP...` (hexadecimal).

use std::collections::BTreeSet;
use vtd_core::ats_policy::{AtsChoice, AtsDecision, AtsFacts, AtsPlace};
use vtd_core::compatibility::{Restriction, WalkCapabilities};
use vtd_core::dmar::{Dmar, ScopeKind, Scopes, Structure};
use vtd_core::pgtable::Geometry;
use vtd_core::spec::address::{Segment, SourceId};
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::registers::register_bytes;
use vtd_core::spec::registers::TranslationTableMode as Mode;

fn scopes(scopes: Scopes<'_>) -> String {
    let text = |scope: vtd_core::dmar::DeviceScope<'_>| {
        let kind = match scope.kind {
            ScopeKind::Endpoint => 1,
            ScopeKind::Bridge => 2,
            ScopeKind::IoApic => 3,
            ScopeKind::Hpet => 4,
            ScopeKind::Namespace => 5,
            ScopeKind::Unknown(code) => code,
        };
        let path: Vec<_> = scope.path().map(|(d, f)| format!("{d}.{f}")).collect();
        let (offset, flags, id) = (scope.offset, scope.flags, scope.enumeration_id);
        let (bus, path) = (scope.start_bus, path.join("-"));
        format!("{offset:x}:{kind}/{flags}/{id}/{bus}/{path}")
    };
    scopes.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn structure(structure: Structure<'_>) -> String {
    match structure {
        Structure::Drhd(it) => format!(
            "DRHD @{:x} all={} seg={} base={:x} size={:x} [{}]",
            it.offset,
            u8::from(it.include_all),
            it.segment.raw(),
            it.register_base.raw(),
            it.register_bytes,
            scopes(it.scopes)
        ),
        Structure::Rmrr(it) => format!(
            "RMRR @{:x} seg={} base={:x} limit={:x} bytes={:x} [{}]",
            it.offset,
            it.segment.raw(),
            it.base.raw(),
            it.limit.raw(),
            it.bytes(),
            scopes(it.scopes)
        ),
        Structure::Atsr(it) => format!(
            "ATSR @{:x} all={} seg={} [{}]",
            it.offset,
            u8::from(it.all_ports),
            it.segment.raw(),
            scopes(it.scopes)
        ),
        Structure::Rhsa(it) => format!(
            "RHSA @{:x} base={:x} prox={}",
            it.offset,
            it.register_base.raw(),
            it.proximity_domain
        ),
        Structure::Andd(it) => format!(
            "ANDD @{:x} num={} name={}",
            it.offset,
            it.device_number,
            it.name
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>()
        ),
        Structure::Satc(it) => format!(
            "SATC @{:x} req={} seg={} [{}]",
            it.offset,
            u8::from(it.atc_required),
            it.segment.raw(),
            scopes(it.scopes)
        ),
        Structure::Sidp(it) => format!(
            "SIDP @{:x} seg={} [{}]",
            it.offset,
            it.segment.raw(),
            scopes(it.scopes)
        ),
        Structure::Unknown { offset, kind } => format!("UNK @{offset:x} kind={kind}"),
        Structure::Ignored { offset, error } => format!("IGNORED @{offset:x} {}", error.problem),
    }
}

fn table(path: &str) {
    println!("FILE {path}");
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let dmar = match Dmar::parse(&bytes) {
        Ok(dmar) => dmar,
        Err(error) => return println!("REFUSED {error}"),
    };
    println!(
        "HEAD w={} ir={} x2={} opt={}",
        dmar.host_bits(),
        u8::from(dmar.interrupt_remapping()),
        u8::from(dmar.x2apic_opt_out()),
        u8::from(dmar.platform_opt_in())
    );
    dmar.structures()
        .for_each(|it| println!("{}", structure(it)));
    println!("UNITS {}", dmar.units().count());
    dmar.notes(|note| println!("NOTE {} {note}", u8::from(note.is_wrong())));
}

/// Returns whether a device at `place` would use its device-TLB: with ats=0, 1 and 2, each in legacy
/// and in scalable mode.
fn uses(place: AtsPlace) -> String {
    let decide = |(value, scalable)| {
        let decision = AtsDecision::of(AtsFacts {
            choice: AtsChoice::from_parameter(value).unwrap(),
            capability: true,
            untrusted: false,
            physical_function: true,
            page_aligned: true,
            required: false,
            shares_requester: false,
            place,
            unit: true,
            queue: true,
            scalable,
        });
        u8::from(decision.is_used()).to_string()
    };
    (0..3)
        .flat_map(|value| [(value, false), (value, true)])
        .map(decide)
        .collect()
}

/// Prints the integrated functions, and the root ports, whose devices would not do what those of a
/// table without SATC and ATSR do, on the buses where scopes start.
fn device_tlbs(path: &str) {
    println!("FILE {path}");
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let Ok(dmar) = Dmar::parse(&bytes) else {
        return println!("REFUSED");
    };
    let mut places = BTreeSet::from([(0, 0)]);
    for it in dmar.structures() {
        let (segment, scopes) = match it {
            Structure::Atsr(it) => (it.segment, it.scopes),
            Structure::Satc(it) => (it.segment, it.scopes),
            _ => continue,
        };
        places.extend(scopes.iter().map(|it| (segment.raw(), it.start_bus)));
        places.insert((segment.raw(), 0));
    }
    for (segment, bus) in places {
        for source in (0..=255).map(|low| SourceId::from_raw(u16::from(bus) << 8 | low)) {
            let (below, name) = (SourceId::from_raw(0xffff), format!("{segment}:{source}"));
            let of = |chain: &[_]| uses(AtsPlace::of(&dmar, Segment::new(segment), chain, false));
            let (integrated, port) = (of(&[source]), of(&[source, below]));
            if integrated != "000011" {
                println!("integrated {name} {integrated}");
            }
            if port != "000000" {
                println!("port {name} {port}");
            }
        }
    }
}

fn bits(flags: &[(&str, bool)]) -> String {
    let set: Vec<_> = flags.iter().filter(|it| it.1).map(|it| it.0).collect();
    set.join(",")
}

fn cap_flags(cap: Capability) -> String {
    bits(&[
        ("afl", cap.advanced_fault_logging()),
        ("rwbf", cap.needs_write_buffer_flush()),
        ("plmr", cap.protected_low_memory()),
        ("phmr", cap.protected_high_memory()),
        ("cm", cap.caching_mode()),
        ("39", cap.supports(AddressWidth::Bits39)),
        ("48", cap.supports(AddressWidth::Bits48)),
        ("57", cap.supports(AddressWidth::Bits57)),
        ("zlr", cap.zero_length_read()),
        ("psi", cap.page_selective()),
        ("dwd", cap.drains_writes()),
        ("drd", cap.drains_reads()),
        ("fl1gp", cap.first_stage_1g()),
        ("pi", cap.posted_interrupts()),
        ("fl5lp", cap.first_stage_5_levels()),
        ("ecmds", cap.enhanced_commands()),
        ("esirtps", cap.interrupt_table_invalidates()),
        ("esrtps", cap.root_table_invalidates()),
    ])
}

fn ecap_flags(ecap: ExtendedCapability) -> String {
    bits(&[
        ("c", ecap.coherent_walk()),
        ("qi", ecap.queued_invalidation()),
        ("dt", ecap.device_tlb()),
        ("ir", ecap.interrupt_remapping()),
        ("eim", ecap.extended_interrupt_mode()),
        ("pt", ecap.pass_through()),
        ("sc", ecap.snoop_control()),
        ("mts", ecap.memory_type()),
        ("nest", ecap.nested()),
        ("prs", ecap.page_request()),
        ("ers", ecap.execute_request()),
        ("srs", ecap.supervisor_request()),
        ("nwfs", ecap.no_write_flag()),
        ("eafs", ecap.extended_accessed()),
        ("pasid", ecap.pasid()),
        ("dit", ecap.device_tlb_throttle()),
        ("pds", ecap.page_request_drain()),
        ("smts", ecap.scalable_mode()),
        ("vcs", ecap.virtual_command()),
        ("slads", ecap.second_stage_dirty()),
        ("slts", ecap.second_stage()),
        ("flts", ecap.first_stage()),
        ("smpwc", ecap.scalable_coherent_walk()),
        ("rps", ecap.rid_pasid()),
        ("pms", ecap.performance_monitoring()),
        ("adms", ecap.abort_dma()),
    ])
}

fn caps(pair: &str) {
    let number = |text: &str| u64::from_str_radix(text, 16).expect("hexadecimal");
    let (cap, ecap) = pair.split_once(':').expect("CAP:ECAP");
    let cap = Capability::from_raw(number(cap));
    let ecap = ExtendedCapability::from_raw(number(ecap));
    println!(
        "{pair} domains={} mgaw={} fro={:x} nfr={} mamv={} iro={:x} mhmv={} pss={} registers={:x} \
         cap=[{}] ecap=[{}]",
        cap.domain_count().unwrap_or(0),
        cap.input_bits(),
        cap.fault_record_offset(),
        cap.fault_record_count(),
        cap.max_address_mask(),
        ecap.iotlb_offset(),
        ecap.max_handle_mask(),
        ecap.pasid_bits(),
        register_bytes(cap, ecap),
        cap_flags(cap),
        ecap_flags(ecap)
    );
    let restriction = Restriction::default();
    let unit = WalkCapabilities {
        cap,
        ecap,
        mode: Mode::Legacy,
        restriction,
    };
    let format = unit.format(46).expect("every unit here walks tables");
    let tables: Geometry = format.geometry;
    assert_eq!(unit.check(&format, 4096), Ok(()), "{pair}");
    println!(
        "{pair} width={} last={:x} pages={:x} coherent={} snoop={}",
        tables.width.bits(),
        tables.last_iova().raw(),
        tables.page_sizes(),
        u8::from(format.coherent),
        u8::from(tables.snoop_control)
    );
}

fn main() {
    let mut words = std::env::args().skip(1);
    let describe = match words.next().as_deref() {
        Some("table") => table,
        Some("ats") => device_tlbs,
        Some("caps") => caps,
        other => panic!("{other:?} is none of table, ats and caps"),
    };
    words.for_each(|word| describe(&word));
}
