//! Words that a text must have, as a search asks for them.
//!
//! Case and accents do not matter: `cafe` finds `Café`, `strasse` finds `Straße`. A word is
//! found as a whole, `deploy` not in `deployment`; `deploy*` finds both. Where a script
//! leaves no spaces between its words, as Chinese and Japanese do, a word is found anywhere.
//! Signs and emoji are found as they are.

use std::collections::BTreeSet;

use memchr::memmem::Finder;
use unicode_normalization::UnicodeNormalization as _;

use super::meter;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{SEARCH_MAX_BYTES, SEARCH_WORDS_MAX};

/// Bytes of a text that are compared in a step, without and with folding it.
const PLAIN_BYTES_PER_STEP: usize = 1_024;
const FOLDED_BYTES_PER_STEP: usize = 32;

/// Places that are looked at in a step.
const PLACES_PER_STEP: usize = 32;

/// Words that a text must have, all of them.
#[derive(Debug, Default)]
pub struct Words {
    words: Vec<Word>,
    /// A text as it is compared, of which the memory is kept.
    folded: String,
}

#[derive(Debug)]
struct Word {
    finder: Finder<'static>,
    /// Whether it begins and ends where a word does.
    whole: (bool, bool),
}

impl Words {
    /// Takes what a user asks for. Spaces separate words; `*` at the beginning or the end of
    /// one stands for the rest of it.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidRequest`]: no word is there;
    /// [`ErrorCode::TooMany`]: there is more than a search looks for at once.
    pub fn new(asked: &[String]) -> Result<Words> {
        if asked.iter().map(String::len).sum::<usize>() > SEARCH_MAX_BYTES {
            return Err(Error::new(
                ErrorCode::TooMany,
                format!("what is searched for has at most {SEARCH_MAX_BYTES} bytes"),
            ));
        }
        let mut all: Vec<&str> = asked.iter().flat_map(|it| it.split_whitespace()).collect();
        all.sort_unstable();
        all.dedup();
        let (mut words, mut known) = (Vec::new(), BTreeSet::new());
        for asked in all {
            let begun = asked.trim_start_matches('*');
            let bare = begun.trim_end_matches('*');
            let mut folded = String::new();
            fold(bare, &mut folded);
            let (Some(first), Some(last)) = (folded.chars().next(), folded.chars().next_back())
            else {
                continue;
            };
            let starts = begun.len() == asked.len() && is_of_a_word(first);
            let ends = bare.len() == begun.len() && is_of_a_word(last);
            let finder = Finder::new(&folded).into_owned();
            // Two may differ in nothing that matters.
            if known.insert((folded, starts, ends)) {
                words.push(Word { finder, whole: (starts, ends) });
            }
        }
        match words.len() {
            0 => Err(Error::new(
                ErrorCode::InvalidRequest,
                "a search needs a word that the texts are to have",
            )),
            1..=SEARCH_WORDS_MAX => Ok(Words { words, folded: String::new() }),
            many => Err(Error::new(
                ErrorCode::TooMany,
                format!("a search looks for at most {SEARCH_WORDS_MAX} words, not {many}"),
            )),
        }
    }

    /// Whether a text has all of them, and how many steps it took to find out.
    pub(super) fn are_in(&mut self, text: &str) -> (bool, usize) {
        if self.words.is_empty() {
            return (true, 0);
        }
        self.folded.clear();
        fold(text, &mut self.folded);
        let bytes_per_step =
            if text.is_ascii() { PLAIN_BYTES_PER_STEP } else { FOLDED_BYTES_PER_STEP };
        let mut steps = text.len() / bytes_per_step;
        let (mut places, mut all) = (0, true);
        for word in &self.words {
            steps += self.folded.len() / PLAIN_BYTES_PER_STEP;
            if !word.is_in(&self.folded, &mut places) {
                all = false;
                break;
            }
        }
        steps += places / PLACES_PER_STEP;
        meter::work(steps);
        (all, steps)
    }
}

impl Word {
    fn is_in(&self, text: &str, places: &mut usize) -> bool {
        let length = self.finder.needle().len();
        let (starts, ends) = self.whole;
        self.anywhere(text).any(|at| {
            *places += 1;
            let before = text[..at].chars().next_back();
            let behind = text[at + length..].chars().next();
            (!starts || !before.is_some_and(is_of_a_word))
                && (!ends || !behind.is_some_and(is_of_a_word))
        })
    }

    /// All places where it is in a text, also such that overlap.
    fn anywhere<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let mut from = 0;
        std::iter::from_fn(move || {
            let at = from + self.finder.find(text.as_bytes().get(from..)?)?;
            // The first character is as long in the text as it is in the word.
            from = at + text[at..].chars().next().map_or(1, char::len_utf8);
            Some(at)
        })
    }
}

/// Whether a character is a part of a word that has an end. Those of scripts that leave no
/// spaces are not.
fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() && !has_no_spaces(c)
}

/// Thai, Lao, Burmese, Khmer, Japanese and Chinese.
fn has_no_spaces(c: char) -> bool {
    matches!(
        u32::from(c),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff
            | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x323af
    )
}

/// Adds a text without what does not matter.
fn fold(text: &str, folded: &mut String) {
    let from = folded.len();
    if text.is_ascii() {
        folded.push_str(text);
        folded[from..].make_ascii_lowercase();
        return;
    }
    // Upper case first: it takes apart what is one letter in lower case alone, as ß.
    let upper = text.nfkd().filter(|c| !is_accent(*c)).flat_map(char::to_uppercase);
    let lower = upper.flat_map(char::to_lowercase).filter(|c| !is_accent(*c));
    for c in lower {
        match c {
            // A stroke is no accent of its own for Unicode.
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' => folded.push('d'),
            'ħ' => folded.push('h'),
            'ŧ' => folded.push('t'),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            // The last of a word is written otherwise.
            'ς' => folded.push('σ'),
            _ => folded.push(c),
        }
    }
}

/// What stands above, below or in a letter: of Latin, Greek and Cyrillic, and the vowels of
/// Hebrew and Arabic, which are mostly left out.
fn is_accent(c: char) -> bool {
    matches!(
        u32::from(c),
        0x0300..=0x036f | 0x0591..=0x05bd | 0x05bf | 0x05c1..=0x05c2 | 0x05c4..=0x05c5 | 0x05c7
            | 0x064b..=0x065f | 0x0670 | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff
            | 0xfe20..=0xfe2f
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TEXT_MAX_BYTES;

    fn found(asked: &[&str], text: &str) -> bool {
        let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
        Words::new(&asked).expect("words").are_in(text).0
    }

    #[test]
    fn words_are_found_whole_in_any_order_whatever_their_case_and_accents() {
        for (asked, text) in [
            (&["done", "deploy"][..], "The deploy is DONE."),
            (&["cafe"], "Un Café, s'il vous plaît"),
            (&["CAFÉ"], "cafe"),
            (&["strasse"], "Hauptstraße, Straße"),
            (&["smorrebrod"], "smørrebrød"),
            (&["ΟΔΟΣ"], "οδός"),
            (&["istanbul"], "İstanbul"),
            (&["deploy*"], "deployment"),
            (&["*ment"], "deployment"),
            (&["*ploy*"], "deployment"),
            (&["ops-team"], "the ops-team."),
            (&["东京"], "我在东京住"),
            (&["🎉"], "done🎉done"),
            (&["50%"], "at 50%!"),
            (&["a b"], "b a"),
            (&["b"], "ab b"),
            (&["ﬁne"], "fine"),
        ] {
            assert!(found(asked, text), "{asked:?} {text:?}");
        }
        for (asked, text) in [
            (&["deploy"][..], "deployment redeploy"),
            (&["done", "deploy"], "done"),
            (&["ploy*"], "deploy"),
            (&["b"], "abc éb bé"),
            (&["ops team"], "ops"),
        ] {
            assert!(!found(asked, text), "{asked:?} {text:?}");
        }
    }

    #[test]
    fn a_search_for_nothing_or_for_too_much_is_refused() {
        let refused = |asked: &[String]| Words::new(asked).expect_err("refused").code;
        for nothing in ["", "  ", "*", "** *", "\u{301}"] {
            assert_eq!(refused(&[nothing.to_string()]), ErrorCode::InvalidRequest, "{nothing:?}");
        }
        assert_eq!(refused(&[]), ErrorCode::InvalidRequest);
        assert_eq!(refused(&["x".repeat(64 * 1024)]), ErrorCode::TooMany);
        let many: Vec<String> = (0..=SEARCH_WORDS_MAX).map(|number| number.to_string()).collect();
        assert_eq!(refused(&many), ErrorCode::TooMany);
        assert!(Words::new(&vec!["same".to_string(); 2 * SEARCH_WORDS_MAX]).is_ok());
    }

    #[test]
    fn the_worst_text_for_the_worst_words_takes_no_more_than_a_few_thousand_steps() {
        let words: Vec<String> = (1..=SEARCH_WORDS_MAX).map(|length| "a".repeat(length)).collect();
        let mut words_of_letters = Words::new(&words).expect("words");
        for text in ["a".repeat(TEXT_MAX_BYTES), "á".repeat(TEXT_MAX_BYTES / 2)] {
            let (all, steps) = words_of_letters.are_in(&text);
            assert!(!all && steps < 2_400, "{steps}");
        }
        // Equal but for what does not matter; and a sign that is eighteen letters.
        let words: Vec<String> =
            (0..SEARCH_WORDS_MAX).map(|n| format!("\u{644}{}", "\u{64b}".repeat(n))).collect();
        let mut equal = Words::new(&words).expect("words");
        let (_, steps) = equal.are_in(&format!("{} \u{644}", "\u{fdfa}".repeat(2_727)));
        assert!(steps < 2_400, "{steps}");
        let (all, steps) = words_of_letters.are_in(&"b".repeat(100));
        assert!(!all && steps == 0, "{steps}");
    }
}
