//! Reading servers' logs, also while they grow and when they are full.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::rotating::older_log;
use crate::error::{Error, Result};
use crate::types::ReplicaId;

/// Bytes read with one call, and the longest line: a longer one is cut here.
const CHUNK_BYTES: usize = 64 * 1024;

/// Reads one replica's log from its beginning, then what is added to it.
///
/// A log that is not there yet is empty. If there is an older log, reading begins with
/// that: right after a log was full it is empty, and the last lines of the server are in
/// the older one. When the older log is another one than before, this one was full, and
/// its rest is read from there.
pub struct LogReader {
    /// The replica.
    pub id: ReplicaId,
    path: PathBuf,
    /// How far the log was read, none before the first look; and which file was
    /// the older one then.
    offset: Option<u64>,
    older: Option<u64>,
    /// A line whose end is not written yet.
    partial: Vec<u8>,
}

impl LogReader {
    /// A reader at the beginning of a log.
    pub fn new(id: ReplicaId, path: PathBuf) -> LogReader {
        LogReader { id, path, offset: None, older: None, partial: Vec::new() }
    }

    /// Hands every line that is complete by now to `line`.
    ///
    /// # Errors
    /// [`ErrorCode::Io`](crate::error::ErrorCode::Io), and those of `line`.
    pub fn read(&mut self, line: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let length = self.metadata(&self.path)?.map_or(0, |log| log.len());
        let older_path = older_log(&self.path);
        let older = self.metadata(&older_path)?;
        // It was full if there is another older log, and if this one is shorter:
        // between the two moments its lines are in both.
        let full = older.filter(|older| Some(older.ino()) != self.older && length < older.len());
        let mut offset = self.offset.unwrap_or(0);
        if let Some(older) = full {
            self.read_file(&older_path, offset, line)?;
            self.older = Some(older.ino());
            offset = 0;
        } else if length < offset {
            // Somebody emptied it by hand.
            offset = 0;
        }
        offset += self.read_file(&self.path.clone(), offset, line)?;
        self.offset = Some(offset);
        Ok(())
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read the log", path, &error)),
        }
    }

    /// Reads a file from an offset on, and returns how many bytes there were.
    fn read_file(
        &mut self,
        path: &Path,
        offset: u64,
        line: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<u64> {
        let failed = |error: &std::io::Error| Error::io("read the log", path, error);
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed(&error)),
        };
        file.seek(SeekFrom::Start(offset)).map_err(|error| failed(&error))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut bytes = 0;
        loop {
            let count = match file.read(&mut chunk) {
                Ok(0) => return Ok(bytes),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(&error)),
            };
            bytes += count as u64;
            self.split(&chunk[..count], line)?;
        }
    }

    fn split(&mut self, mut rest: &[u8], line: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(&rest[..end]);
            line(&String::from_utf8_lossy(&self.partial))?;
            self.partial.clear();
            rest = &rest[end + 1..];
        }
        self.partial.extend_from_slice(rest);
        if self.partial.len() >= CHUNK_BYTES {
            line(&String::from_utf8_lossy(&self.partial))?;
            self.partial.clear();
        }
        Ok(())
    }

    /// The last `count` lines that are complete by now.
    ///
    /// # Errors
    /// [`ErrorCode::Io`](crate::error::ErrorCode::Io).
    pub fn last(&mut self, count: usize) -> Result<Vec<String>> {
        let mut lines = VecDeque::new();
        self.read(&mut |line| {
            lines.push_back(line.to_string());
            if lines.len() > count {
                lines.pop_front();
            }
            Ok(())
        })?;
        Ok(lines.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::rotating::RotatingLog;
    use super::*;
    use std::io::Write;

    fn read(reader: &mut LogReader) -> Vec<String> {
        reader.last(usize::MAX).expect("readable")
    }

    #[test]
    fn lines_come_once_and_only_when_they_are_whole() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("replica-1.log");
        let mut reader = LogReader::new(ReplicaId(1), path.clone());
        assert_eq!(read(&mut reader), Vec::<String>::new(), "no log yet");
        let mut log = File::create(&path).expect("own folder");
        log.write_all(b"one\ntw").expect("own file");
        assert_eq!(read(&mut reader), ["one"]);
        log.write_all(b"o\n\xff\n").expect("own file");
        assert_eq!(read(&mut reader), ["two", "\u{fffd}"]);
        assert_eq!(read(&mut reader), Vec::<String>::new());
        std::fs::write(&path, "new\n").expect("own file");
        assert_eq!(read(&mut reader), ["new"], "the log was emptied by hand");
    }

    #[test]
    fn nothing_is_missed_or_told_twice_when_a_log_was_full() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("replica-1.log");
        let mut log = RotatingLog::open(&path, 20).expect("own folder");
        let mut following = LogReader::new(ReplicaId(1), path);
        for number in 0..50 {
            let (first, second) = (format!("{number}, first"), format!("{number}, second"));
            log.write_all(format!("{first}\n").as_bytes()).expect("own file");
            log.write_all(format!("{second}\n").as_bytes()).expect("own file");
            assert_eq!(read(&mut following), [first, second]);
        }
    }

    #[test]
    fn a_log_that_was_just_emptied_begins_with_the_older_one() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("replica-1.log");
        std::fs::write(older_log(&path), "one\ntwo\n").expect("own folder");
        std::fs::write(&path, "").expect("own folder");
        let mut reader = LogReader::new(ReplicaId(1), path.clone());
        assert_eq!(read(&mut reader), ["one", "two"]);
        std::fs::write(&path, "three\n").expect("own folder");
        assert_eq!(read(&mut reader), ["three"]);
        let mut reader = LogReader::new(ReplicaId(1), path);
        assert_eq!(reader.last(2).expect("readable"), ["two", "three"]);
    }

    #[test]
    fn a_line_without_an_end_is_cut_and_the_last_lines_are_found() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("replica-1.log");
        std::fs::write(&path, "x".repeat(3 * CHUNK_BYTES)).expect("own file");
        let mut reader = LogReader::new(ReplicaId(1), path.clone());
        assert_eq!(read(&mut reader).len(), 3);
        std::fs::write(&path, "1\n2\n3\n").expect("own file");
        let mut reader = LogReader::new(ReplicaId(1), path);
        assert_eq!(reader.last(2).expect("readable"), ["2", "3"]);
    }
}
