//! Time stamps of log lines: UTC, RFC 3339, nanoseconds, always 30 bytes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch. Enough until the year 2554.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

/// Length of a stamp as text.
pub(crate) const STAMP_BYTES: usize = 30;

const NANOS: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

impl Stamp {
    /// The wall clock, now. Before 1970 counts as 1970.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Whole milliseconds since the Unix epoch.
    pub fn as_ms(self) -> i64 {
        i64::try_from(self.0 / 1_000_000).unwrap_or(i64::MAX)
    }

    /// From milliseconds since the Unix epoch.
    pub fn from_ms(ms: i64) -> Self {
        Self(u64::try_from(ms).unwrap_or(0).saturating_mul(1_000_000))
    }

    /// `2026-11-22T18:07:59.123456789Z`.
    pub(crate) fn text(self) -> [u8; STAMP_BYTES] {
        let seconds = self.0 / NANOS;
        let (year, month, day) = date_of(seconds / DAY);
        let time = seconds % DAY;
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], time / 3600);
        digits(&mut text[14..16], time / 60 % 60);
        digits(&mut text[17..19], time % 60);
        digits(&mut text[20..29], self.0 % NANOS);
        text
    }

    /// Reads what [`Stamp::text`] wrote.
    /// Reads what others write: `2026-11-22T18:07:59Z`, with up to nine digits after the seconds.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.strip_suffix('Z')?;
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if fraction.len() > 9 {
            return None;
        }
        Self::parse(format!("{seconds}.{fraction:0<9}Z").as_bytes())
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; STAMP_BYTES] = text.try_into().ok()?;
        let shape = b"dddd-dd-ddTdd:dd:dd.dddddddddZ";
        let fits = text.iter().zip(shape).all(|(&byte, &wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            wanted => byte == wanted,
        });
        if !fits {
            return None;
        }
        let number =
            |from: usize, to: usize| text[from..to].iter().fold(0, |n, d| n * 10 + u64::from(d - b'0'));
        let (month, day) = (number(5, 7), number(8, 10));
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || number(0, 4) < 1970 {
            return None;
        }
        let days = days_to(number(0, 4), month, day);
        let seconds = days * DAY + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
        Some(Self(seconds.checked_mul(NANOS)?.checked_add(number(20, 29))?))
    }
}

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

fn digits(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

// Both from Howard Hinnant's "chrono-compatible low-level date algorithms": years begin in March, so the leap
// day comes last.

fn date_of(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn days_to(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let era = year / 400;
    let year_of_era = year % 400;
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399_999_999_999, "2000-02-28T23:59:59.999999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_795_370_879_123_456_789, "2026-11-22T18:07:59.123456789Z"),
        ] {
            assert_eq!(Stamp(ns).to_string(), text);
            assert_eq!(Stamp::parse(text.as_bytes()), Some(Stamp(ns)));
        }
    }

    #[test]
    fn every_day_of_five_centuries_comes_back() {
        for day in 0..182_000u64 {
            let stamp = Stamp(day * DAY * NANOS + 1);
            assert_eq!(Stamp::parse(&stamp.text()), Some(stamp));
        }
    }

    #[test]
    fn others_write_fewer_digits() {
        let at = Stamp(1_795_370_879_000_000_000);
        for (text, ns) in [
            ("2026-11-22T18:07:59Z", 0),
            ("2026-11-22T18:07:59.5Z", 500_000_000),
            ("2026-11-22T18:07:59.123456Z", 123_456_000),
        ] {
            assert_eq!(Stamp::read(text), Some(Stamp(at.0 + ns)), "{text}");
        }
        assert_eq!(Stamp::read("2026-11-22T18:07:59+00:00"), None);
        assert_eq!(Stamp::read("2026-11-22T18:07:59.0123456789Z"), None);
    }

    #[test]
    fn what_is_no_stamp_is_none() {
        for text in [
            "",
            "2026-11-22T18:07:59.123456789",
            "2026-11-22 18:07:59.123456789Z",
            "2026-13-22T18:07:59.123456789Z",
        ] {
            assert_eq!(Stamp::parse(text.as_bytes()), None, "{text}");
        }
    }
}
