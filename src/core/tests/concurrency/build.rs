// SPDX-License-Identifier: GPL-2.0

//! Copies the files of the driver that `holding_subject.rs` lists, with the kernel's names and the
//! processor's atomics replaced by those of `shim`, and makes one more copy with each mistake that
//! loom must find in them. The files of `src/core/lockless` and `src/core/concurrent` are compiled as
//! they are: only their mistakes are made here.

mod concurrent_mistakes;
mod holding_subject;
mod lockless_mistakes;

use holding_subject::HOLDING;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The replacements of the kernel's names.
const COMMON: &[(&str, &str)] = &[
    ("core::sync::atomic", "crate::shim::atomic"),
    ("use kernel::prelude::*;", "use crate::shim::prelude::*;"),
    ("kernel_ext::new_irq_spinlock!(", "crate::shim::lock::new("),
    ("kernel_ext::", "crate::shim::"),
    ("#[pin_data]", ""),
    ("#[pin]", ""),
    ("pin_init!(", "core::convert::identity("),
    (" <- ", ": "),
    ("impl PinInit<Self>", "Self"),
    ("pub(super)", "pub(crate)"),
    ("pub(in crate::domain)", "pub(crate)"),
];

/// Replaces `from`, which must be in the text.
fn replaced(text: &str, files: &[&str], from: &str, to: &str) -> String {
    assert!(
        text.contains(from),
        "{files:?} in src no longer have {from:?}: adapt the mistakes"
    );
    text.replace(from, to)
}

fn write(out: &Path, name: &str, text: &str) {
    fs::write(out.join(format!("{name}.rs")), text).expect("the build's folder");
}

/// Removes the documentation of a module, which cannot be included.
fn included(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("//!"));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn read(source: &Path, file: &str) -> String {
    let path = source.join(file);
    println!("cargo:rerun-if-changed={}", path.display());
    fs::read_to_string(&path).expect("a file of the driver")
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// Returns the text of the files, and the name of the module that they form.
fn original(source: &Path, files: &[&'static str]) -> (String, &'static str) {
    let module = |file: &&str| {
        let (name, text) = (name(Path::new(file)), read(source, file));
        format!("pub(crate) mod {name} {{\n{text}}}\n")
    };
    let folder = Path::new(files[0]).parent().unwrap();
    (files.iter().map(module).collect(), name(folder))
}

fn main() {
    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../../../src");
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=concurrent_mistakes.rs");
    println!("cargo:rerun-if-changed=holding_subject.rs");
    println!("cargo:rerun-if-changed=lockless_mistakes.rs");
    let (original, stem) = original(&source, HOLDING.files);
    let adapt = |mistake: Option<(&str, &str)>| {
        let mut text = original.clone();
        for (from, to) in mistake.into_iter().chain(HOLDING.adapted.iter().copied()) {
            text = replaced(&text, HOLDING.files, from, to);
        }
        for (from, to) in COMMON {
            text = text.replace(from, to);
        }
        included(&text)
    };
    write(&out, stem, &adapt(None));
    for (name, from, to) in HOLDING.mistakes {
        write(&out, &format!("{stem}_{name}"), &adapt(Some((from, to))));
    }
    let files = lockless_mistakes::FILES
        .iter()
        .chain(concurrent_mistakes::FILES);
    for (path, mistakes) in files {
        let file = format!("core/{path}.rs");
        let original = read(&source, &file);
        for (mistake, from, to) in *mistakes {
            let text = replaced(&original, &[&file], from, to);
            let stem = name(Path::new(&file));
            write(&out, &format!("{stem}_{mistake}"), &included(&text));
        }
    }
}
