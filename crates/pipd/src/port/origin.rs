//! From where a process was started: the editor, the multiplexer or the terminal among its ancestors.
//!
//! For people only; nothing is decided by it.

use os::process::ProcessInfo;

/// How far upwards it is looked.
const LONGEST_CHAIN: usize = 16;

/// Programs in which people start servers, by the name of their executable.
const PROGRAMS: [(&str, &str); 42] = [
    ("code", "VS Code"),
    ("code-insiders", "VS Code Insiders"),
    ("code-server", "code-server"),
    ("codium", "VSCodium"),
    ("cursor", "Cursor"),
    ("windsurf", "Windsurf"),
    ("zed", "Zed"),
    ("zed-editor", "Zed"),
    ("pycharm", "PyCharm"),
    ("pycharm.sh", "PyCharm"),
    ("idea", "IntelliJ IDEA"),
    ("idea.sh", "IntelliJ IDEA"),
    ("dataspell", "DataSpell"),
    ("spyder", "Spyder"),
    ("sublime_text", "Sublime Text"),
    ("emacs", "Emacs"),
    ("vim", "Vim"),
    ("nvim", "Neovim"),
    ("hx", "Helix"),
    ("tmux", "tmux"),
    ("tmux:", "tmux"),
    ("screen", "screen"),
    ("zellij", "zellij"),
    ("sshd", "ssh"),
    ("sshd:", "ssh"),
    ("sshd-session", "ssh"),
    ("sshd-session:", "ssh"),
    ("mosh-server", "mosh"),
    ("gnome-terminal-server", "GNOME Terminal"),
    ("konsole", "Konsole"),
    ("xterm", "xterm"),
    ("kitty", "kitty"),
    ("alacritty", "Alacritty"),
    ("ghostty", "Ghostty"),
    ("foot", "foot"),
    ("wezterm-gui", "WezTerm"),
    ("jupyter-lab", "a JupyterLab terminal"),
    ("jupyterlab", "a JupyterLab terminal"),
    ("jupyter-notebook", "a Jupyter terminal"),
    ("cron", "cron"),
    ("crond", "cron"),
    ("make", "make"),
];

/// Folders that tell an editor's helper from any other `node`.
const FOLDERS: [(&str, &str); 5] = [
    (".cursor-server", "Cursor"),
    (".vscode-server-insiders", "VS Code Insiders"),
    (".vscode-server", "VS Code"),
    (".windsurf-server", "Windsurf"),
    ("/code-server/", "code-server"),
];

/// Variables by which a program makes itself known to what is started in it, the most telling first. The last word
/// is what the variable must hold; any value where it is empty.
const VARIABLES: [(&str, &str, &str); 12] = [
    ("CURSOR_TRACE_ID", "", "Cursor"),
    ("PYCHARM_HOSTED", "", "PyCharm"),
    ("INSIDE_EMACS", "", "Emacs"),
    ("NVIM", "", "Neovim"),
    ("TMUX", "", "tmux"),
    ("TERM_PROGRAM", "vscode", "VS Code"),
    ("TERM_PROGRAM", "zed", "Zed"),
    ("TERM_PROGRAM", "iTerm.app", "iTerm2"),
    ("TERM_PROGRAM", "Apple_Terminal", "Terminal"),
    ("TERM_PROGRAM", "WezTerm", "WezTerm"),
    ("JUPYTER_SERVER_URL", "", "a JupyterLab terminal"),
    ("SSH_CONNECTION", "", "ssh"),
];

/// "Cursor, terminal pts/3"; `None` when nothing can be said.
pub(crate) fn of(process: &ProcessInfo) -> Option<String> {
    let environ = os::process::environ(process.pid).unwrap_or_default();
    let program = ancestor(process).or_else(|| by_environment(&environ));
    let terminal = os::process::terminal_name(process.tty).map(|name| format!("terminal {name}"));
    match (program, terminal) {
        (Some(program), Some(terminal)) => Some(format!("{program}, {terminal}")),
        (program, terminal) => program.or(terminal),
    }
}

/// The nearest program that people know by name.
fn ancestor(process: &ProcessInfo) -> Option<String> {
    let mut next = process.ppid;
    for _ in 0..LONGEST_CHAIN {
        if next <= 1 {
            return None;
        }
        let info = os::process::info(next).ok().flatten()?;
        let words = os::process::command(next).unwrap_or_default();
        let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        if let Some(name) = program(&words) {
            return Some(name);
        }
        next = info.ppid;
    }
    None
}

/// The program that a command line belongs to, if people know it.
fn program(words: &[String]) -> Option<String> {
    let first = words.first()?;
    // A bundle names itself: `/Applications/Cursor.app/Contents/…`.
    if let Some((before, _)) = first.split_once(".app/") {
        return before.rsplit('/').next().map(str::to_owned).filter(|name| !name.is_empty());
    }
    if let Some((_, name)) =
        FOLDERS.iter().find(|(folder, _)| words.iter().take(2).any(|word| word.contains(folder)))
    {
        return Some((*name).to_owned());
    }
    let known = |word: &str| {
        // Some rewrite their command line: `tmux: server`, `sshd: ada@pts/0`.
        let name = word.split(' ').next().unwrap_or(word).rsplit('/').next().unwrap_or(word);
        let name = name.strip_prefix('-').unwrap_or(name).to_ascii_lowercase();
        PROGRAMS.iter().find(|(known, _)| *known == name).map(|(_, name)| (*name).to_owned())
    };
    let script = || {
        let name = first.rsplit('/').next().unwrap_or(first);
        let runs_scripts = ["sh", "bash", "dash", "zsh", "python", "node", "perl", "ruby"]
            .iter()
            .any(|interpreter| name.starts_with(interpreter));
        // The first word that is no option is what is run; after `-c` there is a line and no name.
        let word = words.iter().skip(1).take_while(|word| *word != "-c").find(|word| !word.starts_with('-'));
        word.filter(|_| runs_scripts).and_then(|word| known(word))
    };
    known(first).or_else(script)
}

fn by_environment(environ: &[u8]) -> Option<String> {
    let has = |name: &str, wanted: &str| {
        environ.split(|&byte| byte == 0).any(|entry| {
            entry
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="))
                .is_some_and(|value| wanted.is_empty() || value == wanted.as_bytes())
        })
    };
    VARIABLES.iter().find(|(name, wanted, _)| has(name, wanted)).map(|(_, _, program)| (*program).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_words(line: &str) -> Option<String> {
        program(&line.split('|').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn programs_are_known_by_what_they_execute() {
        let known = |line: &str| of_words(line).unwrap_or_default();
        assert_eq!(known("/usr/share/code/code|--type=ptyHost"), "VS Code");
        assert_eq!(known("/Applications/Cursor.app/Contents/MacOS/Cursor"), "Cursor");
        assert_eq!(known("/home/ada/.cursor-server/bin/node|out/server-main.js"), "Cursor");
        assert_eq!(known("tmux: server"), "tmux");
        assert_eq!(known("tmux|new|-s|work"), "tmux");
        assert_eq!(known("sshd: ada@pts/0"), "ssh");
        assert_eq!(known("/bin/sh|/opt/bin/code|."), "VS Code");
        assert_eq!(known("/w/.venv/bin/python|-m|jupyterlab"), "a JupyterLab terminal");
    }

    #[test]
    fn shells_and_strangers_have_no_name() {
        for line in ["-bash", "/bin/sh|-c|cursor", "/usr/bin/python3|server.py", "/usr/bin/encode|code"] {
            assert_eq!(of_words(line), None, "{line}");
        }
    }

    #[test]
    fn an_orphan_is_known_by_its_environment() {
        let named = |text: &str| by_environment(text.replace('|', "\0").as_bytes());
        assert_eq!(named("A=1|TERM_PROGRAM=vscode|CURSOR_TRACE_ID=x|").as_deref(), Some("Cursor"));
        assert_eq!(named("TERM_PROGRAM=vscode|").as_deref(), Some("VS Code"));
        assert_eq!(named("TERM_PROGRAM=other|").as_deref(), None);
        assert_eq!(named("SSH_CONNECTION=1 2 3 4|").as_deref(), Some("ssh"));
    }
}
