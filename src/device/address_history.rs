// SPDX-License-Identifier: GPL-2.0

//! The recorded history of an address to which a device's request was refused.

use core::fmt;
use kernel_ext::clock::{Age, Jiffies};
use vtd_core::spec::pte::Access;

/// A map or unmap of a range of addresses.
#[derive(Clone, Copy)]
pub(crate) struct MappingEvent {
    /// The first byte of the range.
    pub(crate) first: u64,
    /// Its length in pages of 4 KiB, modulo 2^24 (64 GiB): no single call maps that much.
    pub(crate) pages: u64,
    /// When it happened.
    pub(crate) at: Jiffies,
    /// How long ago that was when it was looked up.
    pub(crate) age: Age,
    /// What the mapping permitted.
    pub(crate) access: Access,
}

impl MappingEvent {
    /// Returns whether it is later than `other`.
    pub(crate) fn is_after(&self, other: &MappingEvent) -> bool {
        self.at.is_after(other.at)
    }

    /// Returns whether `address` is in the range.
    pub(crate) fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.first) >> 12 < self.pages
    }
}

/// The last recorded events at one address.
pub(crate) enum AddressHistory {
    /// It was never mapped.
    NeverMapped,
    /// Nothing is recorded, perhaps because it is too long ago.
    Displaced,
    /// It was mapped, and no later unmap is recorded.
    Mapped(MappingEvent),
    /// It was unmapped.
    Unmapped {
        /// The unmap.
        last: MappingEvent,
        /// The map before it, if that is recorded.
        before: Option<MappingEvent>,
    },
}

/// Formats what a mapping permitted.
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

/// Formats the range of an event, if it is more than the one page in question.
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
    /// Returns the history as a clause about a request for `wanted` that was refused.
    pub(crate) fn for_fault(&self, wanted: Access) -> FaultHistory<'_> {
        FaultHistory {
            history: self,
            wanted,
        }
    }
}

/// The history of an address, for the report of a request that was refused there.
pub(crate) struct FaultHistory<'a> {
    history: &'a AddressHistory,
    wanted: Access,
}

impl fmt::Display for FaultHistory<'_> {
    /// Formats first what a mapping did not permit: that it was unmapped later is not the cause.
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
    /// Formats a clause whose subject is the address.
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
