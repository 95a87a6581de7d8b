// SPDX-License-Identifier: GPL-2.0

//! `vtd save FILE`: writes a dump of the system, which every command reads with `--dump`.

use super::{unread, Answer, Context};
use crate::dump::{Dump, TOP};
use crate::error::{said, Result};
use crate::fail;
use crate::text::{many, size};
use flate2::write::GzEncoder;
use serde_json::json;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

pub fn run(context: &Context, path: &Path) -> Result<Answer> {
    let dump = context.dump()?;
    if dump.driver == "none" && dump.bytes("acpi/DMAR").is_none() && context.root.is_live() {
        let why = if context.root.denied().is_empty() {
            "this machine has no remapping unit that firmware lists (no DMAR table)"
        } else {
            "only root can read the DMAR table, and no driver runs a unit"
        };
        fail!("There is nothing to save: {why}.");
    }
    let bytes = match archive(
        &dump,
        path.extension()
            .is_some_and(|end| end == "gz" || end == "tgz"),
    ) {
        Ok(bytes) => bytes,
        Err(error) => fail!("The dump could not be made: {}.", said(&error)),
    };
    if let Err(error) = write(path, &bytes) {
        fail!("{} cannot be written: {}.", path.display(), said(&error));
    }
    let count = dump.files().count() as u64;
    let shown = path.display();
    let text = format!(
        "{shown}: {}, {}. vtd --dump {shown} why DEVICE reads it, as all commands do.\n{}",
        many(count, "file"),
        size(bytes.len() as u64),
        unread(&dump)
    );
    let json = json!({
        "file": path,
        "files": count,
        "bytes": bytes.len(),
        "problems": dump.problems.borrow().clone(),
    });
    Ok(Answer {
        text,
        json,
        status: 0,
    })
}

/// Returns a tar archive, which has no time and no owner, so that equal states are equal files.
fn archive(dump: &Dump, compressed: bool) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in dump.files() {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("{TOP}/{name}"), bytes.as_slice())?;
    }
    let bytes = builder.into_inner()?;
    if !compressed {
        return Ok(bytes);
    }
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&bytes)?;
    encoder.finish()
}

/// Writes the whole file, or leaves what was there.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A device or a pipe, such as /dev/stdout, cannot be replaced.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::write(path, bytes);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let written = fs::write(&new, bytes).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
