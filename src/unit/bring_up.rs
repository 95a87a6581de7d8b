// SPDX-License-Identifier: GPL-2.0

//! Bringing a unit up: everything is checked before any register is written. The writes are in
//! `enable`.

use super::enable::has_protected_memory;
use super::fault_injection::FaultInjection;
use super::interrupt::InterruptRemapping;
use super::invalidation::{Invalidator, Queue};
use super::registers::UnitRegisters;
use super::statistics::Statistics;
use super::translation::{DomainIds, RootTable, TranslationState};
use super::{Options, Unit};
use core::sync::atomic::{AtomicBool, AtomicU32};
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::{new_mutex, Arc};
use kernel_ext::acpi::FirmwareAddress;
use kernel_ext::errno::eopnotsupp;
use kernel_ext::mmio::Registers;
use kernel_ext::pages::NumaNode;
use kernel_ext::{cmdline, kdump, log_err, log_info, log_warn};
use vtd_core::lockless::unit_state::AtomicUnitState;
use vtd_core::protected_memory::regions_enabled;
use vtd_core::quirks::Workarounds;
use vtd_core::spec::address::Segment;
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::queue::DescriptorWidth;
use vtd_core::spec::registers::{self as regs, TranslationTableMode};
use vtd_core::spec::scope::Drain;
use vtd_core::spec::status::Gsts;
use vtd_core::translation_mode::{check_scalable_mode, widest, LegacyReason};

impl Unit {
    /// Claims unit number `index`, whose registers are at `base`, and allocates its tables near the
    /// NUMA node `node`. Writes no register.
    ///
    /// # Errors
    ///
    /// [`EBUSY`]: the unit is in use. [`ENXIO`]: it does not respond. EOPNOTSUPP: this driver
    /// cannot use it. [`ENODEV`]: it walks no second-stage tables. Each of these is logged with its
    /// reason. [`ENOMEM`] if an allocation fails.
    pub(crate) fn bring_up(
        index: usize,
        base: FirmwareAddress,
        segment: Segment,
        node: NumaNode,
        options: Options,
        workarounds: Workarounds,
    ) -> Result<Arc<Self>> {
        let name = CString::try_from_fmt(fmt!("dmar{}", index))?;
        let io = claim_registers(index, base)?;
        let geometry = UnitGeometry::read(index, &io, options, workarounds)?;
        let (cap, ecap, mode) = (geometry.cap, geometry.ecap, geometry.mode);
        let (coherent, use_queue) = (ecap.coherent_walk(), geometry.use_queue);
        let width = match mode {
            TranslationTableMode::Legacy => DescriptorWidth::Bits128,
            TranslationTableMode::Scalable => DescriptorWidth::Bits256,
        };
        let root = RootTable::new(mode, coherent, node)?;
        let tables = TranslationState::new(mode, coherent, node)?;
        let ids = DomainIds::new(geometry.domain_count)?;
        let queue = new_queue(index, use_queue.then_some(width), Drain::of(cap), node)?;
        let invalidator = Invalidator::new(index, cap, ecap, queue);
        let interrupts = match options.interrupts && use_queue && ecap.interrupt_remapping() {
            true => Some(KBox::pin_init(
                InterruptRemapping::new(node, coherent)?,
                GFP_KERNEL,
            )?),
            false => None,
        };
        let stats = Statistics::new()?;
        Arc::pin_init(
            pin_init!(Self {
                index,
                name,
                segment,
                regs <- UnitRegisters::new(io),
                cap,
                ecap,
                width: geometry.width,
                legacy_reason: geometry.legacy_reason,
                restriction: AtomicU32::new(0),
                keeps_translation: workarounds.keeps_translation(geometry.cap),
                protected_memory_at_load: geometry.protected,
                root,
                tables <- new_mutex!(tables, "vtd unit tables"),
                ids <- new_mutex!(ids, "vtd unit domain-ids"),
                invalidator <- invalidator,
                interrupts,
                stats,
                state: AtomicUnitState::new(),
                may_still_reach: AtomicBool::new(false),
                failing <- kernel_ext::new_irq_spinlock!((), c"vtd unit failing"),
                fault_injection: FaultInjection::default(),
            }),
            GFP_KERNEL,
        )
    }
}

/// Allocates the queue of unit number `index`, if it is to have one with descriptors of `width`.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails.
fn new_queue(
    index: usize,
    width: Option<DescriptorWidth>,
    drain: Drain,
    node: NumaNode,
) -> Result<Option<Pin<KBox<Queue>>>> {
    let Some(width) = width else {
        return Ok(None);
    };
    Ok(Some(KBox::pin_init(
        Queue::new(index, width, drain, node)?,
        GFP_KERNEL,
    )?))
}

/// Claims the registers of unit number `index`; logs the reason if it cannot.
///
/// # Errors
///
/// Those of [`UnitRegisters::claim`].
fn claim_registers(index: usize, base: FirmwareAddress) -> Result<Registers> {
    UnitRegisters::claim(base, c"vtd").inspect_err(|e| {
        let base = base.raw();
        match *e {
            EBUSY => log_err!(
                "dmar{index}: the register page at {base:#x} is claimed by another driver: boot \
                 with intel_iommu=off intremap=off, so that the in-tree driver leaves it alone"
            ),
            ENXIO => log_err!("dmar{index}: no unit answers at {base:#x}: the DMAR table is wrong"),
            _ => log_err!("dmar{index}: the registers at {base:#x} cannot be claimed or mapped"),
        }
    })
}

/// Returns [`EBUSY`] if the unit is in use, and logs each use.
///
/// An enabled queue alone does not count: the register page was free, so no driver has the unit.
/// Firmware left the queue enabled, or the previous kernel did, as the in-tree driver does at
/// kexec. The first [`Unit::take_step`] turns it off.
///
/// In a crash kernel no other driver has the unit, but devices may still do DMA. If the unit
/// translates, their DMA must continue through the tables of the crashed kernel, so the unit is
/// left alone. If it does not translate, all DMA already passes, and an old queue is turned off as
/// well.
fn refuse_in_use(index: usize, status: Gsts) -> Result {
    if status.in_use().next().is_none() {
        return Ok(());
    }
    if !status.translation_enabled() && !status.interrupt_remapping_enabled() {
        if kdump::is_kdump_kernel() {
            log_warn!(
                "dmar{index}: the crashed kernel left the invalidation queue enabled; taking it \
                 over. Translation was turned off before vtd was loaded, as a kernel with \
                 intel_iommu=off does while it boots: DMA in flight at that point went to wrong \
                 addresses or was lost"
            );
        } else {
            log_info!(
                "dmar{index}: its invalidation queue was left enabled by firmware or by the \
                 previous kernel (kexec) and is not in use: turning it off"
            );
        }
        return Ok(());
    }
    if kdump::is_kdump_kernel() {
        for user in status.in_use() {
            log_err!("dmar{index}: the unit is in use: {user}, as the crashed kernel left it");
        }
        log_err!(
            "dmar{index}: not taken over in a crash kernel: devices may still do DMA through the \
             page tables of the crashed kernel. Boot the crash kernel with intel_iommu=on \
             (intel_iommu=on,sm_on if the unit was in scalable mode) intremap=on and without \
             noapic: the in-tree driver takes over such a unit and keeps these tables"
        );
    } else {
        let advice = advice()?;
        for user in status.in_use() {
            log_err!("dmar{index}: the unit is in use: {user}. {advice}");
        }
    }
    Err(EBUSY)
}

/// Returns what the user can do about a unit that is in use.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails.
fn advice() -> Result<&'static str> {
    let is_off = |word| Ok::<bool, Error>(cmdline::get_bool(word)? == Some(false));
    Ok(if is_off("intel_iommu")? && is_off("intremap")? {
        "This kernel was booted with intel_iommu=off intremap=off already: firmware or the \
         previous kernel (kexec) left the unit in this state. Reset the machine; if that does not \
         help, turn firmware's DMA protection off"
    } else {
        "Boot with intel_iommu=off intremap=off (and firmware's DMA protection off) and not by \
         kexec, then load vtd again"
    })
}

/// What the registers of a unit say before any of them is written.
struct UnitGeometry {
    cap: Capability,
    ecap: ExtendedCapability,
    use_queue: bool,
    mode: TranslationTableMode,
    legacy_reason: Option<LegacyReason>,
    width: AddressWidth,
    domain_count: u32,
    protected: bool,
}

impl UnitGeometry {
    /// Reads the registers and checks whether the driver can use the unit. Logs the reason if it
    /// cannot.
    fn read(
        index: usize,
        io: &Registers,
        options: Options,
        workarounds: Workarounds,
    ) -> Result<Self> {
        let cap = workarounds.capability(Capability::from_raw(io.read64(regs::CAP.offset())));
        let ecap = ExtendedCapability::from_raw(io.read64(regs::ECAP.offset()));
        let status = Gsts::from_raw(io.read32(regs::GSTS.offset()));
        if workarounds.keeps_translation(cap)
            && status.translation_enabled()
            && !kdump::is_kdump_kernel()
        {
            log_err!(
                "dmar{index}: translation was already on and cannot be turned off because of the \
                 devices behind the unit: it was left on for the next kernel (kexec). Reboot, then \
                 load vtd"
            );
            return Err(EBUSY);
        }
        refuse_in_use(index, status)?;
        let use_queue = ecap.queued_invalidation() && !options.without_queue;
        let legacy_reason = check_scalable_mode(cap, ecap, options.scalable, use_queue).err();
        let mode = match legacy_reason {
            None => TranslationTableMode::Scalable,
            Some(_) => TranslationTableMode::Legacy,
        };
        let Some(width) = widest(cap, mode) else {
            log_warn!(
                "dmar{index}: the unit is left out: it walks no second-stage tables (CAP {:#x})",
                cap.raw()
            );
            return Err(ENODEV);
        };
        let Some(domain_count) = cap.domain_count() else {
            log_err!(
                "dmar{index}: the number of domains (CAP.ND) has a reserved value (CAP {:#x})",
                cap.raw()
            );
            return Err(eopnotsupp());
        };
        Ok(UnitGeometry {
            cap,
            ecap,
            use_queue,
            mode,
            legacy_reason,
            width,
            domain_count,
            protected: has_protected_memory(cap) && regions_enabled(io.read32(regs::PMEN.offset())),
        })
    }
}
