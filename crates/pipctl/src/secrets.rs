//! Values that are nobody's business: shown as `***`.

/// What stands for a secret.
pub(crate) const MASK: &str = "***";

/// Words that, as the last part of a name or one of its parts, say that the value is a secret.
const WORDS: [&str; 15] = [
    "TOKEN",
    "TOKENS",
    "KEY",
    "KEYS",
    "APIKEY",
    "SECRET",
    "SECRETS",
    "PASSWORD",
    "PASSWORDS",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "CREDENTIAL",
    "CREDENTIALS",
    "PAT",
];

/// Beginnings and ends that say so although they are grown together with another word.
const GROWN: [&str; 5] = ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "APIKEY"];

/// Whether a variable of this name holds a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| WORDS.contains(&word) || GROWN.iter().any(|end| word.ends_with(end)))
}

/// A value as it may be shown: masked when its name says so, and without the password in an address.
pub(crate) fn shown(name: &str, value: &str) -> String {
    if is_secret(name) && !value.is_empty() {
        return MASK.to_owned();
    }
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{scheme}://{user}:{MASK}@{host}{path}"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "API_KEY",
            "OPENAI_API_KEY",
            "GITHUB_TOKEN",
            "HF_TOKENS",
            "AWS_SECRET_ACCESS_KEY",
            "PGPASSWORD",
            "MYAPITOKEN",
            "db_password",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GITHUB_PAT",
            "SSH_KEY_PASSPHRASE",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "PATH",
            "TOKENIZERS_PARALLELISM",
            "KEYBOARD",
            "MONKEY",
            "SSH_AUTH_SOCK",
            "PASSENGERS",
            "COMPATIBLE",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn an_address_keeps_its_password_to_itself() {
        assert_eq!(shown("DATABASE_URL", "postgres://ada:pw@db:5432/x"), "postgres://ada:***@db:5432/x");
        assert_eq!(shown("PIP_INDEX_URL", "https://host/simple/@1:2"), "https://host/simple/@1:2");
        assert_eq!(shown("API_KEY", "abc"), "***");
        assert_eq!(shown("API_KEY", ""), "");
    }
}
