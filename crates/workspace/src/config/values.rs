//! Values that may be written in more than one way, and words from a fixed list.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::spanned::At;
use super::units;

/// Implements `Deserialize` by a visitor that says what it expects.
macro_rules! written_as {
    ($type:ty, $expected:literal, { $($methods:item)* }) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;
                impl<'de> Visitor<'de> for Reader {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    $($methods)*
                }
                deserializer.deserialize_any(Reader)
            }
        }
    };
}

/// Program and arguments, or one line for a shell.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    List(Vec<At<String>>),
    Line(String),
}

written_as!(Command, "a list of strings such as [\"npm\", \"run\", \"dev\"]", {
    fn visit_str<E>(self, line: &str) -> Result<Command, E> {
        Ok(Command::Line(line.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Command, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Command::List)
    }
});

/// A port number, or the next free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Number(u16),
    Auto,
}

written_as!(Port, "a number from 1 to 65535 or \"auto\"", {
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Port, E> {
        match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(Port::Number(port)),
            _ => Err(E::custom(format!(
                "{number} is not a port, expected a number from 1 to 65535 or \"auto\""
            ))),
        }
    }
    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Port, E> {
        match word {
            "auto" => Ok(Port::Auto),
            _ if word.parse::<u16>().is_ok_and(|port| port > 0) => {
                Err(E::custom(format!("a port is a number, expected {word} without quotes")))
            }
            _ => Err(E::custom(format!(
                "`{word}` is not a port, expected a number from 1 to 65535 or \"auto\""
            ))),
        }
    }
});

/// A variable's value, or its removal.
#[derive(Clone, Debug)]
pub(crate) enum EnvValue {
    Set(String),
    Remove,
}

written_as!(EnvValue, "a string, or false to remove the variable", {
    fn visit_str<E>(self, value: &str) -> Result<EnvValue, E> {
        Ok(EnvValue::Set(value.to_owned()))
    }
    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<EnvValue, E> {
        if value {
            return Err(E::custom(
                "a variable is text, expected \"true\" or \"1\" in quotes, or false to remove it",
            ));
        }
        Ok(EnvValue::Remove)
    }
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<EnvValue, E> {
        Err(E::custom(format!("a variable is text, expected \"{value}\" in quotes")))
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<EnvValue, E> {
        Err(E::custom("a variable is text, expected the number in quotes"))
    }
});

/// One path or a list of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct OneOrMany(pub(crate) Vec<At<String>>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let At { value, span } = At::<Written>::deserialize(deserializer)?;
        Ok(match value {
            Written::One(value) => Self(vec![At { value, span }]),
            Written::Many(values) => Self(values),
        })
    }
}

enum Written {
    One(String),
    Many(Vec<At<String>>),
}

written_as!(Written, "a string or a list of strings", {
    fn visit_str<E>(self, value: &str) -> Result<Written, E> {
        Ok(Written::One(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Written, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Written::Many)
    }
});

/// A duration in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) u64);

written_as!(Span, "a duration such as \"5s\"", {
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
        units::duration_ms(text).map(Span).map_err(E::custom)
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Span, E> {
        Err(E::custom(format!("a duration has a unit, expected \"{number}s\" or \"{number}ms\"")))
    }
});

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

written_as!(Size, "a size such as \"10MiB\"", {
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
        units::size_bytes(text).map(Size).map_err(E::custom)
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Size, E> {
        Err(E::custom(format!("a size has a unit, expected \"{number}MiB\" or \"{number}B\"")))
    }
});

/// How ports that nobody named are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ports {
    Fixed,
    Auto,
}

/// What follows the end of a server that somebody started by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum External {
    /// One of pipd's.
    Takeover,
    /// Nothing.
    Leave,
}

/// What proves readiness: a word, or a table that says more.
#[derive(Clone, Debug)]
pub(crate) enum Ready {
    Word(ReadyWord),
    Table(Box<ReadyTable>),
}

/// What proves readiness, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReadyWord {
    /// Running is ready.
    None,
    /// A listener of its own accepts on the port.
    Tcp,
    /// Any HTTP answer of its own listener to `/`.
    Http,
}

/// What proves readiness.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadyTable {
    /// Path to ask for by HTTP, such as `/health`.
    pub(crate) http: Option<At<String>>,
    /// `true`: a listener that accepts is enough.
    pub(crate) tcp: Option<At<bool>>,
    /// The HTTP status that counts. Default: any.
    pub(crate) status: Option<At<u16>>,
    /// How long a start may take. Default: `"60s"`.
    pub(crate) timeout: Option<At<Span>>,
    /// `"any"` accepts an answer from a listener that is not the service's own, such as a container engine's proxy.
    pub(crate) owner: Option<At<Owner>>,
}

/// Whose listener counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Owner {
    /// The service's own.
    Own,
    /// Anybody's.
    Any,
}

written_as!(Ready, "\"none\", \"tcp\", \"http\" or a table such as { http = \"/\" }", {
    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Ready, E> {
        ReadyWord::deserialize(word.into_deserializer()).map(Ready::Word)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ready, A::Error> {
        let table = ReadyTable::deserialize(MapAccessDeserializer::new(map))?;
        match (&table.http, &table.tcp) {
            (Some(_), Some(tcp)) if tcp.value => {
                Err(A::Error::custom("`http` and `tcp` exclude each other, expected one"))
            }
            _ => Ok(Ready::Table(Box::new(table))),
        }
    }
});

/// How a service is asked to end.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct StopTable {
    /// The signal that asks. Default: `"TERM"`.
    pub(crate) signal: Option<At<StopSignal>>,
    /// Time until it is killed with everything it started. Default: `"5s"`, for `jupyter` `"10s"`.
    pub(crate) grace: Option<At<Span>>,
}

/// The signals that can ask a service to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum StopSignal {
    Term,
    Int,
    Hup,
    Quit,
    Usr1,
    Usr2,
    Kill,
}

/// When it is started again: a word, or a table that says more.
#[derive(Clone, Debug)]
pub(crate) enum Restart {
    Word(Policy),
    Table(Box<RestartTable>),
}

/// Which ends are followed by a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// None.
    Never,
    /// A code other than 0, or a signal nobody asked for.
    OnFailure,
    /// Every one but a stop.
    Always,
}

/// When it is started again.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RestartTable {
    /// Which ends are followed by a start. Default: `"on-failure"`.
    pub(crate) policy: Option<At<Policy>>,
    /// Delay of the first restart after a healthy stretch. Default: `"0s"`.
    pub(crate) first: Option<At<Span>>,
    /// Uptime after which the delays begin anew. Default: `"60s"`.
    pub(crate) healthy_after: Option<At<Span>>,
    /// Longest delay between restarts. Default: `"30s"`.
    pub(crate) cap: Option<At<Span>>,
    /// Starts without a healthy stretch after which it is given up. Default: never.
    pub(crate) start_limit: Option<At<u32>>,
}

written_as!(
    Restart,
    "\"never\", \"on-failure\", \"always\" or a table such as { policy = \"on-failure\" }",
    {
        fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Restart, E> {
            Policy::deserialize(word.into_deserializer()).map(Restart::Word)
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Restart, A::Error> {
            RestartTable::deserialize(MapAccessDeserializer::new(map))
                .map(|table| Restart::Table(Box::new(table)))
        }
    }
);
