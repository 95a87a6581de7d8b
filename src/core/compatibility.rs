// SPDX-License-Identifier: GPL-2.0

//! The check whether a remapping unit can walk the page tables of a domain.
//!
//! Every attach makes this check before it changes anything. It refuses a domain whose tables the
//! unit cannot walk, so that the caller allocates another domain for that unit. The format of a
//! domain is that of the unit for which it was allocated, never a minimum over all units of the
//! machine.

use crate::pgtable::Geometry;
use crate::spec::capability::{Capability, ExtendedCapability};
use crate::spec::level::{AddressWidth, PageSize, Stage};
use crate::spec::registers::TranslationTableMode as Mode;
use core::fmt;

/// The capabilities of a unit that decide which tables it can walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkCapabilities {
    /// `CAP`: the source of widths and page sizes.
    pub cap: Capability,
    /// `ECAP`: the source of coherency, snoop control and, in scalable mode, the stages.
    pub ecap: ExtendedCapability,
    /// The mode in which the unit translates.
    pub mode: Mode,
    /// The capabilities that the driver does not use although the unit has them.
    pub restriction: Restriction,
}

/// A limit that makes a unit appear less capable than it is, for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restriction {
    /// Use no tables wider than 39 bits.
    pub narrow: bool,
    /// Use no pages larger than 4 KiB.
    pub small_pages: bool,
}

/// The format of a domain's page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFormat {
    /// The stage.
    pub stage: Stage,
    /// The width, the page sizes and the address ranges.
    pub geometry: Geometry,
    /// The tables are not written back from CPU caches: only units whose page walks snoop can read
    /// them.
    pub coherent: bool,
    /// The unit must make accesses snoop: by a bit of the leaves of a second stage, or of the PASID
    /// entry that points to a first stage.
    pub snoops: bool,
}

/// Why a unit cannot walk the tables of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incompatible {
    /// The unit has no tables of this stage in its mode.
    Stage(Stage, Mode),
    /// The unit has no tables of this width.
    Width(AddressWidth),
    /// The unit translates fewer address bits than the domain offers.
    Reach,
    /// The domain may hold pages of this size, which the unit cannot read.
    PageSize(PageSize),
    /// The domain has no pages as small as a CPU page, the unit in which the kernel maps memory.
    CpuPage,
    /// The unit reads tables from memory only; those of the domain may still be in CPU caches.
    Coherency,
    /// The unit has no snoop control, so the bit would be reserved.
    Snoop,
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(stage, Mode::Legacy) => {
                write!(f, "it translates in legacy mode, without {stage} tables")
            }
            Self::Stage(stage, Mode::Scalable) => {
                write!(f, "it has no {stage} tables in scalable mode")
            }
            Self::Width(width) => write!(f, "it walks no {}-bit tables", width.bits()),
            Self::Reach => f.write_str("it translates fewer address bits"),
            Self::PageSize(size) => write!(f, "it has no pages of {} bytes", size.bytes()),
            Self::CpuPage => f.write_str("the domain has no pages as small as the CPU's"),
            Self::Coherency => f.write_str("it does not snoop on its page walks"),
            Self::Snoop => f.write_str("it has no snoop control"),
        }
    }
}

/// The input address bits of a first stage: those of the lower half of the canonical addresses. A
/// domain has one range of addresses, so the upper half is not used.
const LOWER_HALF_BITS: u32 = 47;

impl WalkCapabilities {
    /// Returns the stage of a new domain's tables: the second wherever the unit has one in its mode,
    /// because a first stage cannot refuse to read a page that may be written. `None` if the unit
    /// walks no tables.
    pub fn stage(&self) -> Option<Stage> {
        let mut stages = [Stage::Second, Stage::First].into_iter();
        stages.find(|&stage| self.width(stage).is_some())
    }

    fn has_stage(&self, stage: Stage) -> bool {
        match (self.mode, stage) {
            (Mode::Legacy, Stage::Second) => true,
            (Mode::Legacy, Stage::First) => false,
            (Mode::Scalable, Stage::Second) => self.ecap.second_stage(),
            (Mode::Scalable, Stage::First) => self.ecap.first_stage(),
        }
    }

    /// Returns the table width for a new domain: the narrowest that holds all addresses that the
    /// unit translates (`CAP.MGAW`), because each additional level costs one read per walk.
    ///
    /// If no width holds them all, returns the widest. Returns `None` if the unit walks no tables
    /// of `stage`.
    fn width(&self, stage: Stage) -> Option<AddressWidth> {
        let walked = || {
            let widths = AddressWidth::WIDEST_FIRST.into_iter();
            widths.filter(move |&width| self.supports(stage, width))
        };
        let wide_enough = |width: &AddressWidth| width.bits() >= self.cap.input_bits();
        walked()
            .filter(wide_enough)
            .last()
            .or_else(|| walked().next())
    }

    fn supports(&self, stage: Stage, width: AddressWidth) -> bool {
        let walks = match stage {
            Stage::Second => self.cap.supports(width),
            // Five levels (CAP.FS5LP) would cost each walk one more read.
            Stage::First => width == AddressWidth::Bits48,
        };
        let restricted = self.restriction.narrow && width != AddressWidth::Bits39;
        self.has_stage(stage) && walks && !restricted
    }

    /// Returns the address bits that a device may use.
    fn input_bits(&self, stage: Stage) -> u32 {
        match stage {
            Stage::Second => self.cap.input_bits(),
            Stage::First => self.cap.input_bits().min(LOWER_HALF_BITS),
        }
    }

    /// Returns whether the unit can read leaves of `size`.
    fn has_page_size(&self, stage: Stage, size: PageSize) -> bool {
        let reads = match (stage, size) {
            (Stage::Second, _) => self.cap.has_page_size(size),
            (Stage::First, PageSize::Size1G) => self.cap.first_stage_1g(),
            (Stage::First, PageSize::Size4K | PageSize::Size2M) => true,
        };
        reads && (size == PageSize::Size4K || !self.restriction.small_pages)
    }

    /// Returns whether the unit snoops processor caches when it walks page tables.
    pub fn walks_coherently(&self) -> bool {
        match self.mode {
            Mode::Legacy => self.ecap.coherent_walk(),
            Mode::Scalable => self.ecap.scalable_coherent_walk(),
        }
    }

    /// Returns the best format that this unit supports, on a platform with `host_bits` physical
    /// address bits, or `None` if it walks no tables.
    pub fn format(&self, host_bits: u32) -> Option<TableFormat> {
        let stage = self.stage()?;
        Some(TableFormat {
            stage,
            geometry: Geometry {
                width: self.width(stage)?,
                input_bits: self.input_bits(stage),
                output_bits: host_bits,
                large_2m: self.has_page_size(stage, PageSize::Size2M),
                large_1g: self.has_page_size(stage, PageSize::Size1G),
                snoop_control: stage == Stage::Second && self.ecap.snoop_control(),
            },
            coherent: self.walks_coherently(),
            snoops: false,
        })
    }

    /// Checks that the unit can walk the tables of a domain on a machine whose CPU pages have
    /// `cpu_page` bytes.
    ///
    /// # Errors
    ///
    /// The first reason why it cannot; the caller returns `-EINVAL`.
    pub fn check(&self, tables: &TableFormat, cpu_page: u64) -> Result<(), Incompatible> {
        let (stage, own) = (tables.stage, &tables.geometry);
        if own.page_sizes() & (cpu_page | (cpu_page - 1)) == 0 {
            return Err(Incompatible::CpuPage);
        }
        if !self.has_stage(stage) {
            return Err(Incompatible::Stage(stage, self.mode));
        }
        if !self.supports(stage, own.width) {
            return Err(Incompatible::Width(own.width));
        }
        let input_bits = self.input_bits(stage);
        if (Geometry { input_bits, ..*own }).last_iova() < own.last_iova() {
            return Err(Incompatible::Reach);
        }
        for size in [PageSize::Size4K, PageSize::Size2M, PageSize::Size1G] {
            if own.page_sizes() & size.bytes() != 0 && !self.has_page_size(stage, size) {
                return Err(Incompatible::PageSize(size));
            }
        }
        if tables.coherent && !self.walks_coherently() {
            return Err(Incompatible::Coherency);
        }
        if tables.snoops && !self.ecap.snoop_control() {
            return Err(Incompatible::Snoop);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU_PAGE: u64 = 4096;
    /// QEMU's unit: 3 and 4 levels, 2M and 1G, 48 bits (MGAW), not coherent, no snoop control.
    const QEMU_CAP: u64 = 0x80d2_008c_222f_0606;
    const QEMU_ECAP: u64 = 0xf0_0f4a;
    const ECAP_COHERENT: u64 = 1;
    const ECAP_SNOOP: u64 = 1 << 7;

    fn unit(cap: u64, ecap: u64) -> WalkCapabilities {
        WalkCapabilities {
            cap: Capability::from_raw(cap),
            ecap: ExtendedCapability::from_raw(ecap),
            mode: Mode::Legacy,
            restriction: Restriction::default(),
        }
    }

    fn units() -> impl Iterator<Item = WalkCapabilities> {
        // SAGAW 3, 4, 3+4, 3+4+5 levels; no, 2M, 2M+1G pages; coherency and snoop control.
        [0b0010u64, 0b0100, 0b0110, 0b1110]
            .into_iter()
            .flat_map(|sagaw| {
                [0u64, 1, 3].into_iter().flat_map(move |large| {
                    [0, ECAP_COHERENT, ECAP_SNOOP, ECAP_COHERENT | ECAP_SNOOP].map(move |bits| {
                        let cap = QEMU_CAP & !(0x1f << 8) & !(0xf << 34) | sagaw << 8 | large << 34;
                        let mgaw = if sagaw & 8 != 0 {
                            56
                        } else if sagaw & 4 != 0 {
                            47
                        } else {
                            38
                        };
                        let cap = cap & !(0x3f << 16) | mgaw << 16;
                        unit(cap, QEMU_ECAP & !(ECAP_COHERENT | ECAP_SNOOP) | bits)
                    })
                })
            })
    }

    fn best(unit: &WalkCapabilities) -> TableFormat {
        unit.format(46).expect("walks tables")
    }

    #[test]
    fn a_unit_walks_tables_of_its_best_format() {
        for unit in units() {
            assert_eq!(unit.check(&best(&unit), CPU_PAGE), Ok(()), "{unit:?}");
        }
    }

    #[test]
    fn a_narrower_unit_refuses_a_wider_domain_but_not_the_reverse() {
        let (wide, mut narrow) = (unit(QEMU_CAP, QEMU_ECAP), unit(QEMU_CAP, QEMU_ECAP));
        narrow.restriction.narrow = true;
        assert_eq!(
            narrow.check(&best(&wide), CPU_PAGE),
            Err(Incompatible::Width(AddressWidth::Bits48))
        );
        assert_eq!(wide.check(&best(&narrow), CPU_PAGE), Ok(()));
    }

    #[test]
    fn tables_are_no_deeper_than_the_unit_translates() {
        let width = |sagaw: u64, bits: u64| {
            let cap = QEMU_CAP & !(0x1f << 8) & !(0x3f << 16) | sagaw << 8 | (bits - 1) << 16;
            let width = unit(cap, QEMU_ECAP).width(Stage::Second);
            width.map(AddressWidth::bits)
        };
        assert_eq!(width(0b0110, 39), Some(39));
        assert_eq!(width(0b0110, 40), Some(48));
        assert_eq!(width(0b1110, 48), Some(48));
        assert_eq!(width(0b1110, 49), Some(57));
        assert_eq!(width(0b0100, 39), Some(48), "the only one");
        assert_eq!(width(0b0010, 48), Some(39), "none is wide enough");
        assert_eq!(width(0, 48), None);
    }

    #[test]
    fn accepted_tables_use_only_what_the_unit_has() {
        for maker in units() {
            for user in units() {
                let tables = best(&maker);
                let has = |size: PageSize| user.cap.has_page_size(size);
                let width = tables.geometry.width;
                let reach = (1u64 << user.cap.input_bits().min(width.bits())) - 1;
                let fits = user.cap.supports(width)
                    && (!tables.geometry.large_2m || has(PageSize::Size2M))
                    && (!tables.geometry.large_1g || has(PageSize::Size1G))
                    && (!tables.coherent || user.ecap.coherent_walk())
                    && reach >= tables.geometry.last_iova().raw();
                assert_eq!(
                    user.check(&tables, CPU_PAGE).is_ok(),
                    fits,
                    "{maker:?} {user:?}"
                );
            }
        }
    }

    #[test]
    fn large_pages_are_refused_by_a_unit_without_them() {
        let mut small = unit(QEMU_CAP, QEMU_ECAP);
        small.restriction.small_pages = true;
        assert_eq!(
            small.check(&best(&unit(QEMU_CAP, QEMU_ECAP)), CPU_PAGE),
            Err(Incompatible::PageSize(PageSize::Size2M))
        );
    }

    #[test]
    fn tables_left_in_cpu_caches_are_refused_by_a_unit_that_does_not_snoop() {
        let coherent = best(&unit(QEMU_CAP, QEMU_ECAP | ECAP_COHERENT));
        assert_eq!(
            unit(QEMU_CAP, QEMU_ECAP).check(&coherent, CPU_PAGE),
            Err(Incompatible::Coherency)
        );
    }

    #[test]
    fn snooping_leaves_are_refused_without_snoop_control() {
        let mut tables = best(&unit(QEMU_CAP, QEMU_ECAP | ECAP_SNOOP));
        tables.snoops = true;
        assert_eq!(
            unit(QEMU_CAP, QEMU_ECAP).check(&tables, CPU_PAGE),
            Err(Incompatible::Snoop)
        );
    }

    #[test]
    fn a_domain_without_pages_as_small_as_the_cpus_is_refused() {
        // Every second-stage format has 4 KiB pages, but CPU pages may be smaller in theory. Then
        // no domain page could represent one.
        let unit = unit(QEMU_CAP, QEMU_ECAP);
        assert_eq!(unit.check(&best(&unit), 2048), Err(Incompatible::CpuPage));
        assert_eq!(unit.check(&best(&unit), 65536), Ok(()));
    }
}
