//! When a service is ready, how it is asked to end, when it is started again.

use wire::{Kind, ReadyCheck, RestartPolicy, ServiceSpec, Signal, StopSpec};

use super::Context;
use crate::config::{Owner, Policy, Ready, ReadyTable, ReadyWord, Restart, Service, StopSignal};
use crate::diagnostic::Diagnostic;

pub(super) fn ready(context: &mut Context<'_>, spec: &mut ServiceSpec, service: &Service) {
    let Some(at) = &service.ready else { return };
    match &at.value {
        Ready::Word(ReadyWord::None) => spec.ready.check = ReadyCheck::None,
        Ready::Word(ReadyWord::Tcp) => spec.ready.check = ReadyCheck::Tcp,
        Ready::Word(ReadyWord::Http) => {
            if !matches!(spec.ready.check, ReadyCheck::Http { .. }) {
                spec.ready.check = ReadyCheck::Http { path: "/".to_owned(), status: None };
            }
        }
        Ready::Table(table) => ready_table(context, spec, table),
    }
    if spec.ready.check != ReadyCheck::None && spec.port.is_none() {
        let fault = Diagnostic::new(at.span.clone(), "nothing to ask without a port", "there is no `port`");
        context.fault(fault.help("add `port = 8000`, or write `ready = \"none\"`"));
    }
}

fn ready_table(context: &mut Context<'_>, spec: &mut ServiceSpec, table: &ReadyTable) {
    if let Some(path) = &table.http {
        if !path.value.starts_with('/') || path.value.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            let label = "expected a path such as \"/health\"";
            context.fault(Diagnostic::new(path.span.clone(), "not the path of a URL", label));
        }
        spec.ready.check = ReadyCheck::Http { path: path.value.clone(), status: None };
    } else if table.tcp.as_ref().is_some_and(|tcp| tcp.value) {
        spec.ready.check = ReadyCheck::Tcp;
    }
    if let Some(wanted) = &table.status {
        match &mut spec.ready.check {
            ReadyCheck::Http { status, .. } => *status = Some(wanted.value),
            ReadyCheck::None | ReadyCheck::Tcp => {
                let title = "`status` belongs to `http`";
                context.fault(Diagnostic::new(wanted.span.clone(), title, "there is no `http`"));
            }
        }
        if !(100..=599).contains(&wanted.value) {
            let title = format!("{} is not an HTTP status", wanted.value);
            context.fault(Diagnostic::new(wanted.span.clone(), title, "expected 100 to 599"));
        }
    }
    if let Some(timeout) = &table.timeout {
        spec.ready.timeout_ms = timeout.value.0;
        if timeout.value.0 == 0 {
            let label = "expected more than nothing";
            context.fault(Diagnostic::new(timeout.span.clone(), "no start is over at once", label));
        }
    }
    if let Some(owner) = &table.owner {
        spec.ready.any_owner = owner.value == Owner::Any;
    }
}

pub(super) fn stop(spec: &mut ServiceSpec, service: &Service) {
    let Some(table) = service.stop.as_ref().map(|stop| &stop.value) else { return };
    let grace_ms = table.grace.as_ref().map_or(spec.stop.grace_ms(), |grace| grace.value.0);
    let signal = table.signal.as_ref().map_or(Signal::Term, |signal| match signal.value {
        StopSignal::Term => Signal::Term,
        StopSignal::Int => Signal::Int,
        StopSignal::Hup => Signal::Hup,
        StopSignal::Quit => Signal::Quit,
        StopSignal::Usr1 => Signal::Usr1,
        StopSignal::Usr2 => Signal::Usr2,
        StopSignal::Kill => Signal::Kill,
    });
    spec.stop = match (signal, spec.kind) {
        (Signal::Term, Kind::Jupyter) => StopSpec::jupyter(grace_ms),
        (Signal::Term, _) if spec.port.is_some() => StopSpec::web(grace_ms),
        _ => StopSpec::command(signal, grace_ms),
    };
    // With a short grace the last second begins before the first third has passed.
    spec.stop.steps.sort_by_key(|step| step.after_ms);
}

pub(super) fn restart(context: &mut Context<'_>, spec: &mut ServiceSpec, service: &Service) {
    let Some(at) = &service.restart else { return };
    let policy = |policy| match policy {
        Policy::Never => RestartPolicy::Never,
        Policy::OnFailure => RestartPolicy::OnFailure,
        Policy::Always => RestartPolicy::Always,
    };
    let table = match &at.value {
        Restart::Word(word) => {
            spec.restart.policy = policy(*word);
            return;
        }
        Restart::Table(table) => table,
    };
    if let Some(word) = &table.policy {
        spec.restart.policy = policy(word.value);
    }
    if let Some(first) = &table.first {
        spec.restart.first_ms = first.value.0;
    }
    if let Some(healthy) = &table.healthy_after {
        spec.restart.healthy_after_ms = healthy.value.0;
    }
    if let Some(cap) = &table.cap {
        spec.restart.cap_ms = cap.value.0;
    }
    if let Some(limit) = &table.start_limit {
        spec.restart.start_limit = Some(limit.value);
        if limit.value == 0 {
            let fault = Diagnostic::new(
                limit.span.clone(),
                "a limit of 0 would allow no start",
                "expected 1 or more",
            );
            context.fault(
                fault.help("without `start_limit` it is never given up; `enabled = false` removes it"),
            );
        }
    }
}
