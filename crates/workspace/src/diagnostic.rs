//! What is wrong in a configuration file: the line, a caret, the reason and what to write instead.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A file's text as it was read, without a byte order mark.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    /// Line and column of a span, both counted from 1, columns in characters.
    pub(crate) fn place(&self, span: &Range<usize>) -> (usize, usize) {
        let before = &self.text[..boundary(&self.text, span.start)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    pub(crate) fn fail(self, found: Vec<Diagnostic>) -> Box<ConfigError> {
        Box::new(ConfigError { source: self, found })
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Diagnostic {
    pub(crate) title: String,
    pub(crate) span: Range<usize>,
    /// Under the caret.
    pub(crate) label: String,
    /// A second place that belongs to it.
    pub(crate) also: Option<(Range<usize>, String)>,
    /// What to write instead.
    pub(crate) help: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(span: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Self {
        Self { title: title.into(), span, label: label.into(), also: None, help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }
}

/// A configuration file that cannot be used, with everything found wrong in it.
#[derive(Clone, Debug)]
pub struct ConfigError {
    source: Source,
    found: Vec<Diagnostic>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.source.path.display();
        for (index, one) in self.found.iter().enumerate() {
            let (line, column) = self.source.place(&one.span);
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}{path}:{line}:{column}: {}", one.title)?;
            if !one.label.is_empty() {
                write!(f, " ({})", one.label)?;
            }
        }
        write!(f, "; type: {}", Self::COMMAND)
    }
}

impl ConfigError {
    pub(crate) const COMMAND: &str = "pipctl start";

    /// The file.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// Line and column of the first thing that is wrong, both counted from 1, columns in characters.
    pub fn position(&self) -> (usize, usize) {
        self.found.first().map_or((1, 1), |one| self.source.place(&one.span))
    }

    /// Snippets with carets, one a fault, then the command to type. With `color` it carries ANSI escapes.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let path = self.source.path.to_string_lossy();
        let mut out = String::new();
        for one in &self.found {
            let mut snippet = Snippet::source(self.source.text.as_str())
                .path(path.as_ref())
                .annotation(AnnotationKind::Primary.span(self.within(&one.span)).label(one.label.as_str()));
            if let Some((span, label)) = &one.also {
                snippet =
                    snippet.annotation(AnnotationKind::Context.span(self.within(span)).label(label.as_str()));
            }
            let mut group =
                Group::with_title(Level::ERROR.primary_title(one.title.as_str())).element(snippet);
            if let Some(help) = &one.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
        let (line, _) = self.position();
        out.push_str(&format!("correct line {line} of {path}, then type: {}\n", Self::COMMAND));
        out
    }

    /// A span that is inside the text and on character boundaries, whatever the parser said.
    fn within(&self, span: &Range<usize>) -> Range<usize> {
        let text = &self.source.text;
        let start = boundary(text, span.start);
        start..boundary(text, span.end.max(start))
    }
}

fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
