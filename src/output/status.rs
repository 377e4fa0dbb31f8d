//! A cluster's status: a table, lines, and one sentence that matters.
//!
//! The sentence says whether writes are taken and how many more servers may
//! fail, or who takes messages alone; below it stands what to type next, where there is something to do.

mod sentence;

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

pub use self::sentence::sentence;
use super::{Show, Style, Tone, is_alone_since, sanitize};
use crate::config::CommandLines;
use crate::protocol::client::{ReplicaState, ReplicaStatus, UNKNOWN};
use crate::protocol::status::{ClusterStatus, Health};
use crate::types::{ReplicaId, Timestamp, format_size};

/// A status, and what is known of the cluster beside it.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Shown<'a> {
    status: &'a ClusterStatus,
    /// Command lines about the local cluster that this is. `None`: it is none,
    /// or nobody knows which; then no command line would be right.
    #[serde(skip)]
    lines: Option<&'a CommandLines>,
    #[serde(skip)]
    now: Option<Timestamp>,
}

impl<'a> Shown<'a> {
    /// Of a cluster, which is a local one where there are command lines about it.
    pub fn new(status: &'a ClusterStatus, lines: Option<&'a CommandLines>) -> Shown<'a> {
        Shown { status, lines, now: None }
    }

    /// The same, where it is known what time it is, so that of today no day is named.
    pub fn at(self, now: Timestamp) -> Shown<'a> {
        Shown { now: Some(now), ..self }
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
        writeln!(out, "{}", style.paint(tone, &sentence(self.status, self.now)))?;
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
    /// are stored and how many may be, or `none`. Where messages wait to be confirmed or a
    /// majority is missing that could, a line `unconfirmed` and how many wait. Last a line `writes`, then `taken` or
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
        let ClusterStatus { writable, confirming, unconfirmed, .. } = *self.status;
        if unconfirmed > 0 || writable != confirming {
            writeln!(out, "unconfirmed\t{unconfirmed}")?;
        }
        let writes = if writable { "taken" } else { "refused" };
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

impl Shown<'_> {
    /// What is wrong, a line each, and what to type where that helps.
    fn hints(&self) -> Vec<String> {
        let mut hints = self.status.notices.clone();
        hints.extend(self.hosts());
        hints.extend(self.unconfirmed());
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

    /// What no majority has confirmed, where the sentence does not tell.
    fn unconfirmed(&self) -> Option<String> {
        let status = self.status;
        let alone = status.replicas.iter().find_map(|it| Some((it.id, it.alone_since?)));
        match (status.confirming, alone, status.unconfirmed) {
            (true, Some((id, since)), count) => Some(format!(
                "{}, and {count} wait to be confirmed",
                is_alone_since(id, since, self.now)
            )),
            (_, None, count) if count > 0 => {
                Some(format!("{count} accepted by servers that were alone wait to be confirmed"))
            }
            _ => None,
        }
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
mod tests;
