//! Whom a text mentions: `@` and an account's name, as in `@bob: look at this`.
//!
//! The `@` stands at the beginning or behind something that is neither a letter nor a digit,
//! so that an address of mail mentions nobody. A name goes as far as characters of names do;
//! what may end a sentence (`.`, `-`, `_`) belongs to it or does not, so `@bob.` mentions
//! both `bob.` and `bob`. Case does not matter.

use super::meter;
use crate::limits::{ACCOUNT_NAME_MAX_BYTES, MENTIONS_MAX};
use crate::types::{AccountName, FoldedName};

/// Bytes of a text that are looked through in a step.
const BYTES_PER_STEP: usize = 1_024;

/// The names that a text mentions behind its first [`MENTIONS_MAX`] signs.
#[derive(Default)]
pub(super) struct Mentions {
    /// In lower case, with all that may be part of each.
    names: Vec<FoldedName>,
}

impl Mentions {
    /// Finds them. Hardly any text has some.
    pub(super) fn of(text: &str) -> Mentions {
        meter::work(text.len() / BYTES_PER_STEP);
        let mut names = Vec::new();
        for at in memchr::memchr_iter(b'@', text.as_bytes()).take(MENTIONS_MAX) {
            if text[..at].chars().next_back().is_some_and(char::is_alphanumeric) {
                continue;
            }
            let rest = &text[at + 1..];
            let end = rest.bytes().position(|byte| !is_of_a_name(byte)).unwrap_or(rest.len());
            // One that is longer than any name has an ending that no name can be without.
            if (1..=ACCOUNT_NAME_MAX_BYTES).contains(&end)
                && let Ok(mut name) = FoldedName::from(&rest[..end])
            {
                name.make_ascii_lowercase();
                names.push(name);
            }
        }
        names.sort_unstable();
        names.dedup();
        Mentions { names }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether an account's name is among them.
    pub(super) fn include(&self, name: &AccountName) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let folded = name.folded();
        let ends = |rest: &str| rest.bytes().all(|byte| matches!(byte, b'.' | b'-' | b'_'));
        self.names.iter().any(|it| it.strip_prefix(folded.as_str()).is_some_and(ends))
    }
}

/// Whether a name may have this character.
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentions(text: &str, name: &str) -> bool {
        Mentions::of(text).include(&AccountName::new(name).expect("valid"))
    }

    #[test]
    fn a_name_behind_an_at_sign_is_a_mention_and_a_part_of_one_is_none() {
        for text in ["@bob", "hi @Bob!", "(@bob)", "@bob.", "ask @alice, @bob... and", "é@bo @bob-"]
        {
            assert!(mentions(text, "bob"), "{text}");
        }
        for text in ["bob", "@bobby", "x@bob", "ü@bob", "@ bob", "@", "@b ob", "@bob1", "@bo.b"] {
            assert!(!mentions(text, "bob"), "{text}");
        }
        assert!(mentions("see @a.b-c_d.", "A.b-c_D") && !mentions("see @a.b-c", "a"));
        assert!(mentions("@bob.", "bob.") && mentions("@bob.", "bob"));
    }

    #[test]
    fn of_a_thousand_mentions_only_the_first_count() {
        let many: String = (0..1_000).map(|number| format!("@n{number} ")).collect();
        assert!(mentions(&many, "n0") && mentions(&many, "n63"));
        assert!(!mentions(&many, "n64"));
    }
}
