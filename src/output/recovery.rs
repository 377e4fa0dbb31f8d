//! What `cluster recover` prints.

use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::{Show, Style, local_time, sanitize};
use crate::cluster::recovered::Made;
use crate::recovery::{DirectoryFound, Found};
use crate::types::{ReplicaId, Uuid};

/// A cluster that was made out of what was left of another.
#[derive(Debug)]
pub struct RecoveredCluster {
    /// What people call it.
    pub name: String,
    /// Its id.
    pub cluster: Uuid,
    /// Its folder, and what is in it.
    pub made: Made,
    /// What it was made from.
    pub from: Found,
    /// What the old cluster was called, or the beginning of its id.
    pub old_name: String,
    /// Whether the user has seen what was found.
    pub told: bool,
    /// The command that starts it, if that is one on this machine.
    pub next: Option<String>,
}

#[derive(Serialize)]
struct Replica<'a> {
    id: ReplicaId,
    address: String,
    dir: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
struct From<'a> {
    name: &'a str,
    #[serde(flatten)]
    found: &'a Found,
    may_be_missing: Vec<String>,
}

impl RecoveredCluster {
    fn replicas(&self) -> impl Iterator<Item = Replica<'_>> {
        self.made.replicas.iter().map(|(id, address, dir)| Replica {
            id: *id,
            address: address.to_string(),
            dir: dir.to_string_lossy(),
        })
    }
}

impl Serialize for RecoveredCluster {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("recovered", 7)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("cluster", &self.cluster)?;
        fields.serialize_field("dir", &self.made.dir.to_string_lossy())?;
        fields.serialize_field("fingerprint", &self.made.fingerprint)?;
        fields.serialize_field("connect", &self.made.connect)?;
        fields.serialize_field("replicas", &self.replicas().collect::<Vec<_>>())?;
        let may_be_missing = missing_lines(&self.from, |at| at.to_string());
        let from = From { name: &self.old_name, found: &self.from, may_be_missing };
        fields.serialize_field("from", &from)?;
        fields.end()
    }
}

/// Numbers of replicas in a sentence.
fn servers(ids: &[ReplicaId]) -> String {
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [one] => format!("server {one}"),
        [first @ .., last] => format!("servers {} and {last}", first.join(", ")),
        [] => "no server".to_string(),
    }
}

/// What may be missing in the new cluster, in sentences; empty where nothing can be.
fn missing_lines(found: &Found, time: impl Fn(crate::types::Timestamp) -> String) -> Vec<String> {
    let mut lines = Vec::new();
    let newest = match found.newest_message_at {
        Some(at) => format!("the newest message in the log is of {}", time(at)),
        None => "the log has no message".to_string(),
    };
    let missing = &found.missing_replicas;
    match (found.confirmed_may_be_missing, missing.is_empty()) {
        (true, false) => lines.push(format!(
            "Messages that only {} had may be missing, also confirmed ones: {newest}",
            servers(missing)
        )),
        (true, true) => lines.push(format!(
            "Confirmed messages may be missing, as the directories are damaged: {newest}"
        )),
        (false, false) => lines.push(format!(
            "Whatever the old cluster had confirmed is here; messages that {} took alone are not",
            servers(missing)
        )),
        (false, true) => {}
    }
    let damaged = found.directories.iter().filter(|it| !it.problems.is_empty()).count();
    if damaged > 0 {
        lines.push(format!("Something is wrong with {damaged} of the directories"));
    }
    if found.left_out > 0 {
        lines.push(format!(
            "{} changes at the end of a log are left out: of accounts, by administrators, or of \
             sessions that had ended",
            found.left_out
        ));
    }
    lines
}

fn directory_line(found: &DirectoryFound) -> String {
    let dir = found.dir.display();
    let mut parts = Vec::new();
    if let (Some(last), Some(term)) = (found.last_log, found.term) {
        parts.push(format!("log up to entry {last} of term {term}"));
    }
    if let Some(snapshot) = found.snapshot {
        parts.push(format!("snapshot up to entry {snapshot}"));
    }
    if found.outbox > 0 {
        parts.push(format!("{} changes taken alone", found.outbox));
    }
    parts.extend(found.problems.iter().cloned());
    let server = match found.replica {
        Some(id) => format!("server {id}"),
        None => "not usable".to_string(),
    };
    format!("{dir}: {server}; {}", parts.join("; "))
}

/// What was found, and what may be missing, a line each.
pub fn found_lines(found: &Found) -> Vec<String> {
    let mut lines: Vec<String> = found.directories.iter().map(directory_line).collect();
    lines.push(format!(
        "In all: {} accounts, {} messages; {} log entries not known to be committed, {} changes \
         that servers took alone",
        found.accounts,
        found.messages,
        found.not_known_committed,
        found.taken_alone + found.adopted
    ));
    lines.extend(missing_lines(found, local_time));
    lines
}

impl Show for RecoveredCluster {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        if !self.told {
            for line in found_lines(&self.from) {
                writeln!(out, "{}", sanitize(&line))?;
            }
        }
        let dir = self.made.dir.to_string_lossy();
        writeln!(out, "The cluster {} in {} has it.", sanitize(&self.name), sanitize(&dir))?;
        match (&self.next, &self.made.connect) {
            (Some(next), _) => writeln!(out, "Start it with: {next}")?,
            (None, Some(connect)) => {
                writeln!(out, "README.txt there says what to do now. People need this word:")?;
                writeln!(out, "  {}", sanitize(connect))?;
            }
            (None, None) => {}
        }
        writeln!(out, "People log in again, with their old passwords.")
    }

    /// Each replica: id, address, folder; then a name and a value a line.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        for Replica { id, address, dir } in self.replicas() {
            writeln!(out, "{id}\t{address}\t{}", sanitize(&dir))?;
        }
        writeln!(out, "fingerprint\t{}", self.made.fingerprint)?;
        if let Some(connect) = &self.made.connect {
            writeln!(out, "connect\t{connect}")?;
        }
        writeln!(out, "accounts\t{}", self.from.accounts)?;
        writeln!(out, "messages\t{}", self.from.messages)?;
        for directory in &self.from.directories {
            let dir = directory.dir.to_string_lossy();
            for problem in &directory.problems {
                writeln!(out, "problem\t{}\t{}", sanitize(&dir), sanitize(problem))?;
            }
        }
        for line in missing_lines(&self.from, |at| at.to_string()) {
            writeln!(out, "may_be_missing\t{}", sanitize(&line))?;
        }
        Ok(())
    }

    fn outcome(&self) -> Option<String> {
        Some(format!("the new cluster is in {}", sanitize(&self.made.dir.to_string_lossy())))
    }
}
