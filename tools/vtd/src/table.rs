// SPDX-License-Identifier: GPL-2.0

//! Tables of text. On a terminal that is too narrow for a row, its last columns are in further
//! lines below it.

use crate::text::cut;

/// A row: a word at its beginning, and cells in columns. A row without cells may be of any width.
pub struct Row {
    pub head: String,
    /// What its further lines begin with: the lines of a tree.
    pub below: String,
    pub cells: Vec<String>,
}

/// Returns rows as lines whose columns are aligned; the first cell of each is its head.
pub fn columns(rows: &[Vec<String>], width: Option<usize>) -> String {
    let rows: Vec<_> = rows
        .iter()
        .filter_map(|cells| {
            let (head, cells) = cells.split_first()?;
            Some(Row {
                head: head.clone(),
                below: String::new(),
                cells: cells.to_vec(),
            })
        })
        .collect();
    aligned(&rows, width)
}

/// Returns rows as lines of at most `width` columns. A column in which no row has a word takes no
/// room.
pub fn aligned(rows: &[Row], width: Option<usize>) -> String {
    let most = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let signs = |text: &String| text.chars().count();
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.cells.get(column));
        cells.map(signs).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..most).map(width_of).collect();
    let of_cells = || rows.iter().filter(|row| !row.cells.is_empty());
    let head = of_cells().map(|row| signs(&row.head)).max().unwrap_or(0) + 2;
    let below = of_cells().map(|row| signs(&row.below)).max().unwrap_or(0) + 2;
    let room = width.unwrap_or(usize::MAX);
    let starts = starts(&widths, head, below, room);
    let mut text = String::new();
    for row in rows {
        let mut line = row.head.clone();
        if !row.cells.is_empty() {
            line = format!("{line:<head$}");
        }
        let mut lines = Vec::new();
        for (column, (cell, width)) in row.cells.iter().zip(&widths).enumerate() {
            if starts.contains(&column) {
                lines.push(line);
                line = format!("{:<below$}", row.below);
            }
            if *width > 0 {
                line += &format!("{cell:<width$}  ");
            }
        }
        lines.push(line);
        for (at, line) in lines.iter().enumerate() {
            // Nothing but the lines of a tree: the cells of a further line are all empty.
            if at == 0 || line.trim_end() != row.below.trim_end() {
                text += &cut(line.trim_end(), room);
                text.push('\n');
            }
        }
    }
    text
}

/// Returns the columns that begin a further line.
fn starts(widths: &[usize], head: usize, below: usize, room: usize) -> Vec<usize> {
    let (mut at, mut is_first, mut starts) = (head, true, Vec::new());
    for (column, width) in widths.iter().enumerate().filter(|(_, width)| **width > 0) {
        if at + width > room && !(is_first && at == below) {
            starts.push(column);
            at = below;
        }
        is_first = false;
        at += width + 2;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(head: &str, below: &str, cells: &[&str]) -> Row {
        Row {
            head: head.into(),
            below: below.into(),
            cells: cells.iter().map(|cell| (*cell).into()).collect(),
        }
    }

    #[test]
    fn columns_that_do_not_fit_are_below() {
        let rows = [
            row("root", "", &[]),
            row("|- a", "|", &["one", "", "three and more", "x"]),
            row("`- bb", "", &["1", "", "", ""]),
        ];
        let whole = "root\n|- a   one  three and more  x\n`- bb  1\n";
        for wide in [None, Some(80), Some(29)] {
            assert_eq!(aligned(&rows, wide), whole);
        }
        assert_eq!(
            aligned(&rows, Some(28)),
            "root\n|- a   one  three and more\n|  x\n`- bb  1\n"
        );
        assert_eq!(
            aligned(&rows, Some(20)),
            "root\n|- a   one\n|  three and more  x\n`- bb  1\n"
        );
        // What fits nowhere is cut.
        assert_eq!(
            aligned(&rows, Some(10)),
            "root\n|- a   one\n|  three …\n|  x\n`- bb  1\n"
        );
    }
}
