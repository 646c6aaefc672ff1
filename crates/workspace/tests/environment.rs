//! The environment that is taken along.

mod common;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use common::{World, env};
use workspace::{Caller, LEFT_BEHIND, captured_env};

fn captured(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let caller = Caller { env: env(pairs), ..Caller::default() };
    captured_env(&caller).into_iter().map(|(name, value)| (name, value.to_string_lossy())).collect()
}

#[test]
fn what_only_this_shell_has_is_taken_along() {
    for (name, value) in [
        ("MY_SECRET", "100% \"quoted\" 'too' \\ $HOME `x`"),
        ("LINES_OF_TEXT", "a\nb\n"),
        ("EQUATION", "a=b=c"),
        ("EMPTY", ""),
        ("BASH_FUNC_x%%", "() {  :\n}"),
        ("SSH_AUTH_SOCK", "/tmp/agent"),
        ("DISPLAY", ":0"),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run"),
        ("LD_LIBRARY_PATH", "/nix/store/x/lib"),
        ("NIX_CFLAGS_COMPILE", "-O2"),
        ("XDG_RUNTIME_DIR", "/run/user/1000"),
        ("PATH", "/bin"),
        ("PORTAL", "kept"),
        ("TERMINAL", "kept"),
        ("PYTHONPATH", "/x"),
        ("CONDA_PREFIX", "/c"),
        ("JUPYTER_CONFIG_DIR", "/j"),
        ("größe", "ü"),
    ] {
        assert_eq!(captured(&[(name, value)]), [(name.to_owned(), value.to_owned())], "{name}");
    }
}

#[test]
fn what_belongs_to_one_moment_stays() {
    for name in [
        "PIPD_RUN",
        "JPY_PARENT_PID",
        "JPY_SESSION_NAME",
        "JUPYTER_SERVER_ROOT",
        "JUPYTER_TOKEN",
        "LISTEN_FDS",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "PYDEVD_USE_FRAME_EVAL",
        "DEBUGPY_RUNNING",
        "VSCODE_PID",
        "__PYVENV_LAUNCHER__",
        "PORT",
        "PROCS",
        "TERM",
        "COLORTERM",
        "LINES",
        "COLUMNS",
        "SHLVL",
        "_",
        "OLDPWD",
        "PWD",
        "WINDOWID",
        "TMUX",
        "TMUX_PANE",
        "STY",
        "SSH_TTY",
        "SSH_CLIENT",
        "SSH_CONNECTION",
        "XDG_SESSION_ID",
        "TERM_PROGRAM",
        "TERM_PROGRAM_VERSION",
        "ITERM_SESSION_ID",
        "KITTY_WINDOW_ID",
        "",
    ] {
        assert_eq!(captured(&[(name, "x")]), [], "{name}");
    }
}

#[test]
fn values_keep_every_byte_and_names_that_cannot_travel_are_named() {
    let raw = OsString::from_vec(vec![b'a', 0xff, b'=', b'\n']);
    let name = OsString::from_vec(vec![b'N', 0xfe]);
    let world = World::complete();
    let env =
        vec![("RAW".into(), raw.clone()), (name, "x".into()), ("LONG".into(), "v".repeat(200_000).into())];
    let spec = world.load_as(&Caller { env, ..world.caller() }).unwrap();
    assert_eq!(spec.env["RAW"].as_os_str(), raw);
    assert_eq!(spec.env["LONG"].to_string_lossy().len(), 200_000);
    assert_eq!(spec.env.len(), 2);
    assert_eq!(spec.warnings, ["the variable N\u{fffd} was left out: its name is not UTF-8"]);
}

#[test]
fn no_pattern_swallows_another() {
    for (index, one) in LEFT_BEHIND.iter().enumerate() {
        for other in &LEFT_BEHIND[index + 1..] {
            let name = other.names.trim_end_matches('*');
            assert!(!one.matches(name), "{} makes {} needless", one.names, other.names);
        }
    }
}
