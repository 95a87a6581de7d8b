// SPDX-License-Identifier: GPL-2.0

//! The commands: one file each. A command takes a dump or the running system, and returns an
//! answer; it does not print.

pub mod diff;
pub mod doctor;
pub mod faults;
pub mod give;
pub mod maps;
pub mod save;
pub mod top;
pub mod tree;
pub mod trial;
pub mod unload;
pub mod walk;
pub mod why;

use crate::collect::collect;
use crate::dump::Dump;
use crate::error::Result;
use crate::root::Root;
use serde_json::Value;
use std::path::PathBuf;

/// Where a command looks.
pub struct Context {
    pub root: Root,
    pub dump: Option<PathBuf>,
}

impl Context {
    /// Returns the saved dump, or one of the system.
    pub fn dump(&self) -> Result<Dump> {
        match &self.dump {
            Some(path) => Dump::read(path),
            None => collect(&self.root),
        }
    }
}

/// What a command found.
pub struct Answer {
    pub text: String,
    pub json: Value,
    /// 0, or 1 if what was asked for is not so.
    pub status: u8,
}

/// Returns the words about what could not be read, for the end of an answer.
pub fn unread(dump: &Dump) -> String {
    let problems = dump.problems.borrow();
    let mut text = String::new();
    if !problems.is_empty() {
        text += "\nNot read:\n";
    }
    for problem in problems.iter().take(10) {
        text += &crate::text::wrap("  - ", problem);
    }
    if problems.len() > 10 {
        text += &format!("  - and {} more\n", problems.len() - 10);
    }
    text
}
