//! The live lines on a person's terminal while a verb waits. Everyone else sees nothing until the result.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use client::Progress;
use wire::{Snapshot, Text, WorkspaceView};

use crate::render::progress;

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(100);

/// Redraws the lines in place.
pub(crate) struct Live<'a> {
    err: &'a mut dyn Write,
    root: Text,
    services: Vec<String>,
    begun: Instant,
    view: Option<WorkspaceView>,
    frame: usize,
    drawn: usize,
    width: usize,
    on: bool,
}

impl<'a> Live<'a> {
    /// For these services of a workspace, all when empty; draws nothing unless `on`.
    pub(crate) fn new(err: &'a mut dyn Write, root: &Path, services: &[String], on: bool) -> Self {
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        Self {
            err,
            root: root.into(),
            services: services.to_vec(),
            begun: Instant::now(),
            view: None,
            frame: 0,
            drawn: 0,
            width,
            on,
        }
    }

    /// Takes the lines away again.
    pub(crate) fn clear(&mut self) {
        if self.drawn > 0 {
            let _ = write!(self.err, "\x1b[{}A\r\x1b[J", self.drawn).and_then(|()| self.err.flush());
            self.drawn = 0;
        }
    }

    fn draw(&mut self) {
        let Some(view) = &self.view else { return };
        let elapsed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let lines = progress::lines(view, &self.services, self.frame, elapsed, self.width);
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\r", self.drawn));
        }
        for line in &lines {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        if lines.len() < self.drawn {
            text.push_str("\x1b[J");
        }
        self.drawn = lines.len();
        // A terminal that is gone is no reason to stop waiting.
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }
}

impl Progress for Live<'_> {
    fn interval(&self) -> Option<Duration> {
        self.on.then_some(FRAME)
    }

    fn tick(&mut self) {
        self.frame += 1;
        self.draw();
    }

    fn changed(&mut self, snapshot: &Snapshot) {
        self.view = snapshot.workspaces.iter().find(|view| view.root.as_ref() == Some(&self.root)).cloned();
        // The first frame waits for the first tick: what is quick draws nothing.
        if self.on && self.drawn > 0 {
            self.draw();
        }
    }
}
