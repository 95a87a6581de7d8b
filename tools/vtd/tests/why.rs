// SPDX-License-Identifier: GPL-2.0

//! `vtd why`: the facts of the recorded machine, under both drivers.

mod common;

use common::{assert_fits, dmar_with, recorded, run, Tree, DRIVERS};
use serde_json::Value;

const DEVICES: &str = "sys/bus/pci/devices";

fn why(tree: &Tree, device: &str) -> Value {
    let done = tree.run(&["--json", "why", device]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    done.json()
}

/// Returns (places, what they are) of what joins a group.
fn joints(answer: &Value) -> Vec<(String, String)> {
    let joints = answer["group_joined_by"].as_array().expect("a list");
    let at = |joint: &Value| {
        let at = joint["at"].as_array().expect("a list").iter();
        at.map(|it| it.as_str().expect("text"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    joints
        .iter()
        .map(|it| (at(it), it["why"].as_str().expect("text").to_owned()))
        .collect()
}

#[test]
fn the_port_that_makes_a_group_so_large() {
    for driver in DRIVERS {
        let tree = Tree::new(driver);
        for (device, at, part) in [
            (
                "0000:09:00.0",
                "0000:00:11.0",
                "root port without access control (ACS)",
            ),
            (
                "0000:07:00.0",
                "0000:05:00.0",
                "switch's upstream port without",
            ),
            (
                "0000:07:00.0",
                "0000:06:00.0 0000:06:01.0",
                "switch's downstream port without",
            ),
            ("0000:02:01.0", "0000:00:09.0", "bridge to conventional PCI"),
            (
                "0000:00:1f.2",
                "0000:00:1f.0",
                "device with several functions without",
            ),
        ] {
            let found = joints(&why(&tree, device));
            assert!(
                found
                    .iter()
                    .any(|(places, why)| places == at && why.starts_with(part)),
                "{driver}, {device}: {found:?}"
            );
        }
    }
}

#[test]
fn every_group_of_several_devices_is_explained_and_no_other() {
    for driver in DRIVERS {
        let tree = Tree::new(driver);
        let mut larger = 0;
        for device in tree.names(DEVICES) {
            let answer = why(&tree, &device);
            let several = answer["group_devices"].as_array().expect("a list").len() > 1;
            assert_eq!(several, !joints(&answer).is_empty(), "{driver}, {device}");
            larger += usize::from(several);
        }
        assert!(larger > 8);
    }
}

#[test]
fn access_control_that_is_switched_off_is_named() {
    let tree = Tree::new("vtd");
    // The port of a group of one device, at which request redirect is switched off.
    let name = format!("{DEVICES}/0000:00:08.0/config");
    let mut config = std::fs::read(tree.path(&name)).expect("a file");
    let at = (0x100..config.len() - 8)
        .step_by(4)
        .find(|at| config[*at..*at + 2] == [0x0d, 0])
        .expect("the port has ACS");
    config[at + 6] &= !(1 << 2);
    std::fs::write(tree.path(&name), config).expect("a file");
    let groups = "sys/kernel/debug/vtd/groups";
    let text = tree.read(groups).replace("group=14 ", "group=5 ");
    tree.write(groups, text);
    let found = joints(&why(&tree, "0000:01:00.0"));
    let words = "root port whose access control (ACS) has request redirect off";
    assert_eq!(found, [("0000:00:08.0".to_owned(), words.to_owned())]);
}

#[test]
fn memory_that_firmware_reserves() {
    for driver in DRIVERS {
        let tree = Tree::new(driver);
        for (device, first, kind) in [
            ("0000:00:0d.0", "0x70000000", "direct"),
            ("0000:00:0c.0", "0x70010000", "direct-relaxable"),
        ] {
            let reserved = &why(&tree, device)["reserved"];
            assert_eq!(
                (&reserved[0]["first"], &reserved[0]["kind"]),
                (&first.into(), &kind.into())
            );
        }
        assert_eq!(
            why(&tree, "0000:00:03.0")["reserved"],
            serde_json::json!([])
        );
        let text = tree.run(&["why", "0000:00:0d.0"]).flat();
        assert!(text.contains("gives such devices to no user"), "{text}");
        assert!(
            text.contains("load vtd with rmrr=relax:0000:00:0d.0,"),
            "{text}"
        );
        // The table alone says it, too, if no driver runs the unit.
        tree.remove("sys/kernel/iommu_groups");
        let reserved = &why(&tree, "0000:00:0d.0")["reserved"];
        assert_eq!(reserved[0]["first"], "0x70000000");
    }
}

#[test]
fn what_keeps_a_device_from_a_user() {
    for driver in DRIVERS {
        let tree = Tree::new(driver);
        let text = tree.run(&["why", "07:00.0"]).flat();
        assert!(text.contains(
            "0000:08:00.0 of the same group is driven by vtd_attack. To change that: unbind it \
             (echo 0000:08:00.0 > /sys/bus/pci/drivers/vtd_attack/unbind)"
        ));
        assert!(text.contains("interrupts not isolated"));
        // This machine has no interrupt remapping.
        assert!(text.contains("To change that: only for users"), "{text}");
        // With remapped interrupts, nothing keeps a device that is alone.
        tree.write(
            "proc/interrupts",
            " 24: 0 0 IR-PCI-MSIX-0000:00:03.0 0-edge eth0\n",
        );
        let answer = why(&tree, "00:05.0");
        assert_eq!(
            (&answer["obstacles"], &answer["interrupts_isolated"]),
            (&serde_json::json!([]), &true.into())
        );
    }
}

#[test]
fn what_only_vtd_shows() {
    let answer = why(&Tree::new("vtd"), "00:05.0");
    assert_eq!(
        (&answer["domain"], &answer["domain_id"]),
        (&"#4".into(), &"5".into())
    );
    assert_eq!(
        (&answer["owner"], &answer["faults"]),
        (&"kernel".into(), &4.into())
    );
    let answer = why(&Tree::new("in-tree"), "00:05.0");
    assert!(answer["faults"].is_null() && answer["owner"].is_null());
}

#[test]
fn ats_and_pasid() {
    let text = Tree::new("vtd").run(&["why", "03:00.0"]).flat();
    assert!(
        text.contains("ATS the device has it, off; its unit cannot serve it"),
        "{text}"
    );
    // ATSR: below 00:0e.0. SATC: 03:00.0 itself, for lack of an integrated device with ATS.
    let port = [2, 0, 16, 0, 0, 0, 0, 0, 2, 8, 0, 0, 0, 0, 0x0e, 0];
    let other = [2, 0, 16, 0, 0, 0, 0, 0, 2, 8, 0, 0, 0, 0, 0x10, 0];
    let device = [5, 0, 18, 0, 0, 0, 0, 0, 1, 10, 0, 0, 0, 0, 0x0e, 0, 0, 0];
    for (structure, words) in [
        (&port[..], "; firmware lists its root port (ATSR)"),
        (
            &other[..],
            "; firmware lists no ATS for its root port (ATSR)",
        ),
        (&device[..], "; firmware lists it (SATC)"),
    ] {
        let tree = Tree::new("vtd");
        let table = dmar_with(&tree, structure);
        tree.write("sys/firmware/acpi/tables/DMAR", &table);
        let text = tree.run(&["why", "03:00.0"]).flat();
        assert!(text.contains(&format!("cannot serve it{words} ")), "{text}");
    }
    let tree = Tree::new("vtd");
    tree.write(
        "sys/kernel/debug/vtd/device_tlbs",
        "0000:00:03.0 on, used: as chosen by ats=2\n\
         0000:03:00.0 off, not used: the device is untrusted\n",
    );
    let text = tree.run(&["why", "03:00.0"]).flat();
    assert!(
        text.contains("; vtd: not used: the device is untrusted PASID"),
        "{text}"
    );
    // An ordinary user sees 64 bytes of configuration space.
    let tree = Tree::new("vtd");
    for device in tree.names(DEVICES) {
        let name = format!("{DEVICES}/{device}/config");
        let config = std::fs::read(tree.path(&name)).expect("a file");
        std::fs::write(tree.path(&name), &config[..64]).expect("a file");
    }
    let text = tree.run(&["why", "07:00.0"]).flat();
    assert!(text.contains("ATS unknown: only root can read"), "{text}");
    assert!(
        text.contains("Why they are one group only root can read"),
        "{text}"
    );
}

#[test]
fn names_come_from_pci_ids() {
    let tree = Tree::new("vtd");
    tree.write(
        "usr/share/misc/pci.ids",
        "# list\n8086  Intel Corporation\n\t10d3  82574L\n\t\t8086 0001  Sub\n1b36  Red Hat\nC 01  x\n",
    );
    assert_eq!(
        why(&tree, "00:03.0")["name"],
        "Ethernet controller, 82574L [8086:10d3]"
    );
    assert_eq!(
        why(&tree, "01:00.0")["name"],
        "NVMe disk, Red Hat [1b36:0010]"
    );
}

#[test]
fn every_answer_fits_the_screen() {
    for driver in DRIVERS {
        let tree = Tree::new(driver);
        for device in tree.names(DEVICES) {
            let done = tree.run(&["why", &device]);
            assert_eq!((done.status, done.err.as_str()), (0, ""));
            assert_fits(&done.out);
        }
    }
}

#[test]
fn a_wrong_device_is_a_sentence() {
    let tree = Tree::new("vtd");
    for (device, part) in [
        ("0000:00:05.7", "0000:00:05.0 exists"),
        ("0000:77:05.0", "There is no device 0000:77:05.0 here"),
        ("eth0", "'eth0' is no device address"),
        ("00:20.0", "is no device address"),
        ("", "is no device address"),
    ] {
        let said = tree.run(&["why", device]).sentence(2);
        assert!(said.contains(part), "{said}");
    }
    let said = run(&["--root", "/nonexistent", "why", "00:05.0"]).sentence(2);
    assert!(said.contains("mount -t sysfs"), "{said}");
}

#[test]
fn older_dumps_are_read() {
    // A script wrote this one before domains had '#', and before this program existed.
    let done = run(&["--json", "--dump", &recorded("by-script"), "why", "01:00.0"]);
    let answer = done.json();
    assert_eq!(
        (&answer["domain"], &answer["domain_id"]),
        (&"#8".into(), &"9".into())
    );
    assert_eq!(
        (&answer["unit"], &answer["driver"]),
        (&"dmar0".into(), &"nvme".into())
    );
    assert_eq!(answer["problems"], serde_json::json!([]));
}

/// Of several units some isolate the interrupts of their devices, and others do not.
#[test]
fn interrupts_are_isolated_by_unit() {
    let tree = Tree::new("vtd");
    let file = "sys/kernel/debug/vtd/dmar0/interrupts";
    for (says, isolated, because) in [
        (
            "remapped, devices isolated; on, table at 0x1000, 3 of 256 entries in use",
            true,
            "interrupts are remapped by dmar0",
        ),
        (
            "remapped, devices not isolated because of IO-APIC 0; on, table at 0x1000, 0 of 256 \
             entries in use",
            false,
            "remapped, devices not isolated because of IO-APIC 0",
        ),
        (
            "not remapped: IO-APIC 0 needs interrupts in compatibility format",
            false,
            "not remapped: IO-APIC 0 needs interrupts in compatibility format",
        ),
    ] {
        tree.write(
            file,
            format!(
                "dmar0: {says}\n    1 0000:00:1f.2 vector 0x23 at 0x1, from 00:1f.2\n    2 \
                 0000:01:00.0 absent, from 01:00.0\n  256 0000:00:1f.2 absent, from 00:1f.2\n"
            ),
        );
        // Whatever other units do.
        tree.write(
            "proc/interrupts",
            "  24:  3  IR-PCI-MSIX-0000:21:00.0  0-edge  nvme0q0\n",
        );
        let answer = why(&tree, "0000:00:1f.2");
        assert_eq!(answer["interrupts_isolated"], isolated, "{says}");
        assert_eq!(answer["interrupts_why"], because);
        assert_eq!(answer["interrupt_entries"], serde_json::json!([1, 256]));
    }
}

#[test]
fn what_isolates_interrupts_is_said() {
    let says = |tree: &Tree, remedy: &str| {
        let text = tree.run(&["why", "0000:00:05.0"]).flat();
        let whole = format!("To change that: {remedy}only for users whom you would trust");
        assert!(text.contains(&whole), "{remedy}: {text}");
    };
    let ours = Tree::new("vtd");
    for (because, remedy) in [
        ("IO-APIC 3", "boot with noapic to isolate them; or, "),
        ("HPET 0", "boot with hpet=disable to isolate them; or, "),
        (
            "a device that stays in pass-through",
            "load vtd before its driver, or with bound=2, to isolate them; or, ",
        ),
        ("interrupts=0 was chosen", ""),
    ] {
        ours.write(
            "sys/kernel/debug/vtd/dmar0/interrupts",
            format!("dmar0: remapped, devices not isolated because of {because}; on\n"),
        );
        says(&ours, remedy);
    }
    let in_tree = Tree::new("in-tree");
    let mut table = dmar_with(&in_tree, &[]);
    // Firmware says that there is interrupt remapping (INTR_REMAP).
    table[37] |= 1;
    table[9] = table[9].wrapping_sub(1);
    in_tree.write("sys/firmware/acpi/tables/DMAR", table);
    in_tree.write("proc/cmdline", "intel_iommu=on intremap=off\n");
    says(&in_tree, "boot without intremap=off to isolate them; or, ");
    in_tree.write("proc/cmdline", "intel_iommu=on\n");
    says(&in_tree, "");
}
