// SPDX-License-Identifier: GPL-2.0

//! Files of a running system, or of a saved tree of one (`--root`).
//!
//! Nothing that is read is trusted: a file may be huge, binary, a pipe, or not permitted.

use std::cell::RefCell;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The longest file that is read whole.
pub const MOST_BYTES: u64 = 16 << 20;
/// The most names of a folder.
const MOST_NAMES: usize = 1 << 16;

/// A system below a folder.
pub struct Root {
    dir: PathBuf,
    /// The files that exist and may not be read.
    denied: RefCell<Vec<String>>,
}

impl Root {
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            denied: RefCell::default(),
        }
    }

    /// Returns whether this is the running system.
    pub fn is_live(&self) -> bool {
        self.dir == Path::new("/")
    }

    /// Returns where a file of the system is here.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name.trim_start_matches('/'))
    }

    pub fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    /// Returns the bytes of a regular file, at most [`MOST_BYTES`] of them.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.path(name);
        if !fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        let read =
            fs::File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => Some(bytes),
            Err(error) => {
                if error.kind() == ErrorKind::PermissionDenied {
                    self.denied.borrow_mut().push(name.to_owned());
                }
                None
            }
        }
    }

    /// Returns a file as printable text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|bytes| plain(&bytes))
    }

    /// Returns a file that holds one word, or an empty word.
    pub fn word(&self, name: &str) -> String {
        self.text(name).unwrap_or_default().trim().to_owned()
    }

    /// Returns the last part of a link's target.
    pub fn link(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.path(name)).ok()?;
        Some(plain(target.file_name()?.as_encoded_bytes()))
    }

    /// Returns the names in a folder, sorted; none if it cannot be read.
    pub fn names(&self, name: &str) -> Vec<String> {
        let entries = match fs::read_dir(self.path(name)) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() == ErrorKind::PermissionDenied {
                    self.denied.borrow_mut().push(name.to_owned());
                }
                return Vec::new();
            }
        };
        let names = entries.flatten().take(MOST_NAMES);
        let mut names: Vec<_> = names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Returns the files and folders that may not be read.
    pub fn denied(&self) -> Vec<String> {
        self.denied.borrow().clone()
    }

    /// Returns the release of the kernel that runs there, or an empty text.
    pub fn release(&self) -> String {
        let release = self.word("proc/sys/kernel/osrelease");
        if !release.is_empty() {
            return release;
        }
        // A kernel without CONFIG_SYSCTL.
        let version = self.word("proc/version");
        version.split(' ').nth(2).unwrap_or_default().to_owned()
    }
}

/// Returns bytes as text without characters that control a terminal.
pub fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|sign| match sign {
            '\n' | '\t' => sign,
            '\u{fffd}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '?',
            sign if sign.is_control() => '?',
            sign => sign,
        })
        .collect()
}
