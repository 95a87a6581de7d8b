// SPDX-License-Identifier: GPL-2.0

//! What is remembered of an address that a device was refused.

use core::fmt;
use kernel_ext::clock::{Age, Ticks};
use vtd_core::spec::pte::Access;

/// An event in the life of a range of addresses.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    /// First byte of the range.
    pub(crate) first: u64,
    /// Its length in pages of 4 KiB, modulo 2^24 (64 GiB): nobody maps as much at once.
    pub(crate) pages: u64,
    /// When it was.
    pub(crate) at: Ticks,
    /// How long ago, when it was looked up.
    pub(crate) age: Age,
    /// What a mapping permitted.
    pub(crate) access: Access,
}

impl Event {
    /// Whether it was later than `other`.
    pub(crate) fn is_after(&self, other: &Event) -> bool {
        self.at.is_after(other.at)
    }

    /// Whether `address` lies in the range.
    pub(crate) fn holds(&self, address: u64) -> bool {
        address.wrapping_sub(self.first) >> 12 < self.pages
    }
}

/// The last known events at one address.
pub(crate) enum Past {
    /// It was never mapped.
    Never,
    /// Nothing is remembered, which may be because it is long ago.
    Forgotten,
    /// It was mapped, and is not known to have been unmapped.
    Mapped(Event),
    /// It was unmapped; how it had been mapped, where that is remembered.
    Unmapped {
        /// The unmapping.
        last: Event,
        /// The mapping before.
        before: Option<Event>,
    },
}

/// What was permitted, in words.
struct Permission(Event);

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.access {
            Access::ReadWrite => "reading and writing",
            Access::Read => "reading only",
            Access::Write => "writing only",
        })
    }
}

/// The range, where it is more than the one page that was asked for.
struct Range(Event);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.pages {
            1 => Ok(()),
            pages => write!(f, " ({pages} pages from {:#x})", self.0.first),
        }
    }
}

impl Past {
    /// As a clause about a request for `wanted` that was refused.
    pub(crate) fn of_refused(&self, wanted: Access) -> OfRefused<'_> {
        OfRefused { past: self, wanted }
    }
}

/// The past of an address, for the report of a request that was refused there.
pub(crate) struct OfRefused<'a> {
    past: &'a Past,
    wanted: Access,
}

impl fmt::Display for OfRefused<'_> {
    /// What a mapping did not permit comes first: that it was unmapped later is not why.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.past {
            Past::Unmapped {
                last,
                before: Some(mapped),
            } if !mapped.access.permits(self.wanted) => write!(
                f,
                "it was mapped for {} {} ago{}, and unmapped {} ago",
                Permission(mapped),
                mapped.age,
                Range(mapped),
                last.age
            ),
            _ => self.past.fmt(f),
        }
    }
}

impl fmt::Display for Past {
    /// A clause whose subject is the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Past::Never => f.write_str("it was never mapped in this domain"),
            Past::Forgotten => f.write_str("when it was last mapped is no longer on record"),
            Past::Mapped(event) => write!(
                f,
                "it was mapped for {} {} ago{}",
                Permission(event),
                event.age,
                Range(event)
            ),
            Past::Unmapped { last, before } => {
                write!(f, "it was unmapped {} ago{}", last.age, Range(last))?;
                match before {
                    Some(event) => write!(
                        f,
                        ", having been mapped for {} {} ago",
                        Permission(event),
                        event.age
                    ),
                    None => Ok(()),
                }
            }
        }
    }
}
