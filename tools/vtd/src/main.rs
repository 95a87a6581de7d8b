// SPDX-License-Identifier: GPL-2.0

//! `vtd`: answers questions about a machine's DMA remapping, whichever driver runs it.

mod bdf;
mod cli;
mod collect;
mod commands;
mod config_space;
mod drawing;
mod dump;
mod error;
mod fault_line;
mod firmware;
mod isolation;
mod kernel_build;
mod machine;
mod names;
mod root;
mod selection;
mod svg;
mod table;
mod text;

use clap::Parser;
use commands::Answer;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// The status if there is no answer. 1 is an answer: no.
const FAILED: u8 = 2;
/// The status that a shell reports for a program that ended by SIGPIPE.
const BROKEN_PIPE: u8 = 141;

fn main() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let json = arguments.json;
    match arguments.run() {
        Ok(answer) => print(&answer, json),
        Err(error) => {
            eprint!("{}", text::wrap("vtd: ", &error.to_string()));
            ExitCode::from(FAILED)
        }
    }
}

/// Prints help as it is, and a wrong argument in one sentence.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(BROKEN_PIPE),
        };
    }
    let rendered = error.render().to_string();
    let said = rendered.trim_start_matches("error: ");
    // Without a command, clap shows the whole help.
    let words = if said.starts_with("Answers") || said.trim().is_empty() {
        "which command? vtd --help lists them.".to_owned()
    } else {
        let first: Vec<_> = said
            .lines()
            .take_while(|line| !line.starts_with("Usage"))
            .collect();
        let first = first.join(" ");
        let words: Vec<_> = first
            .split_whitespace()
            .filter(|word| *word != "tip:")
            .collect();
        let words = words.join(" ");
        let words = words
            .split(" For more information")
            .next()
            .unwrap_or_default();
        format!("{}; see vtd --help.", words.trim_end_matches('.'))
    };
    eprint!("{}", text::wrap("vtd: ", &words));
    ExitCode::from(FAILED)
}

fn print(answer: &Answer, json: bool) -> ExitCode {
    // Null is what has been printed already, or is no data.
    let text = if json && !answer.json.is_null() {
        let pretty = serde_json::to_string_pretty(&answer.json);
        pretty.unwrap_or_default() + "\n"
    } else {
        text::shown(&answer.text)
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::from(answer.status),
        Err(error) => output_failed(&error),
    }
}

/// Ends quietly if the reader has gone; says why otherwise.
pub fn output_failed(error: &io::Error) -> ExitCode {
    if error.kind() == ErrorKind::BrokenPipe {
        return ExitCode::from(BROKEN_PIPE);
    }
    let words = format!("the output cannot be written: {}.", error::said(error));
    eprint!("{}", text::wrap("vtd: ", &words));
    ExitCode::from(FAILED)
}
