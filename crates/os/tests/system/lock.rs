//! Locks: who holds them, and until when.
//!
//! Each test in a process of its own: a child that another test forks has a copy of every lock until it execs.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use os::lock::{FileLock, is_held, owner};
use os::process::{ProcessIdentity, Signal};
use os::{spawn, wait};

use crate::common::{Guard, in_own_process, until};

#[test]
fn one_at_a_time() {
    in_own_process(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!is_held(&path).unwrap());
        assert!(!path.exists(), "looking makes no file");
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        drop(lock);
        assert!(!is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    });
}

#[test]
fn the_owner_is_named() {
    in_own_process(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(owner(&path), None);
        fs::write(&path, "x".repeat(500)).unwrap();
        assert_eq!(owner(&path), None);
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        let us = ProcessIdentity::current().unwrap();
        lock.write_owner(&us).unwrap();
        assert_eq!(owner(&path), Some(us));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    });
}

#[test]
fn a_child_that_inherits_the_lock_keeps_it() {
    in_own_process(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        let null = File::open("/dev/null").unwrap();
        let pid =
            spawn::child(Path::new("/bin/sleep"), &["1000".into()], &[], &[(lock.as_fd(), 3)], null.as_fd())
                .unwrap();
        let child = Guard::of(pid);
        drop(lock);
        assert!(is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        child.0.signal(Signal::SIGKILL).unwrap();
        until("the end of the child", || wait::reap(pid).unwrap());
        assert!(!is_held(&path).unwrap());
    });
}

#[test]
fn a_lock_on_a_file_that_was_replaced_is_none() {
    in_own_process(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let old = FileLock::try_acquire(&path).unwrap().unwrap();
        fs::remove_file(&path).unwrap();
        let new = FileLock::try_acquire(&path).unwrap().unwrap();
        drop(old);
        assert!(is_held(&path).unwrap());
        drop(new);
        assert!(!is_held(&path).unwrap());
    });
}

#[test]
fn a_link_is_not_followed() {
    in_own_process(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert!(FileLock::try_acquire(&path).is_err());
        assert!(!folder.path().join("elsewhere").exists());
        assert_eq!(
            FileLock::try_acquire(&folder.path().join("missing/lock")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn looking_at_a_lock_keeps_nobody_from_taking_it() {
    in_own_process(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        File::create(&path).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let _ = is_held(&path).unwrap();
                    }
                });
            }
            let taken = (0..500).filter(|_| FileLock::try_acquire(&path).unwrap().is_some()).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(taken, 500);
        });
    });
}
