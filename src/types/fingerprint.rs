//! The fingerprint by which people know a cluster.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorCode};

/// Characters of the hash: 256 bits in base 32.
const HASH_CHARS: usize = 52;

/// Characters by which a slip is noticed: it passes one time in a million.
const CHECK_CHARS: usize = 4;

/// Characters that are read in one breath.
const GROUP_CHARS: usize = 4;

/// The SHA-256 of a cluster's public key, as `SubjectPublicKeyInfo` (RFC 5280, section
/// 4.1.2.7). Whoever knows it knows the cluster when it answers.
///
/// Its text has fourteen groups of four characters, of the alphabet of base 32 (RFC 4648,
/// section 6), which has neither 0, 1, 8 nor 9: thirteen for the hash, and one to check
/// them. It is read in any case, with or without the marks between the groups.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// That of a public key, in its DER form with its algorithm.
    pub fn of(public_key: &[u8]) -> Fingerprint {
        Fingerprint(Sha256::digest(public_key).into())
    }

    fn check(&self) -> String {
        let hash = Sha256::new().chain_update(b"ftchat fingerprint").chain_update(self.0);
        let mut text = BASE32_NOPAD.encode(&hash.finalize());
        text.truncate(CHECK_CHARS);
        text
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = BASE32_NOPAD.encode(&self.0) + &self.check();
        for at in (0..text.len()).step_by(GROUP_CHARS) {
            let mark = if at == 0 { "" } else { "-" };
            write!(f, "{mark}{}", &text[at..at + GROUP_CHARS])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    /// # Errors
    /// [`ErrorCode::WrongUsage`], with what is wrong with the text.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: String| Err(Error::new(ErrorCode::WrongUsage, why));
        let plain: String =
            text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_uppercase()).collect();
        if let Some(strange) = plain.chars().find(|c| !matches!(c, 'A'..='Z' | '2'..='7')) {
            return wrong(format!(
                "a fingerprint has the letters A to Z and the digits 2 to 7, and no {strange:?}"
            ));
        }
        let whole = HASH_CHARS + CHECK_CHARS;
        if plain.len() != whole {
            return wrong(format!(
                "a fingerprint has {whole} letters and digits, and {} are given; copy it whole",
                plain.len()
            ));
        }
        let (hash, check) = plain.split_at(HASH_CHARS);
        let decoded = BASE32_NOPAD.decode(hash.as_bytes()).ok();
        let fingerprint = decoded.and_then(|hash| hash.try_into().ok()).map(Fingerprint);
        match fingerprint.filter(|fingerprint| fingerprint.check() == check) {
            Some(fingerprint) => Ok(fingerprint),
            None => wrong(
                "the fingerprint has a slip in it, as its last four characters tell; copy it again"
                    .to_string(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "BNZU-R6QD-RFYM-JDWA-PTLT-WYSX-6OPM-QEHW-B4LO-445W-FY6G-4JQQ-VPDA-NHZF";

    #[test]
    fn its_text_is_known_and_read_as_people_write_it() {
        let fingerprint = Fingerprint::of(b"a public key");
        let text = fingerprint.to_string();
        assert_eq!(text, TEXT);
        let parsed = |text: &str| text.parse::<Fingerprint>();
        assert_eq!(parsed(&text), Ok(fingerprint));
        assert_eq!(parsed(&text.to_lowercase()), Ok(fingerprint));
        assert_eq!(parsed(&text.replace('-', "")), Ok(fingerprint));
        let why = |text: &str| parsed(text).expect_err("none").message;
        assert!(why(&text[..text.len() - 5]).contains("52 are given"));
        assert!(why("").contains("0 are given"));
        assert!(why(&text.replace('A', "0")).contains("no '0'"));
        assert!(why(&text.replace('A', "ä")).contains("no 'ä'"));
    }

    proptest! {
        #[test]
        fn a_slip_is_noticed(key: [u8; 4], at in 0usize..56, by in 1usize..32) {
            const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
            let fingerprint = Fingerprint::of(&key);
            prop_assert_eq!(fingerprint.to_string().parse::<Fingerprint>(), Ok(fingerprint));
            let mut text = fingerprint.to_string().replace('-', "").into_bytes();
            let place = ALPHABET.iter().position(|it| *it == text[at]).expect("of base 32");
            text[at] = ALPHABET[(place + by) % ALPHABET.len()];
            let text = String::from_utf8(text).expect("ASCII");
            prop_assert!(text.parse::<Fingerprint>().is_err(), "{}", text);
        }
    }
}
