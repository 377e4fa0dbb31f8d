//! Instants as users type them.

use jiff::tz::TimeZone;
use jiff::{Span, ZonedDateTime, civil};

use crate::error::{Error, ErrorCode, Result};
use crate::types::Timestamp;

/// This machine's time zone.
///
/// # Errors
/// [`ErrorCode::InvalidConfig`] when `TZ` names none. (Where nobody set one it is
/// UTC.)
pub fn local_zone() -> Result<TimeZone> {
    match std::env::var_os("TZ").filter(|zone| !zone.is_empty()) {
        None => Ok(TimeZone::system()),
        Some(zone) => TimeZone::try_system().map_err(|_| {
            let zone = zone.to_string_lossy();
            Error::new(
                ErrorCode::InvalidConfig,
                format!("TZ is {zone:?}, which is no time zone that this machine knows"),
            )
        }),
    }
}

/// Reads an instant: RFC 3339 (`2026-11-23T18:46:00Z`), the same with a zone
/// (`2026-11-23T18:46[America/New_York]`, RFC 9557), a local date or local time
/// (`2026-11-23`, `2026-11-23T18:46`), or how long ago (`90s`, `2h`, `3d`, `1w`,
/// `1h30m`). Days and weeks are those of the calendar of the local `zone`.
///
/// # Errors
/// [`ErrorCode::WrongUsage`] that shows the forms; that of the zone, where it
/// matters.
pub fn parse_when(
    text: &str,
    now: Timestamp,
    zone: impl Fn() -> Result<TimeZone>,
) -> Result<Timestamp> {
    let wrong = || {
        Error::new(
            ErrorCode::WrongUsage,
            format!(
                "{text:?} is no time: write 2026-11-23, 2026-11-23T18:46:00Z, \
                 2026-11-23T18:46[Europe/Paris], or how long ago, as 2h or 3d"
            ),
        )
    };
    let instant = if text.contains('[') {
        // The other forms would pass over a zone.
        text.parse::<ZonedDateTime>().ok().map(|zoned| zoned.timestamp())
    } else if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        Some(instant)
    } else if let Ok(local) = text.parse::<civil::DateTime>() {
        local.to_zoned_datetime(zone()?).ok().map(|zoned| zoned.timestamp())
    } else if let Ok(span) = text.parse::<Span>()
        && !span.is_negative()
    {
        let clock = span.get_days() == 0
            && span.get_weeks() == 0
            && span.get_months() == 0
            && span.get_years() == 0;
        let zone = if clock { TimeZone::UTC } else { zone()? };
        let now = i64::try_from(now.0).ok().map(jiff::Timestamp::from_millisecond);
        now.and_then(Result::ok)
            .and_then(|now| now.to_zoned_datetime(zone).checked_sub(span).ok())
            .map(|zoned| zoned.timestamp())
    } else {
        None
    };
    let ms = instant.ok_or_else(wrong)?.as_millisecond();
    // Before 1970 there were no messages.
    Ok(Timestamp(u64::try_from(ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String> {
        let now: Timestamp = "2026-11-23T18:46:00.123Z".parse().expect("valid");
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        parse_when(text, now, || Ok(zone.clone())).map(|instant| instant.to_string())
    }

    #[test]
    fn instants_dates_and_durations_are_understood() {
        for (text, expected) in [
            ("2026-11-23T18:46:00Z", "2026-11-23T18:46:00.000Z"),
            ("2026-11-23T18:46:00.5+01:00", "2026-11-23T17:46:00.500Z"),
            ("2026-11-23", "2026-11-22T23:00:00.000Z"),
            ("2026-11-23T18:46", "2026-11-23T17:46:00.000Z"),
            ("2026-11-23 18:46:01", "2026-11-23T17:46:01.000Z"),
            ("2026-11-23T18:46[America/New_York]", "2026-11-23T23:46:00.000Z"),
            ("2026-07-23T18:46:00-04:00[America/New_York]", "2026-07-23T22:46:00.000Z"),
            ("2026-11-23T18:46+09:00[+09:00]", "2026-11-23T09:46:00.000Z"),
            ("2h", "2026-11-23T16:46:00.123Z"),
            ("1h30m", "2026-11-23T17:16:00.123Z"),
            ("3d", "2026-11-20T18:46:00.123Z"),
            ("1w", "2026-11-16T18:46:00.123Z"),
            ("1900-01-01", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(parse(text).expect(text), expected, "{text}");
        }
        for text in [
            "",
            "soon",
            "2026-13-01",
            "-2h",
            "12",
            "2026-11-23T25:00",
            "2026-11-23T18:46[America/Nowhere]",
            "2026-11-23T18:46:00+05:00[America/New_York]",
            "2026-11-23T18:46[",
            "2h[UTC]",
        ] {
            assert_eq!(parse(text).expect_err(text).code, ErrorCode::WrongUsage, "{text}");
        }
    }

    #[test]
    fn a_zone_that_is_none_matters_where_local_time_does() {
        let now: Timestamp = "2026-11-23T18:46:00.123Z".parse().expect("valid");
        let none = || Err(Error::new(ErrorCode::InvalidConfig, "no zone"));
        for text in ["2026-11-23T18:46:00Z", "2026-11-23T18:46[Asia/Tokyo]", "2h", "90s"] {
            parse_when(text, now, none).expect(text);
        }
        for text in ["2026-11-23", "2026-11-23T18:46", "1d", "1w2h", "1mo", "1y"] {
            let error = parse_when(text, now, none).expect_err(text);
            assert_eq!(error.code, ErrorCode::InvalidConfig, "{text}");
        }
    }
}
