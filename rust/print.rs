// SPDX-License-Identifier: GPL-2.0

//! Messages to the kernel log, formatted with [`core::fmt`].
//!
//! A message is formatted here, once, and passed to the kernel as a string. The kernel would format
//! it twice, for its length and for its text, with interrupts off. A text that changes in between
//! (how long ago something was) would lose its end and its line end, without which readers of the
//! log wait for the next message. And a mutex must not be taken there at all.

use core::fmt;
use core::mem::MaybeUninit;

/// The maximum length of a message in bytes; every message of the driver is shorter.
const LINE: usize = 768;

/// The level of a message about a device.
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Level {
    /// `KERN_ERR`.
    Err = 3,
    /// `KERN_WARNING`.
    Warning = 4,
    /// `KERN_INFO`.
    Info = 6,
}

/// A buffer in which a message is formatted.
///
/// # Invariants
///
/// The first `len` bytes of `text` were copied from strings, each as a whole; `len` is at most
/// [`LINE`].
pub struct LogLine {
    text: [MaybeUninit<u8>; LINE],
    len: usize,
    full: bool,
}

impl LogLine {
    /// Creates an empty buffer.
    #[allow(clippy::new_without_default)]
    #[inline(always)]
    pub const fn new() -> Self {
        // INVARIANT: `len` is 0.
        LogLine {
            text: [const { MaybeUninit::uninit() }; LINE],
            len: 0,
            full: false,
        }
    }

    /// Formats a message, in the caller's context, and returns it. A string that does not fit is
    /// omitted, and so is the rest of the message.
    pub fn format(&mut self, message: fmt::Arguments<'_>) -> &str {
        // Cannot fail: `write_str` never does.
        let _ = fmt::write(self, message);
        // SAFETY: By the type's invariants, the first `len` bytes are initialised, and are a
        // sequence of whole strings, which is UTF-8.
        unsafe {
            let text = core::slice::from_raw_parts(self.text.as_ptr().cast(), self.len);
            core::str::from_utf8_unchecked(text)
        }
    }
}

impl fmt::Write for LogLine {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let end = self.len.saturating_add(more.len());
        match self.text.get_mut(self.len..end) {
            Some(room) if !self.full => {
                for (to, from) in room.iter_mut().zip(more.bytes()) {
                    to.write(from);
                }
                // INVARIANT: All of `more` was copied, and there was room for it.
                self.len = end;
            }
            _ => self.full = true,
        }
        Ok(())
    }
}

/// Formats the text of a message.
#[macro_export]
macro_rules! log_line { ($($arg:tt)*) => { $crate::print::LogLine::new().format(::core::format_args!($($arg)*)) } }

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

/// Logs at level debug, with a line end; compiled in only with `CONFIG_RUST_DEBUG_ASSERTIONS`.
#[macro_export]
macro_rules! log_debug { ($($arg:tt)*) => { ::kernel::pr_debug!("{}\n", ::core::format_args!($($arg)*)) } }

/// Logs a message about a device at level err, with a line end: see
/// [`Device::log`](crate::device::Device::log).
#[macro_export]
macro_rules! log_dev_err {
    ($device:expr, $($arg:tt)*) => {
        $device.log($crate::print::Level::Err, $crate::log_line!($($arg)*))
    };
}

/// Logs a message about a device at level warning, with a line end.
#[macro_export]
macro_rules! log_dev_warn {
    ($device:expr, $($arg:tt)*) => {
        $device.log($crate::print::Level::Warning, $crate::log_line!($($arg)*))
    };
}

/// Logs a message about a device at level info, with a line end.
#[macro_export]
macro_rules! log_dev_info {
    ($device:expr, $($arg:tt)*) => {
        $device.log($crate::print::Level::Info, $crate::log_line!($($arg)*))
    };
}
