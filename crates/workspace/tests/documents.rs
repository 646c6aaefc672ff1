//! What the pages say is true: the schema is current, the examples load, no key and no pattern is missing.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::World;
use serde_json::Value;
use workspace::{LEFT_BEHIND, json_schema};

fn page(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(page(name)).unwrap_or_else(|error| panic!("docs/{name}: {error}"))
}

#[test]
fn the_published_schema_is_current() {
    let made = format!("{:#}\n", json_schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(page("pipd.schema.json"), &made).unwrap();
    }
    let advice = "type: UPDATE_SCHEMA=1 cargo test -p pipd-workspace --test documents";
    assert!(read("pipd.schema.json") == made, "docs/pipd.schema.json is not what the types say; {advice}");
}

/// The keys of every table of the schema.
fn keys(schema: &Value) -> Vec<String> {
    let tables = schema["$defs"].as_object().unwrap().values().chain([schema]);
    let mut keys: Vec<String> = tables
        .filter_map(|table| table["properties"].as_object())
        .flat_map(|properties| properties.keys().cloned())
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

#[test]
fn every_key_is_closed_described_and_on_the_page() {
    let schema = json_schema();
    assert!(!schema.to_string().contains("null"), "TOML has no null");
    let text = read("configuration.md");
    for key in keys(&schema) {
        assert!(
            text.contains(&format!("`{key}`")) || text.contains(&format!("`[{key}]`")),
            "{key} is not on the page"
        );
    }
    for (name, table) in schema["$defs"].as_object().unwrap() {
        let Some(properties) = table["properties"].as_object() else { continue };
        assert_eq!(table["additionalProperties"], false, "{name} takes unknown keys");
        for (key, property) in properties {
            assert!(property["description"].is_string(), "{name}.{key} is not described");
        }
    }
}

/// The fenced blocks of a language on a page.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_examples_load() {
    let text = read("configuration.md");
    let examples = blocks(&text, "toml");
    assert!(examples.len() > 10, "{}", examples.len());
    for example in examples {
        // What the examples name is there.
        let world = World::complete()
            .venv("env", "python-without-jupyterlab")
            .folder("frontend")
            .file(".env", "")
            .file("secrets.env", "")
            .file("tools/worker.py", "")
            .file("site/app.py", common::FASTHTML);
        let name = if example.contains("[tool.pipd") { "pyproject.toml" } else { "pipd.toml" };
        let world = world.file(name, example);
        let spec = world.load().unwrap_or_else(|error| panic!("{example}\n{}", error.render(false)));
        assert!(!spec.services.is_empty());
    }
}

#[test]
fn every_pattern_is_on_the_page() {
    let text = read("environment.md");
    for pattern in LEFT_BEHIND {
        assert!(text.contains(&format!("`{}`", pattern.names)), "{} is not on the page", pattern.names);
    }
}
