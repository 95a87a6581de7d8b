// SPDX-License-Identifier: GPL-2.0

//! `vtd unload`.

mod common;

use common::{assert_fits, recorded, run, Tree, DRIVERS};

#[test]
fn what_keeps_it_loaded_is_listed() {
    let done = run(&["--dump", &recorded("client"), "unload"]);
    assert_eq!((done.status, done.err.as_str()), (1, ""));
    assert_fits(&done.out);
    assert!(
        done.out.starts_with("6 devices keep vtd loaded:\n"),
        "{}",
        done.out
    );
    let lines: Vec<_> = done.out.lines().collect();
    let at = |part: &str| lines.iter().position(|line| line.contains(part));
    let unbind = at("echo 0000:01:00.0 > /sys/bus/pci/drivers/nvme/unbind");
    let detach = at("echo 1 > /sys/kernel/vtd/detach");
    let probe = at("echo 0000:01:00.0 > /sys/bus/pci/drivers_probe");
    assert!(unbind.is_some() && unbind < detach && detach < at("rmmod vtd"));
    assert!(at("rmmod vtd") < probe);
    // A port keeps its driver, and a device without one hinders nothing.
    assert!(!done.out.contains("0000:00:08.0") && !done.out.contains("0000:00:1f.2"));
}

#[test]
fn a_user_is_named() {
    let tree = Tree::new("vtd");
    let groups = "sys/kernel/debug/vtd/groups";
    let text = tree.read(groups);
    let edu = "owner=kernel device=0000:00:05.0 driver=vtd_attack";
    assert!(text.contains(edu));
    for (driver, command) in [
        ("vfio-pci", "vtd take 0000:00:05.0 --yes"),
        ("-", "# end what has claimed group"),
    ] {
        let now = format!("owner=iommufd device=0000:00:05.0 driver={driver}");
        tree.write(groups, text.replace(edu, &now));
        let done = tree.run(&["unload"]);
        assert_eq!(done.status, 1);
        assert_fits(&done.out);
        assert!(
            done.out.contains("of user (iommufd)") && done.out.contains(command),
            "{}",
            done.out
        );
    }
}

#[test]
fn nothing_keeps_it() {
    let tree = Tree::new("vtd");
    let groups = "sys/kernel/debug/vtd/groups";
    let lines = tree.read(groups);
    let words = |line: &str| {
        let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        for word in &mut words {
            if word.starts_with("driver=") && word != "driver=pcieport" {
                *word = "driver=-".to_owned();
            }
        }
        words.join(" ")
    };
    let lines: Vec<_> = lines.lines().map(words).collect();
    tree.write(groups, lines.join("\n") + "\n");
    let done = tree.run(&["unload"]);
    let all = "Nothing keeps vtd loaded. To unload it, as root:\n  echo 1 > /sys/kernel/vtd/detach\n  rmmod vtd\n";
    assert_eq!((done.status, done.out.as_str()), (0, all));
}

#[test]
fn there_is_nothing_to_unload() {
    assert_eq!(DRIVERS, ["vtd", "in-tree"]);
    let said = Tree::new("in-tree").run(&["unload"]).sentence(2);
    assert!(said.contains("kernel's own driver"), "{said}");
}
