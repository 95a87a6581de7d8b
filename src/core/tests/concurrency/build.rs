// SPDX-License-Identifier: GPL-2.0

//! Copies the files of the driver that `holding_subject.rs` lists, with the kernel's names and the
//! processor's atomics replaced by those of `shim`, and makes one more copy with each mistake that
//! loom must find in them. The files of `src/core/lockless` and `src/core/concurrent` are compiled as
//! they are: only their mistakes are made here.

mod concurrent_mistakes;
mod holding_subject;
mod lockless_mistakes;
mod subjects;

use holding_subject::HOLDING;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The replacements in all files.
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

/// Returns the text of the files, and the name of the module that they form.
fn original(source: &Path, files: &[&str]) -> (String, String) {
    let read = |file: &str| {
        let path = source.join(file);
        println!("cargo:rerun-if-changed={}", path.display());
        fs::read_to_string(&path).expect("a file of the driver")
    };
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let first = Path::new(files[0]);
    if files.len() == 1 {
        return (read(files[0]), name(first));
    }
    let module = |file: &&str| {
        let (name, text) = (name(Path::new(file)), read(file));
        format!("pub(crate) mod {name} {{\n{text}}}\n")
    };
    let text = files.iter().map(module).collect();
    (text, name(first.parent().unwrap()))
}

fn main() {
    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../../../src");
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=subjects.rs");
    println!("cargo:rerun-if-changed=concurrent_mistakes.rs");
    println!("cargo:rerun-if-changed=holding_subject.rs");
    println!("cargo:rerun-if-changed=lockless_mistakes.rs");
    for subject in [&HOLDING] {
        let (original, stem) = original(&source, subject.files);
        let adapt = |mistake: Option<(&str, &str)>| {
            let mut text = original.clone();
            for (from, to) in mistake.into_iter().chain(subject.adapted.iter().copied()) {
                text = replaced(&text, subject.files, from, to);
            }
            for (from, to) in COMMON {
                text = text.replace(from, to);
            }
            included(&text) + subject.appended
        };
        write(&out, &stem, &adapt(None));
        for (name, from, to) in subject.mistakes {
            write(&out, &format!("{stem}_{name}"), &adapt(Some((from, to))));
        }
    }
    let files = lockless_mistakes::FILES
        .iter()
        .chain(concurrent_mistakes::FILES);
    for (path, mistakes) in files {
        let file = format!("core/{path}.rs");
        let (original, stem) = original(&source, &[&file]);
        for (name, from, to) in *mistakes {
            let text = replaced(&original, &[&file], from, to);
            write(&out, &format!("{stem}_{name}"), &included(&text));
        }
    }
}
