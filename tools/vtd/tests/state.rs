// SPDX-License-Identifier: GPL-2.0

//! `vtd maps`, `diff`, `save`, `top` and `metrics`.

mod common;

use common::{assert_fits, run, Tree, DRIVERS};

const INTEL: &str = "sys/kernel/debug/iommu/intel";

#[test]
fn ranges_are_merged_and_none_is_lost() {
    let tree = Tree::new("vtd");
    let mut several = 0;
    for device in tree.names("sys/bus/pci/devices") {
        let file = tree.read(&format!("{INTEL}/{device}/domain_translation_struct"));
        let leaves = file.lines().filter(|line| line.contains('|')).count() as u64;
        let done = tree.run(&["maps", &device]);
        assert_eq!((done.status, done.err.as_str()), (0, ""));
        assert_fits(&done.out);
        let answer = tree.run(&["--json", "maps", &device]).json();
        let ranges = answer["ranges"].as_array().expect("a list");
        let pages: u64 = ranges
            .iter()
            .flat_map(|it| {
                ["pages_4k", "pages_2m", "pages_1g"]
                    .map(|name| it[name].as_u64().expect("a number"))
            })
            .sum();
        assert_eq!(pages, leaves, "{device}");
        assert!(ranges.len() as u64 <= leaves);
        several += usize::from(leaves > 40 && ranges.len() < 10);
    }
    assert_eq!(several, 2);
    let text = tree.run(&["maps", "00:0d.0"]).flat();
    assert!(
        text.contains("0x0070000000-0x0070003fff 16 KiB rw at 0x70000000 4x4K"),
        "{text}"
    );
}

#[test]
fn no_page_table_is_a_sentence() {
    let tree = Tree::new("in-tree");
    assert!(tree
        .run(&["maps", "00:05.0"])
        .sentence(2)
        .contains("debugfs is not mounted"));
    tree.write("sys/kernel/debug/iommu/devices", "");
    assert!(tree
        .run(&["maps", "00:05.0"])
        .sentence(2)
        .contains("CONFIG_INTEL_IOMMU_DEBUGFS"));
    let dump = tree.save("dump.tar");
    assert!(run(&["--dump", &dump, "maps", "00:05.0"])
        .sentence(2)
        .contains("on the machine itself"));
}

#[test]
fn a_dump_says_what_the_machine_says() {
    for driver in DRIVERS {
        let tree = Tree::new(driver);
        for name in ["dump.tar", "dump.tar.gz"] {
            let dump = tree.save(name);
            assert_eq!(
                std::fs::read(&dump).expect("a file"),
                std::fs::read(tree.save(name)).expect("a file")
            );
            for arguments in [&["why", "07:00.0"][..], &["doctor"], &["metrics"]] {
                let live = tree.run(arguments).out;
                assert!(!live.is_empty());
                assert_eq!(
                    live,
                    run(&[&["--dump", &dump], arguments].concat()).out,
                    "{driver}"
                );
            }
        }
    }
}

#[test]
fn a_dump_has_every_file_that_a_driver_shows() {
    let tree = Tree::new("vtd");
    let debug = "sys/kernel/debug/vtd";
    for name in ["ir_translation_struct", "dmar_perf_latency"] {
        tree.write(&format!("{INTEL}/{name}"), "x\n");
    }
    tree.write(&format!("{debug}/dmar0/interrupts"), "x\n");
    let dump = std::fs::File::open(tree.save("dump.tar")).expect("a dump");
    let mut archive = tar::Archive::new(dump);
    let saved = archive.entries().expect("an archive").map(|entry| {
        let entry = entry.expect("an entry");
        entry
            .path()
            .expect("a name")
            .to_str()
            .expect("text")
            .to_owned()
    });
    let saved: Vec<_> = saved.collect();
    let dmar0 = format!("{debug}/dmar0");
    let mut count = 0;
    for (folder, place) in [(INTEL, "intel"), (debug, "vtd"), (&dmar0, "vtd/dmar0")] {
        for name in tree.names(folder) {
            // The answer to the last walk, of any program, and each device's tables are left out.
            let path = tree.path(&format!("{folder}/{name}"));
            if path.is_file() && name != "walk" {
                count += 1;
                assert!(
                    saved.contains(&format!("vtd-dump/{place}/{name}")),
                    "{name}"
                );
            }
        }
    }
    assert!(count > 14, "{count}");
}

#[test]
fn debugfs_that_is_not_mounted_is_reported() {
    let tree = Tree::new("in-tree");
    std::fs::create_dir_all(tree.path("sys/kernel/debug")).expect("a folder");
    let done = tree.run(&["tree"]);
    assert_eq!(done.status, 0);
    assert!(
        done.flat().contains("debugfs is not mounted, so"),
        "{}",
        done.out
    );
}

#[test]
fn saving_leaves_what_was_there_if_it_fails() {
    let tree = Tree::new("vtd");
    let said = tree.run(&["save", "/nonexistent/dump.tar"]).sentence(2);
    assert!(said.contains("cannot be written: No such file"), "{said}");
    let folder = tree.scratch.path("folder");
    std::fs::create_dir_all(format!("{folder}/inner")).expect("a folder");
    tree.run(&["save", &folder]).sentence(2);
    assert!(tree
        .run(&["save", "/dev/full"])
        .sentence(2)
        .contains("No space left"));
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1);
}

#[test]
fn differences() {
    let tree = Tree::new("vtd");
    let before = tree.save("before.tar");
    let same = tree.run(&["diff", &before]);
    assert_eq!(
        (same.status, same.out.starts_with("Nothing changed")),
        (0, true)
    );
    let unit = "sys/kernel/debug/vtd/dmar0/statistics";
    tree.write(unit, tree.read(unit).replace("faults: 5", "faults: 1007"));
    let groups = "sys/kernel/debug/vtd/groups";
    let text = tree.read(groups);
    let edu = "owner=kernel device=0000:00:05.0 driver=vtd_attack unit=dmar0 attached=DMA";
    assert!(text.contains(edu));
    tree.write(
        groups,
        text.replace(
            edu,
            &edu.replace("kernel", "iommufd").replace("DMA", "blocked"),
        ),
    );
    tree.remove("sys/bus/pci/devices/0000:09:00.0");
    let text = tree.read(groups);
    let kept: Vec<_> = text
        .lines()
        .filter(|line| !line.contains("0000:09:00.0"))
        .collect();
    tree.write(groups, kept.join("\n"));
    let devices = "sys/devices/virtual/iommu/dmar0/devices";
    if tree.path(devices).exists() {
        tree.remove(&format!("{devices}/0000:09:00.0"));
    }
    let after = tree.save("after.tar.gz");
    let done = run(&["diff", &before, &after]);
    assert_eq!((done.status, done.err.as_str()), (1, ""));
    assert_fits(&done.out);
    let text = done.flat();
    for part in [
        "dmar0 faults +1,002 (5 to 1,007)",
        "0000:00:05.0 attached DMA -> blocked",
        "0000:09:00.0 device present -> absent",
        "group 3 owner kernel -> iommufd",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let changes = run(&["--json", "diff", &before, &after]).json();
    assert_eq!(changes["changes"].as_array().expect("a list").len(), 4);
}

#[test]
fn two_drivers_differ_in_what_they_both_show() {
    let (ours, theirs) = (Tree::new("vtd"), Tree::new("in-tree"));
    let done = run(&["diff", &ours.save("a.tar"), &theirs.save("b.tar")]);
    assert!(
        done.flat().contains("driver vtd -> in-tree"),
        "{}",
        done.out
    );
    assert!(!done.out.contains("domain-id"), "{}", done.out);
}

#[test]
fn counters() {
    let tree = Tree::new("vtd");
    let text = tree.run(&["metrics"]).out;
    for line in [
        "vtd_maps_total{unit=\"dmar0\"} 437",
        "vtd_waits_by_duration_total{unit=\"dmar0\",range=\"immediate\"} 88",
        "vtd_device_faults_total{device=\"0000:00:05.0\"} 4",
        "# TYPE vtd_faults_total counter",
    ] {
        let name = line
            .split(['{', ' '])
            .find(|word| word.starts_with("vtd_"))
            .expect("a name");
        assert!(
            text.lines()
                .any(|it| it.starts_with(line.trim_end_matches(char::is_numeric))),
            "{name}: {text}"
        );
    }
    let theirs = Tree::new("in-tree").run(&["metrics"]);
    assert_eq!(
        (theirs.status, theirs.out.contains("driver=\"in-tree\"} 1")),
        (0, true)
    );
}

#[test]
fn rates() {
    let tree = Tree::new("vtd");
    let done = tree.run(&["top", "-n", "1", "-i", "0.1"]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    assert_fits(&done.out);
    assert!(done
        .out
        .lines()
        .nth(1)
        .is_some_and(|line| line.starts_with("dmar0")));
    let answer = tree.run(&["--json", "top", "-n", "1", "-i", "0.1"]).json();
    assert_eq!(answer["units"][0]["per_second"]["maps"], 0.0);
    assert!(Tree::new("in-tree")
        .run(&["top"])
        .sentence(2)
        .contains("counts neither"));
    for interval in ["0", "nan", "1e9"] {
        assert!(tree
            .run(&["top", "-i", interval])
            .sentence(2)
            .contains("makes no sense"));
    }
}
