// SPDX-License-Identifier: GPL-2.0

//! `vtd walk REQUESTER ADDRESS`: what a read and a write of an address would do, entry by entry, as
//! the running module finds it (vtd/walk in debugfs).

use super::{Answer, Context};
use crate::collect::DEBUG;
use crate::error::{said, Result};
use crate::fail;
use serde_json::json;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Other programs use the file, too; the answer names its request.
const TRIES: usize = 5;

pub fn run(context: &Context, requester: &str, address: &str) -> Result<Answer> {
    if context.dump.is_some() {
        fail!("A dump has no page tables: run vtd walk on the machine itself.");
    }
    let path = context.root.path(&format!("{DEBUG}/vtd/walk"));
    let request = format!("{requester} {address}");
    for _ in 0..TRIES {
        match ask(&path, &request) {
            Ok(answer) if answers(&answer, requester, address) => {
                let lines: Vec<_> = answer.lines().map(str::to_owned).collect();
                let json = json!({ "request": request, "lines": lines });
                return Ok(Answer { text: answer, json, status: 0 });
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::InvalidInput => fail!(
                "'{request:.60}' is no requester and address, such as '0000:00:05.0 0xffffe000'."
            ),
            Err(error) => fail!(
                "{} cannot be used ({}): that takes root, the module vtd loaded, and debugfs mounted.",
                path.display(),
                said(&error)
            ),
        }
    }
    fail!(
        "Other programs use {} all the time; try again.",
        path.display()
    );
}

fn ask(path: &Path, request: &str) -> io::Result<String> {
    // Not created where there is none.
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, request.as_bytes())?;
    Ok(crate::root::plain(&fs::read(path)?))
}

/// Returns whether the answer is that to this request; it names the segment, and addresses may have
/// any form.
fn answers(answer: &str, requester: &str, address: &str) -> bool {
    let first = answer.lines().next().unwrap_or_default();
    let Some((one, at)) = first.split_once(' ') else {
        return false;
    };
    let number = |text: &str| {
        let text = text.trim().to_ascii_lowercase();
        u64::from_str_radix(text.strip_prefix("0x").unwrap_or(&text), 16).ok()
    };
    let same = one.ends_with(&requester.trim().to_ascii_lowercase());
    same && number(at).is_some() && number(at) == number(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_the_requested_one() {
        let answer = "0000:00:05.0 0xffffe000\nlevel 1\nA read is refused.\n";
        assert!(answers(answer, "00:05.0", "0xFFFFE000"));
        assert!(answers(answer, "0000:00:05.0", "ffffe000"));
        assert!(!answers(answer, "00:06.0", "0xffffe000"));
        assert!(!answers(answer, "00:05.0", "0x1000"));
        assert!(!answers("", "00:05.0", "0x1000"));
        assert!(!answers("05.0 x\n", "05.0", "x"));
    }
}
