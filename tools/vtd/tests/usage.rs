// SPDX-License-Identifier: GPL-2.0

//! The command line: help, wrong arguments, the man page, completion, output that cannot be written.

mod common;

use common::{assert_fits, run, Tree, DRIVERS};
use std::process::{Command, Stdio};

#[test]
fn help_goes_to_standard_output_and_fits() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["why", "--help"],
        &["top", "--help"],
        &["help", "give"],
    ] {
        let done = run(arguments);
        assert_eq!((done.status, done.err.as_str()), (0, ""), "{arguments:?}");
        assert!(done.out.contains("Usage: vtd"));
        assert_fits(&done.out);
    }
    assert_eq!(
        run(&["--version"]).out,
        concat!("vtd ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn wrong_arguments_are_one_sentence() {
    for (arguments, part) in [
        (&[][..], "which command?"),
        (&["why"], "<DEVICE>"),
        (&["wy"], "'wy'"),
        (&["doctor", "--frob"], "'--frob'"),
        (&["top", "-i", "soon"], "'soon'"),
        (&["diff"], "<BEFORE>"),
    ] {
        let said = run(arguments).sentence(2);
        assert!(said.contains(part) && said.contains("vtd --help"), "{said}");
    }
}

#[test]
fn every_command_has_json() {
    for driver in DRIVERS {
        let tree = Tree::new(driver);
        let dump = tree.save("dump.tar");
        for arguments in [
            &["doctor"][..],
            &["why", "00:05.0"],
            &["faults"],
            &["diff", &dump],
            &["metrics"],
            &["save", &dump],
            &["tree"],
            &["give", "00:05.0"],
            &["take", "00:06.0"],
        ] {
            let answer = tree.run(&[&["--json"], arguments].concat()).json();
            assert!(answer.is_object(), "{driver}, {arguments:?}");
        }
    }
}

#[test]
fn the_man_page_and_completion_know_every_command() {
    let help = run(&["--help"]).out;
    let commands = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1);
    let commands: Vec<_> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            line.strip_prefix("  ")?
                .split(' ')
                .next()
                .filter(|name| !name.is_empty())
        })
        .collect();
    assert!(commands.len() > 9, "{commands:?}");
    let page = run(&["man"]).out;
    assert!(page.contains(".TH vtd 1"));
    for shell in ["bash", "zsh", "fish"] {
        let text = run(&["completion", shell]).out;
        for command in &commands {
            assert!(text.contains(command), "{shell}: {command}");
        }
    }
    for command in &commands {
        assert!(page.contains(&format!("vtd\\-{command}(1)")), "{command}");
    }
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly() {
    let tree = Tree::new("vtd");
    for arguments in [
        &["doctor"][..],
        &["--help"],
        &["faults"],
        &["why", "00:05.0"],
    ] {
        // The standard input of a program that has ended is a pipe without a reader.
        let mut gone = Command::new("true")
            .stdin(Stdio::piped())
            .spawn()
            .expect("true runs");
        let pipe = gone.stdin.take().expect("a pipe");
        gone.wait().expect("true ends");
        let done = Command::new(env!("CARGO_BIN_EXE_vtd"))
            .args(["--root", &tree.root])
            .args(arguments)
            .stdout(Stdio::from(pipe))
            .stderr(Stdio::piped())
            .output()
            .expect("the program starts");
        assert_eq!(
            (done.status.code(), done.stderr.len()),
            (Some(141), 0),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_full_disk_is_a_sentence() {
    let full = std::fs::File::create("/dev/full").expect("a device");
    let tree = Tree::new("vtd");
    let done = Command::new(env!("CARGO_BIN_EXE_vtd"))
        .args(["--root", &tree.root, "doctor"])
        .stdout(full)
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2));
    assert_eq!(
        said,
        "vtd: the output cannot be written: No space left on device.\n"
    );
}
