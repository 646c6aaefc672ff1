//! "Did you mean …?": the valid name next to a mistyped one.

/// What people write who come from elsewhere, and what it is called here.
const FROM_ELSEWHERE: &[(&str, &str)] = &[
    ("argv", "command"),
    ("cmd", "command"),
    ("exec", "command"),
    ("run", "command"),
    ("depends_on", "after"),
    ("requires", "after"),
    ("dir", "cwd"),
    ("directory", "cwd"),
    ("working_dir", "cwd"),
    ("workdir", "cwd"),
    ("environment", "env"),
    ("envfile", "env_file"),
    ("env_files", "env_file"),
    ("dotenv", "env_file"),
    ("healthcheck", "ready"),
    ("readiness", "ready"),
    ("autorestart", "restart"),
    ("log", "logs"),
    ("delay", "first"),
    ("disabled", "enabled"),
    ("interpreter", "python"),
    ("max_delay", "cap"),
    ("retries", "start_limit"),
    ("max_restarts", "start_limit"),
    ("file", "script"),
    ("url", "url_path"),
];

/// The valid name a person most likely meant.
pub fn nearest<'a>(typed: &str, valid: &[&'a str]) -> Option<&'a str> {
    let lower = typed.to_lowercase().replace('-', "_");
    let lower = lower.strip_prefix("sig").filter(|rest| rest.len() >= 3).unwrap_or(&lower).to_owned();
    if let Some((_, ours)) = FROM_ELSEWHERE.iter().find(|(theirs, _)| *theirs == lower)
        && let Some(found) = valid.iter().find(|name| *name == ours)
    {
        return Some(found);
    }
    let bound = 1.max(lower.chars().count() / 3);
    let scored = valid.iter().map(|name| (distance(&lower, &name.to_lowercase()), *name));
    let (score, name) = scored.min_by_key(|(score, _)| *score)?;
    if score <= bound {
        return Some(name);
    }
    let mut longer = valid.iter().filter(|name| lower.len() >= 2 && name.starts_with(&lower));
    longer.next().copied()
}

/// Insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && y == a[i - 1] {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_word() {
        let keys = ["command", "port", "cwd", "env", "env_file", "ready", "restart", "after"];
        for (typed, meant) in [
            ("prot", Some("port")),
            ("Port", Some("port")),
            ("comand", Some("command")),
            ("cmd", Some("command")),
            ("env-file", Some("env_file")),
            ("depends_on", Some("after")),
            ("rest", Some("restart")),
            ("zzzzzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, &keys), meant, "{typed}");
        }
        assert_eq!(nearest("x", &[]), None);
    }
}
