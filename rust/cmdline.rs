// SPDX-License-Identifier: GPL-2.0

//! The command line that the kernel was booted with.
//!
//! The kernel exports neither its command line nor the effect of `iommu.strict` to modules, so
//! `/proc/cmdline` is read as a program would read it, in the mount namespace of the program that
//! loads the module. This is no security problem: a user who can replace that file for the program
//! can also pass the module parameter that overrides it.

use crate::bindings;
use kernel::prelude::*;

/// The maximum length of a command line on x86.
const LONGEST: usize = 2048;

/// Returns the value of the last `name=value` on the kernel command line, parsed as the kernel's
/// `kstrtobool()` does. [`None`] if it is not there, or if `/proc` is not mounted, which is the
/// only place where a module can read the command line.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails.
///
/// # Context
///
/// Process context.
pub fn get_bool(name: &str) -> Result<Option<bool>> {
    with_line(|line| last_bool(line, name))
}

/// Returns whether the kernel command line has `word` as a separate word.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails.
///
/// # Context
///
/// Process context.
pub fn has_word(word: &str) -> Result<bool> {
    with_line(|line| line.split_ascii_whitespace().any(|other| other == word))
}

/// Returns whether the kernel command line has a word that begins with `name=`.
///
/// # Errors
///
/// [`ENOMEM`] if an allocation fails.
///
/// # Context
///
/// Process context.
pub fn has_parameter(name: &str) -> Result<bool> {
    with_line(|line| {
        let mut words = line.split_ascii_whitespace();
        words.any(|word| word.split_once('=').is_some_and(|(key, _)| key == name))
    })
}

/// Calls `f` with the kernel command line; with an empty one if it cannot be read.
fn with_line<R>(f: impl FnOnce(&str) -> R) -> Result<R> {
    let mut line = KVec::from_elem(0u8, LONGEST, GFP_KERNEL)?;
    // SAFETY: The buffer has `LONGEST` bytes.
    let read = unsafe {
        bindings::vtd_helper_read_file(
            c"/proc/cmdline".as_char_ptr(),
            line.as_mut_ptr().cast(),
            LONGEST,
        )
    };
    let read = usize::try_from(read).unwrap_or(0);
    let text = core::str::from_utf8(line.get(..read).unwrap_or_default()).unwrap_or("");
    Ok(f(text))
}

/// Finds the value in `line`.
fn last_bool(line: &str, name: &str) -> Option<bool> {
    let values = line.split_ascii_whitespace().filter_map(|word| {
        let (key, value) = word.split_once('=')?;
        (key == name).then_some(value)
    });
    match values.last()?.as_bytes() {
        [b'1' | b'y' | b'Y' | b't' | b'T', ..] | [b'o' | b'O', b'n' | b'N', ..] => Some(true),
        [b'0' | b'n' | b'N' | b'f' | b'F', ..] | [b'o' | b'O', b'f' | b'F', ..] => Some(false),
        _ => None,
    }
}
