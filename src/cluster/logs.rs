//! Reading servers' logs, also while they grow.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::types::ReplicaId;

/// Bytes read with one call, and the longest line: what is longer is cut here.
const CHUNK_BYTES: usize = 64 * 1024;

/// Reads one replica's log from its beginning, then what is added to it.
///
/// A log that is not there yet is empty; one that got shorter was begun anew
/// and is read from its new beginning.
pub struct LogReader {
    /// The replica.
    pub id: ReplicaId,
    path: PathBuf,
    offset: u64,
    /// A line whose end is not written yet.
    partial: Vec<u8>,
}

impl LogReader {
    /// A reader at the beginning of a log.
    pub fn new(id: ReplicaId, path: PathBuf) -> LogReader {
        LogReader { id, path, offset: 0, partial: Vec::new() }
    }

    /// Hands every line that is complete by now to `line`.
    ///
    /// # Errors
    /// [`ErrorCode::Io`](crate::error::ErrorCode::Io), and those of `line`.
    pub fn read(&mut self, line: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let failed = |error: &std::io::Error| Error::io("read the log", &self.path, error);
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(&error)),
        };
        let length = file.metadata().map_err(|error| failed(&error))?.len();
        if length < self.offset {
            self.offset = 0;
            self.partial.clear();
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(|error| failed(&error))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = match file.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(&error)),
            };
            self.offset += count as u64;
            let mut rest = &chunk[..count];
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
        }
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
        assert_eq!(read(&mut reader), ["new"], "the log was begun anew");
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
