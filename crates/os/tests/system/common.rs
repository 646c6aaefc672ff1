//! What the tests of this crate share.

use std::env;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use os::process::{ProcessIdentity, Signal};

const CHILD: &str = "PIPD_OS_TEST";

/// Runs the body of a test that changes the whole process (mask, limits, environment, children) in a process of its
/// own.
pub(crate) fn in_own_process<F: FnOnce()>(body: F) {
    // The path of the closure: crate, modules, test, `{{closure}}`.
    let path = std::any::type_name::<F>();
    let test = path.split_once("::").unwrap().1.trim_end_matches("::{{closure}}");
    if env::var(CHILD).is_ok_and(|running| running == test) {
        return body();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .output()
        .unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && text.contains("1 passed"), "{}\n{text}", output.status);
}

/// Waits until `condition` gives something.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Says that a test could not run here.
pub(crate) fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
}

/// A process that is killed when the test ends, by identity.
pub(crate) struct Guard(pub(crate) ProcessIdentity);

impl Guard {
    pub(crate) fn of(pid: i32) -> Self {
        Self(ProcessIdentity::of(pid).unwrap().expect("the process lives"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.signal(Signal::SIGKILL);
    }
}

#[cfg(target_os = "linux")]
/// One line of `/proc/<pid>/status`, or of a text that has its form.
pub(crate) fn status_field(text: &str, name: &str) -> String {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no {name} in {text}"))
        .trim()
        .to_owned()
}

#[cfg(target_os = "linux")]
/// The numbers of the descriptors a process has open, in order.
pub(crate) fn descriptors(pid: i32) -> Vec<i32> {
    let mut numbers: Vec<i32> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers
}
