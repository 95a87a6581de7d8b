// SPDX-License-Identifier: GPL-2.0

//! What decides whether the kernel that runs can load vtd: its configuration, and the files that a
//! module is built with.

use crate::root::Root;

/// The options of the kernel that matter to vtd.
pub const OPTIONS: [&str; 11] = [
    "RUST",
    "MODULES",
    "PCI_MSI",
    "ACPI",
    "IOMMU_API",
    "IOMMU_PT",
    "INTEL_IOMMU",
    "INTEL_IOMMU_DEBUGFS",
    "IRQ_REMAP",
    "MODULE_SIG_FORCE",
    "DEBUG_FS",
];

/// Puts the files `kernel-config`, with the lines of [`OPTIONS`], and `build-folder`.
pub fn collect(root: &Root, mut put: impl FnMut(&str, String)) {
    let release = root.release();
    if release.is_empty() || release.contains('/') {
        return;
    }
    let places = [
        format!("boot/config-{release}"),
        format!("lib/modules/{release}/config"),
        format!("lib/modules/{release}/build/.config"),
    ];
    let text = places
        .iter()
        .find_map(|place| root.text(place))
        .or_else(|| {
            root.bytes("proc/config.gz")
                .and_then(|bytes| unpacked(&bytes))
        });
    if let Some(text) = text {
        put("kernel-config", options(&text));
    }
    let folder = format!("lib/modules/{release}/build");
    let has = |name: &str| root.path(&format!("{folder}/{name}")).exists();
    let state = match (has("Makefile"), has("rust/libkernel.rmeta")) {
        (_, true) => "ready",
        (true, false) => "headers",
        (false, false) => "none",
    };
    put("build-folder", format!("{state}\n"));
    let built = ["updates/dkms/vtd.ko", "updates/vtd.ko", "extra/vtd.ko"];
    let built = built
        .iter()
        .flat_map(|name| ["", ".xz", ".zst", ".gz"].map(|end| format!("{name}{end}")));
    let mut built = built.map(|name| format!("lib/modules/{release}/{name}"));
    if let Some(found) = built.find(|name| root.exists(name)) {
        put("module-file", format!("/{found}\n"));
    }
}

fn unpacked(bytes: &[u8]) -> Option<String> {
    use std::io::Read;
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .take(crate::root::MOST_BYTES)
        .read_to_end(&mut text)
        .ok()?;
    Some(crate::root::plain(&text))
}

fn options(config: &str) -> String {
    let mut found = String::new();
    for line in config.lines() {
        let name = line
            .strip_prefix("CONFIG_")
            .and_then(|rest| rest.split('=').next());
        if name.is_some_and(|name| OPTIONS.contains(&name)) {
            found += line;
            found.push('\n');
        }
    }
    found
}
