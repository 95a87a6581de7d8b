// SPDX-License-Identifier: GPL-2.0

//! The shapes of the picture. All text is escaped: that of a dump cannot become markup.

use crate::drawing::Owner;
use std::collections::BTreeSet;

const STYLE: &str = r#"
svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12px;fill:#1f2933}
.m{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.h{font-size:20px;font-weight:600}.t{font-size:13px;font-weight:600}
.c{font-size:11px;fill:#52606d;letter-spacing:.06em}.s{font-size:11px;fill:#52606d}
.b{fill:#fff;stroke:#cbd2d9}.e{fill:none;stroke:#9fb3c8;stroke-width:1.4}
.f{fill:#b42318;font-size:11px;font-weight:600}
"#;

/// A place: x and y.
type Point = (f64, f64);

/// Fill, line and dashes of an owner's groups: distinct for colour-blind readers, and without colour.
pub struct Look {
    fill: &'static str,
    pub line: &'static str,
    dashes: &'static str,
}

impl Look {
    pub fn of(owner: Owner) -> Self {
        let (fill, line, dashes) = match owner {
            Owner::Kernel => ("#e4f0fb", "#0b62a4", ""),
            Owner::Driver => ("#e3f5ee", "#00795a", "2 3"),
            Owner::User | Owner::Iommufd => ("#fdebdc", "#c2500a", "7 4"),
            Owner::NoOne => ("#f1f2f4", "#6b7280", "1 4"),
            Owner::Unknown => ("#ffffff", "#9aa3af", "1 4"),
        };
        Self { fill, line, dashes }
    }

    pub fn attributes(&self) -> String {
        let dashes = match self.dashes {
            "" => String::new(),
            dashes => format!(" stroke-dasharray=\"{dashes}\""),
        };
        let Self { fill, line, .. } = self;
        format!("fill=\"{fill}\" stroke=\"{line}\" stroke-width=\"1.6\"{dashes}")
    }

    /// Returns words in the colour of the line, which end at x.
    pub fn words(&self, x: f64, y: f64, words: &str) -> String {
        format!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\" fill=\"{}\" font-weight=\"600\">{}</text>",
            self.line,
            escaped(words)
        )
    }
}

/// Returns text without signs that have a meaning in markup.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for sign in text.chars() {
        match sign {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            sign => out.push(sign),
        }
    }
    out
}

fn line_of_text(x: f64, y: f64, words: &str, style: &str, anchor: &str) -> String {
    let class = match style {
        "" => String::new(),
        style => format!(" class=\"{style}\""),
    };
    format!(
        "<text x=\"{x}\" y=\"{y}\"{class}{anchor}>{}</text>",
        escaped(words)
    )
}

/// Returns one line of text that begins at x.
pub fn text(x: f64, y: f64, words: &str, style: &str) -> String {
    line_of_text(x, y, words, style, "")
}

/// Returns one line of text that ends at x.
pub fn text_end(x: f64, y: f64, words: &str, style: &str) -> String {
    line_of_text(x, y, words, style, " text-anchor=\"end\"")
}

/// Returns a rectangle.
pub fn rect((x, y): Point, (width, height): Point, attributes: &str, radius: u32) -> String {
    format!(
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\" {attributes}/>"
    )
}

/// Returns a line from the right of one box to the left of another.
pub fn edge((from_x, from_y): Point, (to_x, to_y): Point, attributes: &str) -> String {
    let bend = (to_x - from_x) / 2.0;
    let (first, second) = (from_x + bend, to_x - bend);
    format!(
        "<path class=\"e\" d=\"M{from_x} {from_y}C{first} {from_y} {second} {to_y} {to_x} {to_y}\"{attributes}/>"
    )
}

/// Returns a line from a bus down to a bridge that is on it.
pub fn down((x, y): Point, (to_x, to_y): Point) -> String {
    format!("<path class=\"e\" d=\"M{x} {y}V{to_y}H{to_x}\" stroke-dasharray=\"3 3\"/>")
}

/// Returns the first lines of the picture.
pub fn head(width: f64, height: f64, title: &str) -> Vec<String> {
    vec![
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\">"
        ),
        "<!-- SPDX-License-Identifier: GPL-2.0 -->".to_owned(),
        format!("<title>{}</title>", escaped(title)),
        format!("<style>{STYLE}</style>"),
        format!("<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>"),
    ]
}

/// Returns what the colours of these owners' groups mean.
pub fn legend(owners: impl Iterator<Item = Owner>, (mut x, y): Point) -> Vec<String> {
    let merged = owners.map(|owner| match owner {
        Owner::Iommufd => Owner::User,
        owner => owner,
    });
    let shown: BTreeSet<_> = merged.collect();
    let mut lines = Vec::new();
    for owner in shown {
        let words = format!("group: {}", owner.words());
        let look = Look::of(owner).attributes();
        lines.push(rect((x, y - 11.0), (26.0, 14.0), &look, 4));
        lines.push(text(x + 34.0, y, &words, ""));
        x += 58.0 + 6.2 * words.len() as f64;
    }
    let words = "A line leads from a device to all that it can reach.";
    lines.push(text(x, y, words, "s"));
    lines
}
