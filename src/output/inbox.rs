//! Messages as users read them.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::wrap::wrap;
use super::{Show, Style, Tone, sanitize};
use crate::protocol::client::{Message, Quote, Unread};
use crate::types::{AccountName, Names, ReplicaId, Timestamp, Uuid};

/// Digits of an id on a terminal: enough to be unique in any inbox of a user,
/// and `delete` takes any unique beginning.
const SHORT_ID_DIGITS: usize = 8;

/// What stands before each line of a text.
const INDENT: &str = "    ";

/// Fewest columns that a text gets: a terminal that is narrower breaks its lines
/// itself.
const COLUMNS_MIN: usize = 8;

/// One message of `inbox`, `history` or `search`.
#[derive(Debug)]
pub struct Listed<'a> {
    message: &'a Message,
    among: Among,
    /// The day that it is the first one of.
    day: Option<String>,
}

/// Among what it stands, from which follows who has to be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Among {
    /// What I received: the sender, and others who got it.
    Received,
    /// What I sent: the recipients.
    Sent,
    /// All that I may see: both.
    All,
}

/// The day of the last message that was listed.
#[derive(Debug, Default)]
pub struct Days {
    last: Option<String>,
}

/// The fields are a contract with scripts: each of them is always there, but for the last, and
/// `read_by`, which only those have that were sent.
impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            id: Uuid,
            from: &'a AccountName,
            to: &'a Names,
            text: &'a str,
            at: Timestamp,
            seq: Option<u64>,
            read: bool,
            confirmed: bool,
            accepted_at: Option<Timestamp>,
            room: Option<&'a AccountName>,
            mention: bool,
            reply_to: Option<Uuid>,
            #[serde(skip_serializing_if = "Option::is_none")]
            read_by: Option<Option<&'a Names>>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            notice: bool,
        }
        let Message { from, to, text, .. } = self.message;
        let Message {
            id, at, seq, read, confirmed, accepted_at, mention, reply_to, notice, ..
        } = *self.message;
        let read_by = (self.among == Among::Sent).then_some(self.message.read_by.as_ref());
        Fields {
            id,
            from,
            to,
            text,
            at,
            seq,
            read,
            confirmed,
            accepted_at,
            room: None,
            mention,
            reply_to,
            read_by,
            notice,
        }
        .serialize(serializer)
    }
}

impl<'a> Listed<'a> {
    /// A message of the inbox, or with `sent` one that I sent.
    pub fn new(message: &'a Message, sent: bool) -> Self {
        let among = if sent { Among::Sent } else { Among::Received };
        Listed { message, among, day: None }
    }

    /// A message of a conversation, of which one side knows the other.
    pub fn of_conversation(message: &'a Message) -> Self {
        Listed::new(message, false)
    }

    /// A message that was found.
    pub fn found(message: &'a Message) -> Self {
        Listed { message, among: Among::All, day: None }
    }

    /// Below its day, which stands once on a terminal.
    pub fn under(self, days: &mut Days) -> Self {
        let day = local(self.message.at, "%a %Y-%m-%d %:z");
        let is_new = days.last.as_ref() != Some(&day);
        days.last = Some(day.clone());
        Listed { day: is_new.then_some(day), ..self }
    }

    /// Who says it to whoever reads it. No account has such a name.
    fn sender(&self) -> &str {
        sender(self.message)
    }

    /// Who has read it, of one that I sent, if anybody has.
    fn readers(&self) -> Option<String> {
        let readers = self.message.read_by.as_ref().filter(|_| self.among == Among::Sent)?;
        let names: Vec<&str> = readers.iter().map(|name| name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(","))
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
        if let Some(day) = &self.day {
            writeln!(out, "{}", style.paint(Tone::Faint, &format!("-- {day} --")))?;
        }
        let who = match (self.among, message.to.len()) {
            _ if message.notice => self.sender().to_string(),
            (Among::Sent, _) => format!("to {}", self.recipients()),
            (Among::Received, 1) => self.sender().to_string(),
            (Among::Received | Among::All, _) => {
                format!("{} to {}", message.from, self.recipients())
            }
        };
        let id = message.id.to_string();
        let mark = unconfirmed(message);
        let about = format!("{mark}{}  {}", local(message.at, "%H:%M:%S"), &id[..SHORT_ID_DIGITS]);
        let who = style.paint(Tone::Strong, &sanitize(&who));
        write!(out, "{who}  {}", style.paint(Tone::Faint, &about))?;
        match message.mention {
            true => writeln!(out, "  {}", style.paint(Tone::Warning, "@"))?,
            false => writeln!(out)?,
        }
        if let Some(Quote { from, text }) = &message.answers {
            let line = text.replace(['\n', '\t'], " ");
            let quote = sanitize(&format!("> {from}: {line}")).into_owned();
            let columns = style.columns.map_or(usize::MAX, |it| it.saturating_sub(INDENT.len()));
            let first = wrap(&quote, columns.max(COLUMNS_MIN))[0].to_string();
            writeln!(out, "{INDENT}{}", style.paint(Tone::Faint, &first))?;
        }
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
        if let Some(readers) = self.readers() {
            let told = format!("{INDENT}read by {}", sanitize(&readers));
            writeln!(out, "{}", style.paint(Tone::Faint, &told))?;
        }
        Ok(())
    }

    /// Id, time in UTC, sender (of sent messages the recipients), text. Before the time of
    /// an unconfirmed one stands `~`: it will be another one.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let who = match self.among {
            Among::Sent => self.recipients(),
            Among::Received | Among::All => self.sender().to_string(),
        };
        let Message { id, at, text, .. } = self.message;
        let mark = unconfirmed(self.message);
        writeln!(out, "{id}\t{mark}{at}\t{}\t{}", sanitize(&who), sanitize(text))
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

/// What marks a message that no majority has confirmed.
fn unconfirmed(message: &Message) -> &'static str {
    if message.confirmed { "" } else { "~" }
}

/// An instant for users of which the day is clear: local hours and minutes, and the day if
/// it is another one than that of `now`.
pub fn local_minute(at: Timestamp, now: Option<Timestamp>) -> String {
    let zone = jiff::tz::TimeZone::system();
    let local = |at: Timestamp| {
        let instant = jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
        Some(instant.to_zoned_datetime(zone.clone()))
    };
    // Beyond the calendar: the number that it is.
    let Some(instant) = local(at) else { return at.to_string() };
    let is_today = now.and_then(local).is_some_and(|now| now.date() == instant.date());
    instant.strftime(if is_today { "%H:%M" } else { "%Y-%m-%d %H:%M" }).to_string()
}

/// Who is alone since when, as the beginning of a sentence.
pub fn is_alone_since(server: ReplicaId, since: Timestamp, now: Option<Timestamp>) -> String {
    format!("server {server} is alone since {}", local_minute(since, now))
}

/// An instant for users: local time with its offset from UTC.
pub fn local_time(at: Timestamp) -> String {
    local(at, "%Y-%m-%d %H:%M:%S %:z")
}

/// Local time, as a format says.
fn local(at: Timestamp, format: &str) -> String {
    let zone = jiff::tz::TimeZone::system();
    match i64::try_from(at.0).map(jiff::Timestamp::from_millisecond) {
        Ok(Ok(instant)) => instant.to_zoned_datetime(zone).strftime(format).to_string(),
        // Beyond the calendar: the number that it is.
        _ => at.to_string(),
    }
}

/// One line of `unread`.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct UnreadListed(pub Unread);

// Names of accounts and rooms need no sanitizing; see [`AccountName`].
impl Show for UnreadListed {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let Unread { name, unread, mentions, gone, .. } = &self.0;
        let name = style.paint(Tone::Strong, name.as_str());
        let gone = if *gone { " (gone)" } else { "" };
        write!(out, "{name}{gone}  {unread} unread")?;
        match mentions {
            0 => writeln!(out),
            1 => writeln!(out, ", {}", style.paint(Tone::Warning, "1 mention")),
            _ => writeln!(out, ", {}", style.paint(Tone::Warning, &format!("{mentions} mentions"))),
        }
    }

    /// Name, how many, how many mentions.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let Unread { name, unread, mentions, .. } = &self.0;
        writeln!(out, "{name}\t{unread}\t{mentions}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Place;

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
            mention: false,
            reply_to: None,
            answers: None,
            read_by: None,
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
        assert_eq!(lines[0], "alice  22:13:20  abcdef01");
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
    fn an_answer_begins_with_one_line_of_what_it_answers() {
        let from = AccountName::new("bob").expect("valid");
        let answers = Some(Quote { from, text: "shall we?\n\u{1b}[2J it is a long text".into() });
        let reply_to = Some(Uuid::from_u128(5));
        let answer = Message { reply_to, answers, ..message("yes", &["bob"]) };
        let (terminal, plain) = shown(&answer, false);
        let lines: Vec<&str> = terminal.lines().skip(1).collect();
        let quote = "    > bob: shall we? \\u{1b}[2J it is a long text";
        assert_eq!(lines, [quote, "    yes"]);
        assert!(plain.ends_with("\talice\tyes\n"), "{plain}");
        let mut narrow = Vec::new();
        let style = Style { columns: Some(24), ..Style::default() };
        Listed::new(&answer, false).terminal(&mut narrow, style).expect("room");
        let narrow = String::from_utf8(narrow).expect("UTF-8");
        assert_eq!(narrow.lines().nth(1), Some("    > bob: shall we?"));
    }

    #[test]
    fn a_day_stands_once_above_its_messages() {
        let (first, mut days) = (message("a", &["bob"]), Days::default());
        let next = Message { at: first.at.plus_ms(24 * 3_600_000), ..message("b", &["bob"]) };
        let mut out = Vec::new();
        for message in [&first, &first, &next] {
            let listed = Listed::new(message, false).under(&mut days);
            listed.terminal(&mut out, Style::default()).expect("room");
        }
        let out = String::from_utf8(out).expect("UTF-8");
        let days: Vec<&str> = out.lines().filter(|line| line.starts_with("--")).collect();
        assert_eq!(days, ["-- Tue 2023-11-14 +00:00 --", "-- Wed 2023-11-15 +00:00 --"]);
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
    fn json_has_the_text_as_it_is_and_the_same_fields_for_every_message() {
        let json = |message: &Message| {
            serde_json::to_string(&Listed::new(message, true)).expect("plain data")
        };
        let confirmed = message("x\u{202e}\n", &["bob"]);
        let expected = format!(
            "{{\"id\":\"{}\",\"from\":\"alice\",\"to\":[\"bob\"],\"text\":\"x\u{202e}\\n\",\
             \"at\":\"2023-11-14T22:13:20.123Z\",\"seq\":5,\"read\":false,\"confirmed\":true,\
             \"accepted_at\":null,\"room\":null,\"mention\":false,\"reply_to\":null,\"read_by\":null}}",
            confirmed.id
        );
        assert_eq!(json(&confirmed), expected);
        let line = json(&unconfirmed_message());
        assert!(line.contains("\"seq\":null,\"read\":false,\"confirmed\":false,"), "{line}");
        assert!(line.contains("\"accepted_at\":\"2023-11-14T22:13:20.123Z\","), "{line}");
        assert!(line.ends_with(",\"read_by\":null}"), "{line}");
        let received = serde_json::to_string(&Listed::new(&confirmed, false)).expect("plain data");
        assert!(!received.contains("read_by"), "{received}");
        assert!(!line.contains("seen_to") && !line.contains("place"), "{line}");
    }

    #[test]
    fn who_has_read_it_stands_below_a_message_that_was_sent() {
        let names = |list: &[&str]| {
            list.iter().map(|name| AccountName::new(name).expect("valid")).collect::<Names>()
        };
        let read_by =
            |list| Message { read_by: Some(names(list)), ..message("hi", &["bob", "eve"]) };
        let (terminal, plain) = shown(&read_by(&["bob", "eve"]), true);
        assert!(terminal.ends_with("    hi\n    read by bob,eve\n"), "{terminal}");
        assert!(plain.ends_with("\tbob,eve\thi\n"), "{plain}");
        assert!(shown(&read_by(&[]), true).0.ends_with("    hi\n"));
        let json = serde_json::to_value(Listed::new(&read_by(&["bob"]), true)).expect("plain data");
        assert_eq!(json["read_by"], serde_json::json!(["bob"]));
    }

    fn unconfirmed_message() -> Message {
        let place = Some(Place { list: Uuid::nil(), number: 1 });
        let at = Timestamp(1_700_000_000_123);
        let (seen_to, accepted_at) = (Some(4), Some(at));
        let confirmed = message("hi", &["bob"]);
        Message { seq: None, confirmed: false, place, seen_to, accepted_at, ..confirmed }
    }

    #[test]
    fn an_unconfirmed_message_is_marked_where_its_time_stands() {
        let (terminal, plain) = shown(&unconfirmed_message(), false);
        assert!(terminal.starts_with("alice  ~22:13:20  "), "{terminal}");
        assert!(plain.contains("\t~2023-11-14T22:13:20.123Z\talice\thi\n"), "{plain}");
    }

    #[test]
    fn of_today_the_hour_is_told_and_of_another_day_the_day_as_well() {
        let (at, later) = (Timestamp(1_700_000_000_123), Timestamp(1_700_090_000_000));
        let told = |now| is_alone_since(ReplicaId(3), at, now);
        assert_eq!(told(Some(at)), "server 3 is alone since 22:13");
        assert_eq!(told(Some(later)), "server 3 is alone since 2023-11-14 22:13");
        assert_eq!(told(None), told(Some(later)));
        assert_eq!(local_minute(Timestamp(u64::MAX), Some(at)), Timestamp::MAX.to_string());
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
