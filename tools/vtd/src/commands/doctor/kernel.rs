// SPDX-License-Identifier: GPL-2.0

//! Whether the kernel is one that vtd is for, and can load a module that is built here.

use super::{Checks, Verdict};
use crate::dump::Dump;
use std::collections::BTreeMap;

/// The oldest kernel that vtd is for.
const OLDEST: (u32, u32) = (7, 2);
const NEEDED: [&str; 5] = ["RUST", "MODULES", "PCI_MSI", "ACPI", "IOMMU_API"];

pub fn check(dump: &Dump, checks: &mut Checks) {
    version(dump, checks);
    let config = config(dump);
    options(&config, checks);
    if dump.driver != "vtd" {
        parameters(dump, &config, checks);
    }
    build_folder(dump, checks);
    signature(dump, &config, checks);
}

fn version(dump: &Dump, checks: &mut Checks) {
    let release = &dump.kernel;
    let mut parts = release.split(|sign: char| !sign.is_ascii_digit());
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok());
    match (number(parts.next()), number(parts.next())) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST => {
            checks.add("kernel", Verdict::Good, format!("Linux {release}."));
        }
        (Some(_), Some(_)) => {
            let (major, minor) = OLDEST;
            let debian = dump
                .text("os-release")
                .lines()
                .any(|line| line == "ID=debian");
            let advice = if debian {
                " Debian 13 has one in trixie-backports: apt-get install -t trixie-backports \
                 linux-image-amd64 linux-headers-amd64."
            } else {
                ""
            };
            checks.add(
                "kernel",
                Verdict::Bad,
                format!("Linux {release} is too old: vtd needs {major}.{minor} or newer.{advice}"),
            );
        }
        _ => checks.add(
            "kernel",
            Verdict::Unknown,
            "The kernel does not say its release.",
        ),
    }
}

type Config = BTreeMap<String, String>;

fn config(dump: &Dump) -> Config {
    let text = dump.text("kernel-config");
    let pairs = text
        .lines()
        .filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn is_on(config: &Config, name: &str) -> bool {
    config.get(name).is_some_and(|value| value == "y")
}

fn options(config: &Config, checks: &mut Checks) {
    if config.is_empty() {
        checks.add(
            "options",
            Verdict::Unknown,
            "The kernel's configuration was not found (/boot/config-RELEASE, /proc/config.gz); \
             vtd needs CONFIG_RUST.",
        );
        return;
    }
    let missing: Vec<_> = NEEDED.iter().filter(|name| !is_on(config, name)).collect();
    if missing.is_empty() {
        checks.add(
            "options",
            Verdict::Good,
            "The kernel is built with all that vtd needs.",
        );
        return;
    }
    let names: Vec<_> = missing
        .iter()
        .map(|name| format!("CONFIG_{name}"))
        .collect();
    checks.add(
        "options",
        Verdict::Bad,
        format!(
            "The kernel is built without {}; take a kernel that has them.",
            crate::text::list(&names)
        ),
    );
}

/// Says which words the kernel's command line lacks.
fn parameters(dump: &Dump, config: &Config, checks: &mut Checks) {
    let cmdline = dump.text("cmdline");
    let words: Vec<_> = cmdline.split_whitespace().collect();
    let in_tree_is_off = words.contains(&"intel_iommu=off") || dump.driver == "none";
    let remapping_is_off = words.contains(&"intremap=off") || words.contains(&"nointremap");
    let may_have = |name: &str| config.is_empty() || config.contains_key(name);
    let mut lacks = Vec::new();
    if may_have("INTEL_IOMMU") && !words.contains(&"intel_iommu=off") {
        lacks.push("intel_iommu=off");
    }
    if may_have("IRQ_REMAP") && !remapping_is_off {
        lacks.push("intremap=off");
    }
    if lacks.is_empty() {
        checks.add(
            "parameters",
            Verdict::Good,
            "The kernel's own driver leaves the units alone.",
        );
        return;
    }
    let who = if in_tree_is_off {
        ""
    } else {
        " The kernel's own driver runs the units now."
    };
    checks.add(
        "parameters",
        Verdict::Mind,
        format!("Boot with {}.{who}", lacks.join(" ")),
    );
}

fn build_folder(dump: &Dump, checks: &mut Checks) {
    if dump.has("module-file") {
        let file = dump.word("module-file");
        checks.add("module", Verdict::Good, format!("It is installed: {file}."));
        return;
    }
    let release = &dump.kernel;
    match dump.word("build-folder").as_str() {
        "ready" => checks.add(
            "module",
            Verdict::Good,
            format!("It can be built: make KDIR=/lib/modules/{release}/build."),
        ),
        "headers" => checks.add(
            "module",
            Verdict::Mind,
            "The kernel's headers are here without Rust metadata: on Debian, make install makes \
             it; Ubuntu has it in linux-lib-rust-RELEASE.",
        ),
        "none" => checks.add(
            "module",
            Verdict::Mind,
            format!(
                "The kernel's headers are not installed; on Debian: apt-get install \
                 linux-headers-{release}."
            ),
        ),
        _ => checks.add(
            "module",
            Verdict::Unknown,
            "Whether it can be built is not shown.",
        ),
    }
}

fn signature(dump: &Dump, config: &Config, checks: &mut Checks) {
    let secure = dump.word("secure-boot") == "on";
    let lockdown = dump.word("lockdown");
    let locked = !lockdown.is_empty() && !lockdown.contains("[none]");
    let forced = is_on(config, "MODULE_SIG_FORCE");
    if secure || locked || forced {
        let why = if secure {
            "Secure Boot is on"
        } else if locked {
            "The kernel is locked down"
        } else {
            "The kernel takes only signed modules"
        };
        checks.add(
            "signature",
            Verdict::Mind,
            format!(
                "{why}, so the module has to be signed by a key that the machine knows: DKMS signs \
                 it, and mokutil --import /var/lib/dkms/mok.pub enrols the key once."
            ),
        );
    } else {
        checks.add("signature", Verdict::Good, "Modules need no signature.");
    }
}
