//! The JSON Schema of `pipd.toml`, for editors. Made from the types that read the file, so it cannot differ.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config::{
    At, Command, Config, EnvValue, OneOrMany, Policy, Port, Ready, ReadyTable, ReadyWord, Restart,
    RestartTable, Size, Span,
};

/// The schema as published in `docs/pipd.schema.json`.
pub fn json_schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), "pipd.toml".into());
    schema.to_value()
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
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
