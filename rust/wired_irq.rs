// SPDX-License-Identifier: GPL-2.0

//! Interrupts whose messages the kernel composed while it booted: those of IO-APICs and HPETs.
//!
//! C headers: `include/linux/irqdesc.h`, `include/linux/irqdomain.h`.

use crate::bindings;

/// What sends an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WiredSource {
    /// A pin of the IO-APIC with this APIC ID.
    IoApic {
        /// The APIC ID.
        id: u8,
        /// The pin.
        pin: u32,
    },
    /// A timer of the HPET with this number.
    Hpet(u8),
}

/// One such interrupt.
pub struct WiredIrq {
    description: bindings::vtd_irq_description,
    /// What sends it.
    pub source: WiredSource,
}

impl WiredIrq {
    /// Returns whether a driver has requested it.
    pub fn is_in_use(&self) -> bool {
        self.description.in_use
    }

    /// Returns the name that the driver gave for it, "?" if that is no text.
    pub fn user(&self) -> &str {
        text(&self.description.action).unwrap_or("?")
    }
}

/// Returns the text in a C buffer, up to its terminator.
fn text(bytes: &[kernel::ffi::c_char]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    core::str::from_utf8(bytes.get(..end)?).ok()
}

/// Returns the number at the end of a domain's name, such as `IO-APIC-2`.
fn number_of(domain: &str) -> Option<u8> {
    domain.rsplit('-').next()?.parse().ok()
}

/// Returns what sends an interrupt with this chip and domain, if it is an IO-APIC or an HPET. One
/// whose domain has no number counts as number 0.
fn source_of(chip: &str, domain: &str, hwirq: usize) -> Option<WiredSource> {
    let number = number_of(domain).unwrap_or(0);
    match chip {
        "IO-APIC" => Some(WiredSource::IoApic {
            id: number,
            pin: hwirq as u32,
        }),
        "HPET-MSI" => Some(WiredSource::Hpet(number)),
        _ => None,
    }
}

/// Calls `f` with each interrupt of an IO-APIC or HPET that the kernel has set up, in use or not.
///
/// # Context
///
/// Any context but NMI.
pub fn for_each(mut f: impl FnMut(&WiredIrq)) {
    // SAFETY: Has no preconditions.
    for irq in 0..unsafe { bindings::irq_get_nr_irqs() } {
        let mut description = bindings::vtd_irq_description::default();
        // SAFETY: Any number is allowed; the description is writable.
        if !unsafe { bindings::vtd_helper_describe_irq(irq, &mut description) } {
            continue;
        }
        let (chip, domain) = (text(&description.chip), text(&description.domain));
        let source = source_of(chip.unwrap_or(""), domain.unwrap_or(""), description.hwirq);
        if let Some(source) = source {
            f(&WiredIrq {
                description,
                source,
            });
        }
    }
}
