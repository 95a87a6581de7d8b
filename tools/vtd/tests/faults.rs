// SPDX-License-Identifier: GPL-2.0

//! `vtd faults`: kernel logs of both drivers.

mod common;

use common::{assert_fits, run, Scratch, Tree, DRIVERS};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const IN_TREE: &str = "DMAR: [DMA Write NO_PASID] Request device [0000:00:05.0] fault addr \
                       0xffffd000 [fault reason 0x05] PTE Write access is not set";

fn log(text: &str) -> (Scratch, String) {
    let scratch = Scratch::new();
    let path = scratch.path("log");
    std::fs::write(&path, text).expect("a file");
    (scratch, path)
}

#[test]
fn the_recorded_logs() {
    for driver in DRIVERS {
        let tree = Tree::new(driver);
        let done = tree.run(&["faults"]);
        assert_eq!((done.status, done.err.as_str()), (0, ""));
        assert_fits(&done.out);
        let text = done.flat();
        let words = "write of 0xffffe000 refused: the page is not mapped for writing (VT-d 7.1.3, \
                     reason 0x05)";
        assert!(text.contains(words), "{driver}: {text}");
        assert_eq!(
            text.matches("As a rule: the device used an address")
                .count(),
            1
        );
        let answer = tree.run(&["--json", "faults"]).json();
        let lines = answer["lines"].as_array().expect("a list");
        let faults = lines.iter().filter(|line| line["kind"] == "fault");
        let total: u64 = faults
            .map(|line| line["count"].as_u64().expect("a number"))
            .sum();
        // vtd reports each request; the in-tree driver limits its lines.
        let recorded = tree.read("dev/kmsg");
        let logged = recorded.matches("refused:").count() + recorded.matches("fault addr").count();
        assert_eq!(total, logged as u64, "{driver}");
        assert!(total >= 2);
    }
}

#[test]
fn devices_are_named() {
    let tree = Tree::new("in-tree");
    tree.write(
        "usr/share/misc/pci.ids",
        "1234  QEMU\n\t11e8  Educational device\n",
    );
    let named = |done: &common::Done| {
        done.flat()
            .contains("Educational device [1234:11e8]; driver vtd_attack, group")
    };
    let done = tree.run(&["faults"]);
    assert!(named(&done), "{}", done.out);
    assert_fits(&done.out);
    let answer = tree.run(&["--json", "faults"]).json();
    let devices = answer["devices"].as_array().expect("a list");
    assert_eq!(devices[0]["driver"], "vtd_attack");
    // A log in a file may be of another machine, unless its dump is given.
    let (_scratch, path) = log(&format!("{IN_TREE}\n"));
    assert!(!named(&tree.run(&["faults", &path])));
    let dump = tree.save("dump.tar");
    let done = run(&["--root", &tree.root, "--dump", &dump, "faults", &path]);
    assert!(named(&done), "{}", done.out);
}

#[test]
fn equal_lines_are_counted() {
    let line = |second| format!("[    {second}.5] {IN_TREE}\n");
    let lines = [1, 2, 3, 4, 5].map(line).concat();
    let (_scratch, path) = log(&lines);
    let answer = run(&["--json", "faults", &path]).json();
    let line = &answer["lines"][0];
    assert_eq!(
        (&line["count"], &line["first"], &line["last"]),
        (&5.into(), &"1.5".into(), &"5.5".into())
    );
    assert!(run(&["faults", &path])
        .flat()
        .contains("[5 times, last at 5.5]"));
}

#[test]
fn other_lines_only_on_request() {
    let (_scratch, path) = log(&format!("usb 1-1: new device\n{IN_TREE}\n"));
    assert!(!run(&["faults", &path]).out.contains("usb"));
    assert!(run(&["faults", "--all", &path])
        .out
        .contains("usb 1-1: new device"));
    // The whole log stays as it is: equal lines, and their order.
    let lines = [
        "[ 1.5]   a  b",
        IN_TREE,
        "[ 2.5] c",
        IN_TREE,
        "[ 1.5]   a  b",
    ];
    let (_scratch, path) = log(&(lines.join("\n") + "\n"));
    let out = run(&["faults", "-a", &path]).out;
    let others: Vec<_> = out.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(others, [lines[0], lines[2], lines[4]]);
    assert_eq!(out.matches(" refused: ").count(), 2);
    let answer = run(&["--json", "faults", "-a", &path]).json();
    assert_eq!(answer["lines"].as_array().expect("a list").len(), 5);
    assert_eq!(answer["lines"][0]["kind"], "other");
}

#[test]
fn a_log_without_faults() {
    let (_scratch, path) = log("usb 1-1: new device\n");
    let done = run(&["faults", &path]);
    assert_eq!(
        (done.status, done.flat().as_str()),
        (
            1,
            "No line about a fault, by vtd or by the in-tree driver, was found."
        )
    );
    let done = run(&["faults", "--all", &path]);
    assert_eq!(done.status, 1);
    assert!(done
        .out
        .starts_with("usb 1-1: new device\nNo line about a fault"));
}

#[test]
fn standard_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vtd"))
        .args(["faults", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(IN_TREE.as_bytes())
        .expect("the program reads");
    drop(stdin);
    let done = child.wait_with_output().expect("the program ends");
    assert!(String::from_utf8_lossy(&done.stdout).contains("write of 0xffffd000 refused"));
}

#[test]
fn following_prints_what_comes_later() {
    let tree = Tree::new("in-tree");
    tree.write("dev/kmsg", "");
    let mut child = Command::new(env!("CARGO_BIN_EXE_vtd"))
        .args(["--root", &tree.root, "--json", "faults", "-f"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(tree.path("dev/kmsg"))
        .expect("a file");
    for number in 1..=3u64 {
        // In two parts: a line is printed when it is whole.
        let record = format!("3,{number},{number}000000,-;{IN_TREE}\n DEVICE=+pci:0000:00:05.0\n");
        let (first, second) = record.split_at(40);
        file.write_all(first.as_bytes()).expect("written");
        std::thread::sleep(std::time::Duration::from_millis(50));
        file.write_all(second.as_bytes()).expect("written");
        let line = lines.next().expect("a line").expect("text");
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(value["first"], format!("{number}.000000"));
        assert_eq!(value["address"], "0xffffd000");
    }
    child.kill().expect("it still runs");
    child.wait().expect("it ends");
}

#[test]
fn what_cannot_be_read_is_a_sentence() {
    let tree = Tree::new("vtd");
    tree.remove("dev/kmsg");
    assert!(tree
        .run(&["faults"])
        .sentence(2)
        .contains("give a file that has the kernel log"));
    assert!(run(&["faults", "/nonexistent"])
        .sentence(2)
        .contains("No such file"));
    assert!(run(&["faults", "/"]).sentence(2).contains("Is a directory"));
    assert!(run(&["faults", "-f", "/dev/null"])
        .sentence(2)
        .contains("takes no file"));
    assert!(run(&["--dump", "/nonexistent", "faults"])
        .sentence(2)
        .contains("no kernel log"));
}
