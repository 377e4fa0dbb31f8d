//! Results of the commands about one's own account.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use super::current::write_with_current;
use super::{Show, Style, local_time, sanitize};
use crate::protocol::client::{OwnSession, Setting};
use crate::types::{AccountName, Timestamp};

/// Of `passwd`.
#[derive(Debug, Serialize)]
pub struct PasswordChanged {
    /// The account's name.
    pub name: AccountName,
    /// Always true: for programs that read the results of several commands.
    pub changed: bool,
}

impl Show for PasswordChanged {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        writeln!(out, "Changed the password of {}. All its other sessions have ended.", self.name)
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
    fn outcome(&self) -> Option<String> {
        Some(format!("the password of {} is changed", self.name))
    }
}

/// One line of `sessions`.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct SessionShown(pub OwnSession);

impl SessionShown {
    /// What a table and a line show, after the number.
    fn cells(&self, time: impl Fn(Timestamp) -> String) -> [String; 4] {
        let OwnSession { started, last_used, from, expires, .. } = &self.0;
        let known = |at: &Option<Timestamp>| at.map_or("-".to_string(), &time);
        let from = from.map_or("-".to_string(), |from| from.to_string());
        [known(started), known(last_used), from, time(*expires)]
    }
}

impl Show for SessionShown {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        self.plain(out)
    }
    /// Number, start, last use, address, end, and `current` for the one that asks.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let current = if self.0.current { "current" } else { "" };
        let cells = self.cells(|at| at.to_string()).join("\t");
        writeln!(out, "{}\t{cells}\t{current}", self.0.id)
    }
}

/// All of them, on a terminal.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct SessionTable(pub Vec<SessionShown>);

impl Show for SessionTable {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["", "ID", "STARTED", "LAST USED", "FROM", "EXPIRES"]);
        for session in &self.0 {
            let current = if session.0.current { "*" } else { "" };
            let mut row = vec![current.to_string(), session.0.id.to_string()];
            row.extend(session.cells(local_time));
            table.add_row(row);
        }
        write_with_current(&table, out, style)
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.iter().try_for_each(|session| session.plain(out))
    }
}

/// Of `sessions revoke`.
#[derive(Debug, Serialize)]
pub struct SessionsEnded {
    /// Those that were named.
    pub revoked: Vec<u64>,
    /// All others than the one that asked.
    pub others: bool,
}

impl Show for SessionsEnded {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        match (self.others, self.revoked.len()) {
            (true, _) => writeln!(out, "Ended all other sessions."),
            (false, 1) => writeln!(out, "Ended 1 session."),
            (false, count) => writeln!(out, "Ended {count} sessions."),
        }
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        self.revoked.iter().try_for_each(|id| writeln!(out, "{id}"))
    }
    fn outcome(&self) -> Option<String> {
        Some("the sessions have ended".to_string())
    }
}

/// Of `block` and `unblock`.
#[derive(Debug, Serialize)]
pub struct BlockChanged {
    /// The account's name.
    pub name: AccountName,
    /// Whether it is blocked now.
    pub blocked: bool,
}

impl Show for BlockChanged {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let what = if self.blocked { "Blocked" } else { "Unblocked" };
        writeln!(out, "{what} {}.", self.name)
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.name)
    }
    fn outcome(&self) -> Option<String> {
        let what = if self.blocked { "blocked" } else { "not blocked" };
        Some(format!("{} is {what}", self.name))
    }
}

/// One line of `settings`.
#[derive(Debug, Serialize)]
pub struct SettingShown {
    /// What is set, and to what.
    #[serde(flatten)]
    pub setting: Setting,
    /// Whether it was set by this very command.
    #[serde(skip)]
    pub changed: bool,
}

impl Show for SettingShown {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let Setting { key, value } = &self.setting;
        writeln!(out, "{} {}", sanitize(key), sanitize(value))
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let Setting { key, value } = &self.setting;
        writeln!(out, "{}\t{}", sanitize(key), sanitize(value))
    }
    fn outcome(&self) -> Option<String> {
        let Setting { key, value } = &self.setting;
        self.changed.then(|| format!("{key} is {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(current: bool, known: bool) -> SessionShown {
        let known = known.then_some(Timestamp(1_700_000_000_123));
        SessionShown(OwnSession {
            id: 7,
            current,
            started: known,
            last_used: known,
            from: known.map(|_| [192, 0, 2, 1].into()),
            expires: Timestamp(1_800_000_000_000),
        })
    }

    fn text(show: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        show(&mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_session_is_a_line_with_its_number_first_and_says_what_is_not_known_of_it() {
        let at = "2023-11-14T22:13:20.123Z";
        let end = "2027-01-15T08:00:00.000Z";
        let line = text(|out| session(true, true).plain(out));
        assert_eq!(line, format!("7\t{at}\t{at}\t192.0.2.1\t{end}\tcurrent\n"));
        assert_eq!(text(|out| session(false, false).plain(out)), format!("7\t-\t-\t-\t{end}\t\n"));
        let json = serde_json::to_value(session(false, false)).expect("plain data");
        let expected = serde_json::json!({"id": 7, "current": false, "started": null,
            "last_used": null, "from": null, "expires": end});
        assert_eq!(json, expected);
        let table = SessionTable(vec![session(true, true), session(false, false)]);
        let table = text(|out| table.terminal(out, Style::default()));
        let rows: Vec<&str> = table.lines().map(str::trim).collect();
        assert!(rows[0].starts_with("ID") && rows[1].starts_with("*  7"), "{table}");
        assert!(rows[1].contains("192.0.2.1") && rows[2].starts_with("7"), "{table}");
    }
}
