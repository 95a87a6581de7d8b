// SPDX-License-Identifier: GPL-2.0

//! Bindings: those of the kernel crate, and those that it lacks.
//!
//! The latter are generated with `--no-recursive-allowlist`, so that a type that both could have is
//! always that of the kernel crate.

#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    improper_ctypes
)]

pub(crate) use kernel::bindings::*;

mod generated {
    use kernel::bindings::*;
    use kernel::ffi;
    use pin_init::MaybeZeroable;
    type __kernel_size_t = usize;
    type __kernel_ssize_t = isize;

    include!(concat!(env!("VTD_BINDINGS_DIR"), "/bindings_generated.rs"));
}

pub(crate) use generated::*;
