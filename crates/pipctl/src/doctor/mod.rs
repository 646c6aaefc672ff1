//! What may keep a workspace's services from running, one small file for each thing that is looked at.
//!
//! Checks look and never change anything; each runs in a thread of its own, and all together are given
//! [`BUDGET`]. A finding that is not well ends in the command that mends it; `doctor --fix` types it for those who say yes.

mod bind;
mod configuration;
mod context;
mod depends;
mod disk;
mod imports;
mod interpreter;
mod jupyter;
mod limits;
mod login;
mod ollama;
mod ports;
mod requirements;
mod root;
mod services;
mod state;
mod versions;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde::Serialize;

pub(crate) use context::{Context, record};

/// The time all checks have together. With what it takes to begin and to print, three seconds.
pub(crate) const BUDGET: Duration = Duration::from_millis(2_700);

/// One thing that is looked at.
pub(crate) trait Check: Send + Sync {
    /// One word, as in the first column and in the JSON.
    fn name(&self) -> &'static str;

    /// Looks. Nothing to say is an empty list.
    fn look(&self, context: &Context) -> Vec<Finding>;
}

/// All checks, in the order in which a person wants to read of them.
fn checks() -> Vec<Arc<dyn Check>> {
    vec![
        Arc::new(configuration::Configuration),
        Arc::new(interpreter::Interpreter),
        Arc::new(requirements::Requirements),
        Arc::new(imports::Imports),
        Arc::new(services::Services),
        Arc::new(ports::Ports),
        Arc::new(bind::Bind),
        Arc::new(jupyter::Jupyter),
        Arc::new(root::Root),
        Arc::new(depends::Depends),
        Arc::new(ollama::Ollama),
        Arc::new(versions::Versions),
        Arc::new(state::State),
        Arc::new(login::Login),
        Arc::new(disk::Disk),
        Arc::new(limits::Limits),
    ]
}

/// How well it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Well.
    Ok,
    /// Good to know.
    Note,
    /// Works, and may surprise.
    Warning,
    /// Keeps something from running.
    Problem,
}

/// What a check has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The check.
    pub(crate) check: &'static str,
    /// How well it is.
    pub(crate) level: Level,
    /// What there is, for people.
    pub(crate) text: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
    /// What `--fix` does, when it can.
    #[serde(skip)]
    pub(crate) fix: Option<Fix>,
}

/// A change that `doctor --fix` makes for those who say yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fix {
    /// A verb of `pipctl` and its arguments.
    Verb(Vec<String>),
    /// A program and its arguments.
    Program(Vec<String>),
}

impl Finding {
    fn new(check: &dyn Check, level: Level, text: impl Into<String>) -> Self {
        Self { check: check.name(), level, text: text.into(), command: None, fix: None }
    }

    /// With the command that mends it, typed by the person.
    fn mend(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// With a verb of `pipctl` that mends it and that `--fix` may call.
    fn verb(self, words: &[&str]) -> Self {
        let mut finding = self.mend(format!("pipctl {}", words.join(" ")));
        finding.fix = Some(Fix::Verb(words.iter().map(|&word| word.to_owned()).collect()));
        finding
    }

    /// With a program that mends it and that `--fix` may call.
    fn program(self, words: &[&str]) -> Self {
        let mut finding = self.mend(words.join(" "));
        finding.fix = Some(Fix::Program(words.iter().map(|&word| word.to_owned()).collect()));
        finding
    }
}

/// Everything that was found, in the order of the checks.
pub(crate) fn examine(context: Context) -> Vec<Finding> {
    examine_with(&checks(), Arc::new(context))
}

fn examine_with(checks: &[Arc<dyn Check>], context: Arc<Context>) -> Vec<Finding> {
    let until = context.until();
    let (sender, answers) = mpsc::channel();
    for (index, check) in checks.iter().enumerate() {
        let (check, context, sender) = (Arc::clone(check), Arc::clone(&context), sender.clone());
        // Not joined: one that hangs must not keep anybody waiting. Without a thread it counts as one that hangs.
        let _ = std::thread::Builder::new().name(check.name().into()).spawn(move || {
            let _ = sender.send((index, check.look(&context)));
        });
    }
    drop(sender);
    let mut found: Vec<Option<Vec<Finding>>> = vec![None; checks.len()];
    while let Ok((index, findings)) = answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
        if let Some(place) = found.get_mut(index) {
            *place = Some(findings);
        }
    }
    let late = |check: &Arc<dyn Check>| {
        let text = format!("no answer within {:.1} s", BUDGET.as_secs_f32());
        vec![Finding::new(&**check, Level::Warning, text).mend("pipctl doctor")]
    };
    found.into_iter().zip(checks).flat_map(|(found, check)| found.unwrap_or_else(|| late(check))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::Surroundings;

    struct Says(&'static str, Option<Duration>);

    impl Check for Says {
        fn name(&self) -> &'static str {
            self.0
        }

        fn look(&self, _: &Context) -> Vec<Finding> {
            if let Some(time) = self.1 {
                std::thread::sleep(time);
            }
            vec![Finding::new(self, Level::Ok, "well")]
        }
    }

    #[test]
    fn one_that_hangs_keeps_nobody_waiting_and_is_named() {
        let checks: [Arc<dyn Check>; 3] = [
            Arc::new(Says("one", None)),
            Arc::new(Says("slow", Some(Duration::from_secs(600)))),
            Arc::new(Says("other", None)),
        ];
        let surroundings = Surroundings::default();
        let context = Context::new(surroundings, None, Instant::now() + Duration::from_millis(200));
        let begun = Instant::now();
        let found = examine_with(&checks, Arc::new(context));
        assert!(begun.elapsed() < Duration::from_secs(60));
        let told: Vec<_> = found.iter().map(|finding| (finding.check, finding.level)).collect();
        assert_eq!(told, [("one", Level::Ok), ("slow", Level::Warning), ("other", Level::Ok)]);
    }

    #[test]
    fn names_are_words_and_differ() {
        let mut names: Vec<_> = checks().iter().map(|check| check.name()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase())), "{names:?}");
    }
}
