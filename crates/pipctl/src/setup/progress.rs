//! What a person sees while packages are installed: one line that is drawn anew, or plain lines where nobody looks.

use std::io::Write;

use crate::render::plain;

/// Cells of the bar.
const WIDTH: usize = 24;

/// The line.
pub(crate) struct Bar<'a> {
    err: &'a mut dyn Write,
    live: bool,
    columns: usize,
    drawn: bool,
    stage: String,
    total: usize,
    done: usize,
}

impl<'a> Bar<'a> {
    /// `live`: a terminal, on which a line can be drawn anew.
    pub(crate) fn new(err: &'a mut dyn Write, live: bool) -> Self {
        let columns = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        Self { err, live, columns, drawn: false, stage: String::new(), total: 0, done: 0 }
    }

    /// Something else begins, with so many steps; none where they cannot be counted.
    pub(crate) fn stage(&mut self, what: &str, total: usize) {
        self.stage = what.to_owned();
        self.total = total;
        self.done = 0;
        if self.live {
            self.draw("");
        } else {
            let count = if total > 0 { format!(" ({total})") } else { String::new() };
            self.line(&format!("{what}{count}"));
        }
    }

    /// One more step, by its name.
    pub(crate) fn step(&mut self, name: &str) {
        self.done = (self.done + 1).min(self.total.max(self.done));
        if self.live {
            self.draw(name);
        } else {
            self.line(&format!("  {}/{} {}", self.done, self.total, plain(name)));
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if self.drawn {
            let _ = write!(self.err, "\r\x1b[K").and_then(|()| self.err.flush());
            self.drawn = false;
        }
    }

    fn draw(&mut self, name: &str) {
        let text = text(&self.stage, self.done, self.total, &plain(name), self.columns);
        let _ = write!(self.err, "\r{text}\x1b[K").and_then(|()| self.err.flush());
        self.drawn = true;
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}").and_then(|()| self.err.flush());
    }
}

fn text(stage: &str, done: usize, total: usize, name: &str, columns: usize) -> String {
    let text = match (WIDTH * done).checked_div(total) {
        None => format!("{stage} …"),
        Some(full) => {
            format!("[{}{}] {done}/{total} {stage} {name}", "#".repeat(full), " ".repeat(WIDTH - full))
        }
    };
    text.chars().take(columns.saturating_sub(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_and_fits() {
        assert_eq!(text("fetching", 3, 6, "numpy", 80), "[############            ] 3/6 fetching numpy");
        assert_eq!(text("resolving", 0, 0, "", 80), "resolving …");
        assert_eq!(text("fetching", 3, 6, "numpy", 10).len(), 9);
    }

    #[test]
    fn where_nobody_looks_there_are_plain_lines() {
        let mut out = Vec::new();
        let mut bar = Bar::new(&mut out, false);
        bar.stage("installing", 2);
        bar.step("six");
        bar.step("idna");
        bar.clear();
        assert_eq!(String::from_utf8(out).unwrap(), "installing (2)\n  1/2 six\n  2/2 idna\n");
    }
}
