//! What `status --long` shows beside the state: processes, memory, addresses, kernels.

use wire::{DetailsAnswer, JupyterView, KernelView, MemoryKind, ServiceDetails, ServiceView, WorkspaceView};

use super::style::{FAINT, STRONG, Styled, WAITING};
use super::table::{Cell, Table, plain};
use crate::clock::{between, span};

/// Notebooks named in one line.
const MAX_NAMED: usize = 3;

/// What was gathered of a service; `None` when it has no process.
pub(super) fn of<'a>(
    answer: &'a DetailsAnswer,
    workspace: &WorkspaceView,
    service: &ServiceView,
) -> Option<&'a ServiceDetails> {
    answer.services.iter().find(|one| one.name == service.name && one.root == workspace.root)
}

/// Processes, memory, processor time.
pub(super) fn columns(details: Option<&ServiceDetails>) -> [Cell; 3] {
    match details.and_then(|details| details.tree.as_ref()) {
        Some(tree) => {
            let cpu = match tree.cpu_percent {
                Some(percent) => format!("{} ({percent} %)", span(tree.cpu_ms)),
                None => span(tree.cpu_ms),
            };
            [tree.processes.to_string().into(), size(tree.memory_bytes).into(), cpu.into()]
        }
        None => ["-".into(), "-".into(), "-".into()],
    }
}

/// What goes below the row.
pub(super) fn lines(details: Option<&ServiceDetails>, now_ms: i64) -> Vec<String> {
    let Some(details) = details else { return Vec::new() };
    let mut lines = Vec::new();
    if let Some(listening) = &details.listening
        && !listening.addresses.is_empty()
    {
        lines.push(format!("    listens on {}", listening.addresses.join(", ")));
    }
    lines.extend(details.jupyter.iter().flat_map(|view| kernels(view, now_ms)));
    lines
}

/// One line of what a JupyterLab said last, with its age.
pub(super) fn kernels_in_short(service: &ServiceView, now_ms: i64) -> Option<String> {
    let view = service.jupyter.as_ref()?;
    let age = span(between(view.at_ms, now_ms));
    if let Some(why) = &view.silent {
        return Some(format!("    {}", Styled(format!("{} ({age} ago)", plain(why)), WAITING)));
    }
    let mut parts: Vec<String> = Vec::new();
    let (busy, rest): (Vec<_>, Vec<_>) = view.kernels.iter().partition(|kernel| kernel.state == "busy");
    if !busy.is_empty() {
        let mut names: Vec<String> = busy.iter().take(MAX_NAMED).map(|kernel| name(kernel)).collect();
        if busy.len() > MAX_NAMED {
            names.push("…".into());
        }
        parts.push(format!("{} busy ({})", busy.len(), names.join(", ")));
    }
    if !rest.is_empty() {
        parts.push(format!("{} idle", rest.len()));
    }
    if !view.terminals.is_empty() {
        parts.push(format!("{} at work in terminals", view.terminals.len()));
    }
    (!parts.is_empty())
        .then(|| format!("    kernels: {} {}", parts.join(", "), Styled(format!("({age} ago)"), FAINT)))
}

fn kernels(view: &JupyterView, now_ms: i64) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(why) = &view.silent {
        lines.push(format!("    {}", Styled(plain(why), WAITING)));
    }
    if !view.kernels.is_empty() {
        let mut table = Table::with_heading(&["KERNEL", "STATE", "ACTIVE", "PID", "MEMORY", "KIND"]);
        for kernel in &view.kernels {
            let style = if kernel.state == "busy" { WAITING } else { FAINT };
            table.row(vec![
                Cell::new(name(kernel), STRONG),
                Cell::new(&kernel.state, style),
                kernel
                    .last_activity_ms
                    .map_or("-".into(), |at| format!("{} ago", span(between(at, now_ms))))
                    .into(),
                super::pid(kernel.pid).into(),
                kernel.memory_bytes.map_or("-".into(), size).into(),
                kernel.name.clone().into(),
            ]);
        }
        lines.extend(table.render().lines().map(|line| format!("    {line}")));
    }
    lines.extend(
        view.terminals
            .iter()
            .map(|one| format!("    a terminal runs: {} (pid {})", plain(&one.command), one.pid)),
    );
    lines
}

fn name(kernel: &KernelView) -> String {
    kernel.notebook.clone().unwrap_or_else(|| kernel.id.chars().take(8).collect())
}

/// The machine, and how the numbers above are meant.
pub(super) fn machine(answer: &DetailsAnswer) -> String {
    let mut text = String::new();
    if let Some(memory) = &answer.memory {
        let stalled = match memory.stalled_percent {
            Some(percent) if percent > 0 => format!(", {percent} % of the time something waits for it"),
            _ => String::new(),
        };
        let (available, total) = (size(memory.available_bytes), size(memory.total_bytes));
        text.push_str(&format!("memory of this machine: {available} of {total} available{stalled}\n"));
    }
    let kinds = answer.services.iter().filter_map(|one| one.tree.as_ref()).map(|tree| tree.memory_kind);
    if let Some(kind) = kinds.reduce(|one, other| if one == other { one } else { MemoryKind::Rss }) {
        let shared = match kind {
            MemoryKind::Pss => "what processes share is counted once (PSS)",
            MemoryKind::Rss => "what processes share is counted for each (RSS)",
        };
        let line =
            format!("MEMORY: {shared}. CPU: since its start (and in percent of a core, since asked last).");
        text.push_str(&format!("{}\n", Styled(line, FAINT)));
    }
    text
}

/// Bytes for people: `812 KiB`, `41 MiB`, `1.4 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match bytes {
        0..MIB => format!("{} KiB", bytes / KIB),
        MIB..GIB => format!("{} MiB", bytes / MIB),
        _ => format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB),
    }
}
