// SPDX-License-Identifier: GPL-2.0

//! The text of a refused request.

use core::fmt;
use vtd_core::spec::fault::FaultRecord;

/// Formats a request, and why it was refused.
pub(super) struct RefusalText<'a>(pub(super) &'a FaultRecord);

impl fmt::Display for RefusalText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (record, reason) = (self.0, self.0.reason);
        match record.interrupt_index() {
            Some(index) => write!(f, "interrupt request {index:#x}")?,
            None if record.is_interrupt() => {
                f.write_str("interrupt request in compatibility format")?
            }
            None => write!(f, "{} of {:#x}", record.request, record.address().raw())?,
        }
        if let Some(pasid) = record.pasid {
            write!(f, " (PASID {pasid:#x})")?;
        }
        write!(
            f,
            " refused: {} (VT-d {}, reason {:#04x})",
            reason.description(),
            reason.section(),
            reason.code()
        )
    }
}
