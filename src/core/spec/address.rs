// SPDX-License-Identifier: GPL-2.0

//! Addresses and identifiers. Each has a separate type, so that code cannot confuse them.

use core::fmt;

/// log2 of the page size in which all VT-d tables and invalidations are measured.
///
/// VT-d pages are 4 KiB whatever the page size of the host is.
pub const PAGE_SHIFT: u32 = 12;

/// The size of the smallest page and of every table, in bytes.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// The bits of an offset within a page.
const PAGE_OFFSET: u64 = PAGE_SIZE - 1;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Creates the address `raw`; every value is allowed.
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// Returns the address as a number.
            pub const fn raw(self) -> u64 {
                self.0
            }

            /// Returns whether the address is the first byte of a 4 KiB page.
            pub const fn is_page_aligned(self) -> bool {
                self.0 & PAGE_OFFSET == 0
            }

            /// Returns whether the address is a multiple of `2^shift` bytes.
            pub const fn is_aligned(self, shift: u32) -> bool {
                self.0 & super::bits::low_mask(shift) == 0
            }

            /// Returns the first byte of the 4 KiB page that holds the address.
            pub const fn page(self) -> Self {
                Self(self.0 & !PAGE_OFFSET)
            }

            /// Returns the address `bytes` higher, or `None` beyond the last one.
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// Returns the distance from `lower` in bytes, or `None` if `lower` is above.
            pub const fn checked_offset_from(self, lower: Self) -> Option<u64> {
                self.0.checked_sub(lower.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address! {
    /// An I/O virtual address: the address that a device uses, before translation.
    Iova
}

address! {
    /// A host physical address: the result of a translation, and what table entries hold.
    PhysAddr
}

/// The requester of a transaction: bus, device and function (VT-d 3.4.1).
///
/// A device may issue requests with a source-id other than its own (behind a bridge to conventional
/// PCI, for example).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct SourceId(u16);

impl SourceId {
    /// Returns the source-id whose 16 bits are `raw`: bus 15:8, device 7:3, function 2:0.
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }

    /// Returns the source-id of `bus` and the kernel's combined `devfn`.
    pub const fn from_bus_devfn(bus: u8, devfn: u8) -> Self {
        Self(u16::from_be_bytes([bus, devfn]))
    }

    /// Returns the source-id of a device, or `None` if `device` is above 31 or `function` above 7.
    pub const fn new(bus: u8, device: u8, function: u8) -> Option<Self> {
        if device > 31 || function > 7 {
            return None;
        }
        Some(Self::from_bus_devfn(bus, (device << 3) | function))
    }

    /// Returns all 16 bits.
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// Returns the bus: the index into the root table.
    pub const fn bus(self) -> u8 {
        let [bus, _] = self.0.to_be_bytes();
        bus
    }

    /// Returns device and function in one byte: the index into a context table.
    pub const fn devfn(self) -> u8 {
        let [_, devfn] = self.0.to_be_bytes();
        devfn
    }

    /// Returns the device, 0 to 31.
    pub const fn device(self) -> u8 {
        self.devfn() >> 3
    }

    /// Returns the function, 0 to 7.
    pub const fn function(self) -> u8 {
        self.devfn() & 7
    }
}

impl fmt::Display for SourceId {
    /// Writes it as the kernel does, without the segment: `00:05.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02x}:{:02x}.{:x}",
            self.bus(),
            self.device(),
            self.function()
        )
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident($raw:ty), $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name($raw);

        impl $name {
            /// Creates the identifier `raw`.
            pub const fn new(raw: $raw) -> Self {
                Self(raw)
            }

            /// Returns the identifier as a number.
            pub const fn raw(self) -> $raw {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    };
}

identifier! {
    /// A PCI segment group; Linux calls it the PCI domain.
    Segment(u16), "{:04x}"
}

identifier! {
    /// The tag of a domain's cached translations within one remapping unit (VT-d 6.2.1).
    ///
    /// [`Capability::domain_count`](super::capability::Capability::domain_count) is the number of
    /// domain-ids of a unit.
    DomainId(u16), "{}"
}

/// An address space of a device in scalable mode (PCIe PASID); 20 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Pasid(u32);

impl Pasid {
    /// The number of bits.
    pub const BITS: u32 = 20;

    /// RID_PASID: the PASID with which a unit translates requests that have none (9.4).
    pub const RID_PASID: Self = Self(0);

    /// Creates the PASID `raw`, or returns `None` if it has more than 20 bits.
    pub const fn new(raw: u32) -> Option<Self> {
        if raw >> Self::BITS != 0 {
            return None;
        }
        Some(Self(raw))
    }

    /// Returns the PASID in bits `low + 19..=low` of `word`.
    pub(super) const fn from_field(word: u64, low: u32) -> Self {
        Self(super::bits::field(word, low + Self::BITS - 1, low) as u32)
    }

    /// Returns the PASID as a number.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Pasid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
