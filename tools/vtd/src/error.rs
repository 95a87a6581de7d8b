// SPDX-License-Identifier: GPL-2.0

//! The error of the program: a sentence for its user.

use std::fmt;

/// What went wrong, with which value, and what to do about it: whole sentences.
#[derive(Debug)]
pub struct Error(pub String);

pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns early with an [`Error`] of these words.
#[macro_export]
macro_rules! fail {
    ($($words:tt)*) => { return Err($crate::error::Error(format!($($words)*))) };
}

/// Returns what the system says about an error, without Rust's number.
pub fn said(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
