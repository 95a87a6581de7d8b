// SPDX-License-Identifier: GPL-2.0

//! `vtd give` and `vtd take`: what they write, and that a failure leaves nothing behind.

mod common;

use common::{assert_fits, Tree};

const OVERRIDE: &str = "sys/bus/pci/devices/0000:00:05.0/driver_override";
const UNBIND: &str = "sys/bus/pci/drivers/vtd_attack/unbind";
const BIND: &str = "sys/bus/pci/drivers/vtd_attack/bind";
const PROBE: &str = "sys/bus/pci/drivers_probe";

/// A machine with remapped interrupts, on which the device can be given to a user.
fn tree() -> Tree {
    let tree = Tree::new("vtd");
    tree.write(
        "proc/interrupts",
        " 24: 0 0 IR-PCI-MSIX-0000:00:03.0 0-edge eth0\n",
    );
    for file in [UNBIND, BIND, PROBE] {
        tree.write(file, "");
    }
    tree
}

#[test]
fn by_default_it_only_says() {
    let tree = tree();
    let done = tree.run(&["give", "00:05.0"]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    assert_fits(&done.out);
    let steps = [
        "Nothing is changed. With --yes (as root) this is done:",
        "  echo vfio-pci > /sys/bus/pci/devices/0000:00:05.0/driver_override",
        "  echo 0000:00:05.0 > /sys/bus/pci/drivers/vtd_attack/unbind",
        "  echo 0000:00:05.0 > /sys/bus/pci/drivers_probe",
    ];
    assert_eq!(done.out.lines().collect::<Vec<_>>(), steps);
    assert_eq!(
        (tree.read(OVERRIDE).as_str(), tree.read(UNBIND).as_str()),
        ("(null)\n", "")
    );
    tree.write("usr/sbin/driverctl", "");
    assert!(tree
        .run(&["give", "00:05.0"])
        .out
        .contains("driverctl set-override 0000:00:05.0 vfio-pci"));
}

#[test]
fn with_yes_it_does_just_that() {
    let tree = tree();
    let done = tree.run(&["give", "--yes", "00:05.0"]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    // A file of a saved tree keeps what is beyond the text.
    assert!(tree.read(OVERRIDE).starts_with("vfio-pci\n"));
    assert_eq!(tree.read(UNBIND), "0000:00:05.0");
    assert_eq!(
        (tree.read(PROBE).as_str(), tree.read(BIND).as_str()),
        ("0000:00:05.0", "")
    );
}

#[test]
fn a_failed_step_is_undone() {
    let tree = tree();
    tree.remove(PROBE);
    let said = tree.run(&["give", "--yes", "00:05.0"]).sentence(2);
    assert!(
        said.contains("drivers_probe did not take \"0000:00:05.0\""),
        "{said}"
    );
    assert!(said.contains("What was changed is undone"), "{said}");
    assert!(
        tree.read(OVERRIDE).starts_with('\n'),
        "{:?}",
        tree.read(OVERRIDE)
    );
    assert_eq!(tree.read(BIND), "0000:00:05.0");
}

#[test]
fn obstacles_are_named_and_refuse() {
    let tree = Tree::new("vtd");
    let done = tree.run(&["give", "07:00.0"]);
    assert!(done
        .flat()
        .contains("Obstacle: 0000:08:00.0 of the same group is driven by vtd_attack."));
    for file in [UNBIND, PROBE] {
        tree.write(file, "");
    }
    let done = tree.run(&["give", "--yes", "07:00.0"]);
    assert_eq!((done.status, done.out.as_str()), (2, ""));
    assert!(done.err.contains("add --force"), "{}", done.err);
    assert_eq!(tree.read(UNBIND), "");
    assert_eq!(tree.run(&["give", "--yes", "--force", "07:00.0"]).status, 0);
    assert_eq!(tree.read(UNBIND), "0000:07:00.0");
}

#[test]
fn taking_back() {
    let tree = Tree::new("vtd");
    let done = tree.run(&["take", "00:06.0"]);
    assert_eq!(
        done.out.lines().skip(1).collect::<Vec<_>>(),
        [
            "  echo > /sys/bus/pci/devices/0000:00:06.0/driver_override",
            "  echo 0000:00:06.0 > /sys/bus/pci/drivers/vfio-pci/unbind",
            "  echo 0000:00:06.0 > /sys/bus/pci/drivers_probe",
        ]
    );
    let done = tree.run(&["take", "00:05.0"]);
    assert_eq!(
        done.flat(),
        "0000:00:05.0 was not given away: it has vtd_attack."
    );
    let done = tree.run(&["give", "00:06.0"]);
    assert_eq!(done.flat(), "0000:00:06.0 has driver vfio-pci already.");
}

#[test]
fn only_a_name_is_a_driver() {
    let tree = tree();
    for driver in ["../../x", "a b", "a/b", "a\n"] {
        let said = tree
            .run(&["give", "--driver", driver, "00:05.0"])
            .sentence(2);
        assert!(said.contains("is no name of a driver"), "{said}");
    }
    let dump = tree.save("dump.tar");
    let said = common::run(&["--dump", &dump, "give", "--yes", "00:05.0"]).sentence(2);
    assert!(said.contains("A dump cannot be changed"), "{said}");
}
