// SPDX-License-Identifier: GPL-2.0

//! The parent domain.

use super::chip::ChipOps;
use super::remapping::InterruptRemapping;
use crate::bindings;
use kernel::prelude::*;
use kernel::sync::Arc;

/// A parent domain for MSI. Dropping it removes the domain.
///
/// # Invariants
///
/// `domain` has `fwnode`, and `_remapping` as its data. Only devices for which a
/// [`RemappedDevice`](super::RemappedDevice) lives are under it, so nothing else has interrupts in
/// it. Buses next to such a device may be under it as long as that lives.
pub struct MsiParent<R: InterruptRemapping> {
    pub(super) domain: *mut bindings::irq_domain,
    fwnode: *mut bindings::fwnode_handle,
    _remapping: Arc<R>,
}

// SAFETY: The domain may be used by any thread, and the table is `Sync`.
unsafe impl<R: InterruptRemapping> Send for MsiParent<R> {}
// SAFETY: As above.
unsafe impl<R: InterruptRemapping> Sync for MsiParent<R> {}

impl<R: InterruptRemapping> MsiParent<R> {
    /// Creates the domain. `isolated` tells the kernel that a device of this domain can raise only
    /// interrupts that were allocated for it; VFIO and iommufd rely on it.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails, or that of the irq core; nothing is left behind.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn new(remapping: Arc<R>, isolated: bool) -> Result<Self> {
        let number = i32::try_from(remapping.number())?;
        // SAFETY: A named firmware node without data; the name is copied.
        let fwnode =
            unsafe { bindings::vtd_helper_alloc_named_id_fwnode(R::NAME.as_char_ptr(), number) };
        if fwnode.is_null() {
            return Err(ENOMEM);
        }
        let mut info = bindings::irq_domain_info {
            fwnode,
            domain_flags: bindings::IRQ_DOMAIN_FLAG_HIERARCHY,
            hwirq_max: usize::MAX,
            ops: &ChipOps::<R>::OPS,
            host_data: Arc::as_ptr(&remapping).cast_mut().cast(),
            // SAFETY: The vector domain exists from early boot on and does not change.
            parent: unsafe { bindings::x86_vector_domain },
            ..Default::default()
        };
        // SAFETY: `info` describes a hierarchical domain whose operations outlive it.
        let domain = unsafe { bindings::vtd_helper_msi_create_parent(&mut info, isolated) };
        match kernel::error::from_err_ptr(domain) {
            // INVARIANT: Created with this node and this table, and without an interrupt.
            Ok(domain) => Ok(MsiParent {
                domain,
                fwnode,
                _remapping: remapping,
            }),
            Err(e) => {
                // SAFETY: Allocated above, used by no domain.
                unsafe { bindings::irq_domain_free_fwnode(fwnode) };
                Err(e)
            }
        }
    }
}

impl<R: InterruptRemapping> Drop for MsiParent<R> {
    fn drop(&mut self) {
        // SAFETY: By the type's invariants the domain is empty, and no device belongs to it.
        unsafe {
            bindings::irq_domain_remove(self.domain);
            bindings::irq_domain_free_fwnode(self.fwnode);
        }
    }
}

/// Returns whether the processors' APICs are in x2APIC mode.
pub fn x2apic_enabled() -> bool {
    // SAFETY: Has no preconditions.
    unsafe { bindings::vtd_helper_x2apic_enabled() }
}
