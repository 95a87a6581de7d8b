// SPDX-License-Identifier: GPL-2.0

//! `vtd doctor`: what lets vtd run, and each thing that does not.

mod common;

use common::{assert_fits, dmar_with, Tree, DRIVERS};
use serde_json::Value;
use std::path::Path;

const CONFIG: &str = "CONFIG_RUST=y\nCONFIG_MODULES=y\nCONFIG_PCI_MSI=y\nCONFIG_ACPI=y\n\
                      CONFIG_IOMMU_API=y\nCONFIG_INTEL_IOMMU=y\nCONFIG_IRQ_REMAP=y\n";

/// A machine that can run vtd.
fn ready() -> Tree {
    let tree = Tree::new("in-tree");
    tree.write("boot/config-7.3.4", CONFIG);
    tree.write("proc/cmdline", "quiet intel_iommu=off intremap=off\n");
    tree.write("lib/modules/7.3.4/build/rust/libkernel.rmeta", "");
    tree.write("proc/cpuinfo", "processor : 0\nflags : fpu x2apic\n");
    tree
}

fn check<'v>(answer: &'v Value, name: &str) -> Vec<(&'v str, &'v str)> {
    let checks = answer["checks"].as_array().expect("a list").iter();
    let text = |it: &'v Value, key: &str| it[key].as_str().expect("text");
    checks
        .filter(|it| it["check"] == name)
        .map(|it| (text(it, "verdict"), text(it, "words")))
        .collect()
}

#[test]
fn where_vtd_runs_it_says_whether_interrupts_are_isolated() {
    let tree = Tree::new("vtd");
    for (says, part) in [
        (
            "remapped, devices isolated; on, table at 0x1000",
            "ok interrupts dmar0: remapped, devices isolated.",
        ),
        (
            "not remapped: IO-APIC 0 needs interrupts in compatibility format",
            "note interrupts dmar0: not remapped: IO-APIC 0 needs interrupts in compatibility format.",
        ),
    ] {
        tree.write(
            "sys/kernel/debug/vtd/dmar0/interrupts",
            format!("dmar0: {says}\n"),
        );
        let text = tree.run(&["doctor"]).flat();
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_machine_that_can() {
    let tree = ready();
    let done = tree.run(&["doctor"]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    assert_fits(&done.out);
    let answer = tree.run(&["--json", "doctor"]).json();
    assert_eq!(answer["can_run"], true);
    assert_eq!(check(&answer, "drivers")[0].0, "ok");
    assert_eq!(check(&answer, "parameters")[0].0, "ok");
    let reserved = check(&answer, "reserved");
    assert_eq!(reserved.len(), 2);
    for words in [
        "0000:00:0d.0: firmware uses 0x70000000 to 0x70003fff (RMRR), which stays mapped. No user can \
         have it, unless vtd is loaded with rmrr=relax:0000:00:0d.0.",
        "can still be given to a user.",
    ] {
        assert!(reserved.iter().any(|it| it.1.ends_with(words)), "{reserved:?}");
    }
    let text = tree.run(&["doctor"]).flat();
    assert!(
        text.ends_with("vtd can run here, once the notes are read."),
        "{text}"
    );
}

#[test]
fn what_firmware_says_of_ats_and_memory() {
    let tree = ready();
    assert!(check(&tree.run(&["--json", "doctor"]).json(), "ATS").is_empty());
    let mut structures = vec![2, 0, 16, 0, 0, 0, 0, 0, 2, 8, 0, 0, 0, 0, 0x0e, 0];
    structures.extend([5, 0, 16, 0, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 4, 0]);
    structures.extend([2, 0, 8, 0, 1, 0, 7, 0]);
    structures.extend([3, 0, 20, 0, 0, 0, 0, 0]);
    structures.extend(0xfed9_0000_u64.to_le_bytes());
    structures.extend(5_u32.to_le_bytes());
    let table = dmar_with(&tree, &structures);
    tree.write("sys/firmware/acpi/tables/DMAR", &table);
    let answer = tree.run(&["--json", "doctor"]).json();
    let (verdict, words) = check(&answer, "ATS")[0];
    assert_eq!(verdict, "ok");
    for listed in [
        "all below 00:0e.0 (ATSR)",
        "00:04.0 (SATC)",
        "below all root ports of segment 0007 (ATSR)",
    ] {
        assert!(words.contains(listed), "{words}");
    }
    assert!(check(&answer, "unit")[0]
        .1
        .contains("proximity domain 5 (RHSA)"));
}

/// A change of a machine that can run vtd, the check that finds it, and words of that check.
type Case = (&'static str, fn(&Tree), &'static str, &'static str);

const REFUSED: [Case; 6] = [
    (
        "no table",
        |tree| tree.remove("sys/firmware/acpi/tables/DMAR"),
        "DMAR table",
        "Enable VT-d",
    ),
    (
        "a bad checksum",
        |tree| {
            let name = "sys/firmware/acpi/tables/DMAR";
            let mut table = std::fs::read(tree.path(name)).expect("a table");
            table[20] ^= 1;
            tree.write(name, table);
        },
        "DMAR table",
        "refuses it. DMAR table, offset 0x0",
    ),
    (
        "another table",
        |tree| tree.write("sys/firmware/acpi/tables/DMAR", "IVRS"),
        "DMAR table",
        "refuses it",
    ),
    (
        "an old kernel",
        |tree| tree.write("proc/sys/kernel/osrelease", "7.1.9-amd64\n"),
        "kernel",
        "7.2 or newer",
    ),
    (
        "no Rust",
        |tree| tree.write("boot/config-7.3.4", CONFIG.replace("CONFIG_RUST=y", "")),
        "options",
        "CONFIG_RUST",
    ),
    (
        "many processors",
        |tree| tree.write("proc/cpuinfo", "processor : 0\n".repeat(300)),
        "intremap=off",
        "300 processors",
    ),
];

#[test]
fn machines_that_cannot() {
    for (what, change, name, words) in REFUSED {
        let tree = ready();
        change(&tree);
        let done = tree.run(&["--json", "doctor"]);
        let answer = done.json();
        assert_eq!(
            (done.status, &answer["can_run"]),
            (1, &false.into()),
            "{what}"
        );
        let found = check(&answer, name);
        assert!(
            found.iter().any(|it| it.0 == "no" && it.1.contains(words)),
            "{what}: {found:?}"
        );
        assert!(
            answer["verdict"].as_str().expect("text").contains(name),
            "{what}"
        );
    }
}

const NOTED: [Case; 7] = [
    (
        "the in-tree driver",
        |tree| tree.write("proc/cmdline", "quiet\n"),
        "parameters",
        "Boot with intel_iommu=off intremap=off. The kernel's own",
    ),
    (
        "a built-in driver",
        |tree| tree.remove("sys/module/nvme/initstate"),
        "drivers",
        "nvme (0000:01:00.0)",
    ),
    (
        "remapped interrupts",
        |tree| {
            tree.write(
                "proc/interrupts",
                "24: 1 IR-PCI-MSI-0000:00:1f.2 0-edge ahci\n",
            )
        },
        "interrupts",
        "leaves x2APIC mode",
    ),
    (
        "Secure Boot",
        |tree| {
            tree.write(
                "sys/firmware/efi/efivars/SecureBoot-8be4df61",
                [6, 0, 0, 0, 1],
            )
        },
        "signature",
        "Secure Boot is on",
    ),
    (
        "lockdown",
        |tree| tree.write("sys/kernel/security/lockdown", "none [integrity]\n"),
        "signature",
        "locked down",
    ),
    (
        "headers without metadata",
        |tree| {
            tree.remove("lib/modules/7.3.4/build/rust");
            tree.write("lib/modules/7.3.4/build/Makefile", "");
        },
        "module",
        "without Rust metadata",
    ),
    (
        "no headers",
        |tree| tree.remove("lib/modules"),
        "module",
        "linux-headers-7.3.4",
    ),
];

#[test]
fn what_to_do_before() {
    for (what, change, name, words) in NOTED {
        let tree = ready();
        change(&tree);
        let done = tree.run(&["--json", "doctor"]);
        let answer = done.json();
        let found = check(&answer, name);
        assert_eq!(done.status, 0, "{what}");
        assert!(
            found
                .iter()
                .any(|it| it.0 == "note" && it.1.contains(words)),
            "{what}: {found:?}"
        );
    }
}

#[test]
fn nothing_is_written() {
    for driver in DRIVERS {
        let tree = Tree::new(driver);
        let list = |tree: &Tree| {
            let done = std::process::Command::new("find")
                .arg(&tree.root)
                .arg("-newermt")
                .arg("@1")
                .arg("-printf")
                .arg("%p %T@ %s\n")
                .output();
            String::from_utf8(done.expect("find runs").stdout).expect("text")
        };
        let before = list(&tree);
        tree.run(&["doctor"]);
        tree.run(&["why", "00:05.0"]);
        tree.run(&["give", "00:05.0"]);
        assert!(before.lines().count() > 300);
        assert_eq!(before, list(&tree));
    }
}

#[test]
fn every_table_of_the_corpus_gets_an_answer() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/core/tests/dmar_corpus");
    let tree = ready();
    let mut counts = [0; 2];
    for entry in std::fs::read_dir(corpus).expect("the corpus") {
        let path = entry.expect("a name").path();
        let table = std::fs::read(&path).expect("a table");
        let parses = vtd_core::dmar::Dmar::parse(&table).is_ok();
        tree.write("sys/firmware/acpi/tables/DMAR", &table);
        let done = tree.run(&["--json", "doctor"]);
        let answer = done.json();
        let refused = check(&answer, "DMAR table").iter().any(|it| it.0 == "no");
        assert_eq!(refused, !parses, "{}", path.display());
        assert_fits(&tree.run(&["doctor"]).out);
        counts[usize::from(parses)] += 1;
    }
    assert!(counts[0] > 10 && counts[1] > 10, "{counts:?}");
}
