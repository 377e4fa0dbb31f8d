//! Where a backup is read from: a file, or what can be read only once.
//!
//! A backup is read twice, to be verified and to be restored, and both must be the same
//! bytes. So a file is opened once, and what comes from a pipe is kept in a file that
//! has no name while it is read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorCode, Result};

/// A backup to be read from its beginning.
pub struct Source {
    /// The file; `-` for standard input.
    pub(super) path: PathBuf,
    pub(super) bytes: Box<dyn Read>,
    /// What has been read, to be read again.
    pub(super) kept: Option<Kept>,
}

impl Source {
    /// Opens a file that is read once. `-` is standard input.
    ///
    /// # Errors
    /// [`ErrorCode::Io`]; [`ErrorCode::WrongUsage`] for a folder.
    pub fn once(path: &Path) -> Result<Source> {
        let file = open(path)?;
        Ok(Source { path: path.to_path_buf(), bytes: Box::new(file), kept: None })
    }

    /// Opens a file whose content can be read again. What can be read only once,
    /// as a pipe, is kept in a file in `folder` that is gone with this process.
    ///
    /// # Errors
    /// As [`Source::once`].
    pub fn again(path: &Path, folder: &Path, random: u64) -> Result<Source> {
        let file = open(path)?;
        let metadata = file.metadata().map_err(|error| Error::own_file("look at", path, &error))?;
        let path = path.to_path_buf();
        // Standard input may have been read in part by others.
        if metadata.is_file() && path.as_os_str() != "-" {
            let kept = Kept(Arc::new(file));
            return Ok(Source { path, bytes: kept.reader(), kept: Some(kept) });
        }
        let kept = Kept::nameless(folder, random)?;
        let copy = Copying { from: file, to: kept.0.clone(), folder: folder.to_path_buf() };
        Ok(Source { path, bytes: Box::new(copy), kept: Some(kept) })
    }
}

fn open(path: &Path) -> Result<File> {
    let file = match path.as_os_str() == "-" {
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(path),
    };
    let file = file.map_err(|error| Error::own_file("open", path, &error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let why = format!("{} is a folder and no backup", path.display());
        return Err(Error::new(ErrorCode::WrongUsage, why));
    }
    Ok(file)
}

/// Content that can be read from its beginning as often as needed.
#[derive(Clone, Debug)]
pub(super) struct Kept(Arc<File>);

impl Kept {
    /// An empty file that nobody else can open.
    fn nameless(folder: &Path, random: u64) -> Result<Kept> {
        let path = folder.join(format!(".ftchat-{random:016x}.tmp"));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let made = options.open(&path).and_then(|file| {
            fs::remove_file(&path)?;
            Ok(file)
        });
        let file = made.map_err(|error| Error::own_file("make", &path, &error))?;
        Ok(Kept(Arc::new(file)))
    }

    /// The content from its beginning.
    pub(super) fn reader(&self) -> Box<dyn Read> {
        Box::new(Positioned { file: self.0.clone(), at: 0 })
    }
}

/// Reads a file that others read as well.
struct Positioned {
    file: Arc<File>,
    at: u64,
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Keeps what is read.
struct Copying {
    from: File,
    to: Arc<File>,
    folder: PathBuf,
}

impl Read for Copying {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        (&*self.to).write_all(&buffer[..count]).map_err(|error| {
            let folder = self.folder.display();
            let what = format!("it cannot be kept in {folder} (TMPDIR names another folder)");
            io::Error::new(error.kind(), format!("{what}: {error}"))
        })?;
        Ok(count)
    }
}
