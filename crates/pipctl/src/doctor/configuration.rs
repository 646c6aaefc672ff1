//! The workspace and its `pipd.toml`.

use super::{Check, Context, Finding, Level};

pub(super) struct Configuration;

impl Check for Configuration {
    fn name(&self) -> &'static str {
        "workspace"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let Some(root) = context.root() else {
            let text = "no workspace here: only this machine was looked at";
            return vec![Finding::new(self, Level::Note, text).mend("pipctl new NAME, or cd to one")];
        };
        match context.spec() {
            None => Vec::new(),
            // A broken interpreter is told by its own check, in more words.
            Some(Err(_)) if context.python().is_some_and(|python| python.fault.is_some()) => Vec::new(),
            Some(Err((text, command))) => {
                vec![Finding::new(self, Level::Problem, text.clone()).mend(command.clone())]
            }
            Some(Ok(spec)) => {
                let mut found = Vec::new();
                let names: Vec<&str> = spec.services.iter().map(|service| service.name.as_str()).collect();
                let text = format!("{} ({}): {}", root.path.display(), root.why, names.join(", "));
                found.push(Finding::new(self, Level::Ok, text));
                for service in &spec.services {
                    if let Some(refused) = &service.refused {
                        let (text, command) = refused.rsplit_once("; type: ").unwrap_or((refused, ""));
                        let mut finding =
                            Finding::new(self, Level::Problem, format!("{}: {text}", service.name));
                        finding.command = Some(command.to_owned()).filter(|command| !command.is_empty());
                        found.push(finding);
                    }
                }
                for warning in &spec.warnings {
                    found.push(Finding::new(self, Level::Warning, warning.clone()).mend("pipctl start"));
                }
                found
            }
        }
    }
}
