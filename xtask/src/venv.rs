//! Python environments: made where they stay (their scripts do not survive a move), finished when their stamp
//! is written, made anew when it is missing or tells of other requirements.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

const STAMP: &str = "complete.stamp";
const OLDEST: (u32, u32) = (3, 9);

/// Makes sure that `venv` holds what `requirements` asks for.
pub(crate) fn ensure(venv: &Path, requirements: &Path) -> Result<()> {
    let python = Python::find()?;
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("failed to read {}", requirements.display()))?;
    let stamp = format!("{} {}.{}\n{wanted}", python.path.display(), python.version.0, python.version.1);
    if std::fs::read_to_string(venv.join(STAMP)).is_ok_and(|found| found == stamp)
        && venv.join("bin/python").exists()
    {
        return Ok(());
    }
    if venv.symlink_metadata().is_ok() {
        std::fs::remove_dir_all(venv).with_context(|| format!("failed to remove {}", venv.display()))?;
    }
    python.check_modules()?;
    println!("making {} with {} …", shown(venv), python.path.display());
    if let Some(parent) = venv.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let status = Command::new(&python.path).args(["-m", "venv"]).arg(venv).status()?;
    if !status.success() {
        bail!("failed to make {}: {} -m venv ended with {status}", venv.display(), python.path.display());
    }
    install(venv, requirements)?;
    std::fs::write(venv.join(STAMP), stamp)?;
    Ok(())
}

struct Python {
    path: PathBuf,
    version: (u32, u32),
}

impl Python {
    /// `$PYTHON`, else `python3`, else `python`.
    fn find() -> Result<Self> {
        let named = std::env::var_os("PYTHON");
        let names = named.map_or_else(|| vec!["python3".into(), "python".into()], |name| vec![name]);
        let mut found = Vec::new();
        for name in names {
            let asked = Command::new(&name)
                .args(["-c", "import sys; print(sys.version_info[0], sys.version_info[1], sys.executable)"])
                .stderr(Stdio::null())
                .output();
            let Ok(output) = asked else { continue };
            let text = String::from_utf8_lossy(&output.stdout);
            let mut words = text.trim().splitn(3, ' ');
            if let (Some(Ok(major)), Some(Ok(minor)), Some(path)) =
                (words.next().map(str::parse), words.next().map(str::parse), words.next())
            {
                let python = Self { path: path.into(), version: (major, minor) };
                if python.version >= OLDEST {
                    return Ok(python);
                }
                found.push(format!("{} is {major}.{minor}", python.path.display()));
            }
        }
        let found = if found.is_empty() { "none was found".to_owned() } else { found.join(", ") };
        bail!(
            "Python {}.{} or newer is needed, {found}; on Debian or Ubuntu: sudo apt install python3 python3-venv; \
             with Homebrew: brew install python",
            OLDEST.0,
            OLDEST.1
        )
    }

    /// Debian ships Python without what makes environments.
    fn check_modules(&self) -> Result<()> {
        let output = Command::new(&self.path)
            .args(["-c", "import ensurepip, venv"])
            .output()
            .with_context(|| format!("failed to run {}", self.path.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let (major, minor) = self.version;
        bail!(
            "{} {major}.{minor} cannot make environments (no venv or ensurepip); on Debian or Ubuntu: \
             sudo apt install python{major}.{minor}-venv; with Homebrew: brew install python",
            self.path.display()
        )
    }
}

/// Runs pip and shows how far it is: first what it collects, then what it has installed of how much.
fn install(venv: &Path, requirements: &Path) -> Result<()> {
    let mut pip = Command::new(venv.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
            "-r",
        ])
        .arg(requirements)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("failed to run pip")?;
    let Some(output) = pip.stdout.take() else { bail!("pip has no output") };
    let mut errors = pip.stderr.take();
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(errors) = &mut errors {
            let _ = errors.read_to_string(&mut text);
        }
        text
    });
    let progress = show_progress(output, venv);
    let status = pip.wait()?;
    progress?;
    let said = said.join().unwrap_or_default();
    if !status.success() {
        bail!("pip could not install {}; it said:\n{}", requirements.display(), said.trim_end());
    }
    Ok(())
}

fn show_progress(output: ChildStdout, venv: &Path) -> Result<()> {
    let mut line = Line::new();
    let mut collected = 0_usize;
    let installed = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        let mut installing = None;
        for text in BufReader::new(output).lines() {
            let text = text?;
            if let Some(rest) = text.trim_start().strip_prefix("Collecting ") {
                collected += 1;
                line.show(collected, &format!("collecting {collected}: {}", name(rest)));
            } else if let Some(rest) = text.strip_prefix("Installing collected packages: ") {
                let names: Vec<String> = rest.split(", ").map(|package| name(package).to_owned()).collect();
                let mut line = std::mem::replace(&mut line, Line::new());
                let done = &installed;
                installing = Some(scope.spawn(move || watch_installation(&mut line, &names, venv, done)));
            }
        }
        installed.store(true, Ordering::Release);
        if let Some(thread) = installing {
            let _ = thread.join();
        }
        Ok(())
    })
}

/// Pip says nothing while it installs; each package it has done leaves a `*.dist-info/RECORD`.
fn watch_installation(line: &mut Line, names: &[String], venv: &Path, done: &AtomicBool) {
    let before = records(venv);
    while !done.load(Ordering::Acquire) {
        // Pip installs in the order it announced.
        let count = records(venv).saturating_sub(before).min(names.len());
        if let Some(next) = names.get(count) {
            line.show(count, &format!("installing {}/{}: {next}", count + 1, names.len()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    line.end(&format!("installed {} packages", names.len()));
}

fn records(venv: &Path) -> usize {
    let Ok(pythons) = std::fs::read_dir(venv.join("lib")) else { return 0 };
    pythons
        .flatten()
        .filter_map(|python| std::fs::read_dir(python.path().join("site-packages")).ok())
        .flat_map(Iterator::flatten)
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "dist-info"))
        .filter(|entry| entry.path().join("RECORD").exists())
        .count()
}

fn name(requirement: &str) -> &str {
    requirement.split([' ', '=', '<', '>', '!', '~', '[', ';', '(']).next().unwrap_or(requirement)
}

fn shown(path: &Path) -> String {
    path.strip_prefix(crate::build::root()).unwrap_or(path).display().to_string()
}

/// A line that is written over in a terminal; elsewhere only every tenth step is a line.
struct Line {
    terminal: bool,
    width: usize,
    shown: Option<usize>,
}

impl Line {
    fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), width: 0, shown: None }
    }

    fn show(&mut self, step: usize, text: &str) {
        if self.shown == Some(step) {
            return;
        }
        self.shown = Some(step);
        let mut out = std::io::stdout();
        // Progress is a courtesy: a closed output must not stop the work.
        let _ = if self.terminal {
            let pad = self.width.saturating_sub(text.len());
            self.width = text.len();
            write!(out, "\r  {text}{:pad$}", "").and_then(|()| out.flush())
        } else if step.is_multiple_of(10) {
            writeln!(out, "  {text}")
        } else {
            Ok(())
        };
    }

    fn end(&mut self, text: &str) {
        let pad = self.width.saturating_sub(text.len());
        let start = if self.terminal { "\r" } else { "" };
        let _ = writeln!(std::io::stdout(), "{start}  {text}{:pad$}", "");
    }
}
