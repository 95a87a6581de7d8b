// SPDX-License-Identifier: GPL-2.0

//! What is remembered of an address that a device was refused.

use core::fmt;
use kernel_ext::clock::{Age, Jiffies};
use vtd_core::spec::pte::Access;

/// An event in the life of a range of addresses.
#[derive(Clone, Copy)]
pub(crate) struct MappingEvent {
    /// First byte of the range.
    pub(crate) first: u64,
    /// Its length in pages of 4 KiB, modulo 2^24 (64 GiB): nobody maps as much at once.
    pub(crate) pages: u64,
    /// When it was.
    pub(crate) at: Jiffies,
    /// How long ago, when it was looked up.
    pub(crate) age: Age,
    /// What a mapping permitted.
    pub(crate) access: Access,
}

impl MappingEvent {
    /// Whether it was later than `other`.
    pub(crate) fn is_after(&self, other: &MappingEvent) -> bool {
        self.at.is_after(other.at)
    }

    /// Whether `address` lies in the range.
    pub(crate) fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.first) >> 12 < self.pages
    }
}

/// The last known events at one address.
pub(crate) enum AddressHistory {
    /// It was never mapped.
    NeverMapped,
    /// Nothing is remembered, which may be because it is long ago.
    Displaced,
    /// It was mapped, and is not known to have been unmapped.
    Mapped(MappingEvent),
    /// It was unmapped; how it had been mapped, where that is remembered.
    Unmapped {
        /// The unmapping.
        last: MappingEvent,
        /// The mapping before.
        before: Option<MappingEvent>,
    },
}

/// What was permitted, in words.
struct PermissionText(MappingEvent);

impl fmt::Display for PermissionText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.access {
            Access::ReadWrite => "reading and writing",
            Access::Read => "reading only",
            Access::Write => "writing only",
        })
    }
}

/// The range, where it is more than the one page that was asked for.
struct RangeText(MappingEvent);

impl fmt::Display for RangeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.pages {
            1 => Ok(()),
            pages => write!(f, " ({pages} pages from {:#x})", self.0.first),
        }
    }
}

impl AddressHistory {
    /// As a clause about a request for `wanted` that was refused.
    pub(crate) fn for_fault(&self, wanted: Access) -> FaultHistory<'_> {
        FaultHistory {
            history: self,
            wanted,
        }
    }
}

/// The past of an address, for the report of a request that was refused there.
pub(crate) struct FaultHistory<'a> {
    history: &'a AddressHistory,
    wanted: Access,
}

impl fmt::Display for FaultHistory<'_> {
    /// What a mapping did not permit comes first: that it was unmapped later is not why.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.history {
            AddressHistory::Unmapped {
                last,
                before: Some(mapped),
            } if !mapped.access.permits(self.wanted) => write!(
                f,
                "it was mapped for {} {} ago{}, and unmapped {} ago",
                PermissionText(mapped),
                mapped.age,
                RangeText(mapped),
                last.age
            ),
            _ => self.history.fmt(f),
        }
    }
}

impl fmt::Display for AddressHistory {
    /// A clause whose subject is the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            AddressHistory::NeverMapped => f.write_str("it was never mapped in this domain"),
            AddressHistory::Displaced => {
                f.write_str("when it was last mapped is no longer on record")
            }
            AddressHistory::Mapped(event) => write!(
                f,
                "it was mapped for {} {} ago{}",
                PermissionText(event),
                event.age,
                RangeText(event)
            ),
            AddressHistory::Unmapped { last, before } => {
                write!(f, "it was unmapped {} ago{}", last.age, RangeText(last))?;
                match before {
                    Some(event) => write!(
                        f,
                        ", having been mapped for {} {} ago",
                        PermissionText(event),
                        event.age
                    ),
                    None => Ok(()),
                }
            }
        }
    }
}
