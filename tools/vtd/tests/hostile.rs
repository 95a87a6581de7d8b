// SPDX-License-Identifier: GPL-2.0

//! Files that lie, that are huge or binary, and files that are no dump.

mod common;

use common::{run, Scratch, Tree, DRIVERS};
use std::path::Path;

const COMMANDS: [&[&str]; 7] = [
    &["why", "00:05.0"],
    &["doctor"],
    &["metrics"],
    &["--json", "why", "07:00.0"],
    &["tree", "--svg", "/dev/stdout"],
    &["--json", "tree"],
    &["unload"],
];

fn unpack(dump: &str, folder: &Path) -> Vec<std::path::PathBuf> {
    let file = std::fs::File::open(dump).expect("a dump");
    tar::Archive::new(file)
        .unpack(folder)
        .expect("a whole archive");
    let mut files = Vec::new();
    let mut left = vec![folder.join("vtd-dump")];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("a name").path();
            if path.is_dir() {
                left.push(path)
            } else {
                files.push(path)
            }
        }
    }
    files.sort();
    files
}

#[test]
fn any_file_of_a_dump_may_be_anything() {
    for driver in DRIVERS {
        let tree = Tree::new(driver);
        let folder = Path::new(&tree.scratch.path("unpacked")).to_owned();
        let files = unpack(&tree.save("dump.tar"), &folder);
        assert!(files.len() > 15);
        for path in files {
            let good = std::fs::read(&path).expect("a file");
            let half = &good[..good.len() / 2];
            let long = b"=:A".repeat(100_000);
            for bad in [
                &b""[..],
                half,
                b"\0\xff\n=\n====\n:\n\xf0\x9f \x1b[2J\n",
                &long,
            ] {
                std::fs::write(&path, bad).expect("a file");
                for command in COMMANDS {
                    let place = folder.to_str().expect("text");
                    let done = run(&[&["--dump", place], command].concat());
                    assert!((0..=2).contains(&done.status), "{}", path.display());
                    assert!(!done.out.contains('\x1b') && !done.err.contains('\x1b'));
                    assert!(
                        done.out.len() < 100_000,
                        "{}: {}",
                        path.display(),
                        done.out.len()
                    );
                }
            }
            std::fs::remove_file(&path).expect("a file");
            for command in COMMANDS {
                let done = run(&[&["--dump", folder.to_str().expect("text")], command].concat());
                assert!((0..=2).contains(&done.status), "{}", path.display());
            }
            std::fs::write(&path, good).expect("a file");
        }
    }
}

#[test]
fn what_is_no_dump_is_a_sentence() {
    let tree = Tree::new("vtd");
    let scratch = Scratch::new();
    let whole = std::fs::read(tree.save("dump.tar.gz")).expect("a file");
    let write = |name: &str, bytes: &[u8]| {
        let path = scratch.path(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    std::fs::create_dir(scratch.path("folder")).expect("a folder");
    for (path, part) in [
        (
            write("half", &whole[..whole.len() / 2]),
            "no whole tar archive",
        ),
        (write("empty", b""), "no whole tar archive"),
        (
            write("text", &b"hello\n".repeat(1000)),
            "no whole tar archive",
        ),
        (write("xz", b"\xfd7zXZ\0rest"), "xz -d"),
        (scratch.path("none"), "cannot be read: No such file"),
        (scratch.path("folder"), "This is no dump"),
    ] {
        let said = run(&["--dump", &path, "doctor"]).sentence(2);
        assert!(said.contains(part), "{said}");
    }
    let next = b"format 2\n";
    std::fs::write(scratch.path("folder/about"), next).expect("a file");
    let said = run(&["--dump", &scratch.path("folder"), "doctor"]).sentence(2);
    assert!(said.contains("This dump has format 2"), "{said}");
}

/// Writes an archive of these members: name, kind, bytes.
fn archive(path: &str, members: &[(&str, tar::EntryType, Vec<u8>)]) {
    let mut builder = tar::Builder::new(std::fs::File::create(path).expect("a file"));
    for (name, kind, bytes) in members {
        let mut header = tar::Header::new_old();
        header.set_size(bytes.len() as u64);
        header.set_entry_type(*kind);
        // Not by set_path(), which refuses what an attacker would write.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if !kind.is_file() {
            header.set_link_name("/etc/passwd").expect("a short name");
        }
        header.set_cksum();
        builder.append(&header, bytes.as_slice()).expect("written");
    }
    builder.finish().expect("written");
}

#[test]
fn an_archive_cannot_reach_other_files() {
    let scratch = Scratch::new();
    let path = scratch.path("dump.tar");
    let regular = tar::EntryType::Regular;
    let about = b"format 1\nkernel 1\ndriver vtd\n".to_vec();
    archive(
        &path,
        &[
            ("vtd-dump/about", regular, about.clone()),
            ("vtd-dump/cmdline", tar::EntryType::Symlink, Vec::new()),
            ("../outside", regular, b"x".to_vec()),
            ("/tmp/vtd-outside", regular, b"x".to_vec()),
        ],
    );
    let done = run(&["--dump", &path, "metrics"]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    assert!(!Path::new("/tmp/vtd-outside").exists());
    assert_eq!(std::fs::read_dir(&scratch.0).expect("a folder").count(), 1);
    archive(
        &path,
        &[
            ("vtd-dump/about", regular, about),
            ("vtd-dump/x", regular, vec![0; 33 << 20]),
        ],
    );
    assert!(run(&["--dump", &path, "metrics"])
        .sentence(2)
        .contains("more than 4096 files or 32 MiB"));
}

#[test]
fn files_of_a_system_that_are_none() {
    let tree = Tree::new("vtd");
    tree.remove("sys/firmware/acpi/tables/DMAR");
    std::fs::create_dir(tree.path("sys/firmware/acpi/tables/DMAR")).expect("a folder");
    tree.remove("sys/kernel/debug/vtd/groups");
    // A pipe without a writer would never end.
    let pipe = tree.path("sys/kernel/debug/vtd/groups");
    let made = std::process::Command::new("mkfifo").arg(pipe).status();
    assert!(made.expect("mkfifo runs").success());
    tree.write("proc/cmdline", vec![b'x'; 20 << 20]);
    for command in COMMANDS {
        let done = tree.run(command);
        assert!(
            (0..=2).contains(&done.status) && done.err.is_empty(),
            "{}",
            done.err
        );
    }
}

#[test]
fn many_devices_are_read() {
    let scratch = Scratch::new();
    let mut pci = String::new();
    for number in 0..5000 {
        let (bus, slot, function) = (number / 256, number / 8 % 32, number % 8);
        pci += &format!(
            "device=0000:{bus:02x}:{slot:02x}.{function} class=0x020000 driver=x group=1 \
             path=/sys/devices/pci0000:00/0000:{bus:02x}:{slot:02x}.{function}\n"
        );
    }
    std::fs::write(scratch.path("about"), "format 1\nkernel 1\ndriver vtd\n").expect("a file");
    std::fs::write(scratch.path("pci"), pci).expect("a file");
    let folder = scratch.path("");
    let done = run(&["--dump", &folder, "why", "00:00.0"]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    assert!(
        done.out.lines().count() < 100,
        "{}",
        done.out.lines().count()
    );
}
