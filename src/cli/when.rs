//! Instants as people type them.

use jiff::tz::TimeZone;
use jiff::{Span, civil};

use crate::error::{Error, ErrorCode, Result};
use crate::types::Timestamp;

/// Reads an instant: RFC 3339 (`2026-11-23T18:46:00Z`), a local date or local
/// time (`2026-11-23`, `2026-11-23T18:46`), or how long ago (`90s`, `2h`, `3d`,
/// `1w`, `1h30m`). Days and weeks are those of the calendar.
///
/// # Errors
/// [`ErrorCode::WrongUsage`] that shows the forms.
pub fn parse_when(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp> {
    let wrong = || {
        Error::new(
            ErrorCode::WrongUsage,
            format!(
                "{text:?} is no time: write 2026-11-23, 2026-11-23T18:46:00Z, or how long ago, \
                 as 2h or 3d"
            ),
        )
    };
    let instant = || -> Option<jiff::Timestamp> {
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Some(instant);
        }
        // `parse` would pass over an offset that it does not understand.
        if let Ok(local) = text.parse::<civil::DateTime>() {
            return Some(local.to_zoned_datetime(zone.clone()).ok()?.timestamp());
        }
        let span: Span = text.parse().ok()?;
        if span.is_negative() {
            return None;
        }
        let now = jiff::Timestamp::from_millisecond(i64::try_from(now.0).ok()?).ok()?;
        Some(now.to_zoned_datetime(zone.clone()).checked_sub(span).ok()?.timestamp())
    };
    let ms = instant().ok_or_else(wrong)?.as_millisecond();
    // Before 1970 there were no messages.
    Ok(Timestamp(u64::try_from(ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String> {
        let now: Timestamp = "2026-11-23T18:46:00.123Z".parse().expect("valid");
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        parse_when(text, now, &zone).map(|instant| instant.to_string())
    }

    #[test]
    fn instants_dates_and_durations_are_understood() {
        for (text, expected) in [
            ("2026-11-23T18:46:00Z", "2026-11-23T18:46:00.000Z"),
            ("2026-11-23T18:46:00.5+01:00", "2026-11-23T17:46:00.500Z"),
            ("2026-11-23", "2026-11-22T23:00:00.000Z"),
            ("2026-11-23T18:46", "2026-11-23T17:46:00.000Z"),
            ("2026-11-23 18:46:01", "2026-11-23T17:46:01.000Z"),
            ("2h", "2026-11-23T16:46:00.123Z"),
            ("1h30m", "2026-11-23T17:16:00.123Z"),
            ("3d", "2026-11-20T18:46:00.123Z"),
            ("1w", "2026-11-16T18:46:00.123Z"),
            ("1900-01-01", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(parse(text).expect(text), expected, "{text}");
        }
        for text in ["", "soon", "2026-13-01", "-2h", "12", "2026-11-23T25:00"] {
            assert_eq!(parse(text).expect_err(text).code, ErrorCode::WrongUsage, "{text}");
        }
    }
}
