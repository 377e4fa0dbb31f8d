//! Writing and reading the file.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::source::{Kept, Source};
use super::{FORMAT, Head};
use crate::chat::Restore;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::record;
use crate::types::{Digest, Uuid};

/// Longest line that is read. Those of a state have at most about 64 KiB, and the line
/// of a very full inbox is not much longer.
const LINE_MAX_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct First {
    backup: Head,
}

#[derive(Serialize, Deserialize)]
struct Last {
    backup_end: Totals,
}

/// The totals in the last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Lines of the state.
    pub(super) lines: u64,
    /// Bytes of all lines, the first included.
    pub(super) bytes: u64,
    /// Of those bytes.
    pub(super) sha256: Digest,
}

/// A backup that is being written.
pub(super) struct BackupWriter<W> {
    out: W,
    hasher: Sha256,
    lines: u64,
    bytes: u64,
}

impl<W: Write> BackupWriter<W> {
    pub(super) fn begin(out: W, head: &Head) -> std::io::Result<BackupWriter<W>> {
        let mut writer = BackupWriter { out, hasher: Sha256::new(), lines: 0, bytes: 0 };
        let first = First { backup: head.clone() };
        writer.write(&serde_json::to_vec(&first).expect("plain data serializes"))?;
        Ok(writer)
    }

    /// Adds a line of the state.
    pub(super) fn line(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.lines += 1;
        self.write(line)
    }

    fn write(&mut self, payload: &[u8]) -> std::io::Result<()> {
        let record = record::encode(payload);
        self.hasher.update(&record);
        self.bytes += record.len() as u64;
        self.out.write_all(&record)
    }

    /// What is written.
    pub(super) fn written(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes the end. What it says, and the bytes of the whole.
    pub(super) fn finish(mut self) -> std::io::Result<(W, Totals, u64)> {
        let sha256 = Digest(self.hasher.clone().finalize().into());
        let totals = Totals { lines: self.lines, bytes: self.bytes, sha256 };
        let last = Last { backup_end: totals.clone() };
        self.write(&serde_json::to_vec(&last).expect("plain data serializes"))?;
        self.out.flush()?;
        Ok((self.out, totals, self.bytes))
    }
}

/// A backup that is being read. Every line is verified before it is given out,
/// the totals after the last.
pub(super) struct BackupReader {
    path: PathBuf,
    file: BufReader<Box<dyn Read>>,
    /// The number of the line that was read last.
    line: u64,
    hasher: Sha256,
    bytes: u64,
    totals: Option<Totals>,
}

impl BackupReader {
    /// Begins to read `bytes`, which are those of `path`.
    pub(super) fn begin(path: &Path, bytes: Box<dyn Read>) -> Result<(BackupReader, Head)> {
        let mut reader = BackupReader {
            path: path.to_path_buf(),
            file: BufReader::with_capacity(256 * 1024, bytes),
            line: 0,
            hasher: Sha256::new(),
            bytes: 0,
            totals: None,
        };
        let Some(payload) = reader.record()? else {
            return Err(reader.damaged("it is empty"));
        };
        let version: Option<u64> = serde_json::from_slice::<serde_json::Value>(&payload)
            .ok()
            .and_then(|value| value.get("backup")?.get("format")?.as_u64());
        match version {
            None => return Err(reader.damaged("it is no first line of a backup")),
            Some(newer) if newer > u64::from(FORMAT) => {
                return Err(Error::new(
                    ErrorCode::NewerFormat,
                    format!(
                        "{} was written by a newer ftchat, in format {newer}; use that one",
                        name(path)
                    ),
                ));
            }
            Some(_) => {}
        }
        match serde_json::from_slice::<First>(&payload) {
            Ok(First { backup }) => Ok((reader, backup)),
            Err(error) => Err(reader.damaged(&error.to_string())),
        }
    }

    /// The next line of the state; `None` after the last, with all verified.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.totals.is_some() {
            return Ok(None);
        }
        let before = (self.line, self.bytes, self.hasher.clone());
        let Some(payload) = self.record()? else {
            return Err(Error::new(
                ErrorCode::Corrupted,
                format!(
                    "{} ends after line {} and is not the whole backup: it was interrupted or cut \
                     off",
                    name(&self.path),
                    self.line
                ),
            ));
        };
        if !payload.starts_with(b"{\"backup_end\":") {
            return Ok(Some(payload));
        }
        let totals = match serde_json::from_slice::<Last>(&payload) {
            Ok(Last { backup_end }) => backup_end,
            Err(error) => return Err(self.damaged(&error.to_string())),
        };
        let (lines, bytes, hasher) = before;
        let sha256 = Digest(hasher.finalize().into());
        if totals != (Totals { lines: lines - 1, bytes, sha256 }) {
            return Err(self.damaged("its totals do not fit the lines before it"));
        }
        if self.record()?.is_some() {
            return Err(self.damaged("it follows the end of the backup"));
        }
        self.totals = Some(totals);
        Ok(None)
    }

    /// The next record's payload; `None` at the end of the file.
    fn record(&mut self) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.file).take(LINE_MAX_BYTES);
        limited
            .read_until(b'\n', &mut line)
            .map_err(|error| Error::own_file("read", Path::new(&name(&self.path)), &error))?;
        if line.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        self.bytes += line.len() as u64;
        self.hasher.update(&line);
        let Some(whole) = line.strip_suffix(b"\n") else {
            return Err(self.damaged("it is cut short"));
        };
        match record::decode(whole) {
            Ok(payload) => Ok(Some(payload.to_vec())),
            Err(damage) => Err(self.damaged(damage.what)),
        }
    }

    /// Whether what was read to its end is the backup that was verified.
    pub(super) fn read_all_of(&self, verified: &Verified) -> bool {
        self.totals.as_ref().is_some_and(|totals| totals.sha256 == verified.sha256)
    }

    /// An error about the line that was read last.
    pub(super) fn damaged(&self, what: &str) -> Error {
        Error::new(
            ErrorCode::Corrupted,
            format!(
                "{} is damaged, or no backup, at line {}: {what}",
                name(&self.path),
                self.line.max(1)
            ),
        )
    }
}

/// A path as users are told of it.
pub(super) fn name(path: &Path) -> String {
    match path.as_os_str() == "-" {
        true => "standard input".to_string(),
        false => path.display().to_string(),
    }
}

/// A backup that was read to its end and found to be whole.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The file; `-` for standard input.
    pub path: PathBuf,
    /// The very bytes that were verified, to be read again.
    pub(super) content: Option<Kept>,
    /// What its first line says.
    pub head: Head,
    /// Lines of the state.
    pub lines: u64,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// Of all bytes before the last line.
    pub sha256: Digest,
}

impl Verified {
    /// The backup's identity: two files are one backup if they are equal.
    pub fn id(&self) -> Uuid {
        let (head, _) = self.sha256.0.split_at(16);
        Uuid::from_bytes(head.try_into().expect("half of 32 bytes"))
    }
}

/// Reads a backup to its end: every line, the totals, and the state that they
/// make, whose own hash must hold. Needs as much memory as a server does.
/// `progress` is called with the number of every line.
///
/// # Errors
/// [`ErrorCode::Corrupted`] names file and line; [`ErrorCode::NewerFormat`];
/// [`ErrorCode::Io`]. Nothing was changed then, and the error says so.
pub fn verify(source: Source, progress: &dyn Fn(u64)) -> Result<Verified> {
    let verified = read_to_the_end(source, progress);
    verified.map_err(|error| {
        let message = format!("{}. Nothing was changed", error.message);
        Error { message, ..error }
    })
}

fn read_to_the_end(source: Source, progress: &dyn Fn(u64)) -> Result<Verified> {
    let Source { path, bytes, kept } = source;
    let (mut reader, head) = BackupReader::begin(&path, bytes)?;
    // Operation ids are not forgotten while nothing is applied.
    let mut restore = Restore::of_backup(1);
    while let Some(line) = reader.next()? {
        restore.line(&line).map_err(|error| match error.code {
            ErrorCode::NewerFormat => error,
            _ => reader.damaged(&error.message),
        })?;
        progress(reader.line);
    }
    let counts = match restore.finish() {
        Ok(state) => state.counts(),
        Err(error) => return Err(reader.damaged(&error.message)),
    };
    if (head.accounts, head.messages) != (counts.accounts as u64, counts.messages as u64) {
        return Err(reader.damaged("it has other accounts or messages than its first line says"));
    }
    let Some(Totals { lines, sha256, .. }) = reader.totals.clone() else {
        return Err(Error::internal("a backup was read to its end and has none"));
    };
    Ok(Verified { path, content: kept, head, lines, bytes: reader.bytes, sha256 })
}
