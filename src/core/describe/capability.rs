// SPDX-License-Identifier: GPL-2.0

//! Describes capabilities in words.

use crate::spec::capability::{Capability, ExtendedCapability};
use crate::spec::level::{AddressWidth, PageSize};
use core::fmt;

impl Capability {
    /// Returns the names of the optional features that are present, in the order of the register's
    /// bits.
    pub fn features(self) -> impl Iterator<Item = &'static str> {
        [
            (self.advanced_fault_logging(), "advanced fault logging"),
            (
                self.needs_write_buffer_flush(),
                "write-buffer flush required",
            ),
            (self.protected_low_memory(), "protected low memory"),
            (self.protected_high_memory(), "protected high memory"),
            (self.caching_mode(), "caching mode"),
            (self.zero_length_read(), "zero-length reads"),
            (self.page_selective(), "page-selective invalidation"),
            (self.drains_writes(), "write drain"),
            (self.drains_reads(), "read drain"),
            (self.first_stage_1g(), "first-stage 1G pages"),
            (self.posted_interrupts(), "posted interrupts"),
            (self.first_stage_5_levels(), "first-stage 5 levels"),
            (self.enhanced_commands(), "enhanced commands"),
            (
                self.interrupt_table_invalidates(),
                "invalidation by interrupt table",
            ),
            (self.root_table_invalidates(), "invalidation by root table"),
        ]
        .into_iter()
        .filter_map(|(present, name)| present.then_some(name))
    }
}

/// Writes a comma before each of `items`.
fn list(f: &mut fmt::Formatter<'_>, mut items: impl Iterator<Item = &'static str>) -> fmt::Result {
    items.try_for_each(|item| write!(f, ", {item}"))
}

impl fmt::Display for Capability {
    /// Writes one line: input width, tables, pages, domains, fault records, then the features.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-bit input, tables of", self.input_bits())?;
        let mut tables = 0;
        for width in AddressWidth::WIDEST_FIRST.iter().rev() {
            if self.supports(*width) {
                let comma = if tables == 0 { "" } else { "," };
                write!(f, "{comma} {}", width.levels())?;
                tables += 1;
            }
        }
        f.write_str(if tables == 0 { " no levels" } else { " levels" })?;
        f.write_str(", pages of 4K")?;
        for size in [PageSize::Size2M, PageSize::Size1G] {
            if self.has_page_size(size) {
                write!(f, " {size}")?;
            }
        }
        match self.domain_count() {
            Some(count) => write!(f, ", {count} domains")?,
            None => f.write_str(", reserved domain count")?,
        }
        write!(f, ", {} fault record(s)", self.fault_record_count())?;
        list(f, self.features())
    }
}

impl ExtendedCapability {
    /// Returns the names of the optional features that are present, in the order of the register's
    /// bits.
    pub fn features(self) -> impl Iterator<Item = &'static str> {
        [
            (self.queued_invalidation(), "queued invalidation"),
            (self.device_tlb(), "device-TLBs"),
            (self.interrupt_remapping(), "interrupt remapping"),
            (self.extended_interrupt_mode(), "extended interrupt mode"),
            (self.pass_through(), "pass-through"),
            (self.snoop_control(), "snoop control"),
            (self.memory_type(), "memory types"),
            (self.nested(), "nested translation"),
            (self.page_request(), "page requests"),
            (self.execute_request(), "execute requests"),
            (self.supervisor_request(), "supervisor requests"),
            (self.pasid(), "PASID"),
            (self.page_request_drain(), "page-request drain"),
            (self.scalable_mode(), "scalable mode"),
            (self.virtual_command(), "virtual commands"),
            (self.second_stage_dirty(), "second-stage dirty flags"),
            (self.second_stage(), "scalable second stage"),
            (self.first_stage(), "scalable first stage"),
            (
                self.scalable_coherent_walk(),
                "coherent scalable-mode walks",
            ),
            (self.rid_pasid(), "RID-PASID"),
            (self.performance_monitoring(), "performance monitoring"),
            (self.abort_dma(), "abort-DMA mode"),
        ]
        .into_iter()
        .filter_map(|(present, name)| present.then_some(name))
    }
}

impl fmt::Display for ExtendedCapability {
    /// Writes one line: coherency, then the features.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.coherent_walk() {
            "coherent page walks"
        } else {
            "non-coherent page walks"
        })?;
        list(f, self.features())
    }
}
