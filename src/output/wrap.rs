//! Wraps text into lines of so many columns.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// The parts of a line that fit into `columns` each, broken at spaces; a word
/// that is longer alone is broken anywhere, but no character as people see it.
/// The text is sanitized before, or what cannot be seen would count.
pub(super) fn wrap(line: &str, columns: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some(end) = first_break(rest, columns) {
        parts.push(rest[..end].trim_end_matches(' '));
        rest = rest[end..].trim_start_matches(' ');
        if rest.is_empty() {
            return parts;
        }
    }
    parts.push(rest);
    parts
}

/// Where the first part ends; `None`: all of it fits.
fn first_break(text: &str, columns: usize) -> Option<usize> {
    let (mut used, mut space) = (0, None);
    for (at, character) in text.grapheme_indices(true) {
        used += character.width();
        if character == " " {
            // A space may stick out, where nobody sees it. One at the beginning
            // belongs to the word behind it.
            space = (!text[..at].trim_start_matches(' ').is_empty()).then_some(at).or(space);
        } else if used > columns && at > 0 {
            return Some(space.unwrap_or(at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_at_spaces_and_words_only_when_they_must() {
        for (line, parts) in [
            ("", &[""][..]),
            ("fits here", &["fits here"]),
            ("see you at six then", &["see you at", "six then"]),
            ("a sentence, broken", &["a", "sentence,", "broken"]),
            ("  indented by two", &["  indented", "by two"]),
            ("abcdefghijklmnopqrstuvwxyz", &["abcdefghij", "klmnopqrst", "uvwxyz"]),
            ("  abcdefghijklm", &["  abcdefgh", "ijklm"]),
            ("abcdefghij   k", &["abcdefghij", "k"]),
            ("abcdefghij      ", &["abcdefghij      "]),
            // Two columns each, and one character of several code points.
            ("你好你好你好", &["你好你好你", "好"]),
            (
                "👨\u{200d}👩\u{200d}👧\u{200d}👦👨\u{200d}👩\u{200d}👧\u{200d}👦aaaaaaaa",
                &["👨\u{200d}👩\u{200d}👧\u{200d}👦👨\u{200d}👩\u{200d}👧\u{200d}👦aaaaaa", "aa"],
            ),
            (
                "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}",
                &[
                    "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}",
                    "e\u{301}",
                ],
            ),
        ] {
            assert_eq!(wrap(line, 10), parts, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_but_spaces_and_nothing_sticks_out(
            line in "[ a-z你👩e\u{301}]{0,60}",
            columns in 2_usize..20,
        ) {
            let parts = wrap(&line, columns);
            let bare = |text: &str| text.replace(' ', "");
            prop_assert_eq!(bare(&parts.concat()), bare(&line));
            for part in &parts {
                prop_assert!(part.trim_end().width() <= columns, "{part:?}");
            }
            prop_assert_eq!(parts.len() == 1, line.trim_end().width() <= columns);
        }
    }
}
