// SPDX-License-Identifier: GPL-2.0

//! Log messages at load: the units and a summary of the devices.

use crate::device::AttachedTo;
use crate::machine::Machine;
use crate::unit::Unit;
use kernel_ext::{log_info, log_warn};
use vtd_core::spec::level::PageSize;

/// Logs what a unit is, and which of its features the driver uses.
pub(crate) fn log_unit(unit: &Unit) {
    let (cap, ecap, width) = (unit.cap(), unit.ecap(), unit.width());
    let (major, minor) = unit.version();
    log_info!(
        "{unit}: VT-d {major}.{minor} unit at {:#x}, segment {}, CAP {:#x}, ECAP {:#x}",
        unit.register_base(),
        unit.segment(),
        cap.raw(),
        ecap.raw()
    );
    let walks = unit.walk_capabilities();
    // The bits of a physical address do not matter to the sizes of pages.
    let sizes = walks.format(64).map(|format| format.geometry.page_sizes());
    let has = |size: PageSize| sizes.is_some_and(|sizes| sizes & size.bytes() != 0);
    let large = match (has(PageSize::Size2M), has(PageSize::Size1G)) {
        (true, true) => "4 KiB, 2 MiB and 1 GiB",
        (true, false) => "4 KiB and 2 MiB",
        _ => "4 KiB",
    };
    log_info!(
        "{unit}: {}-bit addresses in {} levels, pages of {large}, {} domains, page walks {}, \
         invalidation by {}{}",
        width.bits(),
        width.levels(),
        cap.domain_count().unwrap_or(0),
        if walks.walks_coherently() {
            "snoop caches"
        } else {
            "do not snoop caches"
        },
        if unit.is_queued() {
            "queue"
        } else {
            "registers"
        },
        if cap.caching_mode() {
            ", caching mode"
        } else {
            ""
        },
    );
    match (unit.legacy_reason(), walks.stage()) {
        (Some(reason), _) => log_info!("{unit}: legacy mode: {reason}"),
        (None, Some(stage)) => log_info!("{unit}: scalable mode, {stage} tables"),
        (None, None) => {}
    }
    log_info!("{unit}: CAP: {cap}");
    log_info!("{unit}: ECAP: {ecap}");
}

/// Logs how many devices are behind the units, and whether flushing is strict or lazy.
///
/// # Context
///
/// May sleep.
pub(crate) fn log_summary(machine: &Machine) {
    let (mut dma, mut identity, mut others) = (0, 0, 0);
    machine.for_each_device(|info| match info.state.lock().attached_to {
        AttachedTo::Dma => dma += 1,
        AttachedTo::Identity => identity += 1,
        _ => others += 1,
    });
    let mut left_out = 0;
    machine.untranslated.left_out.for_each(|_| left_out += 1);
    if left_out > 0 {
        log_warn!(
            "{left_out} device(s) are behind no unit, because their unit is left out: they can \
             reach all of memory"
        );
    }
    log_info!(
        "{} unit(s) serve {} device(s): {dma} with DMA domains ({}), {identity} with identity, \
         {others} blocked; unknown requesters stay blocked",
        machine.units().count(),
        dma + identity + others,
        if machine.is_lazy() {
            "lazy, as chosen"
        } else {
            "strict"
        },
    );
}
