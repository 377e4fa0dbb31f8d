//! A cluster's status: a table, lines, and one sentence that matters.
//!
//! The sentence says whether writes are taken and how many more servers may
//! fail; below it stands what to type next, where there is something to do.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{Show, Style, Tone, sanitize};
use crate::protocol::client::{ReplicaState, ReplicaStatus};
use crate::protocol::status::{ClusterStatus, Health};
use crate::types::ReplicaId;

impl Show for ClusterStatus {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        writeln!(out, "{}", table(&self.replicas))?;
        let tone = match self.health() {
            Health::Healthy => Tone::Good,
            Health::Degraded => Tone::Warning,
            Health::Unavailable => Tone::Bad,
        };
        writeln!(out, "{}", style.paint(tone, &sentence(self)))?;
        for hint in hints(self) {
            writeln!(out, "- {}", sanitize(&hint))?;
        }
        Ok(())
    }

    /// One line a replica: id, address, state, term, applied, lag, hosted by,
    /// uptime in seconds, version. Last a line `writes`, then `taken` or
    /// `refused`, then how many more servers may fail.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        for replica in &self.replicas {
            let columns = [
                replica.id.to_string(),
                replica.address.to_string(),
                replica.state.to_string(),
                replica.term.to_string(),
                replica.applied.to_string(),
                replica.lag.to_string(),
                text(replica.hosted_by),
                text(replica.uptime_s),
                text(replica.version.as_deref()),
            ];
            let columns = columns.map(|column| sanitize(&column).into_owned());
            writeln!(out, "{}", columns.join("\t"))?;
        }
        let writes = if self.writable { "taken" } else { "refused" };
        writeln!(out, "writes\t{writes}\t{}", self.tolerates)
    }
}

/// A status that replaces the one before it on a terminal.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Frame<'a>(pub &'a ClusterStatus);

impl Show for Frame<'_> {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        // To the first column of the first line, and clear what was below.
        write!(out, "\x1b[H\x1b[J")?;
        self.0.terminal(out, style)?;
        writeln!(out, "\nCtrl-C ends this.")
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.plain(out)
    }
}

fn table(replicas: &[ReplicaStatus]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "ID",
        "ADDRESS",
        "STATE",
        "TERM",
        "APPLIED",
        "LAG",
        "HOSTED BY",
        "UPTIME",
        "VERSION",
    ]);
    for replica in replicas {
        let answers = replica.state != ReplicaState::Unreachable && replica.hosted_by.is_some();
        let number = |n: u64| if answers { n.to_string() } else { "-".to_string() };
        let hosted_by = match (replica.hosted_by, replica.pid) {
            (Some(host), Some(pid)) => format!("{host} (pid {pid})"),
            (Some(host), None) => host.to_string(),
            (None, _) => "-".to_string(),
        };
        table.add_row([
            replica.id.to_string(),
            sanitize(&replica.address.to_string()).into_owned(),
            replica.state.to_string(),
            number(replica.term),
            number(replica.applied),
            number(replica.lag),
            hosted_by,
            replica.uptime_s.map_or("-".to_string(), uptime),
            sanitize(replica.version.as_deref().unwrap_or("-")).into_owned(),
        ]);
    }
    for column in [3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Whether writes are taken, and what else may fail.
fn sentence(status: &ClusterStatus) -> String {
    if !status.answered() {
        return "No server answers.".to_string();
    }
    if !status.writable {
        return match status.leader {
            None => "Writes are not taken: there is no leader at the moment.".to_string(),
            Some(leader) => {
                format!("Writes are not taken: leader {leader} has no confirmation by a majority.")
            }
        };
    }
    match status.tolerates {
        0 => "Writes are taken. No further server may fail.".to_string(),
        1 => "Writes are taken. One more server may fail.".to_string(),
        n => format!("Writes are taken. {n} more servers may fail, one after the other."),
    }
}

/// What is wrong, a line each, and what to type where that helps.
fn hints(status: &ClusterStatus) -> Vec<String> {
    let mut hints = status.notices.clone();
    hints.extend(hosts(status));
    for replica in &status.replicas {
        let (id, local) = (replica.id, replica.address.is_loopback());
        let reason = replica.error.as_deref().unwrap_or("it does not say why");
        match (replica.state, replica.hosted_by) {
            (ReplicaState::Unreachable, _) if local => {
                hints.push(format!("replica {id} is down ({reason}): ftchat cluster start {id}"));
            }
            (ReplicaState::Unreachable, _) => {
                hints.push(format!(
                    "replica {id} is down ({reason}): start its server at {}",
                    replica.address
                ));
            }
            // Said below, once for each server.
            (_, Some(host)) if host != id => {}
            _ => {
                if let Some(error) = &replica.error {
                    hints.push(format!("replica {id}: {error}"));
                }
            }
        }
    }
    hints
}

/// A line for each server that runs other replicas than its own.
fn hosts(status: &ClusterStatus) -> Vec<String> {
    let mut lines = Vec::new();
    for own in &status.replicas {
        let runs: Vec<ReplicaId> = status
            .replicas
            .iter()
            .filter(|it| it.hosted_by == Some(own.id))
            .map(|it| it.id)
            .collect();
        let Some(missing) = runs.iter().find(|id| **id != own.id) else { continue };
        let list = match runs.as_slice() {
            [first @ .., last] if !first.is_empty() => {
                let first: Vec<String> = first.iter().map(ToString::to_string).collect();
                format!("replicas {} and {last}", first.join(", "))
            }
            _ => format!("replica {missing}"),
        };
        let left = match (status.writable, status.tolerates) {
            (false, _) => "and takes no writes".to_string(),
            (true, 0) => "one failure away from stopping".to_string(),
            (true, 1) => "one more server may fail".to_string(),
            (true, n) => format!("{n} more servers may fail"),
        };
        lines
            .push(format!("server {} runs {list}; {left}: ftchat cluster start {missing}", own.id));
    }
    lines
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or("-".to_string(), |value| value.to_string())
}

/// Seconds as people say them: the two largest units.
fn uptime(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ReplicaId;

    fn replica(id: u32, state: ReplicaState, host: Option<u32>) -> ReplicaStatus {
        ReplicaStatus {
            id: ReplicaId(id),
            address: format!("127.0.0.1:{}", 8090 + id).parse().expect("valid"),
            state,
            term: 3,
            last_log: 9,
            applied: 9,
            lag: 0,
            hosted_by: host.map(ReplicaId),
            pid: host.map(|host| 100 + host),
            version: Some("0.1.0".to_string()),
            uptime_s: Some(75),
            disk_bytes: None,
            state_hash: None,
            error: None,
        }
    }

    fn status() -> ClusterStatus {
        let mut dead = replica(2, ReplicaState::Unreachable, None);
        (dead.error, dead.version, dead.uptime_s) = (Some("connection refused".into()), None, None);
        ClusterStatus {
            cluster: None,
            writable: true,
            leader: Some(ReplicaId(1)),
            term: 3,
            commit: 9,
            tolerates: 0,
            replicas: vec![
                replica(1, ReplicaState::Leader, Some(1)),
                dead,
                replica(3, ReplicaState::Follower, Some(1)),
            ],
            survivor: None,
            notices: Vec::new(),
        }
    }

    fn written(show: impl Fn(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        show(&mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn lines_for_scripts_are_tab_separated_and_never_empty() {
        let text = written(|out| status().plain(out));
        assert_eq!(
            text,
            "1\t127.0.0.1:8091\tleader\t3\t9\t0\t1\t75\t0.1.0\n\
             2\t127.0.0.1:8092\tunreachable\t3\t9\t0\t-\t-\t-\n\
             3\t127.0.0.1:8093\tfollower\t3\t9\t0\t1\t75\t0.1.0\n\
             writes\ttaken\t0\n"
        );
    }

    #[test]
    fn the_terminal_says_what_fails_and_what_to_type() {
        let text = written(|out| status().terminal(out, Style { color: false }));
        assert!(text.contains("HOSTED BY"), "{text}");
        assert!(text.contains("Writes are taken. No further server may fail."), "{text}");
        assert!(text.contains("replica 2 is down (connection refused): ftchat cluster start 2"));
        assert!(text.contains("server 1 runs"));
        assert!(!text.contains('\x1b'));
        let colored = written(|out| status().terminal(out, Style { color: true }));
        assert!(colored.contains("\x1b[33mWrites are taken."), "{colored:?}");
    }

    #[test]
    fn the_sentence_tells_no_leader_from_no_majority_from_no_answer() {
        let mut status = status();
        for (tolerates, words) in [(1, "One more server may fail"), (2, "2 more servers may fail")]
        {
            status.tolerates = tolerates;
            assert!(sentence(&status).contains(words));
        }
        status.writable = false;
        assert!(sentence(&status).contains("leader 1 has no confirmation"));
        status.leader = None;
        assert!(sentence(&status).contains("no leader"));
        for replica in &mut status.replicas {
            (replica.state, replica.hosted_by) = (ReplicaState::Unreachable, None);
        }
        assert_eq!(sentence(&status), "No server answers.");
    }

    #[test]
    fn what_servers_say_reaches_the_terminal_without_its_control_characters() {
        let mut status = status();
        status.notices.push("\x1b[2J\u{202e}evil".to_string());
        status.replicas[0].version = Some("\x07".to_string());
        let text = written(|out| status.terminal(out, Style { color: false }));
        assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn a_frame_redraws_on_a_terminal_only() {
        let frame = |status: &ClusterStatus| {
            written(|out| Frame(status).terminal(out, Style { color: false }))
        };
        assert!(frame(&status()).starts_with("\x1b[H\x1b[J"));
        assert_eq!(written(|out| Frame(&status()).plain(out)), written(|out| status().plain(out)));
    }

    #[test]
    fn uptimes_have_two_units() {
        for (seconds, text) in [(5, "5s"), (75, "1m15s"), (7_260, "2h1m"), (90_000, "1d1h")] {
            assert_eq!(uptime(seconds), text);
        }
    }
}
