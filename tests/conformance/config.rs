//! Configurations, variables and folders that are out of the ordinary.

use testkit::{SHORT, exit, sandbox, until};
use wire::Phase;

#[test]
fn case_67_no_broken_file_touches_what_runs() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("broken");
    workspace.stub_service("job", "", "");
    workspace.pipctl(&["start"]).ok();
    let pid = workspace.pid("job");
    let good = workspace.read("pipd.toml");
    let file = workspace.path("pipd.toml");
    // A byte order mark and Windows line ends are no mistakes.
    for fine in [format!("\u{feff}{good}"), good.replace('\n', "\r\n")] {
        std::fs::write(&file, fine).unwrap();
        workspace.pipctl(&["start"]).ok();
    }
    let huge = format!("{good}\n# {}\n", "x".repeat(10 << 20));
    let broken: [&[u8]; 5] = [
        b"[services.job\n",
        b"[services.job]\ncommand = 7\n",
        b"\xff\xfe\x00",
        b"{\"services\": {}}",
        huge.as_bytes(),
    ];
    for text in broken {
        std::fs::write(&file, text).unwrap();
        let refused = workspace.pipctl(&["start"]);
        if refused.code != exit::OK {
            assert_eq!(refused.code, exit::USAGE, "{refused}");
            assert!(refused.all().contains("pipd.toml"), "{refused}");
        }
        assert_eq!(workspace.pid("job"), pid);
    }
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/no/such/file", &file).unwrap();
    let refused = workspace.pipctl(&["start", "job"]);
    assert_ne!(refused.code, exit::OK, "{refused}");
    assert!(refused.all().contains("pipd.toml"), "{refused}");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_ne!(workspace.pipctl(&["start", "job"]).code, exit::OK);
    assert_eq!(workspace.pid("job"), pid);
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, good).unwrap();
    workspace.pipctl(&["start"]).ok();
    assert_eq!((workspace.pid("job"), workspace.service("job").phase), (pid, Phase::Ready));
}

#[test]
fn case_69_variables_arrive_byte_for_byte_or_the_reason_is_named() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("variables");
    let file = workspace.path("seen");
    workspace.stub_service("job", &format!("--env-file {}", file.display()), "");
    let long = "v".repeat(100_000);
    let values = [
        ("ODD_PERCENT", "100% %s %(x)s"),
        ("ODD_QUOTES", "a \"b\" 'c' `d` $HOME \\"),
        ("ODD_LINES", "one\ntwo\r\nthree\t"),
        ("ODD_EQUALS", "a=b=c=="),
        ("ODD_EMPTY", ""),
        ("ODD_LETTERS", "ü 漢 \u{1f980}"),
        ("ODD_LONG", &long),
    ];
    for (name, value) in values {
        sandbox.set(name, Some(value));
    }
    workspace.pipctl(&["start"]).ok();
    until("the environment", SHORT, || file.exists() && std::fs::metadata(&file).unwrap().len() > 100_000);
    let bytes = std::fs::read(&file).unwrap();
    let seen: Vec<&[u8]> = bytes.split(|&byte| byte == 0).collect();
    for (name, value) in values {
        let wanted = format!("{name}={value}");
        assert!(seen.contains(&wanted.as_bytes()), "{name} did not arrive as it was");
    }
    workspace.pipctl(&["stop"]).ok();

    // More than a system takes for one variable: from a file, for no shell could hand it on.
    workspace.write("vars.env", &format!("TOO_LONG={}\n", "v".repeat(200_000)));
    workspace.write("pipd.toml", "");
    workspace.stub_service("job", "", "env_file = \"vars.env\"");
    let refused = workspace.pipctl(&["start"]);
    let service = workspace.service("job");
    assert_eq!(service.phase, Phase::Blocked, "{refused}");
    assert!(
        service.detail.unwrap_or_default().to_lowercase().contains("argument list too long"),
        "{refused}"
    );
}

#[test]
fn case_70_a_workspace_deep_below_works() {
    let sandbox = sandbox!();
    let mut root = sandbox.folder().join("w");
    // Nearly as long as a path may be.
    while root.as_os_str().len() < 3_600 {
        root = root.join("a rather långe ordner ".repeat(8).trim());
    }
    std::fs::create_dir_all(&root).unwrap();
    let workspace = sandbox.adopt_workspace(root);
    workspace.stub_service("job", "--say hello", "");
    workspace.pipctl(&["start"]).ok();
    let pid = workspace.pid("job");
    until("its line", SHORT, || workspace.stdout_lines("job") == ["hello"]);
    let daemon = sandbox.kill_daemon();
    sandbox.await_daemon(daemon);
    assert_eq!(workspace.pid("job"), pid);
    workspace.pipctl(&["stop"]).ok();
}
