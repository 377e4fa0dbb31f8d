//! Durations as users write them: `500ms`, `10s`, `1m30s`, `2h`.

use std::time::Duration;

/// Reads a duration: one or more whole numbers, each with its unit (`ms`, `s`,
/// `m`, `h`), largest unit first or not, without spaces. A number alone counts
/// seconds, as in `sleep 5`.
///
/// `None` for anything else, also for one that overflows.
pub fn parse(text: &str) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().ok()?));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (ms_per_unit, unit_bytes) = if rest.starts_with("ms") {
            (1, 2)
        } else {
            match rest.as_bytes().first()? {
                b's' => (1_000, 1),
                b'm' => (60_000, 1),
                b'h' => (3_600_000, 1),
                _ => return None,
            }
        };
        rest = &rest[unit_bytes..];
        total = total.checked_add(Duration::from_millis(number.checked_mul(ms_per_unit)?))?;
    }
    (!text.is_empty()).then_some(total)
}

/// Writes a duration the way [`parse`] reads it, in the largest units that fit.
pub fn format(duration: Duration) -> String {
    let ms = duration.as_millis();
    let mut text = String::new();
    for (unit_ms, unit) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
        let previous_ms = match unit {
            "h" => u128::MAX,
            "m" => 3_600_000,
            "s" => 60_000,
            _ => 1_000,
        };
        let number = ms % previous_ms / unit_ms;
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_write_durations_in_several_ways() {
        for (text, ms) in
            [("10s", 10_000), ("5", 5_000), ("250ms", 250), ("1m30s", 90_000), ("2h", 7_200_000)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for wrong in ["", "s", "10x", "-1s", "1.5s", "10 s", "99999999999999999999s", "1s5", "µs"]
        {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0u64..10_000_000_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&format(duration)), Some(duration));
        }

        #[test]
        fn no_text_panics(text in "[0-9smh]{0,30}") {
            let _ = parse(&text);
        }
    }
}
