// SPDX-License-Identifier: GPL-2.0

//! Text for people: lines of at most 80 columns, and numbers with units.

use std::io::{self, IsTerminal};
use terminal_size::{terminal_size_of, Width};

/// The most columns of sentences, and the columns of a terminal that does not say its size.
const USUAL: usize = 80;
/// A terminal with fewer columns breaks lines itself.
const NARROWEST: usize = 40;

/// Returns the columns of the terminal; `None` if the output goes elsewhere.
pub fn terminal() -> Option<usize> {
    let out = io::stdout();
    match terminal_size_of(&out) {
        Some((Width(columns), _)) => Some(usize::from(columns).max(NARROWEST)),
        None => out.is_terminal().then_some(USUAL),
    }
}

/// Returns the most columns of a line of sentences.
fn width() -> usize {
    terminal().map_or(USUAL, |columns| columns.min(USUAL))
}

/// Writes `text` in lines that begin with `first`, and then with as many blanks.
pub fn wrap(first: &str, text: &str) -> String {
    lines(first, &" ".repeat(first.chars().count()), text, width())
}

/// Writes `text` in lines of at most `width` columns that begin with `first`, and then with `indent`.
pub fn lines(first: &str, indent: &str, text: &str, width: usize) -> String {
    let (mut out, mut line) = (String::new(), first.to_owned());
    let mut is_empty = true;
    let room = width.saturating_sub(indent.chars().count()).max(20);
    for word in text.split_whitespace().flat_map(|word| pieces(word, room)) {
        let blank = usize::from(!is_empty);
        if !is_empty && line.chars().count() + blank + word.chars().count() > width {
            out += line.trim_end();
            out.push('\n');
            indent.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    out += line.trim_end();
    out.push('\n');
    out
}

/// Returns a word in pieces of at most `room` signs.
fn pieces(word: &str, room: usize) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest
            .char_indices()
            .nth(room)
            .map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// Returns a line as long as those of sentences; `...` shows that it was longer.
pub fn clip(line: &str) -> String {
    let width = width();
    if line.chars().count() <= width {
        return format!("{line}\n");
    }
    let kept: String = line.chars().take(width - 3).collect();
    format!("{}...\n", kept.trim_end())
}

/// Returns the text, cut to `most` signs.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Returns a number of bytes in the largest binary unit that keeps it readable.
pub fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes, 0);
    while value >= 1024 && value % 1024 == 0 && unit + 1 < units.len() {
        value /= 1024;
        unit += 1;
    }
    if value < 10240 {
        return format!("{} {}", grouped(value), units[unit]);
    }
    let mut fine = value as f64;
    while fine >= 1024.0 && unit + 1 < units.len() {
        fine /= 1024.0;
        unit += 1;
    }
    format!("{fine:.1} {}", units[unit])
}

/// Returns a number with commas.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Returns a count with its name, in the plural unless it is 1.
pub fn many(count: u64, name: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {name}{plural}", grouped(count))
}

/// Returns names as a list in a sentence: a, b and c.
pub fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Returns the text as the terminal can show it, by the variables of the locale.
pub fn shown(text: &str) -> String {
    let set = |name: &&str| std::env::var_os(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set);
    encoded(text, &locale.unwrap_or_default().to_string_lossy())
}

/// Replaces what an encoding other than UTF-8 lacks. Without a locale, nothing says that the
/// terminal has another encoding.
fn encoded(text: &str, locale: &str) -> String {
    let name = locale.to_ascii_lowercase();
    if ["", "c", "posix"].contains(&name.as_str())
        || name.contains("utf-8")
        || name.contains("utf8")
    {
        return text.to_owned();
    }
    let plain = |sign| match sign {
        '└' => '`',
        '├' | '│' => '|',
        '─' => '-',
        '…' => '~',
        sign if sign.is_ascii() => sign,
        _ => '?',
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_without_the_signs_of_trees() {
        for (locale, shown) in [
            ("", "└─ a… é"),
            ("C", "└─ a… é"),
            ("de_DE.UTF-8", "└─ a… é"),
            ("C.utf8", "└─ a… é"),
            ("de_DE.ISO-8859-1", "`- a~ ?"),
            ("de_DE", "`- a~ ?"),
        ] {
            assert_eq!(encoded("└─ a… é", locale), shown, "{locale}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(4096), "4 KiB");
        assert_eq!(size(3 << 30), "3 GiB");
        assert_eq!(size((1 << 30) + 4096), "1.0 GiB");
        assert_eq!(size(u64::MAX), "16.0 EiB");
        assert_eq!(
            (grouped(1_234_567), grouped(12)),
            ("1,234,567".into(), "12".into())
        );
    }

    #[test]
    fn no_line_is_too_long() {
        let text = "word ".repeat(100);
        assert!(wrap("   - ", &text).lines().all(|line| line.len() <= USUAL));
        assert_eq!(wrap("a ", "b"), "a b\n");
        let long = wrap("   - ", &"word".repeat(100));
        assert!(long.lines().all(|line| line.len() <= USUAL));
        let whole: String = long.split_whitespace().skip(1).collect();
        assert_eq!(whole, "word".repeat(100));
    }
}
