// SPDX-License-Identifier: GPL-2.0

//! `vtd try`: the plan, and each reason not to have one.

mod common;

use common::{run, Tree};

const CONFIG: &str = "CONFIG_RUST=y\nCONFIG_MODULES=y\nCONFIG_PCI_MSI=y\nCONFIG_ACPI=y\n\
                      CONFIG_IOMMU_API=y\nCONFIG_INTEL_IOMMU=y\nCONFIG_IRQ_REMAP=y\n";

fn ready() -> Tree {
    let tree = Tree::new("in-tree");
    tree.write("boot/config-7.3.4", CONFIG);
    tree.write("boot/vmlinuz-7.3.4", "");
    tree.write("boot/initrd.img-7.3.4", "");
    tree.write("lib/modules/7.3.4/updates/dkms/vtd.ko.xz", "");
    tree.write("sys/kernel/kexec_loaded", "0\n");
    tree
}

#[test]
fn the_plan() {
    let tree = ready();
    let done = tree.run(&["try"]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    let text = done.flat();
    assert!(
        text.contains("kexec --load /boot/vmlinuz-7.3.4 --initrd=/boot/initrd.img-7.3.4"),
        "{text}"
    );
    assert!(text.contains("intel_iommu=off intremap=off'"), "{text}");
    assert!(!text.contains("intel_iommu=on"), "{text}");
    let said = tree.run(&["try", "--yes"]).sentence(2);
    assert!(said.contains("Only the running system"), "{said}");
}

#[test]
fn no_plan() {
    type Change = fn(&Tree);
    let cases: [(Change, &str); 6] = [
        (
            |tree| tree.remove("boot/vmlinuz-7.3.4"),
            "image of Linux 7.3.4 was not found",
        ),
        (
            |tree| tree.remove("boot/initrd.img-7.3.4"),
            "initramfs of Linux 7.3.4 was not found",
        ),
        (
            |tree| tree.remove("lib/modules"),
            "module is not installed for Linux 7.3.4",
        ),
        (
            |tree| tree.remove("sys/kernel/kexec_loaded"),
            "CONFIG_KEXEC",
        ),
        (
            |tree| tree.remove("sys/firmware/acpi/tables/DMAR"),
            "cannot run here as it is: DMAR table",
        ),
        (
            |tree| tree.write("sys/kernel/vtd/users", ""),
            "vtd runs already",
        ),
    ];
    for (change, part) in cases {
        let tree = ready();
        change(&tree);
        let said = tree.run(&["try"]).sentence(2);
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = run(&["--dump", "/nonexistent", "try"]).sentence(2);
    assert!(said.contains("cannot be booted"), "{said}");
}
