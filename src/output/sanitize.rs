//! The one gate through which text from outside reaches users.
//!
//! A terminal obeys what it is shown: an escape sequence in a message may
//! recolour the screen, rename the window or, in bad terminals, type commands.
//! Unicode's bidirectional controls show one text and hold another ("Trojan
//! Source", Boucher and Anderson 2021), and characters without width make two
//! names look the same. All of them are shown by their number instead.

use std::borrow::Cow;
use std::fmt::Write;

use super::joiners::needed;

/// The text with everything that controls, reorders or hides made visible:
/// `\u{202e}`, `\u{1b}`; newline, tab and carriage return as `\n`, `\t`, `\r`.
/// What a script or an emoji needs stays ([`super::joiners`]). The result is one
/// line. A backslash stays as it is: this is for eyes, and programs that need the
/// exact text read JSON.
pub fn sanitize(text: &str) -> Cow<'_, str> {
    let mut safe: Option<String> = None;
    // Up to where the text is in `safe`, and up to where it is known to be needed.
    let (mut copied, mut known) = (0, 0);
    for (at, c) in text.char_indices() {
        if at < known || !is_hidden(c) {
            continue;
        }
        if let Some(length) = needed(text, at) {
            known = at + length;
            continue;
        }
        let safe = safe.get_or_insert_with(|| String::with_capacity(text.len() + 16));
        safe.push_str(&text[copied..at]);
        copied = at + c.len_utf8();
        match c {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            c => write!(safe, "\\u{{{:x}}}", u32::from(c)).expect("a string takes everything"),
        }
    }
    match safe {
        None => Cow::Borrowed(text),
        Some(safe) => Cow::Owned(safe + &text[copied..]),
    }
}

/// As [`sanitize`], of bytes that may be no UTF-8; those are shown as `\xff`.
pub fn sanitize_bytes(bytes: &[u8]) -> String {
    let mut safe = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        safe.push_str(&sanitize(chunk.valid()));
        for byte in chunk.invalid() {
            write!(safe, "\\x{byte:02x}").expect("a string takes everything");
        }
    }
    safe
}

/// Characters that act on their neighbours or cannot be seen: general category
/// Cc, Zl and Zp, and of Cf and Default_Ignorable_Code_Point (Unicode 16) all
/// but the two variation selectors that choose between a black and a coloured
/// symbol, and the Arabic and Brahmi signs that are letters to the eye.
fn is_hidden(c: char) -> bool {
    matches!(
        u32::from(c),
        0x00..=0x1f          // C0
        | 0x7f..=0x9f        // DEL and C1
        | 0xad               // soft hyphen
        | 0x34f              // combining grapheme joiner
        | 0x61c              // Arabic letter mark
        | 0x115f..=0x1160    // Hangul fillers
        | 0x17b4..=0x17b5    // Khmer inherent vowels
        | 0x180b..=0x180f    // Mongolian selectors and vowel separator
        | 0x200b..=0x200f    // zero width space and joiners, marks
        | 0x2028..=0x202e    // line and paragraph separator, bidi embeddings
        | 0x2060..=0x206f    // word joiner, invisible operators, bidi isolates
        | 0x2800             // Braille blank
        | 0x3164             // Hangul filler
        | 0xfe00..=0xfe0d    // variation selectors but text and emoji style
        | 0xfeff             // byte order mark, zero width no-break space
        | 0xffa0             // half-width Hangul filler
        | 0xfff0..=0xfffb    // interlinear annotation and unassigned
        | 0x13430..=0x1343f  // Egyptian format controls
        | 0x1bca0..=0x1bca3  // shorthand format controls
        | 0x1d173..=0x1d17a  // musical format controls
        | 0xe0000..=0xe0fff // tags and more variation selectors
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the contract names, said another way than the code says it.
    fn forbidden(c: char) -> bool {
        c.is_control()
            || "\u{ad}\u{61c}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\
                \u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}"
                .contains(c)
    }

    #[test]
    fn every_character_of_unicode_is_itself_or_visible() {
        for c in '\0'..=char::MAX {
            let text = format!("a{c}b");
            let safe = sanitize(&text);
            assert!(!safe.chars().any(forbidden), "{c:?} came through");
            if !is_hidden(c) {
                assert_eq!(safe, text);
            } else {
                assert!(safe.starts_with("a\\") && safe.ends_with('b'), "{safe:?}");
                assert!(safe.is_ascii(), "{safe:?}");
            }
        }
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in ["", "hello", "Grüße, 你好, שלום, مرحبا", "C:\\new", "❤️ 1️⃣", "e\u{301}"]
        {
            assert!(matches!(sanitize(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn attacks_are_shown_by_their_numbers() {
        assert_eq!(sanitize("\u{1b}[31mred\u{7}"), "\\u{1b}[31mred\\u{7}");
        assert_eq!(sanitize("\u{202e}txt.exe"), "\\u{202e}txt.exe");
        assert_eq!(sanitize("\u{9b}2J"), "\\u{9b}2J");
        assert_eq!(sanitize("a\r\nb\tc"), "a\\r\\nb\\tc");
        assert_eq!(sanitize_bytes(b"ok\xff\xc3(\x1b"), "ok\\xff\\xc3(\\u{1b}");
    }

    proptest! {
        #[test]
        fn nothing_hidden_comes_through(text in any::<String>()) {
            let safe = sanitize(&text);
            let needed = |c: char| matches!(c, '\u{200c}' | '\u{200d}');
            prop_assert!(!safe.chars().any(|c| forbidden(c) && !needed(c)));
            prop_assert_eq!(sanitize(&safe), safe.as_ref(), "what is safe stays");
        }

        #[test]
        fn joiners_stand_between_what_joins(text in "[ab\u{200c}\u{200d}بدء\u{64e}क्ि👩\u{fe0f}🏽🏴\u{e0067}]{0,12}") {
            let safe = sanitize(&text);
            prop_assert_eq!(sanitize(&safe), safe.as_ref(), "what is safe stays");
            let seen = |c: char| "ب👩🏽🏴\u{fe0f}\u{64e}्".contains(c);
            let characters: Vec<char> = safe.chars().collect();
            for (n, c) in characters.iter().enumerate().filter(|(_, c)| forbidden(**c)) {
                let before = n.checked_sub(1).map(|n| characters[n]);
                prop_assert!(before.is_some_and(seen), "{safe:?} has {c:?} behind {before:?}");
            }
            let visible: String = text.chars().filter(|c| !is_hidden(*c)).collect();
            let shown = safe.replace(['\u{200c}', '\u{200d}'], "");
            prop_assert!(shown.len() >= visible.len(), "nothing that is seen is lost");
        }

        #[test]
        fn no_bytes_come_through_hidden(bytes in any::<Vec<u8>>()) {
            let needed = |c: char| matches!(c, '\u{200c}' | '\u{200d}');
            prop_assert!(!sanitize_bytes(&bytes).chars().any(|c| forbidden(c) && !needed(c)));
        }
    }
}
