//! Names of accounts.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use arrayvec::ArrayString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::deserialize_text;
use crate::error::{Error, ErrorCode};
use crate::limits::ACCOUNT_NAME_MAX_BYTES;

/// An account's name: 1 to 32 of ASCII letters, digits, `.`, `_`, `-`.
///
/// Names keep the case they were registered with; two names that differ only
/// in case are the same name. Comparison and hashing follow [`AccountName::folded`].
///
/// Kept in place: names are in every message and every answer, and none of them
/// takes a piece of memory of its own.
#[derive(Clone)]
pub struct AccountName(ArrayString<ACCOUNT_NAME_MAX_BYTES>);

/// Which bytes a name may have. A message to a thousand accounts has a thousand
/// names, which each of them reads.
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let char = byte as u8;
        allowed[byte] = char.is_ascii_alphanumeric() || matches!(char, b'.' | b'_' | b'-');
        byte += 1;
    }
    allowed
};

/// See [`AccountName::folded`].
pub type FoldedName = ArrayString<ACCOUNT_NAME_MAX_BYTES>;

impl AccountName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidName`], with the rule that was broken.
    pub fn new(name: &str) -> Result<Self, Error> {
        if name.is_empty() || name.len() > ACCOUNT_NAME_MAX_BYTES {
            return Err(Error::new(
                ErrorCode::InvalidName,
                format!(
                    "an account name has 1 to {ACCOUNT_NAME_MAX_BYTES} characters, not {}",
                    name.len()
                ),
            ));
        }
        if let Some(at) = name.bytes().position(|byte| !ALLOWED[usize::from(byte)]) {
            // All before it is ASCII, so a character begins there.
            let c = name[at..].chars().next().unwrap_or_default();
            return Err(Error::new(
                ErrorCode::InvalidName,
                format!(
                    "an account name has only ASCII letters, digits, '.', '_' and '-', \
                     not {c:?} as in {name:?}"
                ),
            ));
        }
        let name = ArrayString::from(name).expect("the length was checked");
        Ok(AccountName(name))
    }

    /// The name as its owner wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key under which the name is unique: lower case.
    pub fn folded(&self) -> FoldedName {
        let mut folded = self.0;
        folded.make_ascii_lowercase();
        folded
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccountName").field(&self.as_str()).finish()
    }
}

impl PartialEq for AccountName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for AccountName {}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AccountName {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        AccountName::new(name)
    }
}

impl Serialize for AccountName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AccountName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_text(deserializer, "an account name", AccountName::new)
    }
}

/// A list of at least so many names keeps its JSON once that was asked for.
const KEPT_AS_JSON_FROM: usize = 16;

/// The recipients of a message, which all who have something to do with it
/// share: clones are the same list. So is the JSON of a long one, as a message to
/// a thousand accounts is told to all of them within a moment.
#[derive(Clone)]
pub struct Names(Arc<List>);

struct List {
    names: Box<[AccountName]>,
    json: OnceLock<Box<RawValue>>,
}

impl Deref for Names {
    type Target = [AccountName];
    fn deref(&self) -> &[AccountName] {
        &self.0.names
    }
}

impl FromIterator<AccountName> for Names {
    fn from_iter<T: IntoIterator<Item = AccountName>>(names: T) -> Names {
        Names(Arc::new(List { names: names.into_iter().collect(), json: OnceLock::new() }))
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Names) -> bool {
        **self == **other
    }
}
impl Eq for Names {}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.len() < KEPT_AS_JSON_FROM {
            return serializer.collect_seq(self.iter());
        }
        let json = self.0.json.get_or_init(|| {
            serde_json::value::to_raw_value(&*self.0.names).expect("plain data serializes")
        });
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Names, D::Error> {
        Vec::deserialize(deserializer).map(Names::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_case_and_compare_without_it() {
        let name = AccountName::new("Alice.B-1_").expect("valid");
        assert_eq!(name, AccountName::new("aLICE.b-1_").expect("valid"));
        assert_eq!(name.to_string(), "Alice.B-1_");
        assert_eq!(name.folded().as_str(), "alice.b-1_");
        for wrong in ["", "a b", "ä", "a\u{202e}", &"x".repeat(33)] {
            assert_eq!(AccountName::new(wrong).expect_err(wrong).code, ErrorCode::InvalidName);
        }
    }

    #[test]
    fn a_list_reads_back_as_it_is_written_however_long_it_is() {
        for count in [0, 1, KEPT_AS_JSON_FROM - 1, KEPT_AS_JSON_FROM, 100] {
            let name = |n: usize| AccountName::new(&format!("Person-{n}")).expect("valid");
            let names: Names = (0..count).map(name).collect();
            let plain: Vec<AccountName> = names.to_vec();
            for _ in 0..2 {
                let json = serde_json::to_string(&names.clone()).expect("JSON");
                assert_eq!(json, serde_json::to_string(&plain).expect("JSON"));
                assert_eq!(serde_json::from_str::<Names>(&json).expect("own form"), names);
            }
        }
    }
}
