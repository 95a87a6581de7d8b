// SPDX-License-Identifier: GPL-2.0

//! Messages to the kernel log made of types that only know [`core::fmt`].
//!
//! A message is formatted here, once, and handed over as a string. The kernel formats what it is
//! given twice, for its length and for its text, and with interrupts off: a text that changes in
//! between (how long ago something was) would lose its end and its line end, without which readers
//! of the log wait for the next message; and a mutex must not be taken there at all.

use core::fmt;

/// Bytes of a message that are kept; no sentence of ours is that long.
const LINE: usize = 768;

/// A message, formatted.
pub struct Line {
    text: [u8; LINE],
    len: usize,
    full: bool,
}

impl Line {
    /// Formats a message, in the caller's context. What does not fit is left out.
    pub fn new(message: fmt::Arguments<'_>) -> Self {
        let mut line = Line {
            text: [0; LINE],
            len: 0,
            full: false,
        };
        // Cannot fail: `write_str` never does.
        let _ = fmt::write(&mut line, message);
        line
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..self.len).unwrap_or_default();
        core::str::from_utf8(text).unwrap_or("a message that is no text")
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let end = self.len.saturating_add(more.len());
        match self.text.get_mut(self.len..end) {
            Some(room) if !self.full => {
                for (to, from) in room.iter_mut().zip(more.bytes()) {
                    *to = from;
                }
                self.len = end;
            }
            _ => self.full = true,
        }
        Ok(())
    }
}

/// The text of a message, formatted.
#[macro_export]
macro_rules! log_line { ($($arg:tt)*) => { $crate::print::Line::new(::core::format_args!($($arg)*)).as_str() } }

/// Logs at level emergency, with a line end.
#[macro_export]
macro_rules! log_emerg { ($($arg:tt)*) => { ::kernel::pr_emerg!("{}\n", $crate::log_line!($($arg)*)) } }

/// Logs at level err, with a line end.
#[macro_export]
macro_rules! log_err { ($($arg:tt)*) => { ::kernel::pr_err!("{}\n", $crate::log_line!($($arg)*)) } }

/// Logs at level warning, with a line end.
#[macro_export]
macro_rules! log_warn { ($($arg:tt)*) => { ::kernel::pr_warn!("{}\n", $crate::log_line!($($arg)*)) } }

/// Logs at level notice, with a line end.
#[macro_export]
macro_rules! log_notice { ($($arg:tt)*) => { ::kernel::pr_notice!("{}\n", $crate::log_line!($($arg)*)) } }

/// Logs at level info, with a line end.
#[macro_export]
macro_rules! log_info { ($($arg:tt)*) => { ::kernel::pr_info!("{}\n", $crate::log_line!($($arg)*)) } }

/// Logs at level debug, with a line end; nothing unless the kernel was built for it.
#[macro_export]
macro_rules! log_debug { ($($arg:tt)*) => { ::kernel::pr_debug!("{}\n", ::core::format_args!($($arg)*)) } }

/// Marks the kernel as tainted by what its user asked for (`TAINT_USER`). Any context.
pub fn taint_by_user() {
    // SAFETY: Has no preconditions.
    unsafe { crate::bindings::vtd_helper_add_taint() }
}
