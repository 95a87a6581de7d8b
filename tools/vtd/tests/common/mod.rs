// SPDX-License-Identifier: GPL-2.0

//! Runs the program on systems that were recorded in guests: files of /sys, /proc and debugfs.

#![allow(dead_code, reason = "each test uses some of it")]

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub const DRIVERS: [&str; 2] = ["vtd", "in-tree"];
pub const WIDTH: usize = 80;

/// What the program did.
pub struct Done {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {}", self.out))
    }

    /// Returns the output without line breaks.
    pub fn flat(&self) -> String {
        self.out.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Checks that the program refused with one sentence, and returns it.
    pub fn sentence(&self, status: i32) -> String {
        assert_eq!(
            (self.status, self.out.as_str()),
            (status, ""),
            "{}",
            self.err
        );
        let said = self.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.starts_with("vtd: ") && said.ends_with('.'), "{said:?}");
        said
    }
}

pub fn run(arguments: &[&str]) -> Done {
    let done = Command::new(env!("CARGO_BIN_EXE_vtd"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is text");
    let done = Done {
        status: done.status.code().unwrap_or(-1),
        out: text(done.stdout),
        err: text(done.stderr),
    };
    assert!(
        !done.err.contains("panicked") && done.status >= 0,
        "{arguments:?}: {}",
        done.err
    );
    done
}

/// Returns the path of a dump that a guest sent.
pub fn recorded(name: &str) -> String {
    format!("{}/tests/dumps/{name}.tar.gz", env!("CARGO_MANIFEST_DIR"))
}

/// Returns the tree's DMAR table with these structures at its end.
pub fn dmar_with(tree: &Tree, structures: &[u8]) -> Vec<u8> {
    let mut raw = fs::read(tree.path("sys/firmware/acpi/tables/DMAR")).expect("a table");
    raw.extend_from_slice(structures);
    let length = u32::try_from(raw.len()).expect("a small table");
    raw[4..8].copy_from_slice(&length.to_le_bytes());
    raw[9] = raw[9].wrapping_sub(raw.iter().fold(0, |sum, byte| sum.wrapping_add(*byte)));
    raw
}

/// A folder that is removed at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0
            .join(name)
            .to_str()
            .expect("a path that is text")
            .to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A recorded system.
pub struct Tree {
    pub scratch: Scratch,
    pub root: String,
}

impl Tree {
    pub fn new(driver: &str) -> Self {
        let scratch = Scratch::new();
        let archive =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/trees/{driver}.tar.gz"));
        let file = fs::File::open(archive).expect("a recorded tree");
        tar::Archive::new(flate2::read::GzDecoder::new(file))
            .unpack(&scratch.0)
            .expect("a whole archive");
        let root = scratch.path("tree");
        Self { scratch, root }
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        run(&[&["--root", &self.root], arguments].concat())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.root).join(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }

    pub fn remove(&self, name: &str) {
        let path = self.path(name);
        let removed = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        removed.unwrap_or_else(|why| panic!("{name}: {why}"));
    }

    /// Returns the names in a folder.
    pub fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).expect("a folder");
        let names = entries.map(|entry| entry.expect("a name").file_name());
        names
            .map(|name| name.into_string().expect("text"))
            .collect()
    }

    /// Saves a dump and returns its path.
    pub fn save(&self, name: &str) -> String {
        let file = self.scratch.path(name);
        let done = self.run(&["save", &file]);
        assert_eq!((done.status, done.err.as_str()), (0, ""));
        file
    }
}

/// Checks that a text fits a terminal.
pub fn assert_fits(text: &str) {
    for line in text.lines() {
        assert!(
            line.chars().count() <= WIDTH,
            "{} columns: {line}",
            line.chars().count()
        );
    }
}
