// SPDX-License-Identifier: GPL-2.0

//! The word of a context entry with the present bit, which may be cleared in any context.

use kernel::sync::Arc;
use kernel_ext::pages::Pages;

/// P of a context entry.
const PRESENT: u64 = 1;
/// P and FPD.
const PRESENT_BITS: u64 = 0b11;

/// The word of a context entry in memory that has its present bit, in either mode.
pub(crate) struct PresentWord {
    /// The context table. It is never moved, and freed after the unit was turned off.
    pages: Arc<Pages>,
    word: usize,
    coherent: bool,
}

impl PresentWord {
    /// Returns the word at this index of a context table, which the unit reads with snooping if it is
    /// `coherent`.
    pub(super) fn new(pages: Arc<Pages>, word: usize, coherent: bool) -> Self {
        PresentWord {
            pages,
            word,
            coherent,
        }
    }

    /// Clears P and FPD, by one store. Returns whether the entry was present.
    ///
    /// # Context
    ///
    /// Any context.
    pub(super) fn withdraw(&self) -> bool {
        // The lock of the tables is not held: an entry that is being written at the same time may be
        // present afterwards, or have the pointer of one entry and the rest of another, but then it
        // is not present. `DeviceTlb::withdraw_if_lost` follows each such write.
        let low = self.pages.read(self.word);
        if low & PRESENT == 0 {
            // FPD stays as it is.
            return false;
        }
        self.pages.write(self.word, low & !PRESENT_BITS);
        if !self.coherent {
            self.pages.flush(self.word, 1);
        }
        true
    }
}
