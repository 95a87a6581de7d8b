// SPDX-License-Identifier: GPL-2.0

//! The corpus of tables in `dmar_corpus/`, and the exact text of the outcome for each.
//!
//! This file builds the tables. They are kept as files too, so that guests can boot with them and a
//! fuzzer can start from them. `dmar_corpus/OUTCOMES` has the outcome of each. If a test fails
//! after an intended change, run it with `VTD_WRITE_CORPUS=1`, then read the difference.

use crate::dmar_corpus_tables::tables;
use std::collections::BTreeSet;
use std::path::PathBuf;
use vtd_core::dmar::Dmar;

const HEAD: &str = "# SPDX-License-Identifier: GPL-2.0
#
# The outcome for each table: its name, whether it is taken, and below that the
# sentence of the refusal or the notes.
";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/core/tests/dmar_corpus")
}

fn outcome(name: &str, bytes: &[u8]) -> String {
    match Dmar::parse(bytes) {
        Err(error) => format!("\n{name}: refused\n    {error}\n"),
        Ok(dmar) => {
            let mut text = format!("\n{name}: taken\n");
            dmar.notes(|note| text += &format!("    {note}\n"));
            text
        }
    }
}

#[test]
fn every_table_of_the_corpus_has_its_documented_outcome() {
    let tables = tables();
    let said: String = tables
        .iter()
        .map(|(name, bytes)| outcome(name, bytes))
        .collect();
    let said = format!("{HEAD}{said}");
    if std::env::var_os("VTD_WRITE_CORPUS").is_some() {
        for (name, bytes) in &tables {
            std::fs::write(folder().join(format!("{name}.dmar")), bytes).unwrap();
        }
        std::fs::write(folder().join("OUTCOMES"), &said).unwrap();
    }
    let documented = std::fs::read_to_string(folder().join("OUTCOMES")).unwrap();
    for (said, documented) in said.split("\n\n").zip(documented.split("\n\n")) {
        assert_eq!(said, documented);
    }
    assert_eq!(said, documented);
}

#[test]
fn the_files_of_the_corpus_are_the_tables() {
    let tables = tables();
    assert!(tables.len() >= 60, "{} tables", tables.len());
    let names: BTreeSet<String> = tables.iter().map(|it| format!("{}.dmar", it.0)).collect();
    assert_eq!(names.len(), tables.len(), "two tables of one name");
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".dmar"))
        .collect();
    assert_eq!(files, names);
    for (name, bytes) in &tables {
        let kept = std::fs::read(folder().join(format!("{name}.dmar"))).unwrap();
        assert_eq!(&kept, bytes, "{name}");
    }
}

/// A refusal names the place and the problem, and says what to do.
#[test]
fn every_refusal_of_the_corpus_says_what_to_do() {
    let mut refused = 0;
    for (name, bytes) in tables() {
        if let Err(error) = Dmar::parse(&bytes) {
            refused += 1;
            let text = error.to_string();
            assert!(text.starts_with("DMAR table, offset 0x"), "{name}: {text}");
            let out = ["; update the firmware", "; enable VT-d in the firmware's"];
            assert!(out.iter().any(|it| text.contains(it)), "{name}: {text}");
            assert!(error.offset <= bytes.len().max(5), "{name}: {text}");
        }
    }
    assert!(refused >= 40, "{refused}");
}
