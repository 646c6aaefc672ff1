//! Records cut off at every byte and with flipped bits, under services that run.

use std::path::PathBuf;

use run::layout::{HostDir, workspace_id};
use testkit::{SHORT, Sandbox, alive, resume, sandbox, suspend, until};
use wire::Phase;

use crate::world::{Chance, births, pair, serves_once, setting, try_service};

fn records(sandbox: &Sandbox, root: &std::path::Path) -> Vec<PathBuf> {
    let host = HostDir::at(sandbox.host());
    let workspace = host.workspace(&workspace_id(root));
    let run = workspace.service("web").run(1);
    vec![
        host.daemon_record(),
        host.daemon_lock(),
        workspace.record(),
        run.spec(),
        run.started(),
        run.lock(),
        run.spool(),
        run.path().join("ready"),
    ]
}

/// The daemon dies, and the next one finds one file damaged: what runs is found all the same, or said to be there, and
/// never started a second time.
#[test]
fn case_24_a_damaged_file_forgets_nothing_and_doubles_nothing() {
    let rounds: u32 = setting("PIPD_SOAK_DAMAGES", 40);
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let before = (workspace.pid("web"), workspace.pid("keep"));
    let mut chance = Chance::new("PIPD_TEST_SEED");
    let files = records(&sandbox, workspace.root());
    for round in 0..rounds {
        let file = &files[round as usize % files.len()];
        let whole = std::fs::read(file).unwrap_or_default();
        let mut damaged = whole.clone();
        let what = if whole.is_empty() || chance.below(2) == 0 {
            let length = chance.below(whole.len() as u64 + 1);
            damaged.truncate(length as usize);
            format!("{} cut off at byte {length} of {}", file.display(), whole.len())
        } else {
            let at = chance.below(whole.len() as u64) as usize;
            damaged[at] ^= 1 << chance.below(8);
            format!("{} with a flipped bit in byte {at}", file.display())
        };
        // Frozen until it is done: the next daemon must not have written its own by then.
        let shims = [workspace.service("web").shim_pid.unwrap(), workspace.service("keep").shim_pid.unwrap()];
        shims.into_iter().for_each(suspend);
        let daemon = sandbox.kill_daemon();
        std::fs::write(file, &damaged).unwrap();
        shims.into_iter().for_each(resume);
        until(&format!("another daemon, {what}"), SHORT, || {
            sandbox.try_daemon().is_none_or(|pid| pid != daemon) && try_service(&workspace, "web").is_some()
        });
        until(&format!("it to be found, {what}"), SHORT, || serves_once(&workspace, &port));
        assert_eq!((workspace.pid("web"), workspace.pid("keep")), before, "{what}");
        assert_eq!((births(&workspace, "web").len(), births(&workspace, "keep").len()), (1, 1), "{what}");
    }
    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(before.0) && !alive(before.1));
}

/// Every record reads as it was written, or as unreadable: cut off at every byte, each bit flipped.
#[test]
fn case_24_no_damage_to_a_record_is_taken_for_another_record() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let place = sandbox.folder().join("record");
    for file in records(&sandbox, workspace.root()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        if !bytes.starts_with(b"pipd 1 ") {
            continue;
        }
        let read = |bytes: &[u8]| {
            std::fs::write(&place, bytes).unwrap();
            run::record::read::<serde_json::Value>(&place)
        };
        let whole = read(&bytes).unwrap();
        assert!(whole.is_some());
        // Every byte of a small one; of a large one as many as there is time for.
        let step = (bytes.len() / 1_500).max(1);
        for at in (0..bytes.len()).step_by(step) {
            assert!(read(&bytes[..at]).is_err(), "{} cut off at {at} was read", file.display());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            match read(&flipped) {
                Err(_) => {}
                // A blank for a tab, a letter of the checksum in another case: the content is what it was.
                Ok(found) => assert_eq!(found, whole, "{} with byte {at} changed", file.display()),
            }
        }
    }
    assert_eq!(workspace.service("web").phase, Phase::Ready);
}
