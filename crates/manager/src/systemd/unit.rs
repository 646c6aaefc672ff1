//! The unit file: made from the one that is shipped, and read back.

use std::path::{Path, PathBuf};

use crate::{Agent, ManagerError};

/// The unit as it is shipped: for a pipd in /usr/bin.
const SHIPPED: &str = include_str!("../../../../systemd/pipd.service");
const SHIPPED_PROGRAM: &str = "/usr/bin/pipd";
/// What the first line of every unit of ours says.
const OURS: &str = "Written and removed by: pipctl autostart";

/// The unit file for this program and these variables.
///
/// # Errors
/// [`ManagerError::Unspeakable`] for a path that is not UTF-8 or has a control character.
pub fn unit_file(agent: &Agent) -> Result<String, ManagerError> {
    let unspeakable =
        |path: &str| ManagerError::Unspeakable { path: PathBuf::from(path), manager: "systemd" };
    let program = agent
        .program
        .to_str()
        .filter(|path| speakable(path))
        .ok_or_else(|| unspeakable(&agent.program.to_string_lossy()))?;
    let mut text = String::with_capacity(SHIPPED.len() + 256);
    for line in SHIPPED.lines() {
        match line.split_once('=') {
            Some(("ConditionFileIsExecutable", SHIPPED_PROGRAM)) => {
                text.push_str(&format!("ConditionFileIsExecutable={}\n", program.replace('%', "%%")));
            }
            Some(("ExecStart", SHIPPED_PROGRAM)) => {
                text.push_str(&format!("ExecStart={}\n", quoted(program)));
                for (name, value) in &agent.environment {
                    if !speakable(value) {
                        return Err(unspeakable(value));
                    }
                    text.push_str(&format!("Environment={}\n", quoted(&format!("{name}={value}"))));
                }
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    Ok(text)
}

fn speakable(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// One word in a unit file. Plain ones stay as they are.
fn quoted(text: &str) -> String {
    let text = text.replace('%', "%%");
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%~".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let mut plain = String::new();
    let mut characters = inner.unwrap_or(text).chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if inner.is_some() => plain.extend(characters.next()),
            '%' => {
                plain.push('%');
                characters.next();
            }
            character => plain.push(character),
        }
    }
    plain
}

/// What a unit file of ours says; `None` when it is not ours.
pub(crate) fn read(text: &str) -> Option<Agent> {
    if !text.lines().next()?.contains(OURS) {
        return None;
    }
    let program = text.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    let environment = text
        .lines()
        .filter_map(|line| line.strip_prefix("Environment="))
        .filter_map(|line| {
            let word = unquoted(line);
            let (name, value) = word.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect();
    Some(Agent { program: Path::new(&unquoted(program)).to_owned(), environment })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn agent(program: &str, environment: &[(&str, &str)]) -> Agent {
        Agent {
            program: program.into(),
            environment: environment.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
        }
    }

    #[test]
    fn the_shipped_unit_is_what_is_made_for_its_program() {
        assert_eq!(unit_file(&agent(SHIPPED_PROGRAM, &[])).unwrap(), SHIPPED);
    }

    #[test]
    fn awkward_paths_are_quoted_and_read_back() {
        let agent = agent(
            "/home/ada/my \"tools\"/100%/pipd",
            &[("PIPD_LOG", "debug"), ("PIPD_STATE_DIR", "/home/ada/a b\\c%d")],
        );
        let text = unit_file(&agent).unwrap();
        insta::assert_snapshot!(text.lines().filter(|l| l.contains("ada") || l.contains("PIPD_")).collect::<Vec<_>>().join("\n"), @r#"
        ConditionFileIsExecutable=/home/ada/my "tools"/100%%/pipd
        ExecStart="/home/ada/my \"tools\"/100%%/pipd"
        Environment=PIPD_LOG=debug
        Environment="PIPD_STATE_DIR=/home/ada/a b\\c%%d"
        "#);
        assert_eq!(read(&text), Some(agent));
    }

    #[test]
    fn what_somebody_else_wrote_is_not_ours() {
        assert_eq!(read("[Service]\nExecStart=/usr/bin/pipd\n"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_line_break_in_a_path_is_refused() {
        assert!(unit_file(&agent("/home/a\nExecStartPre=/bin/evil/pipd", &[])).is_err());
        assert!(unit_file(&agent("/usr/bin/pipd", &[("PIPD_STATE_DIR", "/a\nb")])).is_err());
    }
}
