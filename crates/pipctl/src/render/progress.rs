//! The live lines a person sees while services start or stop.

use wire::{ServiceView, WorkspaceView};

use super::style::{FAINT, STRONG, Styled, phase_style, phase_word};
use super::table::plain;
use crate::clock::span;
use unicode_width::UnicodeWidthChar;

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// One line for each service, none wider than `width` columns.
pub(crate) fn lines(
    view: &WorkspaceView,
    only: &[String],
    frame: usize,
    elapsed_ms: u64,
    width: usize,
) -> Vec<String> {
    let shown: Vec<&ServiceView> =
        view.services.iter().filter(|service| only.is_empty() || only.contains(&service.name)).collect();
    let widest = shown.iter().map(|service| service.name.chars().count()).max().unwrap_or(0);
    shown.iter().map(|service| line(service, widest, frame, elapsed_ms, width)).collect()
}

fn line(service: &ServiceView, widest: usize, frame: usize, elapsed_ms: u64, width: usize) -> String {
    use wire::Phase;
    let phase = service.phase;
    let moving = matches!(phase, Phase::Spawning | Phase::Starting | Phase::Stopping | Phase::Backoff);
    let mark = match phase {
        Phase::Ready | Phase::External => '✓',
        Phase::GaveUp | Phase::Unhealthy => '✗',
        Phase::Blocked => '!',
        _ if moving => FRAMES[frame % FRAMES.len()],
        _ => '·',
    };
    // Tenths from the beginning: a number that changes its unit catches the eye.
    let elapsed = match elapsed_ms {
        _ if !moving => String::new(),
        0..10_000 => format!(" {}.{} s", elapsed_ms / 1_000, elapsed_ms % 1_000 / 100),
        _ => format!(" {}", span(elapsed_ms)),
    };
    let detail = service.detail.as_deref().and_then(|detail| detail.lines().next()).map(plain);
    let tail = detail.map(|detail| format!("  {detail}")).unwrap_or_default();
    let used = 2 + widest + 2 + phase_word(phase).len() + elapsed.len();
    let tail = cut(&tail, width.saturating_sub(used + 1));
    format!(
        "{} {}{:pad$}  {}{}{}",
        Styled(mark, phase_style(phase)),
        Styled(&service.name, STRONG),
        "",
        Styled(phase_word(phase), phase_style(phase)),
        Styled(elapsed, FAINT),
        Styled(tail, FAINT),
        pad = widest - service.name.chars().count(),
    )
}

/// As much of a text as fits.
fn cut(text: &str, width: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= width
        })
        .collect()
}
