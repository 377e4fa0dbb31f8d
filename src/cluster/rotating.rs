//! A log file that does not grow for ever.
//!
//! When the file is full, its content is copied to a second file with `.1` at
//! the end of its name, which replaces the one that was there, and the file is
//! emptied. It is not renamed itself, as the server's standard error, with the message
//! of a panic for instance, goes into the same open file. A reader sees that the log
//! was full when the older file is another one than before.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::host::{open_private, replace_private};
use crate::sync::Mutex;

/// See the head of this file. Clones write to the same file.
#[derive(Clone)]
pub struct RotatingLog(Arc<Mutex<Log>>);

struct Log {
    path: PathBuf,
    file: File,
    max_bytes: u64,
}

/// Where the content of a log goes when it is full.
pub fn older_log(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// The older log while it is written; left behind by a process that died then.
pub fn unfinished_copy(older: &Path) -> PathBuf {
    older.with_extension("new")
}

impl RotatingLog {
    /// Opens a log, which goes on where it ended. Each of the two files takes
    /// about `max_bytes`.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::Io`] that names the file.
    pub fn open(path: &Path, max_bytes: u64) -> Result<RotatingLog> {
        let file = open_private(OpenOptions::new().append(true).create(true), path)
            .map_err(|error| Error::io("open the log", path, &error))?;
        let log = Log { path: path.to_path_buf(), file, max_bytes };
        Ok(RotatingLog(Arc::new(Mutex::new(log))))
    }
}

impl Log {
    fn make_room(&self) -> io::Result<()> {
        if self.file.metadata()?.len() < self.max_bytes {
            return Ok(());
        }
        let older = older_log(&self.path);
        let copy = unfinished_copy(&older);
        let mut new = replace_private(OpenOptions::new().write(true), &copy)?;
        io::copy(&mut File::open(&self.path)?, &mut new)?;
        std::fs::rename(&copy, &older)?;
        self.file.set_len(0)
    }
}

impl Write for RotatingLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock();
        // On a full disk the log goes on as long as the file system takes it.
        let _ = log.make_room();
        log.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn two_files_hold_the_newest_lines_and_no_more() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("replica-1.log");
        let mut log = RotatingLog::open(&path, 100).expect("own folder");
        // Lines that others wrote in between, as the message of a panic.
        let mut other = OpenOptions::new().append(true).open(&path).expect("it is there");
        for number in 0..1_000 {
            log.clone().write_all(format!("line {number}\n").as_bytes()).expect("own file");
            if number == 995 {
                other.write_all(b"panic\n").expect("own file");
            }
        }
        log.flush().expect("nothing to do");
        let read = |path: &Path| std::fs::read_to_string(path).expect("there");
        let (older, newer) = (read(&older_log(&path)), read(&path));
        assert!(older.len() < 120 && newer.len() < 120, "{} and {}", older.len(), newer.len());
        let lines: Vec<String> = (older + &newer).lines().map(str::to_string).collect();
        assert_eq!(lines.last().map(String::as_str), Some("line 999"));
        assert!(lines.contains(&"panic".to_string()) && lines.len() > 10, "{lines:?}");
        for path in [&path, &older_log(&path)] {
            let mode = std::fs::metadata(path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // Another process goes on with it.
        let mut again = RotatingLog::open(&path, 100).expect("there");
        again.write_all(b"again\n").expect("own file");
        assert!(read(&path).ends_with("line 999\nagain\n") || read(&path) == "again\n");
    }
}
