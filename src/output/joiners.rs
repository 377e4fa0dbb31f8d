//! Where a character without width is part of what people write.
//!
//! Persian words, Indian conjuncts, emoji of families and flags of countries
//! without a state are written with characters that cannot be seen themselves:
//! joiners, and letters that are tags. Shown by their numbers they make such a
//! text unreadable; anywhere else they make two different texts look the same.
//! So they pass where the script or the emoji changes by them, and only there:
//!
//! - ZERO WIDTH NON-JOINER between two Arabic letters that would join, and after
//!   the virama of an Indic consonant before a letter (rules A1 and A2 of UAX 31);
//! - ZERO WIDTH JOINER after such a virama but before no vowel sign (rule B), in
//!   the Bengali ya-phalaa, and between two pictographs (rule GB11 of UAX 29, in
//!   the narrower form of ED-15a of UTS 51);
//! - tags behind a black flag for the three flags that UTS 51 recommends.

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';
const BLACK_FLAG: char = '\u{1f3f4}';

/// England, Scotland and Wales, in tags. Others are shown as a black flag by most
/// systems, behind which anything could be hidden.
const FLAGS: [&str; 3] = [
    "\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
];

/// Most marks between a letter and the joiner beside it. Nobody writes more, and
/// no text makes this slow.
const MARKS_MAX: usize = 4;

/// How many bytes of `text` from `at`, where a hidden character begins, are part
/// of what is written; `None`: the character is not.
pub(super) fn needed(text: &str, at: usize) -> Option<usize> {
    let (before, rest) = text.split_at(at);
    if before.ends_with(BLACK_FLAG)
        && let Some(flag) = FLAGS.iter().find(|flag| rest.starts_with(**flag))
    {
        return Some(flag.len());
    }
    let c = rest.chars().next()?;
    let after = &rest[c.len_utf8()..];
    let needed = match c {
        NON_JOINER => {
            parts_letters(before, after)
                || follows_virama(before, |block| {
                    after.chars().next().is_some_and(|next| indic_letter(next) == Some(block))
                })
        }
        JOINER => {
            joins_pictographs(before, after)
                || joins_ya(before, after)
                || follows_virama(before, |_| !after.starts_with(vowel_sign_or_joiner))
        }
        _ => false,
    };
    needed.then_some(c.len_utf8())
}

/// Whether two Arabic letters would join if nothing were between them.
fn parts_letters(before: &str, after: &str) -> bool {
    let marks = |c: &char| is_arabic_mark(*c);
    let left = before.chars().rev().enumerate().find(|(_, c)| !marks(c));
    let right = after.chars().enumerate().find(|(_, c)| !marks(c));
    let near =
        |found: Option<(usize, char)>| found.filter(|(n, _)| *n <= MARKS_MAX).map(|(_, c)| c);
    let (Some(left), Some(right)) = (near(left), near(right)) else { return false };
    joins_next(left) && (joins_next(right) || joins_previous_only(right))
}

fn is_arabic_mark(c: char) -> bool {
    matches!(u32::from(c),
        0x610..=0x61a | 0x64b..=0x65f | 0x670 | 0x6d6..=0x6dc | 0x6df..=0x6e4 | 0x6e7..=0x6e8
        | 0x6ea..=0x6ed | 0x8ca..=0x8e1 | 0x8e3..=0x8ff)
}

/// Joining_Type Right_Joining of the Arabic blocks: these join the letter before
/// them and never the one behind.
fn joins_previous_only(c: char) -> bool {
    matches!(u32::from(c),
        0x622..=0x625 | 0x627 | 0x629 | 0x62f..=0x632 | 0x648 | 0x671..=0x673 | 0x675..=0x677
        | 0x688..=0x699 | 0x6c0 | 0x6c3..=0x6cb | 0x6cd | 0x6cf | 0x6d2..=0x6d3 | 0x6d5
        | 0x6ee..=0x6ef | 0x759..=0x75b | 0x76b..=0x76c | 0x771 | 0x773..=0x774 | 0x778..=0x779
        | 0x8aa..=0x8ac | 0x8ae | 0x8b1..=0x8b2 | 0x8b9)
}

/// Joining_Type Dual_Joining of the Arabic blocks.
fn joins_next(c: char) -> bool {
    let letter = matches!(u32::from(c),
        0x620..=0x63f | 0x641..=0x64a | 0x66e..=0x66f | 0x671..=0x673 | 0x675..=0x6d3
        | 0x6fa..=0x6fc | 0x6ff | 0x750..=0x77f | 0x8a0..=0x8ac | 0x8ae..=0x8c8);
    letter && !joins_previous_only(c) && c != '\u{621}'
}

/// The Indic blocks that are built alike, from Devanagari to Malayalam, and
/// Sinhala: the block of a character and its place there.
fn indic(c: char) -> Option<(u32, u32)> {
    let code = u32::from(c);
    (0x900..0xe00).contains(&code).then_some((code & !0x7f, code & 0x7f))
}

const SINHALA: u32 = 0xd80;

fn is_consonant(block: u32, place: u32) -> bool {
    match block {
        SINHALA => (0x1a..=0x46).contains(&place),
        _ => matches!(place, 0x15..=0x39 | 0x58..=0x5f),
    }
}

/// The block of a consonant or of a vowel that stands by itself.
fn indic_letter(c: char) -> Option<u32> {
    let (block, place) = indic(c)?;
    let vowel = match block {
        SINHALA => (0x05..=0x16).contains(&place),
        _ => matches!(place, 0x05..=0x14 | 0x60..=0x61),
    };
    (vowel || is_consonant(block, place)).then_some(block)
}

fn is_virama(block: u32, place: u32) -> bool {
    place == if block == SINHALA { 0x4a } else { 0x4d }
}

fn vowel_sign_or_joiner(c: char) -> bool {
    let sign = indic(c).is_some_and(|(block, place)| match block {
        SINHALA => matches!(place, 0x4f..=0x5f | 0x72..=0x73),
        _ => matches!(place, 0x3a..=0x3b | 0x3e..=0x4c | 0x4e..=0x4f | 0x55..=0x57 | 0x62..=0x63),
    });
    sign || matches!(c, JOINER | NON_JOINER)
}

/// Whether the text ends with a consonant and its virama, and what follows is as
/// wanted for their block.
fn follows_virama(before: &str, wanted: impl FnOnce(u32) -> bool) -> bool {
    let mut back = before.chars().rev();
    let Some((block, place)) = back.next().and_then(indic) else { return false };
    if !is_virama(block, place) {
        return false;
    }
    // A nukta may be between the two.
    let mut letter = back.next().and_then(indic);
    if letter == Some((block, 0x3c)) && block != SINHALA {
        letter = back.next().and_then(indic);
    }
    letter.is_some_and(|(of, place)| of == block && is_consonant(of, place)) && wanted(block)
}

/// The joiner between ra and a ya below it, which without it would be a ra above.
fn joins_ya(before: &str, after: &str) -> bool {
    before.ends_with('\u{9b0}') && after.starts_with("\u{9cd}\u{9af}")
}

/// Whether an emoji ends before and another begins behind.
fn joins_pictographs(before: &str, after: &str) -> bool {
    let modifier = |c: &char| matches!(u32::from(*c), 0xfe0f | 0x1f3fb..=0x1f3ff);
    let mut back = before.chars().rev();
    let mut last = back.next();
    if last.as_ref().is_some_and(modifier) {
        last = back.next();
    }
    let pictograph = |c: Option<char>| c.is_some_and(|c| is_pictograph(c) && !modifier(&c));
    pictograph(last) && pictograph(after.chars().next())
}

/// Extended_Pictographic of emoji-data.txt (Unicode 16), without what is not
/// assigned to a character yet.
fn is_pictograph(c: char) -> bool {
    matches!(u32::from(c),
        0xa9 | 0xae | 0x203c | 0x2049 | 0x2122 | 0x2139 | 0x2194..=0x2199 | 0x21a9..=0x21aa
        | 0x231a..=0x231b | 0x2328 | 0x2388 | 0x23cf | 0x23e9..=0x23f3 | 0x23f8..=0x23fa | 0x24c2
        | 0x25aa..=0x25ab | 0x25b6 | 0x25c0 | 0x25fb..=0x25fe | 0x2600..=0x2605 | 0x2607..=0x2612
        | 0x2614..=0x2685 | 0x2690..=0x2705 | 0x2708..=0x2712 | 0x2714 | 0x2716 | 0x271d | 0x2721
        | 0x2728 | 0x2733..=0x2734 | 0x2744 | 0x2747 | 0x274c | 0x274e | 0x2753..=0x2755 | 0x2757
        | 0x2763..=0x2767 | 0x2795..=0x2797 | 0x27a1 | 0x27b0 | 0x27bf | 0x2934..=0x2935
        | 0x2b05..=0x2b07 | 0x2b1b..=0x2b1c | 0x2b50 | 0x2b55 | 0x3030 | 0x303d | 0x3297 | 0x3299
        | 0x1f004 | 0x1f0cf | 0x1f170..=0x1f171 | 0x1f17e..=0x1f17f | 0x1f18e | 0x1f191..=0x1f19a
        | 0x1f201..=0x1f202 | 0x1f21a | 0x1f22f | 0x1f232..=0x1f23a | 0x1f250..=0x1f251
        | 0x1f300..=0x1f3fa | 0x1f400..=0x1f53d | 0x1f546..=0x1f64f | 0x1f680..=0x1f6ff
        | 0x1f7e0..=0x1f7eb | 0x1f7f0 | 0x1f90c..=0x1f93a | 0x1f93c..=0x1f945 | 0x1f947..=0x1f9ff
        | 0x1fa70..=0x1faff)
}

#[cfg(test)]
mod tests {
    use super::super::sanitize;

    #[test]
    fn what_scripts_and_emoji_need_stays() {
        for text in [
            // Persian: I want, books, a house, with a mark between.
            "می\u{200c}خواهم",
            "کتاب\u{200c}ها",
            "خانه\u{200c}ای",
            "بِ\u{200c}ه",
            // Hindi, Nepali, Marathi: a half form, an apart one, the eyelash ra.
            "क्\u{200d}ष",
            "श्रीमान्\u{200c}को",
            "दर्\u{200d}या",
            "क़्\u{200d}",
            // Bengali, Malayalam, Sinhala, Tamil.
            "র\u{200d}্যাব",
            "അവന്\u{200d}",
            "ශ්\u{200d}රී",
            "க்\u{200c}ஷ",
            // A family, a couple with skins, a rainbow flag, a scientist.
            "👨\u{200d}👩\u{200d}👧\u{200d}👦",
            "👩🏽\u{200d}🤝\u{200d}👨🏿",
            "🏳\u{fe0f}\u{200d}🌈",
            "🧑\u{200d}🔬!",
            "❤\u{fe0f}\u{200d}🔥",
            // England, Scotland, Wales.
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "a🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}b",
            "🏴\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
        ] {
            assert!(matches!(sanitize(text), std::borrow::Cow::Borrowed(_)), "{}", sanitize(text));
        }
    }

    #[test]
    fn the_same_characters_are_shown_where_they_change_nothing() {
        for text in [
            "pay\u{200c}pal",
            "pay\u{200d}pal",
            "\u{200c}",
            "\u{200d}",
            "\u{200d}👩",
            "👩\u{200d}",
            "👩\u{200d}a",
            "a\u{200d}👩",
            "👩\u{200d}\u{200d}👩",
            "1\u{200d}👩",
            "🏽\u{200d}👩",
            "👩\u{200d}🏽",
            // After letters that join nothing, at the end, before another script.
            "دا".replace('ا', "\u{200c}ا").as_str(),
            "ا\u{200c}ب",
            "می\u{200c}",
            "می\u{200c} خواهم",
            "می\u{200c}a",
            "ب\u{200d}ه",
            "ء\u{200c}ب",
            // Without a virama or a consonant, before a vowel sign or another script.
            "क\u{200d}ष",
            "क\u{200c}ष",
            "्\u{200d}ष",
            "क्\u{200d}ि",
            "क्\u{200c}",
            "क्\u{200c}a",
            "क्\u{200c}ক",
            "ক\u{200d}্য",
            "क्\u{200d}\u{200d}ष",
            // Tags by themselves, of no flag, not ended, behind another emoji.
            "\u{e0041}",
            "🏴\u{e0067}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}",
            "🏴\u{e0075}\u{e0073}\u{e0074}\u{e0078}\u{e007f}",
            "👩\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            // Far away.
            &format!("ب{}\u{200c}ب", "\u{64e}".repeat(5)),
        ] {
            let safe = sanitize(text);
            assert!(safe.contains("\\u{"), "{text:?} came through");
            assert_eq!(sanitize(&safe), safe, "what is safe stays");
        }
    }

    #[test]
    fn a_sequence_hides_nothing_behind_it() {
        let english = "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
        assert_eq!(sanitize(&format!("{english}\u{e0041}")), format!("{english}\\u{{e0041}}"));
        assert_eq!(sanitize("👨\u{200d}👩\u{200d}"), "👨\u{200d}👩\\u{200d}");
        assert_eq!(sanitize("\u{202e}👨\u{200d}👩"), "\\u{202e}👨\u{200d}👩");
    }
}
