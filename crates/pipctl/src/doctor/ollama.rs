//! Ollama, where the workspace speaks of it: one GET, and the models it has.

use std::time::Duration;

use serde::Deserialize;

use super::{Check, Context, Finding, Level};
use crate::http::{Address, Asked};

const PATIENCE: Duration = Duration::from_secs(1);

/// Where it listens unless told otherwise.
const USUAL: &str = "http://127.0.0.1:11434";

pub(super) struct Ollama;

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
}

impl Check for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let Some(url) = url(context) else { return Vec::new() };
        let Some(address) = Address::parse(&url) else {
            let text = format!("OLLAMA_HOST is {url}, which is no address");
            return vec![
                Finding::new(self, Level::Warning, text).mend(format!("export OLLAMA_HOST={USUAL}")),
            ];
        };
        let finding = match address.with_path("/api/tags").get(PATIENCE) {
            Asked::Answered { status: 200, body } => match models(&body) {
                Some(models) if models.is_empty() => {
                    let text = format!("answers at {url} and has no model");
                    Finding::new(self, Level::Warning, text).mend("ollama pull llama3.2")
                }
                Some(models) => {
                    let plural = if models.len() == 1 { "" } else { "s" };
                    let text = format!("{url}, {} model{plural}: {}", models.len(), models.join(", "));
                    Finding::new(self, Level::Ok, text)
                }
                None => not_ollama(self, &url),
            },
            Asked::Answered { .. } | Asked::Accepts => not_ollama(self, &url),
            Asked::Silent(why) => {
                Finding::new(self, Level::Warning, format!("{url}: {why}")).mend("ollama serve")
            }
        };
        vec![finding]
    }
}

fn not_ollama(check: &Ollama, url: &str) -> Finding {
    let port = url.rsplit(':').next().unwrap_or_default().trim_end_matches('/');
    let text = format!("something answers at {url} that is not Ollama");
    Finding::new(check, Level::Warning, text).mend(format!("look who listens on port {port}"))
}

fn models(body: &str) -> Option<Vec<String>> {
    // An answer in chunks has its length around it.
    let json = body.get(body.find('{')?..=body.rfind('}')?)?;
    let tags: Tags = serde_json::from_slice(json.as_bytes()).ok()?;
    Some(tags.models.into_iter().map(|model| model.name).collect())
}

/// Its address, when anything in the workspace or the environment speaks of it.
fn url(context: &Context) -> Option<String> {
    let examined = context.examined();
    if let Some(depend) = examined.depends.iter().find(|depend| depend.name == "ollama") {
        return Some(depend.url.clone());
    }
    let set = context.services().into_iter().find_map(|service| {
        let value = context.environment(service).remove("OLLAMA_HOST")?;
        Some(value.to_string_lossy()).filter(|value| !value.is_empty())
    });
    let shell = || context.surroundings().var("OLLAMA_HOST").map(|host| host.to_string_lossy().into_owned());
    match set.or_else(shell) {
        Some(host) => Some(normal(&host)),
        None => mentioned(context).then(|| USUAL.to_owned()),
    }
}

/// A host that servers listen on and clients cannot ask, a port or a scheme that is left out.
fn normal(host: &str) -> String {
    let host = host.trim_end_matches('/');
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    let rest = rest.replace("0.0.0.0", "127.0.0.1");
    let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port || scheme == "https" {
        format!("{scheme}://{rest}")
    } else {
        format!("{scheme}://{rest}:11434")
    }
}

/// Whether a package for it is wanted, or a service is called so.
fn mentioned(context: &Context) -> bool {
    let of_packages = context.examined().wants.as_ref().is_some_and(|wants| {
        let text = std::fs::read_to_string(wants.path()).unwrap_or_default();
        text.lines().filter(|line| !line.trim_start().starts_with('#')).any(|line| line.contains("ollama"))
    });
    of_packages || context.services().iter().any(|service| service.name == "ollama")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_ollama_does() {
        assert_eq!(normal("0.0.0.0"), "http://127.0.0.1:11434");
        assert_eq!(normal("gpu:9000"), "http://gpu:9000");
        assert_eq!(normal("https://models.example/"), "https://models.example");
    }

    #[test]
    fn models_are_named_also_in_chunks() {
        let body = "1e\r\n{\"models\":[{\"name\":\"llama3.2:latest\",\"size\":1}]}\r\n0\r\n\r\n";
        assert_eq!(models(body), Some(vec!["llama3.2:latest".to_owned()]));
        assert_eq!(models("{\"models\":[]}"), Some(Vec::new()));
        assert_eq!(models("<html>"), None);
    }
}
