// SPDX-License-Identifier: GPL-2.0

//! A dump: the state of a machine's units and devices as named texts.
//!
//! Each command reads a dump, either a saved one or one that [`collect`](crate::collect) has just
//! made of the running machine. A dump may come from anywhere, so nothing of it is unpacked, and
//! the amount that is read is bounded.

use crate::error::{said, Result};
use crate::fail;
use crate::root::plain;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// The folder in which an archive has its files.
pub const TOP: &str = "vtd-dump";
const MOST_FILES: usize = 4096;
const MOST_BYTES: u64 = 32 << 20;
/// How files begin that other programs than gzip have compressed.
const OTHER_COMPRESSIONS: [(&[u8], &str); 3] = [
    (b"\xfd7zXZ", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
];

/// A saved or running machine.
pub struct Dump {
    files: BTreeMap<String, Vec<u8>>,
    /// Lines that could not be read, as sentences.
    pub problems: RefCell<Vec<String>>,
    pub kernel: String,
    /// vtd, in-tree, or none.
    pub driver: String,
}

/// The `name=value` words of a line.
pub type Record = BTreeMap<String, String>;

impl Dump {
    /// # Errors
    ///
    /// The file `about` is missing, or of a format that this program does not know.
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Result<Self> {
        let mut dump = Self {
            files,
            problems: RefCell::default(),
            kernel: "of an unknown release".to_owned(),
            driver: String::new(),
        };
        let text = dump.text("about");
        let about: BTreeMap<_, _> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect();
        match about.get("format") {
            Some(&"1") => {}
            Some(other) => fail!(
                "This dump has format {:.20}, and this program knows format 1; use a newer vtd.",
                other
            ),
            None => fail!(
                "This is no dump: it has no file 'about' that says 'format 1'. Save one with \
                 'vtd save FILE'."
            ),
        }
        if let Some(kernel) = about.get("kernel") {
            dump.kernel = (*kernel).to_owned();
        }
        if let Some(driver) = about.get("driver") {
            dump.driver = (*driver).to_owned();
        }
        Ok(dump)
    }

    /// Reads a folder, or a tar archive that may be compressed by gzip.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let read = if path.is_dir() {
            folder(path)
        } else {
            archive(path)
        };
        match read {
            Ok(files) => Self::new(files),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                fail!("{shown} is no dump: {error}.")
            }
            Err(error) if error.raw_os_error().is_some() => {
                fail!("{shown} cannot be read: {}.", said(&error))
            }
            Err(_) => fail!("{shown} is no whole tar archive; save it again."),
        }
    }

    pub fn files(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.files.iter()
    }

    pub fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// Returns a file as printable text; empty if the dump lacks it.
    pub fn text(&self, name: &str) -> String {
        self.files
            .get(name)
            .map_or(String::new(), |bytes| plain(bytes))
    }

    /// Returns a file that holds one word, or an empty word.
    pub fn word(&self, name: &str) -> String {
        self.text(name).trim().to_owned()
    }

    /// Returns the folders directly below a folder, sorted.
    pub fn folders(&self, folder: &str) -> Vec<String> {
        let start = format!("{folder}/");
        let found: BTreeSet<_> = self
            .files
            .range(start.clone()..)
            .map_while(|(name, _)| name.strip_prefix(&start))
            .filter_map(|rest| rest.split_once('/'))
            .map(|(name, _)| name.to_owned())
            .collect();
        found.into_iter().collect()
    }

    /// Returns the words of each line of a file. A line without one of the `needed` names is left
    /// out, and reported; other names may come and go.
    pub fn records(&self, name: &str, needed: &[&str]) -> Vec<Record> {
        let mut found = Vec::new();
        for (at, line) in self.text(name).lines().enumerate() {
            let words: Record = line
                .split_whitespace()
                .filter_map(|word| word.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            let missing: Vec<_> = needed
                .iter()
                .filter(|key| !words.contains_key(**key))
                .copied()
                .collect();
            if missing.is_empty() {
                found.push(words);
            } else {
                self.problem(format!(
                    "line {} of {name} says nothing of its {}: {line:.60}",
                    at + 1,
                    missing.join(", ")
                ));
            }
        }
        found
    }

    /// Returns the lines `name: number` of a file, in its order.
    pub fn counts(&self, name: &str) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        for (at, line) in self.text(name).lines().enumerate() {
            let pair = line.split_once(':');
            match pair.map(|(key, value)| (key.trim(), value.trim().parse())) {
                Some((key, Ok(value))) => found.push((key.to_owned(), value)),
                _ => self.problem(format!("line {} of {name} is no count: {line:.60}", at + 1)),
            }
        }
        found
    }

    pub fn problem(&self, text: String) {
        self.problems.borrow_mut().push(text);
    }
}

/// Refuses what cannot be a dump before it is read.
fn bounded(files: usize, size: u64) -> io::Result<()> {
    if files < MOST_FILES && size <= MOST_BYTES {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "it has more than {MOST_FILES} files or {} MiB",
            MOST_BYTES >> 20
        ),
    ))
}

fn folder(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let inner = path.join(TOP);
    let top = if inner.is_dir() { &inner } else { path };
    let (mut files, mut size) = (BTreeMap::new(), 0u64);
    let mut left = vec![(top.to_owned(), String::new(), 0)];
    while let Some((dir, prefix, depth)) = left.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // Links are not followed.
            let kind = entry.file_type()?;
            if kind.is_dir() && depth < 8 {
                bounded(files.len() + left.len(), size)?;
                left.push((entry.path(), format!("{prefix}{name}/"), depth + 1));
            } else if kind.is_file() {
                size = entry.metadata()?.len().saturating_add(size);
                bounded(files.len(), size)?;
                files.insert(format!("{prefix}{name}"), fs::read(entry.path())?);
            }
        }
    }
    Ok(files)
}

fn archive(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut file = BufReader::new(fs::File::open(path)?);
    let head = io::BufRead::fill_buf(&mut file)?;
    let is_gzip = head.starts_with(&[0x1f, 0x8b]);
    for (start, program) in OTHER_COMPRESSIONS {
        if head.starts_with(start) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it is compressed by {program}; {program} -d makes an archive of it"),
            ));
        }
    }
    // What a compressed file may grow to.
    let most = 2 * MOST_BYTES;
    let reader: Box<dyn Read> = if is_gzip {
        Box::new(flate2::bufread::MultiGzDecoder::new(file).take(most))
    } else {
        Box::new(file.take(most))
    };
    let (mut files, mut size) = (BTreeMap::new(), 0u64);
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path_bytes().into_owned();
        let Some(name) = String::from_utf8(name)
            .ok()
            .and_then(|name| Some(name.strip_prefix(TOP)?.strip_prefix('/')?.to_owned()))
        else {
            continue;
        };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        size = entry.size().saturating_add(size);
        bounded(files.len(), size)?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.insert(name, bytes);
    }
    if files.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is no whole tar archive of a folder {TOP}"),
        ));
    }
    Ok(files)
}
