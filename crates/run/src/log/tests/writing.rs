use super::super::fault;
use super::super::files;
use super::*;
use std::time::{Duration, Instant};

#[test]
fn lines_arrive_once_in_order_streams_apart() {
    let place = Place::new(1 << 20, 3);
    let (out, err) = (Pipe::default(), Pipe::default());
    let mut writer = place.writer();
    writer.started(7, 123);
    out.put(&numbered(0..1_000));
    err.put(b"oh\nno");
    while writer.read(Stream::Stdout, &mut out.clone()).unwrap() > 0 {}
    writer.read(Stream::Stderr, &mut err.clone()).unwrap();
    err.put(b"!\n");
    writer.read(Stream::Stderr, &mut err.clone()).unwrap();
    writer.ended(7, "exit code 1");
    assert_eq!(place.said(Stream::Stdout), numbered(0..1_000));
    assert_eq!(place.said(Stream::Stderr), b"oh\nno!\n");
    assert_eq!(place.marks(), ["run 7 started, pid 123", "run 7 ended: exit code 1"]);
}

#[test]
fn marks_of_a_run_come_once_over_all_its_shims() {
    let place = Place::new(1 << 20, 3);
    place.writer().started(7, 123);
    let mut second = place.writer();
    second.started(7, 123);
    second.ended(7, "exit code 0");
    place.writer().ended(7, "exit code 0");
    assert_eq!(place.marks(), ["run 7 started, pid 123", "run 7 ended: exit code 0"]);
}

#[test]
fn the_beginning_of_a_line_is_logged_after_a_while_and_joined_again() {
    let place = Place::new(1 << 20, 3);
    let pipe = Pipe::default();
    let mut writer = place.writer();
    pipe.put(b"50 %\r");
    writer.read(Stream::Stdout, &mut pipe.clone()).unwrap();
    assert!(place.entries(&Query::default()).is_empty());
    let due = writer.deadline().expect("a line waits");
    writer.tick(due - Duration::from_millis(1));
    assert!(place.entries(&Query::default()).is_empty());
    writer.tick(due);
    assert_eq!(writer.deadline(), None, "nothing waits any more");
    pipe.put(b"100 %\n");
    writer.read(Stream::Stdout, &mut pipe.clone()).unwrap();
    let pieces = place.entries(&Query::default());
    assert_eq!(pieces.iter().map(|piece| piece.partial).collect::<Vec<_>>(), [true, false]);
    let whole = place.entries(&Query { join: true, ..Query::default() });
    assert_eq!(whole.len(), 1);
    assert_eq!(whole[0].text, b"50 %\r100 %");
}

#[test]
fn a_line_that_never_ends_is_ended_with_the_run() {
    for flushed_before in [false, true] {
        let place = Place::new(1 << 20, 3);
        let pipe = Pipe::default();
        let mut writer = place.writer();
        pipe.put(b"unfinished");
        writer.read(Stream::Stderr, &mut pipe.clone()).unwrap();
        if flushed_before {
            writer.tick(Instant::now() + Duration::from_secs(1));
        }
        writer.ended(1, "exit code 0");
        assert_eq!(place.said(Stream::Stderr), b"unfinished\n");
    }
}

#[test]
fn case_82_a_line_of_a_gigabyte_costs_no_memory() {
    let place = Place::new(1 << 20, 2);
    let pipe = Pipe::default();
    let mut writer = place.writer();
    for _ in 0..200 {
        pipe.put(&[b'x'; 60_000]);
        writer.read(Stream::Stdout, &mut pipe.clone()).unwrap();
        assert!(pipe.0.borrow().is_empty(), "nothing is held up");
    }
    writer.ended(1, "exit code 0");
    let longest = place.entries(&Query::default()).iter().map(|entry| entry.text.len()).max();
    assert!(longest <= Some(16 << 10));
}

#[test]
fn case_81_the_log_is_bounded_at_every_instant_and_contiguous() {
    let place = Place::new(64 << 10, 3);
    let pipe = Pipe::default();
    let mut writer = place.writer();
    for round in 0..200 {
        pipe.put(&numbered(round * 500..(round + 1) * 500));
        writer.read(Stream::Stdout, &mut pipe.clone()).unwrap();
        let sizes: Vec<u64> = files::numbers(&place.log())
            .unwrap()
            .into_iter()
            .map(|number| files::path(&place.log(), number).metadata().unwrap().len())
            .collect();
        assert!(sizes.len() <= 3 && sizes.iter().all(|&size| size <= 64 << 10), "{sizes:?}");
    }
    let said = String::from_utf8(place.said(Stream::Stdout)).unwrap();
    let first = said.lines().next().unwrap().strip_prefix("line ").unwrap().parse().unwrap();
    assert_eq!(said.into_bytes(), numbered(first..100_000));
}

#[test]
fn case_36_a_full_disk_costs_counted_lines_and_nothing_else() {
    let place = Place::new(1 << 20, 3);
    let pipe = Pipe::default();
    let mut writer = place.writer();
    pipe.put(&numbered(0..10));
    writer.read(Stream::Stdout, &mut pipe.clone()).unwrap();
    let full = files::path(&place.log(), 1).metadata().unwrap().len() + 130;
    fault::limit_space(Some(full));
    for round in 1..=3 {
        pipe.put(&numbered(round * 10..(round + 1) * 10));
        assert!(writer.read(Stream::Stdout, &mut pipe.clone()).unwrap() > 0, "the pipe is emptied");
    }
    let lost = writer.take_lost();
    assert!((27..30).contains(&lost), "{lost}: the lines that fit are kept");
    fault::limit_space(None);
    pipe.put(&numbered(40..50));
    writer.read(Stream::Stdout, &mut pipe.clone()).unwrap();
    assert_eq!(place.marks(), [format!("dropped {lost} lines: no space left on device")]);
    assert_eq!(writer.take_lost(), 0);
    let kept = (30 - lost as usize) + 10;
    let expected = [numbered(0..kept), numbered(40..50)].concat();
    assert_eq!(String::from_utf8(place.said(Stream::Stdout)), String::from_utf8(expected));
}

#[test]
fn the_notice_of_a_loss_comes_by_itself_when_the_service_is_quiet() {
    let place = Place::new(1 << 20, 3);
    let pipe = Pipe::default();
    let mut writer = place.writer();
    fault::limit_space(Some(0));
    pipe.put(b"gone\n");
    writer.read(Stream::Stdout, &mut pipe.clone()).unwrap();
    let due = writer.deadline().expect("it is tried again");
    writer.tick(due);
    fault::limit_space(None);
    writer.tick(writer.deadline().expect("and again"));
    assert_eq!(place.marks(), ["dropped 1 line: no space left on device"]);
    assert_eq!(writer.deadline(), None);
}
