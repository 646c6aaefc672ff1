//! What a run is given: its environment, with ports and paths filled in.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{Kind, ServiceSpec, Text};

/// What is filled in.
#[derive(Clone, Copy, Debug)]
pub struct Filling<'a> {
    /// The service's port, if it has one.
    pub port: Option<u16>,
    /// The workspace's folder.
    pub root: &'a Text,
}

impl Filling<'_> {
    /// Replaces `{port}` and `{root}`; text that is not UTF-8 is left as it is.
    pub fn fill(&self, text: &Text) -> Text {
        let Text::Utf8(plain) = text else { return text.clone() };
        if !plain.contains('{') {
            return text.clone();
        }
        let mut filled = plain.clone();
        if let Some(port) = self.port {
            filled = filled.replace("{port}", &port.to_string());
        }
        if let Text::Utf8(root) = self.root {
            filled = filled.replace("{root}", root);
        }
        Text::Utf8(filled)
    }
}

/// What the environment of a run is made of: captured, then `.env` files, then the service's own, then ours. A state
/// folder that this daemon was told is passed on, so that `pipctl` in the run talks to this daemon.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// What was captured for the service.
    pub captured: Arc<BTreeMap<String, Text>>,
    /// The service.
    pub spec: ServiceSpec,
    /// The workspace's folder.
    pub root: Text,
    /// The port this run is to have.
    pub port: Option<u16>,
    /// The workspace's token, for JupyterLab.
    pub token: String,
    /// What marks everything that belongs to the run.
    pub marker: String,
    /// The state folder the daemon was told.
    pub state_dir: Option<Text>,
}

impl Recipe {
    /// The umask of the shell the environment is from, where it was told.
    pub fn umask(&self) -> Option<u32> {
        let Text::Utf8(octal) = self.captured.get(wire::UMASK)? else { return None };
        u32::from_str_radix(octal, 8).ok().filter(|mask| *mask <= 0o777)
    }

    /// The whole of it. Reads files; not for the loop.
    ///
    /// # Errors
    /// When a `.env` file cannot be read or has a line that is no assignment; the message names both.
    pub fn assemble(&self) -> Result<Vec<(String, Text)>, String> {
        let filling = Filling { port: self.port, root: &self.root };
        let mut environment = BTreeMap::clone(&self.captured);
        for file in &self.spec.env_files {
            environment.extend(read_env_file(file.as_path())?);
        }
        for (name, value) in &self.spec.env {
            match value {
                Some(value) => environment.insert(name.clone(), filling.fill(value)),
                None => environment.remove(name),
            };
        }
        if self.spec.kind == Kind::Jupyter {
            environment.insert("JUPYTER_TOKEN".into(), self.token.as_str().into());
        }
        if let Some(state) = &self.state_dir {
            environment.insert("PIPD_STATE_DIR".into(), state.clone());
        }
        environment.remove(wire::UMASK);
        environment.insert(crate::record::MARKER.into(), self.marker.as_str().into());
        Ok(environment.into_iter().collect())
    }
}

/// How long a `.env` file that is a pipe may keep its reader waiting.
const PIPE_PATIENCE: Duration = Duration::from_secs(2);

/// A `.env` file may be a pipe into which a password manager writes; one that nobody writes into must not hold up
/// a helper thread for ever.
fn read_env_text(path: &Path) -> std::io::Result<String> {
    if !std::fs::metadata(path)?.file_type().is_fifo() {
        return std::fs::read_to_string(path);
    }
    let mut pipe = std::fs::File::from(os::fifo::open_read(path)?);
    let (mut text, until) = (Vec::new(), Instant::now() + PIPE_PATIENCE);
    let mut piece = [0; 4096];
    loop {
        match pipe.read(&mut piece) {
            // Without a writer yet it ends at once, too.
            Ok(0) if !text.is_empty() => break,
            Ok(count) if count > 0 => {
                text.extend_from_slice(piece.get(..count).unwrap_or_default());
                continue;
            }
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(error),
            Ok(_) | Err(_) => {}
        }
        if Instant::now() >= until {
            return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "nobody writes into this pipe"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    String::from_utf8(text).map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
}

/// `NAME=value` lines, `#` comments, an optional `export`, single or double quotes around the value.
///
/// # Errors
/// When it cannot be read or has a line that is no assignment; the message names both.
pub fn read_env_file(path: &Path) -> Result<Vec<(String, Text)>, String> {
    let text = read_env_text(path).map_err(|error| {
        format!("{}: {error}; make the file or take it out of `env_file`", path.display())
    })?;
    let mut pairs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            return Err(format!("{}:{}: expected NAME=value, found `{line}`", path.display(), number + 1));
        };
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(format!("{}:{}: `{name}` is no name for a variable", path.display(), number + 1));
        }
        pairs.push((name.to_owned(), Text::from(unquote(value.trim()))));
    }
    Ok(pairs)
}

fn unquote(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return if quote == '"' {
                inner.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\")
            } else {
                inner.to_owned()
            };
        }
    }
    // An unquoted value ends at a comment.
    value.split(" #").next().unwrap_or(value).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(env: &[(&str, Option<&str>)]) -> ServiceSpec {
        let mut spec: ServiceSpec = serde_json::from_str(r#"{"name":"a","argv":["x"],"cwd":"/"}"#).unwrap();
        spec.env = env.iter().map(|(n, v)| ((*n).to_owned(), v.map(Text::from))).collect();
        spec
    }

    #[test]
    fn later_sources_win_and_none_removes() {
        let captured: BTreeMap<_, _> =
            [("A", "1"), ("B", "2"), ("C", "3")].map(|(n, v)| (n.to_owned(), Text::from(v))).into();
        let recipe = Recipe {
            captured: Arc::new(captured),
            spec: spec(&[("B", Some("{port}")), ("C", None)]),
            root: Text::from("/w"),
            port: Some(5001),
            token: "t".into(),
            marker: "m".into(),
            state_dir: None,
        };
        let environment = recipe.assemble().unwrap();
        let expected = [("A", "1"), ("B", "5001"), ("PIPD_RUN", "m")];
        assert_eq!(environment, expected.map(|(n, v)| (n.to_owned(), Text::from(v))));
    }

    #[test]
    fn an_env_file_is_read_as_people_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "# c\nexport A=1\nB=\"x y\\n\"\nC='a=b#c'\nD=plain # note\nE=\n").unwrap();
        let pairs = read_env_file(&path).unwrap();
        let expected = [("A", "1"), ("B", "x y\n"), ("C", "a=b#c"), ("D", "plain"), ("E", "")];
        assert_eq!(pairs, expected.map(|(n, v)| (n.to_owned(), Text::from(v))));
    }

    #[test]
    fn a_pipe_is_read_while_somebody_writes_and_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        os::fifo::make(&path).unwrap();
        let error = read_env_file(&path).unwrap_err();
        assert!(error.contains("nobody writes"), "{error}");
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, "A=1\n").unwrap()
        });
        assert_eq!(read_env_file(&path).unwrap(), [("A".to_owned(), Text::from("1"))]);
        writer.join().unwrap();
    }

    #[test]
    fn a_line_that_is_no_assignment_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "A=1\nnonsense\n").unwrap();
        let error = read_env_file(&path).unwrap_err();
        assert!(error.contains(".env:2:") && error.contains("nonsense"), "{error}");
    }
}
