//! Small values that every module uses: names, numbers and instants.

mod code;
mod fingerprint;
mod key_change;
mod membership;
mod names;
mod place;
mod quorum;
mod servers;
mod size;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
pub use uuid::Uuid;

pub use self::code::{CODE_BYTES, Code, code_hash};
pub use self::fingerprint::Fingerprint;
pub use self::key_change::{KeyChange, KeyStage, KeyStep, SUCCESSIONS_MAX, Succession};
pub use self::membership::{Departed, MemberChange, MemberEntry, Membership};
pub use self::names::{AccountName, FoldedName, Names};
pub use self::place::Place;
pub use self::quorum::{is_majority, majority};
pub use self::servers::{DEFAULT_PORT, Servers};
pub use self::size::{format_size, parse_size};

use crate::error::{Error, ErrorCode};

/// Reads a value from a text without copying the text first, which serde's own
/// `Cow` does.
///
/// # Errors
/// Those of `read`, and of a value that is no text; `expected` says what it
/// should have been.
pub fn deserialize_text<'de, D: Deserializer<'de>, T, E: fmt::Display>(
    deserializer: D,
    expected: &'static str,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    struct Text<F>(&'static str, F);
    impl<T, E: fmt::Display, F: FnOnce(&str) -> Result<T, E>> serde::de::Visitor<'_> for Text<F> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<X: serde::de::Error>(self, text: &str) -> Result<T, X> {
            (self.1)(text).map_err(X::custom)
        }
    }
    deserializer.deserialize_str(Text(expected, read))
}

/// The number by which users call a replica: 1, 2, 3. It survives a wiped
/// disk, while the [`NodeId`] does not.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ReplicaId(pub u32);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ReplicaId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse() {
            Ok(id) if id > 0 => Ok(ReplicaId(id)),
            _ => Err(Error::new(
                ErrorCode::WrongUsage,
                format!("a replica is named by a number from 1, not by {text:?}"),
            )),
        }
    }
}

/// The number by which consensus knows a replica: `replica << 32 | incarnation`.
///
/// A replica whose disk was wiped has forgotten its votes and entries, and must
/// never come back as the voter it was. It gets the next incarnation, hence a
/// node id that never existed before.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The node id of a replica's incarnation; incarnations count from 1.
    pub fn new(replica: ReplicaId, incarnation: u32) -> Self {
        NodeId(u64::from(replica.0) << 32 | u64::from(incarnation))
    }
    /// The replica that users know.
    pub fn replica(self) -> ReplicaId {
        ReplicaId((self.0 >> 32) as u32)
    }
    /// How often this replica has started from nothing, from 1.
    pub fn incarnation(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.replica(), self.incarnation())
    }
}

/// A wall-clock instant in milliseconds since 1970, UTC. In JSON it is RFC 3339
/// with milliseconds, such as `2026-11-23T18:46:00.123Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Last instant that has four digits of year: 9999-12-31T23:59:59.999Z.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999);

    /// This instant plus a number of milliseconds, at most [`Timestamp::MAX`].
    pub fn plus_ms(self, ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms)).min(Timestamp::MAX)
    }

    /// Its text. By hand, as one is made for every message and every answer:
    /// the formatting macros take ten times as long.
    fn text(self) -> [u8; 24] {
        let ms = self.0.min(Timestamp::MAX.0);
        let (days, ms_of_day) = (ms / 86_400_000, ms % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (s, ms) = (ms_of_day / 1000, ms_of_day % 1000);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let fields = [
            (0..4, year),
            (5..7, month),
            (8..10, day),
            (11..13, s / 3600),
            (14..16, s / 60 % 60),
            (17..19, s % 60),
            (20..23, ms),
        ];
        for (place, mut number) in fields {
            for digit in text[place].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).expect("digits and marks are ASCII"))
    }
}

/// Howard Hinnant's `civil_from_days`, for days since 1970-01-01.
///
/// Time-stamps are written with every message; this is ten times as fast as a
/// calendar library, which the tests hold it against.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The inverse of [`civil_from_days`]; `None` for a date that does not exist.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let y = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (y / 400, y % 400);
    let mp = if month > 2 { month.checked_sub(3)? } else { month + 9 };
    let day_of_year = (153 * mp + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

impl FromStr for Timestamp {
    type Err = Error;
    /// Reads exactly the form that [`Timestamp`] is written in.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::new(
                ErrorCode::InvalidRequest,
                format!("{text:?} is no time of the form 2026-11-23T18:46:00.123Z"),
            )
        };
        let b = text.as_bytes();
        if b.len() != 24
            || [b[4], b[7], b[10], b[13], b[16], b[19], b[23]]
                != [b'-', b'-', b'T', b':', b':', b'.', b'Z']
        {
            return Err(wrong());
        }
        let number = |range: std::ops::Range<usize>| {
            b[range]
                .iter()
                .try_fold(0u64, |n, d| d.is_ascii_digit().then(|| n * 10 + u64::from(d - b'0')))
        };
        let parse = || {
            let days = days_from_civil(number(0..4)?, number(5..7)?, number(8..10)?)?;
            let (h, m, s, ms) =
                (number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?);
            (h < 24 && m < 60 && s < 60)
                .then(|| Timestamp(days * 86_400_000 + (h * 3600 + m * 60 + s) * 1000 + ms))
        };
        parse().ok_or_else(wrong)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text();
        serializer.serialize_str(str::from_utf8(&text).expect("digits and marks are ASCII"))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_text(deserializer, "a time of the form 2026-11-23T18:46:00.123Z", str::parse)
    }
}

/// A SHA-256 sum; in JSON 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The sum of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Digest(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::new(ErrorCode::InvalidRequest, "a digest has 64 hexadecimal digits".to_string())
        };
        let mut digest = [0; 32];
        if text.len() != 64 {
            return Err(wrong());
        }
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let nibble = |c: u8| (c as char).to_digit(16).ok_or_else(wrong);
            *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
        }
        Ok(Digest(digest))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_text(deserializer, "64 hexadecimal digits", str::parse)
    }
}

/// Where a replica listens, as `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// Host part: a name or an IP address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// Port part, 0 meaning "any free one" where that makes sense.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// Reads `HOST[:PORT]`: without a port it has this one. An address of IPv6 stands
    /// between brackets.
    ///
    /// # Errors
    /// [`ErrorCode::WrongUsage`].
    pub fn with_default_port(text: &str, port: u16) -> Result<Address, Error> {
        match text.rsplit(']').next().is_some_and(|after| after.contains(':')) {
            true => text.parse(),
            false => format!("{text}:{port}").parse(),
        }
    }
    /// Whether only this machine can reach the address, as far as it tells by
    /// itself: what another name stands for is known to whoever binds it.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::new(
                ErrorCode::WrongUsage,
                format!("{text:?} is no address of the form HOST:PORT, such as 127.0.0.1:8091"),
            )
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(inner)) => inner,
            Some(None) => return Err(wrong()),
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        Ok(Address { host: host.to_string(), port: port.parse().map_err(|_| wrong())? })
    }
}

impl TryFrom<String> for Address {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn node_ids_tell_replica_and_incarnation() {
        let id = NodeId::new(ReplicaId(3), 7);
        assert_eq!((id.replica(), id.incarnation()), (ReplicaId(3), 7));
        assert_eq!(id.to_string(), "3.7");
    }

    #[test]
    fn addresses_read_as_people_write_them() {
        let v6: Address = "[::1]:8091".parse().expect("IPv6");
        assert_eq!((v6.host(), v6.port(), v6.is_loopback()), ("::1", 8091, true));
        assert_eq!(v6.to_string(), "[::1]:8091");
        for (text, loopback) in
            [("LocalHost:1", true), ("[::ffff:127.0.0.1]:1", true), ("[::ffff:10.0.0.1]:1", false)]
        {
            assert_eq!(text.parse::<Address>().expect("valid").is_loopback(), loopback, "{text}");
        }
        for wrong in ["", "host", "host:", ":1", "::1:80", "h:99999", "h h:1"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn timestamps_agree_with_a_calendar_library(ms in 0..=Timestamp::MAX.0) {
            let written = Timestamp(ms).to_string();
            let theirs = jiff::Timestamp::from_millisecond(ms as i64).expect("in range");
            prop_assert_eq!(&written, &format!("{theirs:.3}"));
            prop_assert_eq!(written.parse::<Timestamp>().expect("own form"), Timestamp(ms));
        }

        #[test]
        fn no_text_makes_a_timestamp_panic(text in "[0-9TZ:.-]{0,26}") {
            if let Ok(timestamp) = text.parse::<Timestamp>() {
                prop_assert_eq!(timestamp.to_string(), text);
            }
        }
    }
}
