//! The caller's environment, without what belongs to one moment, one terminal or one process.
//!
//! Documented in `docs/environment.md`; a test compares the two.

use std::collections::BTreeMap;

use wire::Text;

use crate::Caller;

/// Names of variables that are left behind, and why.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// An exact name, or the beginning of names when it ends in `*`.
    pub names: &'static str,
    /// To whom such a variable belongs.
    pub of: &'static str,
}

impl Pattern {
    /// Whether a variable of this name is left behind.
    pub fn matches(&self, name: &str) -> bool {
        match self.names.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.names,
        }
    }
}

/// Everything that is left behind.
pub const LEFT_BEHIND: &[Pattern] = &[
    // One run of one service.
    of("PIPD_*", "pipd itself"),
    of("PORT", "the service that was given it"),
    of("PROCS", "the service that was given it"),
    of("JPY_*", "one Jupyter server or kernel"),
    of("JUPYTER_SERVER_*", "one Jupyter server"),
    of("JUPYTER_TOKEN", "one Jupyter server; the workspace has a token of its own"),
    of("__PYVENV_LAUNCHER__", "one Python process on macOS"),
    // The service manager's talk with one process.
    of("LISTEN_*", "socket activation of one process"),
    of("NOTIFY_SOCKET", "the service manager's talk with one process"),
    of("WATCHDOG_*", "the service manager's talk with one process"),
    of("INVOCATION_ID", "one unit of the service manager"),
    of("JOURNAL_STREAM", "one unit of the service manager"),
    of("SYSTEMD_EXEC_PID", "one unit of the service manager"),
    of("MANAGERPID", "one unit of the service manager"),
    of("MEMORY_PRESSURE_*", "one unit of the service manager"),
    // Debuggers and editors.
    of("PYDEVD_*", "one debugger session"),
    of("DEBUGPY_*", "one debugger session"),
    of("VSCODE_*", "one editor window"),
    of("NVIM", "one editor"),
    of("INSIDE_EMACS", "one editor"),
    // The shell.
    of("_", "the shell's last command"),
    of("PWD", "the shell's folder"),
    of("OLDPWD", "the shell's folder"),
    of("SHLVL", "the depth of shells"),
    // The terminal.
    of("TERM", "the terminal"),
    of("TERM_*", "the terminal"),
    of("COLORTERM", "the terminal"),
    of("TERMINFO", "the terminal"),
    of("LINES", "the terminal's size"),
    of("COLUMNS", "the terminal's size"),
    of("WINDOWID", "the terminal's window"),
    of("GPG_TTY", "the terminal"),
    of("VTE_VERSION", "the terminal"),
    of("GNOME_TERMINAL_*", "the terminal"),
    of("KONSOLE_*", "the terminal"),
    of("ITERM_*", "the terminal"),
    of("LC_TERMINAL*", "the terminal"),
    of("KITTY_*", "the terminal"),
    of("WEZTERM_*", "the terminal"),
    of("ALACRITTY_*", "the terminal"),
    of("GHOSTTY_*", "the terminal"),
    of("WT_SESSION", "the terminal"),
    of("TMUX*", "one tmux pane"),
    of("STY", "one screen session"),
    of("ZELLIJ*", "one zellij pane"),
    // The login session.
    of("SSH_TTY", "one SSH login"),
    of("SSH_CLIENT", "one SSH login"),
    of("SSH_CONNECTION", "one SSH login"),
    of("XDG_SESSION_*", "one login session"),
    of("XDG_SEAT*", "one login session"),
    of("XDG_VTNR", "one login session"),
];

const fn of(names: &'static str, of: &'static str) -> Pattern {
    Pattern { names, of }
}

/// The environment a service is to inherit, with the umask its files are to be made with. Values are kept byte by byte; variables whose *name* is not UTF-8
/// cannot travel and are left out; [`load`](crate::load) warns of them.
pub fn captured_env(caller: &Caller) -> BTreeMap<String, Text> {
    let kept = |name: &str| !name.is_empty() && !LEFT_BEHIND.iter().any(|pattern| pattern.matches(name));
    let variables = caller.env.iter().filter_map(|(name, value)| {
        let name = name.to_str().filter(|name| kept(name))?;
        Some((name.to_owned(), Text::from(value.clone())))
    });
    let umask = caller.umask.map(|mask| (wire::UMASK.to_owned(), Text::from(format!("{mask:03o}"))));
    variables.chain(umask).collect()
}

/// Variables that could not be taken along, for the warning.
pub(crate) fn unnameable(caller: &Caller) -> Vec<String> {
    let names = caller.env.iter().filter(|(name, _)| name.to_str().is_none());
    names.map(|(name, _)| name.to_string_lossy().into_owned()).collect()
}
