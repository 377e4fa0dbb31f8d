//! Messages as users read them.

use std::io::{self, Write};

use serde::Serialize;

use super::wrap::wrap;
use super::{Show, Style, Tone, sanitize};
use crate::protocol::client::Message;
use crate::types::Timestamp;

/// Digits of an id on a terminal: enough to be unique in any inbox of a user,
/// and `delete` takes any unique beginning.
const SHORT_ID_DIGITS: usize = 8;

/// What stands before each line of a text.
const INDENT: &str = "    ";

/// Fewest columns that a text gets: a terminal that is narrower breaks its lines
/// itself.
const COLUMNS_MIN: usize = 8;

/// One message of `inbox`.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Listed<'a> {
    message: &'a Message,
    /// Whether I sent it, so that the recipients matter and not the sender.
    #[serde(skip)]
    sent: bool,
}

impl<'a> Listed<'a> {
    /// A message of the inbox, or with `sent` one that I sent.
    pub fn new(message: &'a Message, sent: bool) -> Self {
        Listed { message, sent }
    }

    /// Who says it to whoever reads it. No account has such a name.
    fn sender(&self) -> &str {
        sender(self.message)
    }

    fn recipients(&self) -> String {
        let names: Vec<&str> = self.message.to.iter().map(|name| name.as_str()).collect();
        names.join(",")
    }
}

impl Show for Listed<'_> {
    /// A line about the message, then its text indented, so that no text can
    /// pass for the beginning of another message; what is too long for the
    /// terminal goes on in the next line, behind the same indent.
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let message = self.message;
        let who = match (self.sent, message.to.len()) {
            (true, _) => format!("to {}", self.recipients()),
            (false, 1) => self.sender().to_string(),
            (false, _) => format!("{} to {}", message.from, self.recipients()),
        };
        let id = message.id.to_string();
        let about = format!("{}  {}", local_time(message.at), &id[..SHORT_ID_DIGITS]);
        writeln!(
            out,
            "{}  {}",
            style.paint(Tone::Strong, &sanitize(&who)),
            style.paint(Tone::Faint, &about)
        )?;
        for line in message.text.split('\n') {
            // Tabs are for layout, which indenting keeps.
            let line = line.replace('\t', "    ");
            let line = sanitize(&line);
            let columns = style.columns.map_or(usize::MAX, |columns| {
                columns.saturating_sub(INDENT.len()).max(COLUMNS_MIN)
            });
            for part in wrap(&line, columns) {
                writeln!(out, "{INDENT}{part}")?;
            }
        }
        Ok(())
    }

    /// Id, time in UTC, sender (of sent messages the recipients), text.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let who = if self.sent { self.recipients() } else { self.sender().to_string() };
        let Message { id, at, text, .. } = self.message;
        writeln!(out, "{id}\t{at}\t{}\t{}", sanitize(&who), sanitize(text))
    }
}

/// Who says a message, as users read it: of a notice it is not the author, whose name it
/// bears, but the cluster.
pub fn sender(message: &Message) -> &str {
    match message.notice {
        true => "(notice)",
        false => message.from.as_str(),
    }
}

/// An instant for users: local time with its offset from UTC.
pub fn local_time(at: Timestamp) -> String {
    let zone = jiff::tz::TimeZone::system();
    match i64::try_from(at.0).map(jiff::Timestamp::from_millisecond) {
        Ok(Ok(instant)) => {
            instant.to_zoned_datetime(zone).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
        }
        // Beyond the calendar: the number that it is.
        _ => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{AccountName, Uuid};

    fn message(text: &str, to: &[&str]) -> Message {
        let name = |name: &&str| AccountName::new(name).expect("valid");
        Message {
            id: Uuid::from_u128(0xabcdef01 << 96),
            from: name(&"alice"),
            to: to.iter().map(name).collect(),
            text: text.to_string(),
            at: Timestamp(1_700_000_000_123),
            seq: Some(5),
            confirmed: true,
            place: None,
            seen_to: None,
            read: false,
            accepted_at: None,
            notice: false,
        }
    }

    fn shown(message: &Message, sent: bool) -> (String, String) {
        let (mut terminal, mut plain) = (Vec::new(), Vec::new());
        let listed = Listed::new(message, sent);
        listed.terminal(&mut terminal, Style::default()).expect("room");
        listed.plain(&mut plain).expect("room");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (text(terminal), text(plain))
    }

    #[test]
    fn one_message_is_one_line_of_plain_output() {
        let hostile = message("a\nalice\tb\u{1b}[2J\u{202e}\u{2028}", &["bob"]);
        let (terminal, plain) = shown(&hostile, false);
        assert_eq!(
            plain,
            "abcdef01-0000-0000-0000-000000000000\t2023-11-14T22:13:20.123Z\talice\t\
             a\\nalice\\tb\\u{1b}[2J\\u{202e}\\u{2028}\n"
        );
        let lines: Vec<&str> = terminal.lines().collect();
        assert!(lines[0].starts_with("alice  20") && lines[0].ends_with("  abcdef01"));
        assert_eq!(lines[1..], ["    a", "    alice    b\\u{1b}[2J\\u{202e}\\u{2028}"]);
    }

    #[test]
    fn a_long_text_keeps_its_indent_in_every_line() {
        let long = message(
            &format!("alice  12:00  {}\n{}", "word ".repeat(8).trim_end(), "x".repeat(30)),
            &["bob"],
        );
        let mut shown = Vec::new();
        let style = Style { columns: Some(24), ..Style::default() };
        Listed::new(&long, false).terminal(&mut shown, style).expect("room");
        let shown = String::from_utf8(shown).expect("UTF-8");
        let text: Vec<&str> = shown.lines().skip(1).collect();
        let (twenty, ten) = ("x".repeat(20), "x".repeat(10));
        let expected =
            ["alice  12:00  word", "word word word word", "word word word", &twenty, &ten];
        assert_eq!(text, expected.map(|line| format!("    {line}")));
    }

    #[test]
    fn a_notice_is_nobodys_message() {
        let notice = Message { notice: true, ..message("Your message", &["alice"]) };
        let (terminal, plain) = shown(&notice, false);
        assert!(terminal.starts_with("(notice)  "), "{terminal}");
        assert!(plain.contains("\t(notice)\tYour message\n"), "{plain}");
        assert!(AccountName::new(sender(&notice)).is_err(), "nobody can be named so");
    }

    #[test]
    fn those_it_concerns_are_named() {
        let many = message("hi", &["bob", "carol"]);
        assert!(shown(&many, false).0.starts_with("alice to bob,carol  "));
        let (terminal, plain) = shown(&many, true);
        assert!(terminal.starts_with("to bob,carol  "));
        assert!(plain.contains("\tbob,carol\thi\n"));
    }

    #[test]
    fn json_is_the_message_of_the_protocol() {
        let message = message("x\u{202e}\n", &["bob"]);
        let line = serde_json::to_string(&Listed::new(&message, true)).expect("plain data");
        assert_eq!(line, serde_json::to_string(&message).expect("plain data"));
    }

    #[test]
    fn local_time_names_its_offset() {
        let shown = local_time(Timestamp(1_700_000_000_123));
        assert_eq!(shown.len(), "2023-11-14 22:13:20 +00:00".len());
        let instant: jiff::Timestamp =
            shown.replacen(' ', "T", 1).replace(' ', "").parse().expect("RFC 3339");
        assert_eq!(instant.as_millisecond(), 1_700_000_000_000);
        assert_eq!(local_time(Timestamp(u64::MAX)), Timestamp::MAX.to_string());
    }
}
