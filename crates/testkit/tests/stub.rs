//! The stub does what it is told. (Also: a test of this package makes cargo build the stub.)

use std::process::{Command, Stdio};

use testkit::{Port, SHORT, get, until};

fn stub(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stub"));
    command.args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn it_prints_and_ends_as_told() {
    let output = stub(&["--print", "2", "--exit-after", "1", "--exit-code", "7", "--last-words", "14"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "line 0\nline 1\nword 00000000\n");
    assert_eq!(stub(&["--nosuch"]).stderr(Stdio::null()).status().unwrap().code(), Some(2));
}

#[test]
fn it_serves_and_ends_on_term_unless_told_otherwise() {
    let port = Port::reserve();
    for (arguments, ended) in [(&[][..], true), (&["--ignore", "TERM"], false)] {
        let mut child = stub(&["--listen", &port.to_string()]).args(arguments).spawn().unwrap();
        let url = format!("http://127.0.0.1:{port}/");
        until("an answer", SHORT, || get(&url).is_ok_and(|answer| answer.status == 200));
        let pid = i32::try_from(child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
        if ended {
            assert_eq!(child.wait().unwrap().code(), Some(0));
        } else {
            assert_eq!(get(&url).unwrap().status, 200);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[test]
fn a_child_of_it_outlives_it() {
    let port = Port::reserve();
    let child = format!("--setsid --exit-after 20000 --listen {port}");
    let mut parent = stub(&["--child", &child]).spawn().unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    until("an answer", SHORT, || get(&url).is_ok());
    parent.kill().unwrap();
    parent.wait().unwrap();
    let body = get(&url).unwrap().body;
    let pid: i32 = body.trim().strip_prefix("pid ").unwrap().parse().unwrap();
    testkit::kill(pid);
    until("the child to be gone", SHORT, || !testkit::alive(pid));
}
