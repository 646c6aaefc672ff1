//! Private folders, named pipes, mappings.

use std::env;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;

use crate::common::{in_own_process, skip};
use os::mapping::SharedMapping;
use os::{fifo, limits, paths};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_private_folder_is_made_and_tightened() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b/c");
    paths::private_dir(&deep).unwrap();
    for part in ["a", "a/b", "a/b/c"] {
        assert_eq!(mode(&folder.path().join(part)), 0o700, "{part}");
    }
    for loose in [0o755, 0o777, 0o500, 0o070] {
        fs::set_permissions(&deep, Permissions::from_mode(loose)).unwrap();
        paths::private_dir(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700, "{loose:o}");
    }
}

#[test]
fn a_private_folder_is_no_link_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    symlink(folder.path(), &link).unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let dangling = folder.path().join("dangling");
    symlink("nowhere", &dangling).unwrap();
    for path in [link, file, dangling] {
        let error = paths::private_dir(&path).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{text}");
        assert!(text.contains(path.to_str().unwrap()) && text.contains("ls -ld"), "{text}");
    }
}

#[test]
fn a_private_folder_is_ours() {
    if !nix::unistd::geteuid().is_root() {
        return skip("a_private_folder_is_ours", "only root can give a folder away");
    }
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    std::os::unix::fs::chown(&theirs, Some(12345), None).unwrap();
    let error = paths::private_dir(&theirs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("belongs to uid 12345"), "{error}");
    assert_eq!(fs::metadata(&theirs).unwrap().uid(), 12345);
}

#[test]
fn roots_follow_the_environment() {
    in_own_process(|| {
        let set = |name: &str, value: Option<&str>| {
            // SAFETY: a process of its own with one thread that reads the environment.
            unsafe {
                match value {
                    Some(value) => env::set_var(name, value),
                    None => env::remove_var(name),
                }
            }
        };
        set("HOME", Some("/home/x"));
        set("PIPD_STATE_DIR", None);
        set("XDG_STATE_HOME", None);
        set("TMPDIR", Some("/nix-shell.1"));
        assert_eq!(paths::state_root().unwrap(), Path::new("/home/x/.local/state/pipd"));
        set("XDG_STATE_HOME", Some("relative"));
        assert_eq!(paths::state_root().unwrap(), Path::new("/home/x/.local/state/pipd"));
        set("XDG_STATE_HOME", Some("/s"));
        assert_eq!(paths::state_root().unwrap(), Path::new("/s/pipd"));
        set("PIPD_STATE_DIR", Some("/own"));
        assert_eq!(paths::state_root().unwrap(), Path::new("/own"));
        set("PIPD_STATE_DIR", Some("own"));
        assert!(paths::state_root().unwrap_err().to_string().contains("PIPD_STATE_DIR=\"$PWD/own\""));
        set("HOME", Some("relative"));
        assert!(paths::home().is_none_or(|home| home.is_absolute()));
        assert!(paths::runtime_root().is_absolute());
        assert!(!paths::runtime_root().starts_with("/nix-shell.1"));
        if cfg!(target_os = "linux") {
            let ours = tempfile::tempdir_in("/tmp").unwrap();
            set("XDG_RUNTIME_DIR", ours.path().to_str());
            set("PIPD_STATE_DIR", Some("/own"));
            let own = paths::runtime_root();
            set("PIPD_STATE_DIR", Some("/other"));
            assert_ne!(paths::runtime_root(), own);
            assert_eq!(paths::runtime_root().parent(), Some(ours.path().join("pipd").as_path()));
            set("XDG_RUNTIME_DIR", Some("/nowhere"));
            assert!(!paths::runtime_root().starts_with("/nowhere"));
        }
    });
}

#[test]
fn a_pipe_carries_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    fifo::make(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fifo::make(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fifo::open_write(&path).unwrap_err().raw_os_error(), Some(libc::ENXIO));
    let reader = fifo::open_read(&path).unwrap();
    let mut writer = fs::File::from(fifo::open_write(&path).unwrap());
    assert_eq!(fifo::available(&reader).unwrap(), 0);
    writer.write_all(b"four").unwrap();
    assert_eq!(fifo::available(&reader).unwrap(), 4);
    let mut reader = fs::File::from(reader);
    let mut bytes = [0; 10];
    assert_eq!(reader.read(&mut bytes).unwrap(), 4);
    // With a writer and nothing to read, reading does not wait.
    assert_eq!(reader.read(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn only_a_pipe_is_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(fifo::open_read(&file).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(fifo::open_write(&file).unwrap_err().kind(), ErrorKind::InvalidInput);
    let pipe = folder.path().join("pipe");
    fifo::make(&pipe).unwrap();
    let link = folder.path().join("link");
    symlink(&pipe, &link).unwrap();
    assert!(fifo::open_read(&link).is_err());
}

#[test]
fn a_mapping_persists() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carry");
    let mut mapping = SharedMapping::create(&path, 10_000).unwrap();
    assert_eq!((mapping.len(), mapping.bytes().iter().any(|byte| *byte != 0)), (10_000, false));
    mapping.bytes_mut()[9_999] = 7;
    mapping.atomic_u64(8).store(u64::MAX - 1, Ordering::Release);
    // A second view, as a successor would have it while the first still stands.
    assert_eq!(SharedMapping::open(&path).unwrap().bytes()[9_999], 7);
    drop(mapping);
    let mapping = SharedMapping::open(&path).unwrap();
    assert_eq!(mapping.atomic_u64(8).load(Ordering::Acquire), u64::MAX - 1);
    assert_eq!(fs::read(&path).unwrap()[9_999], 7);
    assert_eq!(mode(&path), 0o600);
    // Making it anew starts from zero, and leaves the old view whole.
    assert_eq!(SharedMapping::create(&path, 8).unwrap().bytes(), [0; 8]);
    assert_eq!(mapping.bytes()[9_999], 7);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
#[should_panic(expected = "no number at 4")]
fn a_number_is_aligned() {
    let folder = tempfile::tempdir().unwrap();
    let _ = SharedMapping::create(&folder.path().join("m"), 64).unwrap().atomic_u64(4);
}

#[test]
fn a_mapping_needs_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    assert_eq!(SharedMapping::create(&path, 0).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(SharedMapping::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
    fs::write(&path, "").unwrap();
    assert_eq!(SharedMapping::open(&path).unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn a_full_disk_is_an_error_at_creation() {
    const FOLDER: &str = "PIPD_OS_TEST_FULL";
    const TEST: &str = "files::a_full_disk_is_an_error_at_creation";
    if let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) {
        let error = SharedMapping::create(&folder.join("m"), 1 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        assert!(SharedMapping::create(&folder.join("m"), 4096).is_ok());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = r#"mount -t tmpfs -o size=64k none "$1" && exec "$2" "$3" --exact --nocapture"#;
    let probe = r#"mount -t tmpfs -o size=64k none "$1""#;
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]).arg(folder.path());
        command
    };
    if !unshare(probe).output().is_ok_and(|output| output.status.success()) {
        return skip(TEST, "needs root and unshare");
    }
    let output = unshare(mount)
        .arg(env::current_exe().unwrap())
        .arg(TEST)
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_descriptor_limit_is_raised_and_remembered() {
    in_own_process(|| {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 256, hard).unwrap();
        assert_eq!(limits::raise_nofile().unwrap(), (256, hard));
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert!(soft > 256 && soft <= hard);
    });
}
