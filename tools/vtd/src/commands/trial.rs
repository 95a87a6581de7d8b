// SPDX-License-Identifier: GPL-2.0

//! `vtd try`: one boot with vtd, by kexec. Nothing is written to a disk, so that the next start is
//! as before.

use super::{doctor, Answer, Context};
use crate::dump::Dump;
use crate::error::{said, Result};
use crate::fail;
use crate::text::wrap;
use serde_json::json;
use std::process::Command;

/// Words of the kernel's command line that decide who runs the units.
const REPLACED: [&str; 3] = ["intel_iommu=", "intremap=", "nointremap"];
const WORDS: &str = "intel_iommu=off intremap=off";
const KERNELS: [&str; 2] = ["boot/vmlinuz-", "lib/modules/"];
const INITRDS: [(&str, &str); 4] = [
    ("boot/initrd.img-", ""),
    ("boot/initramfs-", ".img"),
    ("boot/initrd-", ""),
    ("boot/initramfs-linux", ".img"),
];

/// Returns the command line of this boot, with the words that vtd needs.
fn cmdline(now: &str) -> String {
    let kept = now
        .split_whitespace()
        // The boot loader's own words would be there twice.
        .filter(|word| !word.starts_with("BOOT_IMAGE=") && !word.starts_with("initrd="))
        .filter(|word| !REPLACED.iter().any(|start| word.starts_with(start)));
    let mut words: Vec<_> = kept.collect();
    words.push(WORDS);
    words.join(" ")
}

/// Returns the files of the running kernel: its image and its first root.
fn files(context: &Context, release: &str) -> Result<(String, String)> {
    let [boot, modules] = KERNELS;
    let images = [
        format!("{boot}{release}"),
        format!("{modules}{release}/vmlinuz"),
    ];
    let initrds = INITRDS.map(|(start, end)| format!("{start}{release}{end}"));
    let exists = |name: &&String| context.root.path(name).is_file();
    match (images.iter().find(exists), initrds.iter().find(exists)) {
        (Some(image), Some(initrd)) => Ok((format!("/{image}"), format!("/{initrd}"))),
        (None, _) => fail!(
            "The image of Linux {release} was not found (/{}).",
            images.join(", /")
        ),
        (_, None) => fail!(
            "The initramfs of Linux {release} was not found (/{}).",
            initrds.join(", /")
        ),
    }
}

/// Checks what can be checked before anything is done.
fn need(context: &Context, dump: &Dump) -> Result<()> {
    if dump.driver == "vtd" {
        fail!("vtd runs already.");
    }
    let found = doctor::run(context)?;
    if found.status != 0 {
        let verdict = found.json["verdict"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        fail!("{verdict} vtd doctor says more.");
    }
    if !dump.has("module-file") {
        fail!(
            "The module is not installed for Linux {}: make install does so on Debian, and \
             without the kernel parameters it stays unused.",
            dump.kernel
        );
    }
    if !context.root.exists("sys/kernel/kexec_loaded") {
        fail!("This kernel cannot start another one (CONFIG_KEXEC); reboot with {WORDS} instead.");
    }
    Ok(())
}

pub fn run(context: &Context, yes: bool) -> Result<Answer> {
    if context.dump.is_some() {
        fail!("A dump cannot be booted; leave out --dump.");
    }
    let dump = context.dump()?;
    need(context, &dump)?;
    let (image, initrd) = files(context, &dump.kernel)?;
    let words = cmdline(&dump.text("cmdline"));
    let arguments = [
        "--load".to_owned(),
        image,
        format!("--initrd={initrd}"),
        format!("--command-line={words}"),
    ];
    let shown = format!("kexec {}", arguments[..3].join(" "));
    let json = json!({"kexec": arguments, "cmdline": words, "loaded": yes});
    if !yes {
        let mut text = "Nothing is changed. With --yes (as root) this is done:\n".to_owned();
        text += &format!("  {shown} \\\n    '{}'\n", arguments[3]);
        text += &wrap(
            "",
            "Then systemctl kexec starts that kernel, with vtd. No file is written, so that the \
             next reboot is as before; kexec --unload takes it back.",
        );
        return Ok(Answer {
            text,
            json,
            status: 0,
        });
    }
    if !context.root.is_live() {
        fail!("Only the running system can be tried; leave out --root.");
    }
    match Command::new("kexec").args(&arguments).output() {
        Ok(done) if done.status.success() => {}
        Ok(done) => {
            let why = crate::root::plain(&done.stderr);
            let why = why.lines().next().unwrap_or("it gave no reason").to_owned();
            fail!("kexec refused the kernel: {}.", why.trim_end_matches('.'))
        }
        Err(error) => fail!(
            "kexec cannot be run ({}); on Debian: apt-get install kexec-tools.",
            said(&error)
        ),
    }
    let text = wrap(
        "",
        "The kernel is loaded. systemctl kexec starts it, with vtd; the next reboot is as before. \
         kexec --unload takes it back.",
    );
    Ok(Answer {
        text,
        json,
        status: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_replaced_and_not_repeated() {
        let now = "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro intel_iommu=on,sm_on intremap=on quiet\n";
        assert_eq!(
            cmdline(now),
            "root=/dev/sda1 ro quiet intel_iommu=off intremap=off"
        );
        assert_eq!(cmdline(&cmdline(now)), cmdline(now));
    }
}
