//! Patterns for account names: `*` any characters, `?` one, case ignored.

use crate::limits::ACCOUNT_NAME_MAX_BYTES;

/// A pattern such as `al*`. Every text is a pattern.
///
/// Matching goes back to the last `*` only, never further (R. Cox, "Glob
/// Matching Can Be Simple And Fast Too", 2017), so a name costs at most its
/// length times the pattern's; a pattern that asks for more characters than a
/// name can have never matches, which is known when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// Lower case, runs of `*` made one. `None`: no name can match.
    pattern: Option<Vec<u8>>,
}

impl Glob {
    /// Takes a pattern.
    pub fn new(pattern: &str) -> Glob {
        let mut bytes = pattern.to_ascii_lowercase().into_bytes();
        bytes.dedup_by(|next, previous| *next == b'*' && *previous == b'*');
        let literal = bytes.iter().filter(|byte| **byte != b'*').count();
        Glob { pattern: (literal <= ACCOUNT_NAME_MAX_BYTES).then_some(bytes) }
    }

    /// What every matching name starts with, in lower case.
    pub(super) fn literal_prefix(&self) -> &str {
        let pattern = self.pattern.as_deref().unwrap_or_default();
        let end = pattern.iter().position(|byte| matches!(byte, b'*' | b'?'));
        // A cut before an ASCII byte is a cut between characters.
        std::str::from_utf8(&pattern[..end.unwrap_or(pattern.len())]).unwrap_or_default()
    }

    /// Whether the whole name matches, and how many comparisons that took.
    pub(super) fn compare(&self, name: &str) -> (bool, usize) {
        let Some(pattern) = &self.pattern else {
            return (false, 0);
        };
        let (name, mut comparisons) = (name.as_bytes(), 0);
        let (mut p, mut n) = (0, 0);
        // Behind the last star, and where in the name the star's run ends.
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            comparisons += 1;
            match pattern.get(p) {
                Some(b'*') => {
                    p += 1;
                    star = Some((p, n));
                }
                Some(byte) if *byte == b'?' || *byte == name[n].to_ascii_lowercase() => {
                    p += 1;
                    n += 1;
                }
                _ => match &mut star {
                    Some((behind, run_end)) => {
                        *run_end += 1;
                        (p, n) = (*behind, *run_end);
                    }
                    None => return (false, comparisons),
                },
            }
        }
        (pattern[p..].iter().all(|byte| *byte == b'*'), comparisons)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.first(), name.first()) {
            (None, None) => true,
            (Some(b'*'), _) => {
                by_definition(&pattern[1..], name)
                    || (!name.is_empty() && by_definition(pattern, &name[1..]))
            }
            (Some(p), Some(n)) if *p == b'?' || p.eq_ignore_ascii_case(n) => {
                by_definition(&pattern[1..], &name[1..])
            }
            _ => false,
        }
    }

    fn matches(glob: &Glob, name: &str) -> bool {
        glob.compare(name).0
    }

    #[test]
    fn stars_question_marks_and_case() {
        for (pattern, name) in [("al*", "Alice"), ("*", ""), ("?ob", "Bob"), ("A**e", "alice")] {
            assert!(matches(&Glob::new(pattern), name), "{pattern} {name}");
        }
        for (pattern, name) in [("al", "alice"), ("?", ""), ("*b", "boa"), ("", "a"), ("[a]", "a")]
        {
            assert!(!matches(&Glob::new(pattern), name), "{pattern} {name}");
        }
        assert_eq!(Glob::new("Al*ce").literal_prefix(), "al");
        assert_eq!(Glob::new("Bob").literal_prefix(), "bob");
        assert_eq!(Glob::new("ä?").literal_prefix(), "ä");
    }

    #[test]
    fn a_hostile_pattern_is_as_quick_as_any_other() {
        // A matcher that goes back to every star would take 2^30 steps here.
        let glob = Glob::new(&"a*".repeat(31));
        assert!(!matches(&glob, &format!("{}b", "a".repeat(30))));
        assert!(!matches(&Glob::new(&"?*".repeat(1_000_000)), "alice"));
        assert!(matches(&Glob::new(&"*".repeat(1_000_000)), "alice"));
    }

    proptest! {
        #[test]
        fn matching_agrees_with_its_definition(pattern in "[aAb*?]{0,8}", name in "[abB]{0,8}") {
            prop_assert_eq!(
                matches(&Glob::new(&pattern), &name),
                by_definition(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
