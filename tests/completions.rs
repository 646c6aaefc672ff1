//! TAB in the real shells.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use testkit::{Finished, LONG, Sandbox, Workspace, sandbox, skip, tool};

/// A shell that reads what a person is told to write into its file.
struct Shell {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Where, below the home folder.
    file: &'static str,
    lines: &'static str,
}

const BASH: Shell = Shell {
    name: "bash",
    arguments: &["-i"],
    file: ".bashrc",
    lines: "PS1='TYPE-HERE>'\nsource <(pipctl completions bash)\n",
};

const ZSH: Shell = Shell {
    name: "zsh",
    arguments: &["-i"],
    file: ".zshrc",
    lines: "PS1='TYPE-HERE>'\nautoload -Uz compinit && compinit -u -D\nsource <(pipctl completions zsh)\n",
};

/// The other way: a file in a folder of `$fpath`.
const ZSH_FILE: Shell = Shell {
    name: "zsh",
    arguments: &["-i"],
    file: ".zshrc",
    lines: "PS1='TYPE-HERE>'\nmkdir -p ~/z; pipctl completions zsh > ~/z/_pipctl; fpath=(~/z $fpath)\n\
            autoload -Uz compinit && compinit -u -D\n",
};

const FISH: Shell = Shell {
    name: "fish",
    arguments: &["-i"],
    file: ".config/fish/config.fish",
    lines: "function fish_prompt; echo -n 'TYPE-HERE>'; end\npipctl completions fish | source\n",
};

impl Shell {
    fn is_here(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(self.name).is_file())
    }

    /// Types a line and TAB in a folder; all words must come.
    #[track_caller]
    fn tab(&self, sandbox: &Sandbox, workspace: &Workspace, line: &str, words: &[&str]) -> Finished {
        let home = sandbox.folder().join("home");
        let file = home.join(self.file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, self.lines).unwrap();
        let programs = sandbox.program().parent().unwrap();
        let path = std::env::join_paths(
            std::iter::once(programs.to_owned())
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        );
        let mut command = workspace.command("python3");
        command.arg(tool("tab.py")).arg(line).args(words).arg("--").arg(self.name).args(self.arguments);
        command.env("PATH", path.unwrap()).env("TERM", "xterm").env("COLUMNS", "200");
        workspace.run(command, LONG)
    }
}

fn completes(shell: &Shell) {
    if !shell.is_here() {
        skip!("no {} on the PATH", shell.name);
    }
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("one");
    workspace.stub_service("alpha", "", "").stub_service("beta", "", "");

    shell.tab(&sandbox, &workspace, "pipctl st", &["start", "status", "stop"]).ok();
    shell.tab(&sandbox, &workspace, "pipctl logs --st", &["--stream"]).ok();
    // Before the first start the configuration names them, and no pipd is started for a TAB.
    shell.tab(&sandbox, &workspace, "pipctl start ", &["alpha", "beta"]).ok();
    assert!(sandbox.try_daemon().is_none());
    workspace.pipctl(&["start"]).ok();
    for verb in ["stop", "restart", "status", "logs", "why"] {
        shell.tab(&sandbox, &workspace, &format!("pipctl {verb} "), &["alpha", "beta"]).ok();
    }
    shell.tab(&sandbox, &workspace, "pipctl stop al", &["pipctl stop alpha"]).ok();
    // Of the folder that the line names.
    let other = sandbox.workspace("two");
    let line = format!("pipctl stop -w {} ", workspace.root().display());
    shell.tab(&sandbox, &other, &line, &["alpha", "beta"]).ok();
}

#[test]
fn bash_completes_verbs_and_services() {
    completes(&BASH);
}

#[test]
fn zsh_completes_verbs_and_services() {
    completes(&ZSH);
}

#[test]
fn zsh_completes_from_a_file_too() {
    completes(&ZSH_FILE);
}

#[test]
fn fish_completes_verbs_and_services() {
    completes(&FISH);
}
