//! Durations and sizes as people write them: `1m 30s`, `200ms`, `10MiB`.

const DURATIONS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Longest duration: a year. Beyond it is a typing error.
const LONGEST_MS: u64 = 366 * 86_400_000;
/// Largest size: 1 TiB.
const LARGEST: u64 = 1 << 40;

/// Milliseconds of `1m 30s`. Parts add up; a fraction such as `1.5s` is understood.
pub(crate) fn duration_ms(text: &str) -> Result<u64, String> {
    let example = "write a number and a unit such as \"200ms\", \"5s\" or \"1m 30s\"";
    let total = sum(text, DURATIONS).map_err(|fault| format!("{fault}; {example}"))?;
    if total > LONGEST_MS { Err(format!("longer than a year; {example}")) } else { Ok(total) }
}

/// Bytes of `10MiB`.
pub(crate) fn size_bytes(text: &str) -> Result<u64, String> {
    let example = "write a number and a unit such as \"512KiB\" or \"10MiB\"";
    let total = sum(text, SIZES).map_err(|fault| format!("{fault}; {example}"))?;
    if total > LARGEST { Err(format!("more than 1024 GiB; {example}")) } else { Ok(total) }
}

fn sum(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("nothing is written here".to_owned());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        if number.is_empty() {
            return Err(format!("`{text}` does not begin with a number"));
        }
        if unit.is_empty() {
            return Err(format!("`{number}` has no unit"));
        }
        let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
            let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
            return Err(format!("`{unit}` is not a unit ({})", names.join(", ")));
        };
        let value = scaled(number, *factor).ok_or_else(|| format!("`{number}` is not a number that fits"))?;
        total = total.checked_add(value).ok_or_else(|| format!("`{text}` is too large"))?;
        rest = next.trim_start();
    }
    Ok(total)
}

/// `1.5` times a factor, rounded down.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().ok()?;
    let digits = fraction.get(..fraction.len().min(9))?;
    let part: u64 = digits.parse().ok()?;
    let part = u128::from(part) * u128::from(factor) / 10u128.pow(u32::try_from(digits.len()).ok()?);
    whole.checked_mul(factor)?.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("0s", 0),
            ("200ms", 200),
            ("5s", 5_000),
            ("5 s", 5_000),
            ("1m 30s", 90_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("1.5s", 1_500),
            (" 1d ", 86_400_000),
        ] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for text in
            ["", " ", "5", "s", "5x", "-5s", "5s!", "1.2.3s", "99999999999999999999s", "400d", "½s", ".s"]
        {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("10MiB", 10 << 20), ("1 GiB", 1 << 30), ("500kB", 500_000), ("64B", 64), ("1.5KiB", 1536)]
        {
            assert_eq!(size_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["10", "10M", "MiB", "2000GiB", "1e3B"] {
            assert!(size_bytes(text).is_err(), "{text}");
        }
    }
}
