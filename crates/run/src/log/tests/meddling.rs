//! Hands that do things to the files.

use super::super::files;
use super::*;
use std::fs;

fn say(writer: &mut Writer, text: &str) {
    let pipe = Pipe::default();
    pipe.put(text.as_bytes());
    writer.read(Stream::Stdout, &mut pipe.clone()).unwrap();
}

#[test]
fn an_emptied_file_is_filled_again_without_a_hole() {
    let place = Place::new(1 << 20, 3);
    let mut writer = place.writer();
    say(&mut writer, "before\n");
    fs::File::create(files::path(&place.log(), 1)).unwrap();
    say(&mut writer, "after\n");
    assert_eq!(place.said(Stream::Stdout), b"after\n");
    assert!(!fs::read(files::path(&place.log(), 1)).unwrap().contains(&0));
}

#[test]
fn a_file_removed_or_moved_away_is_followed_by_the_next() {
    let place = Place::new(1 << 20, 5);
    let mut writer = place.writer();
    say(&mut writer, "one\n");
    fs::remove_file(files::path(&place.log(), 1)).unwrap();
    say(&mut writer, "two\n");
    assert_eq!(files::numbers(&place.log()).unwrap(), [2]);
    fs::rename(files::path(&place.log(), 2), place.log().join("mine")).unwrap();
    say(&mut writer, "three\n");
    assert_eq!(files::numbers(&place.log()).unwrap(), [3]);
    assert_eq!(place.said(Stream::Stdout), b"three\n");
    assert!(fs::read_to_string(place.log().join("mine")).unwrap().ends_with("two\n"));
}

#[test]
fn a_folder_that_is_gone_is_made_again() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new(1 << 20, 3);
    let mut writer = place.writer();
    say(&mut writer, "one\n");
    fs::remove_dir_all(place.log()).unwrap();
    say(&mut writer, "two\n");
    assert_eq!(place.said(Stream::Stdout), b"two\n");
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.log()), 0o700);
    assert_eq!(mode(files::path(&place.log(), 2)), 0o600);
}

#[test]
fn what_somebody_appended_stays_and_our_lines_go_on_in_the_next_file() {
    use std::io::Write;
    let place = Place::new(1 << 20, 3);
    let mut writer = place.writer();
    say(&mut writer, "one\n");
    let mut file = fs::OpenOptions::new().append(true).open(files::path(&place.log(), 1)).unwrap();
    file.write_all(b"not a line of ours").unwrap();
    say(&mut writer, "two\n");
    assert_eq!(files::numbers(&place.log()).unwrap(), [1, 2]);
    assert_eq!(place.said(Stream::Stdout), b"one\ntwo\n");
}

#[test]
fn half_a_line_after_a_power_failure_does_not_swallow_the_next() {
    let place = Place::new(1 << 20, 3);
    fs::create_dir(place.log()).unwrap();
    fs::write(files::path(&place.log(), 4), b"2026-11-22T18:07:59.123456789Z stdout F half").unwrap();
    let mut writer = place.writer();
    say(&mut writer, "whole\n");
    assert_eq!(place.said(Stream::Stdout), b"whole\n");
    assert_eq!(files::numbers(&place.log()).unwrap(), [4, 5]);
}

#[test]
fn a_spool_that_makes_no_sense_is_replaced() {
    let place = Place::new(1 << 20, 3);
    say(&mut place.writer(), "one\nhal");
    let spool = place.dir.path().join("spool");
    let mut bytes = fs::read(&spool).unwrap();
    for garbage in [0u8, 0x55, 0xff] {
        bytes[8..200].fill(garbage);
        fs::write(&spool, &bytes).unwrap();
        say(&mut place.writer(), "whole\n");
    }
    fs::write(&spool, b"short").unwrap();
    say(&mut place.writer(), "whole\n");
    assert!(place.said(Stream::Stdout).ends_with(b"whole\nwhole\nwhole\n"));
}
