//! JupyterLab as root.

use wire::Kind;

use super::{Check, Context, Finding, Level};

pub(super) struct Root;

impl Check for Root {
    fn name(&self) -> &'static str {
        "root"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        if !context.surroundings().is_root {
            return Vec::new();
        }
        let jupyter = context.services().into_iter().find(|service| service.kind == Kind::Jupyter);
        let allowed = |word: &wire::Text| word.to_string_lossy() == "--allow-root";
        match jupyter {
            // Refused by the configuration: told there.
            Some(service) if service.refused.is_some() => Vec::new(),
            Some(service) if !service.argv.iter().any(allowed) => {
                let text = format!(
                    "{} runs as root without --allow-root, and JupyterLab refuses that",
                    service.name
                );
                let mend =
                    format!("args = [\"--allow-root\"] in [services.{}], then: pipctl start", service.name);
                vec![Finding::new(self, Level::Problem, text).mend(mend)]
            }
            Some(service) if !service.warnings.is_empty() => {
                let text = "you are root: every notebook can do everything";
                let mend = "settle it with allow_root = true or false under [services.jupyter] in pipd.toml";
                vec![Finding::new(self, Level::Warning, text).mend(mend)]
            }
            Some(_) | None => Vec::new(),
        }
    }
}
