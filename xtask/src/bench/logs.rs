//! How fast output is taken, stamped, bounded and rotated; and that every line is there once.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::Row;
use super::lab::{Lab, Programs};
use super::measure::{median, until};

const LINES: u64 = 8 << 20;
const LINE_BYTES: u64 = 100;
const ROUNDS: usize = 5;

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(flood(programs, LINES, "")?.rate);
    }
    // Once more with room for everything, to see every line.
    let all = flood(programs, LINES, "logs = { file_size = \"256MiB\", files = 20 }")?;
    ensure!(all.kept == LINES, "{} of {LINES} lines are in the log", all.kept);
    Ok(vec![
        Row::at_least("log capture, 100-byte lines", median(&rates), "MiB/s", 400.0, "≥ 400"),
        Row::plain("… lines written, each found once", format!("{}", all.kept)),
    ])
}

struct Flood {
    /// MiB of the service's own output per second.
    rate: f64,
    /// Lines found in the files, without a gap, up to the last.
    kept: u64,
}

fn flood(programs: &Programs, lines: u64, keys: &str) -> Result<Flood> {
    let lab = Lab::new(programs)?;
    lab.config(&lab.service("flood", "flood", &lines.to_string(), &format!("ready = \"none\"\n{keys}")))?;
    lab.pipctl(&["daemon", "start"])?;
    lab.pipctl(&["start"])?;
    let first = until("the flood", Duration::from_secs(5), || lab.stamps().first().copied())?;
    let written = until("its end", Duration::from_secs(300), || lab.stamps().get(1).copied())?;
    let waited = Instant::now();
    let last = format!("{:019} ", lines - 1);
    until("the last line in the log", Duration::from_secs(60), || {
        let files = lab.log_files("flood");
        ends_with(files.last()?, &last).ok()?.then_some(())
    })?;
    let logging = (written.nanoseconds - first.nanoseconds) as f64 / 1e9 + waited.elapsed().as_secs_f64();
    let rate = (lines * LINE_BYTES) as f64 / f64::from(1 << 20) / logging;
    Ok(Flood { rate, kept: check(&lab, lines)? })
}

fn ends_with(file: &Path, line: &str) -> Result<bool> {
    let mut file = std::fs::File::open(file)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(512)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).contains(line))
}

/// Every line that is kept: in order, none missing, none twice, none damaged, up to the last one printed.
fn check(lab: &Lab<'_>, lines: u64) -> Result<u64> {
    let mut kept = 0;
    let mut expected: Option<u64> = None;
    for path in lab.log_files("flood") {
        for line in BufReader::with_capacity(1 << 20, std::fs::File::open(&path)?).split(b'\n') {
            let line = line?;
            let line = std::str::from_utf8(&line)?;
            let mut fields = line.splitn(4, ' ');
            let (_, stream, tag, text) = (fields.next(), fields.next(), fields.next(), fields.next());
            if stream != Some("stdout") {
                continue;
            }
            ensure!(tag == Some("F"), "a line was cut: {line}");
            let text = text.context("a line without text")?;
            let (number, filling) = text.split_once(' ').context("a line without its number")?;
            let number: u64 = number.parse()?;
            if filling.len() != 79 || filling.bytes().any(|byte| byte != b'x') {
                bail!("a damaged line: {line}");
            }
            ensure!(expected.is_none_or(|expected| expected == number), "line {number} follows {expected:?}");
            expected = Some(number + 1);
            kept += 1;
        }
    }
    ensure!(expected == Some(lines), "the last line is {expected:?}");
    Ok(kept)
}
