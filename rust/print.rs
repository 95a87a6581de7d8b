// SPDX-License-Identifier: GPL-2.0

//! Messages to the kernel log made of types that only know [`core::fmt`].
//!
//! The kernel crate's `pr_*` macros want its own `Display`, which the kernel-free crates below
//! cannot implement; formatting through [`format_args!`] first bridges that.

/// Logs at level emergency, with a line end.
#[macro_export]
macro_rules! log_emerg { ($($arg:tt)*) => { ::kernel::pr_emerg!("{}\n", ::core::format_args!($($arg)*)) } }

/// Logs at level err, with a line end.
#[macro_export]
macro_rules! log_err { ($($arg:tt)*) => { ::kernel::pr_err!("{}\n", ::core::format_args!($($arg)*)) } }

/// Logs at level warning, with a line end.
#[macro_export]
macro_rules! log_warn { ($($arg:tt)*) => { ::kernel::pr_warn!("{}\n", ::core::format_args!($($arg)*)) } }

/// Logs at level notice, with a line end.
#[macro_export]
macro_rules! log_notice { ($($arg:tt)*) => { ::kernel::pr_notice!("{}\n", ::core::format_args!($($arg)*)) } }

/// Logs at level info, with a line end.
#[macro_export]
macro_rules! log_info { ($($arg:tt)*) => { ::kernel::pr_info!("{}\n", ::core::format_args!($($arg)*)) } }

/// Logs at level debug, with a line end; nothing unless the kernel was built for it.
#[macro_export]
macro_rules! log_debug { ($($arg:tt)*) => { ::kernel::pr_debug!("{}\n", ::core::format_args!($($arg)*)) } }

/// Marks the kernel as tainted by what its user asked for (`TAINT_USER`). Any context.
pub fn taint_by_user() {
    // SAFETY: Has no preconditions.
    unsafe { crate::bindings::vtd_helper_add_taint() }
}
