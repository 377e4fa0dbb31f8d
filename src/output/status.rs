//! A cluster's status: a table, lines, and one sentence that matters.
//!
//! The sentence says whether writes are taken and how many more servers may
//! fail; below it stands what to type next, where there is something to do.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{Show, Style, Tone, sanitize};
use crate::config::CommandLines;
use crate::protocol::client::{ReplicaState, ReplicaStatus, UNKNOWN};
use crate::protocol::status::{ClusterStatus, Health};
use crate::types::{ReplicaId, format_size};

/// A status, and what is known of the cluster beside it.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Shown<'a> {
    status: &'a ClusterStatus,
    /// Command lines about the local cluster that this is. `None`: it is none,
    /// or nobody knows which; then no command line would be right.
    #[serde(skip)]
    lines: Option<&'a CommandLines>,
}

impl<'a> Shown<'a> {
    /// Of a cluster, which is a local one where there are command lines about it.
    pub fn new(status: &'a ClusterStatus, lines: Option<&'a CommandLines>) -> Shown<'a> {
        Shown { status, lines }
    }
}

impl Show for Shown<'_> {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        writeln!(out, "{}", table(&self.status.replicas, style.columns))?;
        let tone = match self.status.health() {
            Health::Healthy => Tone::Good,
            Health::Degraded => Tone::Warning,
            Health::Unavailable => Tone::Bad,
        };
        writeln!(out, "{}", style.paint(tone, &sentence(self.status)))?;
        if let Some(stored) = self.status.stored_bytes {
            let of = self.status.stored_bytes_max.map(|most| format!(" of {}", format_size(most)));
            let line = format!("{}{} stored.", format_size(stored), of.unwrap_or_default());
            writeln!(out, "{}", style.paint(Tone::Faint, &line))?;
        }
        for hint in self.hints() {
            writeln!(out, "- {}", sanitize(&hint))?;
        }
        Ok(())
    }

    /// One line a replica: id, address, state, term, applied, lag, hosted by,
    /// uptime in seconds, version. Then a line for each notice and for what is
    /// wrong with each replica: `notice` and the sentence. A line `stored`, then the bytes that
    /// are stored and how many may be, or `none`. Last a line `writes`, then `taken` or
    /// `refused`, then how many more servers may fail.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        for replica in &self.status.replicas {
            let columns = [
                text(number(replica)),
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
        for notice in &self.status.notices {
            writeln!(out, "notice\t{}", sanitize(notice))?;
        }
        for replica in &self.status.replicas {
            if let Some(error) = &replica.error {
                writeln!(out, "notice\t{}", sanitize(&format!("{}: {error}", name(replica))))?;
            }
        }
        if let Some(stored) = self.status.stored_bytes {
            let most = self.status.stored_bytes_max.map_or("none".to_string(), |it| it.to_string());
            writeln!(out, "stored\t{stored}\t{most}")?;
        }
        let writes = if self.status.writable { "taken" } else { "refused" };
        writeln!(out, "writes\t{writes}\t{}", self.status.tolerates)
    }
}

/// A status that replaces the one before it on a terminal.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Frame<'a>(pub Shown<'a>);

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

/// A replica as a sentence names it.
fn name(replica: &ReplicaStatus) -> String {
    match number(replica) {
        Some(id) => format!("replica {id}"),
        None => format!("the replica at {}", replica.address),
    }
}

fn number(replica: &ReplicaStatus) -> Option<ReplicaId> {
    Some(replica.id).filter(|id| *id != UNKNOWN)
}

/// What is left out of the table, one after the other, until it fits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Without {
    Nothing,
    Process,
    Version,
    Uptime,
    Term,
}

fn table(replicas: &[ReplicaStatus], width: Option<usize>) -> String {
    use Without::*;
    let mut text = String::new();
    for without in [Nothing, Process, Version, Uptime, Term] {
        text = columns(replicas, without).to_string();
        let widest = text.lines().map(|line| line.trim_end().chars().count()).max();
        if width.is_none_or(|width| widest.is_none_or(|widest| widest <= width)) {
            break;
        }
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn columns(replicas: &[ReplicaStatus], without: Without) -> Table {
    let header = [
        ("ID", Without::Nothing),
        ("ADDRESS", Without::Nothing),
        ("STATE", Without::Nothing),
        ("TERM", Without::Term),
        ("APPLIED", Without::Nothing),
        ("LAG", Without::Nothing),
        ("HOSTED BY", Without::Nothing),
        ("UPTIME", Without::Uptime),
        ("VERSION", Without::Version),
    ];
    let shown = |column: &usize| {
        let goes_with = header[*column].1;
        goes_with == Without::Nothing || without < goes_with
    };
    let kept: Vec<usize> = (0..header.len()).filter(shown).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(kept.iter().map(|column| header[*column].0));
    for replica in replicas {
        let answers = replica.state != ReplicaState::Unreachable && replica.hosted_by.is_some();
        let count = |n: u64| if answers { n.to_string() } else { "-".to_string() };
        let hosted_by = match (replica.hosted_by, replica.pid) {
            (Some(host), Some(pid)) if without < Without::Process => format!("{host} (pid {pid})"),
            (Some(host), _) => host.to_string(),
            (None, _) => "-".to_string(),
        };
        let row = [
            text(number(replica)),
            sanitize(&replica.address.to_string()).into_owned(),
            replica.state.to_string(),
            count(replica.term),
            count(replica.applied),
            count(replica.lag),
            hosted_by,
            replica.uptime_s.map_or("-".to_string(), uptime),
            sanitize(replica.version.as_deref().unwrap_or("-")).into_owned(),
        ];
        table.add_row(kept.iter().map(|column| row[*column].clone()));
    }
    for (place, column) in kept.iter().enumerate() {
        if let 3..=5 = column
            && let Some(column) = table.column_mut(place)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Whether writes are taken, and what else may fail.
pub fn sentence(status: &ClusterStatus) -> String {
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

impl Shown<'_> {
    /// What is wrong, a line each, and what to type where that helps.
    fn hints(&self) -> Vec<String> {
        let mut hints = self.status.notices.clone();
        hints.extend(self.hosts());
        for replica in &self.status.replicas {
            let who = name(replica);
            let reason = replica.error.as_deref().unwrap_or("it does not say why");
            match (replica.state, replica.hosted_by) {
                (ReplicaState::Unreachable, _) => {
                    hints.push(format!("{who} is down ({reason}): {}", self.start(replica)));
                }
                // Said below, once for each server.
                (_, Some(host)) if host != replica.id => {}
                _ => {
                    if let Some(error) = &replica.error {
                        hints.push(format!("{who}: {error}"));
                    }
                }
            }
        }
        hints
    }

    /// How a replica's server is started.
    fn start(&self, replica: &ReplicaStatus) -> String {
        match (self.lines, number(replica)) {
            (Some(lines), Some(id)) => lines.line("cluster start", &[&id.to_string()]),
            (_, Some(_)) => format!("start its server at {}", replica.address),
            (_, None) => "start its server".to_string(),
        }
    }

    /// A line for each server that runs other replicas than its own.
    fn hosts(&self) -> Vec<String> {
        let status = self.status;
        let mut lines = Vec::new();
        for own in &status.replicas {
            let runs: Vec<&ReplicaStatus> =
                status.replicas.iter().filter(|it| it.hosted_by == Some(own.id)).collect();
            let Some(missing) = runs.iter().find(|it| it.id != own.id) else { continue };
            let list = match runs.as_slice() {
                [first @ .., last] if !first.is_empty() => {
                    let first: Vec<String> = first.iter().map(|it| it.id.to_string()).collect();
                    format!("replicas {} and {}", first.join(", "), last.id)
                }
                _ => format!("replica {}", missing.id),
            };
            let left = match (status.writable, status.tolerates) {
                (false, _) => "and takes no writes".to_string(),
                (true, 0) => "one failure away from stopping".to_string(),
                (true, 1) => "one more server may fail".to_string(),
                (true, n) => format!("{n} more servers may fail"),
            };
            let start = match self.lines {
                Some(_) => self.start(missing),
                None => format!("start server {} again", missing.id),
            };
            lines.push(format!("server {} runs {list}; {left}: {start}", own.id));
        }
        lines
    }
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or("-".to_string(), |value| value.to_string())
}

/// Seconds as users say them: the two largest units.
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

    fn replica(id: u32, state: ReplicaState, host: Option<u32>) -> ReplicaStatus {
        ReplicaStatus {
            id: ReplicaId(id),
            address: format!("127.0.0.1:{}", 8090 + id).parse().expect("valid"),
            state,
            term: 3,
            last_log: 9,
            applied: 9,
            lag: 0,
            applied_before: None,
            stalled: false,
            votes: true,
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
            feature_level: Some(1),
            stored_bytes: Some(5 << 20),
            stored_bytes_max: Some(1 << 30),
            replicas: vec![
                replica(1, ReplicaState::Leader, Some(1)),
                dead,
                replica(3, ReplicaState::Follower, Some(1)),
            ],
            survivor: None,
            notices: Vec::new(),
        }
    }

    /// As the cluster shows it that needs no flag.
    fn shown(status: &ClusterStatus) -> Shown<'_> {
        static PLAIN: std::sync::LazyLock<CommandLines> =
            std::sync::LazyLock::new(CommandLines::default);
        Shown::new(status, Some(&PLAIN))
    }

    fn written(show: impl Fn(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        show(&mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn lines_for_scripts_are_tab_separated_and_never_empty() {
        let text = written(|out| shown(&status()).plain(out));
        assert_eq!(
            text,
            "1\t127.0.0.1:8091\tleader\t3\t9\t0\t1\t75\t0.1.0\n\
             2\t127.0.0.1:8092\tunreachable\t3\t9\t0\t-\t-\t-\n\
             3\t127.0.0.1:8093\tfollower\t3\t9\t0\t1\t75\t0.1.0\n\
             notice\treplica 2: connection refused\n\
             stored\t5242880\t1073741824\n\
             writes\ttaken\t0\n"
        );
    }

    #[test]
    fn the_terminal_says_what_fails_and_what_to_type() {
        let text = written(|out| {
            shown(&status()).terminal(out, Style { color: false, ..Style::default() })
        });
        assert!(text.contains("HOSTED BY"), "{text}");
        assert!(text.contains("Writes are taken. No further server may fail."), "{text}");
        assert!(text.contains("replica 2 is down (connection refused): ftchat cluster start 2"));
        assert!(text.contains("server 1 runs"));
        assert!(text.contains("\n5 MiB of 1 GiB stored.\n"), "{text}");
        assert!(!text.contains('\x1b'));
        let colored = written(|out| {
            shown(&status()).terminal(out, Style { color: true, ..Style::default() })
        });
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
        let text =
            written(|out| shown(&status).terminal(out, Style { color: false, ..Style::default() }));
        assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn in_a_pipe_reasons_and_notices_are_told_as_well() {
        let mut status = status();
        status.notices.push("server 1: no\tmajority".to_string());
        let text = written(|out| shown(&status).plain(out));
        let lines: Vec<&str> = text.lines().collect();
        let reason = "notice\treplica 2: connection refused";
        let last = ["stored\t5242880\t1073741824", "writes\ttaken\t0"];
        assert_eq!(lines[3..], [&["notice\tserver 1: no\\tmajority", reason], &last[..]].concat());
    }

    #[test]
    fn where_the_local_cluster_is_not_known_no_command_line_is_shown() {
        let mut status = status();
        status.replicas[1].id = UNKNOWN;
        let terminal = |lines| {
            let shown = Shown::new(&status, lines);
            written(|out| shown.terminal(out, Style { color: false, ..Style::default() }))
        };
        let text = terminal(None);
        assert!(!text.contains("ftchat"), "{text}");
        assert!(text.contains("the replica at 127.0.0.1:8092 is down (connection refused)"));
        assert!(text.contains("server 1 runs replicas 1 and 3; one failure away from stopping"));
        assert!(written(|out| Shown::new(&status, None).plain(out)).contains("-\t127.0.0.1:8092"));
        // A number that nobody knows cannot be typed either.
        let text = terminal(Some(&CommandLines::default()));
        assert!(text.contains("8092 is down (connection refused): start its server"), "{text}");
    }

    #[test]
    fn a_narrow_terminal_has_fewer_columns_and_no_line_that_wraps() {
        let status = status();
        let widths = |width| {
            let table = table(&status.replicas, width);
            let widest = table.lines().map(|line| line.chars().count()).max().expect("a header");
            (widest, table)
        };
        let (whole, _) = widths(None);
        for width in (57..=whole).rev() {
            let (widest, table) = widths(Some(width));
            assert!(widest <= width, "{widest} columns of {width}:\n{table}");
            for column in ["ID", "ADDRESS", "STATE", "LAG", "HOSTED BY"] {
                assert!(table.contains(column), "{table}");
            }
        }
        assert!(widths(Some(80)).1.contains("VERSION"));
    }

    #[test]
    fn a_frame_redraws_on_a_terminal_only() {
        let frame = |status: &ClusterStatus| {
            written(|out| {
                Frame(shown(status)).terminal(out, Style { color: false, ..Style::default() })
            })
        };
        assert!(frame(&status()).starts_with("\x1b[H\x1b[J"));
        assert_eq!(
            written(|out| Frame(shown(&status())).plain(out)),
            written(|out| shown(&status()).plain(out))
        );
    }

    #[test]
    fn uptimes_have_two_units() {
        for (seconds, text) in [(5, "5s"), (75, "1m15s"), (7_260, "2h1m"), (90_000, "1d1h")] {
            assert_eq!(uptime(seconds), text);
        }
    }
}
