// SPDX-License-Identifier: GPL-2.0

//! Describes invalidation descriptors in words.

use crate::spec::descriptor::Descriptor;
use crate::spec::invalidation::{InterruptScope, Invalidation, PasidIotlbScope, PasidScope};
use crate::spec::scope::{ContextScope, IotlbScope, PageBlock, MAX_ADDRESS_MASK};
use core::fmt;

/// The pages of a block.
struct PagesText(PageBlock);

impl fmt::Display for PagesText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.address_mask() {
            0 => write!(f, "1 page at {}", self.0.address()),
            MAX_ADDRESS_MASK => f.write_str("all pages"),
            mask => write!(f, "{} pages from {}", 1u64 << mask, self.0.address()),
        }
    }
}

/// What an invalidation of translations leaves alone.
const fn tables_text(leaves_only: bool) -> &'static str {
    if leaves_only {
        ""
    } else {
        ", tables too"
    }
}

impl fmt::Display for Invalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Context(ContextScope::Global) => f.write_str("context cache: all"),
            Self::Context(ContextScope::Domain(id)) => {
                write!(f, "context cache: domain-id {id}")
            }
            Self::Context(ContextScope::Device { domain, source, .. }) => {
                write!(f, "context cache: {source} in domain-id {domain}")
            }
            Self::Pasid(scope) => fmt::Display::fmt(&scope, f),
            Self::Iotlb(scope) => fmt::Display::fmt(&scope, f),
            Self::PasidIotlb(scope) => fmt::Display::fmt(&scope, f),
            Self::DeviceTlb(scope) => {
                write!(f, "device-TLB of {}: ", scope.source)?;
                if let Some(pasid) = scope.pasid {
                    write!(f, "PASID {pasid}, ")?;
                }
                fmt::Display::fmt(&PagesText(scope.block), f)
            }
            Self::InterruptEntries(InterruptScope::Global) => {
                f.write_str("interrupt entry cache: all")
            }
            Self::InterruptEntries(InterruptScope::Entries { index, mask }) => {
                let count = 1u64 << (mask & 31);
                write!(f, "interrupt entry cache: {count} from {index}")
            }
        }
    }
}

impl fmt::Display for PasidScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("PASID cache: all"),
            Self::Domain(id) => write!(f, "PASID cache: domain-id {id}"),
            Self::Pasid { domain, pasid } => {
                write!(f, "PASID cache: PASID {pasid} in domain-id {domain}")
            }
        }
    }
}

impl fmt::Display for IotlbScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Global => f.write_str("IOTLB: all"),
            Self::Domain(id) => write!(f, "IOTLB: domain-id {id}"),
            Self::Pages {
                domain,
                block,
                leaves_only,
            } => {
                let (pages, tables) = (PagesText(block), tables_text(leaves_only));
                write!(f, "IOTLB: domain-id {domain}, {pages}{tables}")
            }
        }
    }
}

impl fmt::Display for PasidIotlbScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Pasid { domain, pasid } => {
                write!(f, "PASID IOTLB: PASID {pasid} in domain-id {domain}")
            }
            Self::Pages {
                domain,
                pasid,
                block,
                leaves_only,
            } => {
                let (pages, tables) = (PagesText(block), tables_text(leaves_only));
                write!(
                    f,
                    "PASID IOTLB: PASID {pasid} in domain-id {domain}, {pages}{tables}"
                )
            }
        }
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Invalidate(what, _) => fmt::Display::fmt(&what, f),
            Self::Wait {
                status, interrupt, ..
            } => {
                f.write_str("wait")?;
                if let Some((address, value)) = status {
                    write!(f, ": write {value:#x} to {address}")?;
                }
                f.write_str(if interrupt { ", interrupt" } else { "" })
            }
        }
    }
}
