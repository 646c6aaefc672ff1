//! The property list of the launch agent: made from a struct, and read back.

use std::path::{Path, PathBuf};

use super::LABEL;
use crate::{Agent, ManagerError};

/// Folders a program is looked for in, where launchd's own four would not do.
const PATH: &str = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
/// Open files; launchd's default is 256.
const OPEN_FILES: u32 = 65_536;

/// All that the property list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchAgent {
    /// The program and its variables.
    pub agent: Agent,
    /// Where it complains before it has its own log.
    pub complaints: PathBuf,
}

impl LaunchAgent {
    /// The property list. Each key is there for a reason:
    /// `KeepAlive` on failure only, since a daemon that ends well was asked to; `AbandonProcessGroup`, since services
    /// outlive the daemon; `Interactive`, since what a person works in must not be throttled; `ExitTimeOut`, for the
    /// services to end when the machine does.
    ///
    /// # Errors
    /// [`ManagerError::Unspeakable`] for a path that is not UTF-8 or has a control character.
    pub fn plist(&self) -> Result<String, ManagerError> {
        let program = speakable(&self.agent.program)?;
        let complaints = speakable(&self.complaints)?;
        let mut variables = vec![("PATH".to_owned(), PATH.to_owned())];
        variables.extend(self.agent.environment.iter().cloned());
        variables.sort();
        let mut pairs = String::new();
        for (name, value) in &variables {
            let value = speakable(Path::new(value))?;
            pairs.push_str(&format!(
                "    <key>{}</key>\n    <string>{}</string>\n",
                escaped(name),
                escaped(value)
            ));
        }
        Ok(format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- {OURS} -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{LABEL}</string>
  <key>ProgramArguments</key>
  <array>
    <string>{program}</string>
  </array>
  <key>EnvironmentVariables</key>
  <dict>
{pairs}  </dict>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ThrottleInterval</key>
  <integer>1</integer>
  <key>AbandonProcessGroup</key>
  <true/>
  <key>ExitTimeOut</key>
  <integer>110</integer>
  <key>ProcessType</key>
  <string>Interactive</string>
  <key>SoftResourceLimits</key>
  <dict>
    <key>NumberOfFiles</key>
    <integer>{OPEN_FILES}</integer>
  </dict>
  <key>StandardErrorPath</key>
  <string>{complaints}</string>
</dict>
</plist>
"#,
            program = escaped(program),
            complaints = escaped(complaints),
        ))
    }
}

/// What every property list of ours says.
const OURS: &str = "pipd under launchd. Written and removed by: pipctl autostart";

fn speakable(path: &Path) -> Result<&str, ManagerError> {
    path.to_str()
        .filter(|text| !text.is_empty() && !text.chars().any(char::is_control))
        .ok_or_else(|| ManagerError::Unspeakable { path: path.to_owned(), manager: "launchd" })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn plain(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// What a property list of ours says; `None` when it is not ours.
pub(crate) fn read(text: &str) -> Option<Agent> {
    if !text.contains(OURS) {
        return None;
    }
    let element = |text: &str| -> Option<String> {
        let text = text.trim_start().strip_prefix("<string>")?;
        Some(plain(text.split_once("</string>")?.0))
    };
    let (_, rest) = text.split_once("<key>ProgramArguments</key>")?;
    let program = element(rest.trim_start().strip_prefix("<array>")?)?;
    let (_, rest) = text.split_once("<key>EnvironmentVariables</key>")?;
    let (variables, _) = rest.split_once("</dict>")?;
    let environment = variables
        .split("<key>")
        .skip(1)
        .filter_map(|pair| {
            let (name, value) = pair.split_once("</key>")?;
            Some((plain(name), element(value)?))
        })
        .filter(|(name, _)| name != "PATH")
        .collect();
    Some(Agent { program: program.into(), environment })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const SHIPPED: &str = include_str!("../../../../launchd/dev.pipd.pipd.plist");

    fn agent(program: &str, environment: &[(&str, &str)], complaints: &str) -> LaunchAgent {
        let environment = environment.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        LaunchAgent { agent: Agent { program: program.into(), environment }, complaints: complaints.into() }
    }

    #[test]
    fn the_shipped_list_is_what_is_made_for_its_program() {
        let made = agent("/usr/local/bin/pipd", &[], "/tmp/dev.pipd.pipd.log").plist().unwrap();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../launchd/dev.pipd.pipd.plist");
            std::fs::write(path, &made).unwrap();
            return;
        }
        assert_eq!(made, SHIPPED, "UPDATE_GOLDEN=1 cargo test -p pipd-manager writes it anew");
    }

    #[test]
    fn awkward_paths_are_escaped_and_read_back() {
        let made = agent(
            "/Users/ada/R&D <new>/pipd",
            &[("PIPD_STATE_DIR", "/Users/ada/a & b")],
            "/Users/ada/Library/Logs/pipd.log",
        );
        let text = made.plist().unwrap();
        assert!(text.contains("<string>/Users/ada/R&amp;D &lt;new&gt;/pipd</string>"), "{text}");
        assert_eq!(read(&text), Some(made.agent));
    }

    #[test]
    fn what_somebody_else_wrote_is_not_ours() {
        assert_eq!(read(&SHIPPED.replace("pipctl", "brew")), None);
    }

    #[test]
    fn a_control_character_is_refused() {
        assert!(agent("/a\u{7}/pipd", &[], "/tmp/x").plist().is_err());
    }
}
