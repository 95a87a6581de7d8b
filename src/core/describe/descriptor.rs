// SPDX-License-Identifier: GPL-2.0

//! Describes invalidation descriptors in words.

use crate::spec::descriptor::{Descriptor, InterruptScope};
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

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ContextCache(ContextScope::Global) => f.write_str("context cache: all"),
            Self::ContextCache(ContextScope::Domain(id)) => {
                write!(f, "context cache: domain-id {id}")
            }
            Self::ContextCache(ContextScope::Device { domain, source, .. }) => {
                write!(f, "context cache: {source} in domain-id {domain}")
            }
            Self::Iotlb { scope, .. } => match scope {
                IotlbScope::Global => f.write_str("IOTLB: all"),
                IotlbScope::Domain(id) => write!(f, "IOTLB: domain-id {id}"),
                IotlbScope::Pages {
                    domain,
                    block,
                    leaves_only,
                } => write!(
                    f,
                    "IOTLB: domain-id {domain}, {}{}",
                    PagesText(block),
                    if leaves_only { "" } else { ", tables too" }
                ),
            },
            Self::DeviceTlb { source, block, .. } => {
                write!(f, "device-TLB of {source}: {}", PagesText(block))
            }
            Self::InterruptEntryCache(InterruptScope::Global) => {
                f.write_str("interrupt entry cache: all")
            }
            Self::InterruptEntryCache(InterruptScope::Entries { index, mask }) => {
                write!(
                    f,
                    "interrupt entry cache: {} from {index}",
                    1u64 << (mask & 31)
                )
            }
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
