//! Text from the operating system: nearly always UTF-8, never guaranteed to be.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// An argument, path or environment value. Valid UTF-8 travels as a JSON string, anything else as
/// `{"bytes": [..]}`, so that no byte a user gave is ever changed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Text {
    /// Valid UTF-8.
    Utf8(String),
    /// Anything else, byte by byte.
    Raw {
        /// The bytes as they are.
        bytes: Vec<u8>,
    },
}

impl Text {
    /// The bytes as the operating system wants them.
    pub fn as_os_str(&self) -> &OsStr {
        match self {
            Self::Utf8(text) => OsStr::new(text),
            Self::Raw { bytes } => OsStr::from_bytes(bytes),
        }
    }

    /// The text as a path.
    pub fn as_path(&self) -> &Path {
        Path::new(self.as_os_str())
    }

    /// For people: invalid bytes become U+FFFD.
    pub fn to_string_lossy(&self) -> String {
        self.as_os_str().to_string_lossy().into_owned()
    }
}

impl From<OsString> for Text {
    fn from(value: OsString) -> Self {
        match value.into_string() {
            Ok(text) => Self::Utf8(text),
            Err(raw) => Self::Raw { bytes: raw.into_vec() },
        }
    }
}

impl From<&OsStr> for Text {
    fn from(value: &OsStr) -> Self {
        value.to_os_string().into()
    }
}

impl From<&Path> for Text {
    fn from(value: &Path) -> Self {
        value.as_os_str().into()
    }
}

impl From<String> for Text {
    fn from(value: String) -> Self {
        Self::Utf8(value)
    }
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Self::Utf8(value.to_owned())
    }
}

/// By hand: what is derived for an untagged enum first builds a copy of whatever comes, and there are thousands of these.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Text;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, or an object with the key `bytes`")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(text.into())
            }

            fn visit_string<E>(self, text: String) -> Result<Text, E> {
                Ok(text.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                let mut bytes = None;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "bytes" => bytes = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Text::Raw { bytes: bytes.ok_or_else(|| A::Error::missing_field("bytes"))? })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_os_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf8_survive_the_wire() {
        let raw = Text::from(OsString::from_vec(vec![b'a', 0xff, b'\n']));
        let line = serde_json::to_string(&raw).unwrap();
        assert_eq!(line, r#"{"bytes":[97,255,10]}"#);
        assert_eq!(serde_json::from_str::<Text>(&line).unwrap(), raw);
    }

    #[test]
    fn what_is_neither_is_refused() {
        for line in ["7", "null", "{}", r#"{"bytes":"a"}"#, r#"{"bytes":[256]}"#, r#"{"byte":[1]}"#] {
            assert!(serde_json::from_str::<Text>(line).is_err(), "{line}");
        }
        let newer = r#"{"new":{"a":[1]},"bytes":[97,255]}"#;
        assert_eq!(serde_json::from_str::<Text>(newer).unwrap().as_os_str().as_bytes(), b"a\xff");
    }

    #[test]
    fn utf8_travels_as_a_plain_string() {
        let text = Text::from("naïve=1\n");
        let line = serde_json::to_string(&text).unwrap();
        assert_eq!(line, r#""naïve=1\n""#);
        assert_eq!(serde_json::from_str::<Text>(&line).unwrap(), text);
    }
}
