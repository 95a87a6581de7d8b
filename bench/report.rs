// SPDX-License-Identifier: GPL-2.0

//! The text of a measurement's result.

use core::fmt::{self, Write};
use kernel::prelude::*;

/// Lines of text, of any length.
pub(crate) struct Report(KVVec<u8>);

impl Report {
    /// Creates an empty report.
    pub(crate) fn new() -> Self {
        Report(KVVec::new())
    }

    /// Removes all lines.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a line.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn write_line(&mut self, line: fmt::Arguments<'_>) -> Result {
        writeln!(self, "{line}").map_err(|fmt::Error| ENOMEM)
    }

    /// Returns all lines.
    pub(crate) fn text(&self) -> &str {
        // Only a line that was cut for lack of memory can end in the middle of a character.
        core::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl Write for Report {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.0
            .extend_from_slice(more.as_bytes(), GFP_KERNEL)
            .map_err(|_| fmt::Error)
    }
}
