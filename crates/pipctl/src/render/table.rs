//! Columns aligned by what a terminal shows, not by bytes.

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::style::{FAINT, Styled};

/// One cell.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: plain(&text.into()), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Style::new())
    }
}

/// Rows of cells, with whole lines between them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Row {
    Cells(Vec<Cell>),
    Line(String),
}

impl Table {
    /// A table with a heading.
    pub(crate) fn with_heading(names: &[&str]) -> Self {
        let heading = names.iter().map(|name| Cell::new(*name, FAINT)).collect();
        Self { rows: vec![Row::Cells(heading)] }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(Row::Cells(cells));
    }

    /// A line across all columns, already styled.
    pub(crate) fn line(&mut self, line: impl Into<String>) {
        self.rows.push(Row::Line(line.into()));
    }

    /// The table as text, two spaces between columns, no blanks at line ends.
    pub(crate) fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            let Row::Cells(cells) = row else { continue };
            for (column, cell) in cells.iter().enumerate() {
                let width = cell.text.width();
                match widths.get_mut(column) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            match row {
                Row::Line(line) => text.push_str(line),
                Row::Cells(cells) => {
                    let last = cells.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |at| at + 1);
                    for (column, cell) in cells[..last].iter().enumerate() {
                        text.push_str(&Styled(&cell.text, cell.style).to_string());
                        if column + 1 < last {
                            let gap = widths[column] - cell.text.width() + 2;
                            text.extend(std::iter::repeat_n(' ', gap));
                        }
                    }
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Text from elsewhere made safe for a terminal: control characters become visible.
pub(crate) fn plain(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(
            |c| if c.is_control() { Escaped::Control(c.escape_default()) } else { Escaped::One(Some(c)) },
        )
        .collect()
}

/// A character or what stands for it.
enum Escaped {
    One(Option<char>),
    Control(std::char::EscapeDefault),
}

impl Iterator for Escaped {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Self::One(c) => c.take(),
            Self::Control(escape) => escape.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_display_width() {
        let mut table = Table::with_heading(&["NAME", "STATE", "URL"]);
        table.row(vec!["größe".into(), "ready".into(), "a".into()]);
        table.row(vec!["日本語".into(), "backoff".into(), "".into()]);
        table.line("    across");
        let text = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(text, "NAME    STATE    URL\ngröße   ready    a\n日本語  backoff\n    across\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(plain("ü"), "ü");
    }
}
