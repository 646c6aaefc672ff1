//! Moments and durations: reading what people type, writing what people read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned, civil};

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Reads `2026-01-31T12:00:00Z`, `2026-01-31 12:00`, `2026-01-31` or `12:00` (today), in the local zone where
/// none is given, as milliseconds since the Unix epoch.
///
/// # Errors
/// What was expected instead.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    moment_in(text, &TimeZone::system(), now_ms())
}

fn moment_in(text: &str, zone: &TimeZone, now_ms: i64) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    let local = |at: civil::DateTime| at.to_zoned(zone.clone()).map(|at| at.timestamp().as_millisecond());
    let at = if let Ok(at) = text.parse::<civil::DateTime>() {
        local(at)
    } else if let Ok(date) = text.parse::<civil::Date>() {
        local(date.to_datetime(civil::Time::midnight()))
    } else if let Ok(time) = text.parse::<civil::Time>() {
        let today = Timestamp::from_millisecond(now_ms).unwrap_or_default().to_zoned(zone.clone()).date();
        local(today.to_datetime(time))
    } else {
        return Err("expected 10m, 2h, 12:00, 2026-01-31 or 2026-01-31T12:00".into());
    };
    at.map_err(|error| error.to_string())
}

/// A moment in a zone: time only when it is today, else with its date.
pub(crate) fn local(at_ms: i64, now_ms: i64, zone: &TimeZone) -> String {
    let zoned = |ms| Timestamp::from_millisecond(ms).map(|at| -> Zoned { at.to_zoned(zone.clone()) });
    match (zoned(at_ms), zoned(now_ms)) {
        (Ok(at), Ok(now)) if at.date() == now.date() => at.strftime("%H:%M:%S").to_string(),
        (Ok(at), _) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        (Err(_), _) => "-".into(),
    }
}

/// The time of day in the local zone, to the millisecond.
pub(crate) fn local_ms(at_ms: i64) -> String {
    match Timestamp::from_millisecond(at_ms) {
        Ok(at) => at.to_zoned(TimeZone::system()).strftime("%H:%M:%S%.3f").to_string(),
        Err(_) => "-".into(),
    }
}

/// A length of time in two units at most: `350 ms`, `2.1 s`, `45 s`, `3m 20s`, `2h 5m`, `4d 2h`.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=9 => format!("{}.{} s", seconds, ms % 1_000 / 100),
        10..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// The time between two moments; nothing when they are in the wrong order, as after a clock was set.
pub(crate) fn between(from_ms: i64, to_ms: i64) -> u64 {
    u64::try_from(to_ms.saturating_sub(from_ms)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short_and_exact_enough() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (2_149, "2.1 s"),
            (59_999, "59 s"),
            (200_000, "3m 20s"),
            (7_500_000, "2h 5m"),
            (90_000_000, "1d 1h"),
        ];
        for (ms, text) in cases {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn people_type_dates_times_and_both() {
        let now = 1_769_860_800_000; // 2026-01-31T12:00:00Z
        let read = |text| moment_in(text, &TimeZone::UTC, now);
        assert_eq!(read("2026-01-31T12:00:00Z"), Ok(now));
        assert_eq!(read("2026-01-31 12:00"), Ok(now));
        assert_eq!(read("12:00"), Ok(now));
        assert_eq!(read("2026-01-31"), Ok(now - 12 * 3_600_000));
        assert!(read("yesterday-ish").is_err());
    }

    #[test]
    fn today_needs_no_date() {
        let now = 1_769_860_800_000;
        assert_eq!(local(now - 1_000, now, &TimeZone::UTC), "11:59:59");
        assert_eq!(local(now - 86_400_000, now, &TimeZone::UTC), "2026-01-30 12:00:00");
    }
}
