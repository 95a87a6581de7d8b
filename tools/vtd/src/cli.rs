// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::commands::{
    diff, doctor, faults, give, maps, save, top, tree, trial, unload, walk, why, Answer, Context,
};
use crate::error::Result;
use crate::root::Root;
use clap::{CommandFactory, Parser, Subcommand};
use serde_json::Value;
use std::path::PathBuf;

/// Answers questions about this machine's DMA remapping (Intel VT-d), whichever driver runs it:
/// vtd, the kernel's own, or none.
///
/// It reads what the kernel shows, most of it for root alone, or a dump that `vtd save` wrote. Only
/// commands with `--yes` change anything.
#[derive(Parser)]
#[command(name = "vtd", version, max_term_width = 80)]
pub struct Arguments {
    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Read a dump in place of this machine
    #[arg(long, global = true, value_name = "PATH")]
    dump: Option<PathBuf>,
    /// Read the system below this folder
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/",
        hide_default_value = true
    )]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say whether this machine can run vtd, and what is in the way
    ///
    /// Checks the DMAR table with vtd's own parser, memory that firmware reserves, drivers that are
    /// built in, the kernel and its parameters, interrupts, signatures. Changes nothing. The status
    /// is 1 if vtd cannot run.
    Doctor,
    /// Say everything about one device
    ///
    /// Its unit, its group and what makes the group so large, what it reaches, memory that firmware
    /// reserves, ATS and PASID, interrupts, and what keeps it from being given to a user.
    Why {
        /// An address such as 0000:00:05.0 or 00:05.0
        device: String,
    },
    /// Draw units, buses, groups, owners and domains as a tree
    ///
    /// On a terminal that is too narrow for a line, its end is below it. With names, only those parts
    /// of the machine.
    Tree {
        /// Devices (0000:00:05.0), units (dmar0) and groups (4) to draw [default: all]
        only: Vec<String>,
        /// Also draw a picture
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Show the lines of the kernel log that are about faults, in plain words
    ///
    /// Understands vtd, the kernel's own driver in all its forms, and QEMU's traces. The status is 1
    /// if there is no such line.
    Faults {
        /// Wait for further lines
        #[arg(short, long)]
        follow: bool,
        /// Show all other lines, too
        #[arg(short, long)]
        all: bool,
        /// Logs to read; - is standard input [default: the kernel log]
        files: Vec<PathBuf>,
    },
    /// Show what a device can reach, as ranges of addresses
    Maps {
        /// An address such as 0000:00:05.0 or 00:05.0
        device: String,
    },
    /// Show what a read and a write of an address would do, entry by entry
    ///
    /// The running module vtd walks its tables as hardware does.
    Walk {
        /// The source of the requests, such as 0000:00:05.0 or 00:05.0
        requester: String,
        /// An address such as 0xffffe000
        address: String,
    },
    /// Show what changed between two dumps, or since a dump
    ///
    /// The status is 1 if anything changed.
    Diff {
        /// The earlier dump
        before: PathBuf,
        /// The later dump [default: this machine now]
        after: Option<PathBuf>,
    },
    /// Show maps, unmaps and invalidations per second, and the time spent on waiting
    ///
    /// The last column is the share of one processor's time that was spent on waiting for a unit:
    /// what strict flushing costs here. It is a range, because vtd counts waits by duration.
    Top {
        /// Seconds between two samples
        #[arg(short, long, default_value_t = 2.0)]
        interval: f64,
        /// End after this number of samples
        #[arg(short = 'n', long)]
        count: Option<u64>,
    },
    /// Print all counters in the text format of Prometheus
    ///
    /// For node_exporter's textfile collector.
    Metrics,
    /// Save the state of this machine as a dump
    ///
    /// A tar archive, compressed if its name ends with .gz. It has no contents of memory, but
    /// physical addresses and the configuration space of devices.
    Save {
        /// The file to write
        file: PathBuf,
    },
    /// Give a device to user space: bind it to vfio-pci
    ///
    /// Without --yes it only shows what it would do, and what is in the way.
    Give {
        /// An address such as 0000:00:05.0 or 00:05.0
        device: String,
        /// The driver to bind
        #[arg(long, default_value = "vfio-pci")]
        driver: String,
        /// Do it
        #[arg(long)]
        yes: bool,
        /// Bind it although its user could not open it
        #[arg(long)]
        force: bool,
    },
    /// Take a device back from user space
    ///
    /// Without --yes it only shows what it would do.
    Take {
        /// An address such as 0000:00:05.0 or 00:05.0
        device: String,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
    /// Say which devices keep vtd loaded, and how to unload it
    ///
    /// Changes nothing. The status is 1 if a device keeps it.
    Unload,
    /// Start this kernel once with vtd, by kexec
    ///
    /// Without --yes it only shows what it would do, or why it cannot. With --yes it loads the
    /// kernel; `systemctl kexec` then starts it. No file is written, so that the next reboot is as
    /// before.
    Try {
        /// Load the kernel
        #[arg(long)]
        yes: bool,
    },
    /// Print the man page, or with a folder write one for each command
    #[command(hide = true)]
    Man { folder: Option<PathBuf> },
    /// Print the completion of a shell
    #[command(hide = true)]
    Completion { shell: clap_complete::Shell },
}

impl Arguments {
    pub fn run(self) -> Result<Answer> {
        let context = Context {
            root: Root::new(&self.root),
            dump: self.dump,
        };
        let json = self.json;
        match self.command {
            Command::Doctor => doctor::run(&context),
            Command::Why { device } => why::run(&context, &device),
            Command::Faults { follow, all, files } => {
                let options = faults::Options {
                    files,
                    follow,
                    all,
                    json,
                };
                faults::run(&context, &options)
            }
            Command::Tree { only, svg } => tree::run(&context, &only, svg.as_deref()),
            Command::Walk { requester, address } => walk::run(&context, &requester, &address),
            Command::Maps { device } => maps::run(&context, &device),
            Command::Diff { before, after } => diff::run(&context, &before, after.as_deref()),
            Command::Top { interval, count } => top::run(
                &context,
                &top::Options {
                    interval,
                    count,
                    json,
                },
            ),
            Command::Metrics => top::metrics(&context),
            Command::Save { file } => save::run(&context, &file),
            Command::Give {
                device,
                driver,
                yes,
                force,
            } => give::give(
                &context,
                &give::Options {
                    device,
                    driver,
                    yes,
                    force,
                },
            ),
            Command::Take { device, yes } => give::take(&context, &device, yes),
            Command::Unload => unload::run(&context),
            Command::Try { yes } => trial::run(&context, yes),
            Command::Man { folder } => man(folder),
            Command::Completion { shell } => completion(shell),
        }
    }
}

fn raw(text: Vec<u8>) -> Answer {
    Answer {
        text: String::from_utf8_lossy(&text).into_owned(),
        json: Value::Null,
        status: 0,
    }
}

fn man(folder: Option<PathBuf>) -> Result<Answer> {
    let command = Arguments::command();
    let mut text = Vec::new();
    let made = match &folder {
        None => clap_mangen::Man::new(command).render(&mut text),
        Some(folder) => clap_mangen::generate_to(command, folder),
    };
    match made {
        Ok(()) => Ok(raw(text)),
        Err(error) => crate::fail!(
            "The man page cannot be written: {}.",
            crate::error::said(&error)
        ),
    }
}

fn completion(shell: clap_complete::Shell) -> Result<Answer> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "vtd", &mut text);
    Ok(raw(text))
}
