//! The JSON Schema of `pipd.toml`, for editors. Made from the types that read the file, so it cannot differ.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::config::{
    At, Command, Config, EnvValue, OneOrMany, Policy, Port, Ready, ReadyTable, ReadyWord, Restart,
    RestartTable, Size, Span,
};

/// The schema as published in `docs/pipd.schema.json`.
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>().to_value();
    without_null(&mut schema);
    if let Value::Object(root) = &mut schema {
        root.insert("title".to_owned(), "pipd.toml".into());
    }
    if let Some(Value::Object(services)) = schema.pointer_mut("/properties/services") {
        services.insert("propertyNames".to_owned(), json!({ "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$" }));
    }
    schema
}

/// Keys may be left out, which is `Option` in Rust and `null` in JSON; TOML has no `null`.
fn without_null(schema: &mut Value) {
    let null = json!("null");
    match schema {
        Value::Object(keys) => {
            if let Some(Value::Array(types)) = keys.get_mut("type") {
                types.retain(|one| *one != null);
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    keys.insert("type".to_owned(), one);
                }
            }
            let mut only = None;
            if let Some(Value::Array(choices)) = keys.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type") != Some(&null));
                if let [Value::Object(choice)] = choices.as_slice() {
                    only = Some(choice.clone());
                }
            }
            if let Some(choice) = only {
                keys.remove("anyOf");
                for (key, value) in choice {
                    keys.entry(key).or_insert(value);
                }
            }
            keys.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Schemas of values that may be written in more than one way.
macro_rules! schema_of {
    ($($type:ty = $make:expr;)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let make: fn(&mut SchemaGenerator) -> Schema = $make;
                make(generator)
            }
        }
    )*};
}

schema_of! {
    Command = |_| json_schema!({ "anyOf": [
        { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        { "type": "string", "description": "Only with `shell = true`." },
    ] });
    Port = |_| json_schema!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": 65535 },
        { "const": "auto" },
    ] });
    EnvValue = |_| json_schema!({ "anyOf": [{ "type": "string" }, { "const": false }] });
    OneOrMany = |_| json_schema!({ "anyOf": [
        { "type": "string" },
        { "type": "array", "items": { "type": "string" } },
    ] });
    Span = |_| json_schema!({ "type": "string", "pattern": r"^\s*([0-9.]+\s*(ms|s|m|min|h|d)\s*)+$" });
    Size = |_| json_schema!({ "type": "string", "pattern": r"^\s*([0-9.]+\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)\s*)+$" });
    Ready = |generator| json_schema!({ "anyOf": [
        generator.subschema_for::<ReadyWord>(),
        generator.subschema_for::<ReadyTable>(),
    ] });
    Restart = |generator| json_schema!({ "anyOf": [
        generator.subschema_for::<Policy>(),
        generator.subschema_for::<RestartTable>(),
    ] });
}
