//! Spans of time as people write them.

use std::time::Duration;

/// `90s`, `20m`, `1h30m`, `2d`; a bare number is seconds.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("found {text}, allowed: a time like 90s, 20m, 1h30m, 2d");
    let mut seconds: u64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let part = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        seconds = part.and_then(|part| seconds.checked_add(part)).ok_or_else(wrong)?;
        digits.clear();
    }
    match (seconds, digits.as_str()) {
        (_, "") if !text.is_empty() => Ok(Duration::from_secs(seconds)),
        (0, digits) if digits == text => digits.parse().map(Duration::from_secs).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units_and_nothing_else_is() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("20m", 1_200), ("1h30m", 5_400), ("2d", 172_800), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "20x", "1h30", "-5s", "1.5h", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse(text).unwrap_err().contains("allowed: a time like 90s"), "{text}");
        }
    }
}
