// SPDX-License-Identifier: GPL-2.0

//! The shape of a page table, chosen once for the unit that will walk it.

use crate::spec::address::{Iova, PhysAddr};
use crate::spec::level::{AddressWidth, PageSize};

/// The shape of a table and the limits of its leaves.
///
/// It is derived from the capabilities of the unit that serves the device. Another unit can use the
/// table only if it can walk a table of this [geometry](super::PageTable::geometry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The depth of the table: 3, 4 or 5 levels.
    pub width: AddressWidth,

    /// The address bits that a device may use: `CAP.MGAW`. Addresses above the width of the table
    /// cannot be mapped.
    pub input_bits: u32,

    /// The physical address bits that leaves may hold, see [`output_bits`]. Higher bits are
    /// reserved in entries.
    pub output_bits: u32,

    /// Whether leaves of 2 MiB are allowed: `CAP.SSLPS` bit 0.
    pub large_2m: bool,

    /// Whether leaves of 1 GiB are allowed: `CAP.SSLPS` bit 1.
    pub large_1g: bool,

    /// Whether leaves may demand snooping: `ECAP.SC`. The bit is reserved on units without it.
    pub snoop_control: bool,
}

impl Geometry {
    /// Returns the highest IOVA that can be mapped: the end of the domain's aperture.
    #[must_use]
    pub const fn last_iova(&self) -> Iova {
        let own = self.width.last().raw();
        let unit = last_of(self.input_bits);
        Iova::new(if own < unit { own } else { unit })
    }

    /// Returns the highest physical address that can be mapped.
    #[must_use]
    pub const fn last_phys(&self) -> PhysAddr {
        PhysAddr::new(last_of(min(self.output_bits, MOST_OUTPUT_BITS)))
    }

    /// Returns the page sizes in the form of the kernel's `pgsize_bitmap`: bit n for pages of 2^n
    /// bytes.
    #[must_use]
    pub const fn page_sizes(&self) -> u64 {
        let mut sizes = PageSize::Size4K.bytes();
        if self.large_2m {
            sizes |= PageSize::Size2M.bytes();
        }
        if self.large_1g {
            sizes |= PageSize::Size1G.bytes();
        }
        sizes
    }
}

/// The physical address bits that an entry has room for (VT-d 9.8).
const MOST_OUTPUT_BITS: u32 = 52;

/// Returns the physical address bits that leaves may hold, on a machine whose DMAR table reports
/// `host_bits` (the host address width) and whose processors have `processor_bits`.
///
/// Firmware reports fewer bits than the processors have if it places no memory above. But MMIO of
/// devices may lie there, and peer-to-peer access to it is mapped like any other memory.
#[must_use]
pub const fn output_bits(host_bits: u32, processor_bits: u32) -> u32 {
    let larger = if host_bits > processor_bits {
        host_bits
    } else {
        processor_bits
    };
    min(larger, MOST_OUTPUT_BITS)
}

const fn min(one: u32, other: u32) -> u32 {
    if one < other {
        one
    } else {
        other
    }
}

/// Returns the highest address of `bits` bits.
const fn last_of(bits: u32) -> u64 {
    match 1u64.checked_shl(bits) {
        Some(end) => end.wrapping_sub(1),
        None => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Geometry = Geometry {
        width: AddressWidth::Bits48,
        input_bits: 39,
        output_bits: 46,
        large_2m: true,
        large_1g: false,
        snoop_control: false,
    };

    #[test]
    fn the_aperture_is_the_narrower_of_table_and_unit() {
        assert_eq!(SAMPLE.last_iova().raw(), (1 << 39) - 1);
        let wide = Geometry {
            input_bits: 57,
            ..SAMPLE
        };
        assert_eq!(wide.last_iova().raw(), (1 << 48) - 1);
    }

    #[test]
    fn output_bits_are_the_larger_of_dmar_and_processors() {
        assert_eq!(output_bits(39, 46), 46);
        assert_eq!(output_bits(48, 40), 48);
        assert_eq!(output_bits(39, 39), 39);
        assert_eq!(output_bits(64, 46), 52);
        assert_eq!(output_bits(39, 57), 52);
        let geometry = Geometry {
            output_bits: output_bits(39, 46),
            ..SAMPLE
        };
        assert_eq!(geometry.last_phys().raw(), (1 << 46) - 1);
    }

    #[test]
    fn no_entry_holds_more_than_52_bits_of_address() {
        let wide = Geometry {
            output_bits: 64,
            ..SAMPLE
        };
        assert_eq!(wide.last_phys().raw(), (1 << 52) - 1);
    }

    #[test]
    fn pages_of_4k_are_always_there() {
        assert_eq!(SAMPLE.page_sizes(), 0x20_1000);
        let plain = Geometry {
            large_2m: false,
            ..SAMPLE
        };
        assert_eq!(plain.page_sizes(), 0x1000);
    }
}
