// SPDX-License-Identifier: GPL-2.0

//! `vtd give DEVICE` and `vtd take DEVICE`: hand a device to user space and back.
//!
//! Without `--yes` they only print what they would write. If a step fails, the steps before it are
//! undone.

use super::{Answer, Context};
use crate::bdf::Bdf;
use crate::collect::PCI;
use crate::error::{said, Error, Result};
use crate::fail;
use crate::isolation::obstacles;
use crate::machine::{Device, Machine};
use crate::text::wrap;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;

/// A text that is written to a file of sysfs, and how to undo that.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    file: String,
    text: String,
    /// What is written to which file to take it back.
    undo: Option<(String, String)>,
}

pub struct Options {
    pub device: String,
    pub driver: String,
    pub yes: bool,
    pub force: bool,
}

fn step(file: String, text: &str, undo: Option<(String, String)>) -> Step {
    Step {
        file,
        text: text.to_owned(),
        undo,
    }
}

/// Returns what binds a device to `driver`, or with an empty one to its usual driver.
fn steps(bdf: Bdf, device: &Device, driver: &str) -> Vec<Step> {
    let name = bdf.to_string();
    let wanted = format!("{PCI}/{bdf}/driver_override");
    // An empty line clears it.
    let before = format!("{}\n", device.driver_override);
    let mut steps = vec![step(
        wanted.clone(),
        &format!("{driver}\n"),
        Some((wanted, before)),
    )];
    if !device.driver.is_empty() {
        let folder = format!("sys/bus/pci/drivers/{}", device.driver);
        let back = (format!("{folder}/bind"), name.clone());
        steps.push(step(format!("{folder}/unbind"), &name, Some(back)));
    }
    steps.push(step("sys/bus/pci/drivers_probe".to_owned(), &name, None));
    steps
}

pub fn give(context: &Context, options: &Options) -> Result<Answer> {
    let dump = context.dump()?;
    let machine = Machine::new(&dump);
    let (bdf, device) = super::why::find(&machine, &options.device)?;
    if options
        .driver
        .contains(|sign: char| !(sign.is_ascii_alphanumeric() || "-_".contains(sign)))
    {
        fail!("'{:.40}' is no name of a driver.", options.driver);
    }
    if device.driver == options.driver {
        return Ok(done(format!(
            "{bdf} has driver {} already.",
            options.driver
        )));
    }
    let found = obstacles(&machine, bdf, device);
    let mut text = String::new();
    for it in &found {
        text += &wrap(
            "Obstacle: ",
            &format!("{}. To change that: {}.", it.why, it.remedy),
        );
    }
    if !found.is_empty() && options.yes && !options.force {
        eprint!("{text}");
        fail!(
            "{bdf} was not given, because its user could not open it. Remove what is in the way, \
             or add --force to bind it all the same."
        );
    }
    perform(context, bdf, device, &options.driver, options.yes, text)
}

pub fn take(context: &Context, name: &str, yes: bool) -> Result<Answer> {
    let dump = context.dump()?;
    let machine = Machine::new(&dump);
    let (bdf, device) = super::why::find(&machine, name)?;
    if device.driver_override.is_empty() && !device.driver.contains("vfio") {
        let driver = if device.driver.is_empty() {
            "no driver"
        } else {
            &device.driver
        };
        return Ok(done(format!("{bdf} was not given away: it has {driver}.")));
    }
    perform(context, bdf, device, "", yes, String::new())
}

fn done(text: String) -> Answer {
    let json = json!({"steps": [], "words": text, "done": false});
    Answer {
        text: wrap("", &text),
        json,
        status: 0,
    }
}

fn perform(
    context: &Context,
    bdf: Bdf,
    device: &Device,
    driver: &str,
    yes: bool,
    text: String,
) -> Result<Answer> {
    let steps = steps(bdf, device, driver);
    let commands: Vec<_> = steps
        .iter()
        .map(|step| format!("echo {} > /{}", step.text.trim_end(), step.file))
        .map(|command| command.replace("echo  >", "echo >"))
        .collect();
    if !yes {
        return Ok(plan(context, bdf, driver, &commands, text));
    }
    if context.dump.is_some() {
        fail!("A dump cannot be changed; leave out --dump.");
    }
    carry_out(context, &steps)?;
    let now = context
        .root
        .link(&format!("{PCI}/{bdf}/driver"))
        .unwrap_or_default();
    if context.root.is_live() && !driver.is_empty() && now != driver {
        undo(context, &steps);
        let why = if context
            .root
            .exists(&format!("sys/bus/pci/drivers/{driver}"))
        {
            format!("driver {driver} refused it; the kernel log says why")
        } else {
            format!("there is no driver {driver}: modprobe {driver}")
        };
        fail!("{bdf} was not given: {why}. What was changed is undone.");
    }
    let with = if now.is_empty() {
        "no driver".to_owned()
    } else {
        format!("driver {now}")
    };
    let text = text + &wrap("", &format!("{bdf} has {with} now."));
    let json = json!({
        "device": bdf.to_string(), "steps": commands, "done": true, "driver": now,
    });
    Ok(Answer {
        text,
        json,
        status: 0,
    })
}

/// Says what would be done.
fn plan(
    context: &Context,
    bdf: Bdf,
    driver: &str,
    commands: &[String],
    mut text: String,
) -> Answer {
    text += "Nothing is changed. With --yes (as root) this is done:\n";
    for command in commands {
        text += &format!("  {command}\n");
    }
    if context.root.path("usr/sbin/driverctl").exists() {
        let words = if driver.is_empty() {
            format!("driverctl unset-override {bdf}")
        } else {
            format!("driverctl set-override {bdf} {driver}")
        };
        text += &wrap("", &format!("To keep it after a reboot: {words}."));
    }
    let json = json!({"device": bdf.to_string(), "steps": commands, "done": false});
    Answer {
        text,
        json,
        status: 0,
    }
}

fn write(context: &Context, file: &str, text: &str) -> std::io::Result<()> {
    // Not created: a file that is not there is an error.
    let mut file = OpenOptions::new()
        .write(true)
        .open(context.root.path(file))?;
    file.write_all(text.as_bytes())
}

fn carry_out(context: &Context, steps: &[Step]) -> Result<()> {
    for (at, step) in steps.iter().enumerate() {
        if let Err(error) = write(context, &step.file, &step.text) {
            undo(context, &steps[..at]);
            let hint = match error.kind() {
                std::io::ErrorKind::PermissionDenied => "; that takes root",
                _ => "",
            };
            return Err(Error(format!(
                "/{} did not take {:?}: {}{hint}. What was changed is undone.",
                step.file,
                step.text.trim_end(),
                said(&error)
            )));
        }
    }
    Ok(())
}

/// Takes back the steps, the last one first.
fn undo(context: &Context, steps: &[Step]) {
    // The override comes first, or else the old driver may not be bound.
    for (file, text) in steps.iter().filter_map(|step| step.undo.as_ref()) {
        if let Err(error) = write(context, file, text) {
            let words = format!("/{file} could not be set back: {}.", said(&error));
            eprint!("{}", wrap("vtd: ", &words));
        }
    }
}
