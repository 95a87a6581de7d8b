// SPDX-License-Identifier: GPL-2.0

//! How many devices are attached under each requester ID of a unit.
//!
//! # Invariants
//!
//! - Several devices may share a requester ID (behind a PCI bridge). Its use count is the number
//!   of those that are attached. Its context entry is cleared when the last one is detached.

use kernel::prelude::*;
use vtd_core::spec::address::SourceId;
use vtd_core::spec::context::CONTEXT_ENTRIES;
use vtd_core::spec::root::ROOT_ENTRIES;

/// The use counts of all requester IDs of a unit, by bus.
pub(crate) struct RequesterUses(KBox<[Option<KBox<[u16; CONTEXT_ENTRIES]>>; ROOT_ENTRIES]>);

impl RequesterUses {
    /// Creates the counts, all 0.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new() -> Result<Self> {
        let none = pin_init::init_array_from_fn(|_| Ok::<_, Error>(None));
        Ok(RequesterUses(KBox::init(none, GFP_KERNEL)?))
    }

    /// Allocates the counts of all requester IDs on `source`'s bus, unless they exist.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn prepare(&mut self, source: SourceId) -> Result {
        let bus = self.0.get_mut(usize::from(source.bus())).ok_or(EINVAL)?;
        if bus.is_none() {
            *bus = Some(KBox::new([0; CONTEXT_ENTRIES], GFP_KERNEL)?);
        }
        Ok(())
    }

    /// Returns how many devices are attached under `source`.
    pub(crate) fn get(&self, source: SourceId) -> u16 {
        let bus = self.0.get(usize::from(source.bus()));
        let uses = bus.and_then(|bus| bus.as_deref());
        let of_source = uses.and_then(|uses| uses.get(usize::from(source.devfn())));
        of_source.copied().unwrap_or(0)
    }

    /// Counts one more (`more`) or one fewer device under `source`, whose bus was
    /// [prepared](Self::prepare). Returns the new count.
    pub(crate) fn count(&mut self, source: SourceId, more: bool) -> u16 {
        let bus = self.0.get_mut(usize::from(source.bus()));
        let uses = bus.and_then(|bus| bus.as_deref_mut());
        let Some(uses) = uses.and_then(|uses| uses.get_mut(usize::from(source.devfn()))) else {
            return 0;
        };
        *uses = if more {
            uses.saturating_add(1)
        } else {
            uses.saturating_sub(1)
        };
        *uses
    }
}
