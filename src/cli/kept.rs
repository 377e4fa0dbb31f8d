//! Small files that one command keeps for the next ones.
//!
//! Each holds one fact and is replaced by renaming, so that commands that run at once
//! neither wait for each other nor lose what another writes. Files are private, and so
//! are the folders that are made for them. A folder that is there keeps its mode, as it
//! may be anybody's. But nothing is kept in one that others may change: they could put
//! theirs in.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::config::shell_word;
use crate::error::{Error, ErrorCode, Result};
use crate::host::{make_private_folders, read_bounded};

/// Longest file that is read: ours have some hundred bytes, with the addresses of a large
/// cluster some thousand.
pub(super) const FILE_MAX_BYTES: u64 = 16 * 1024;

/// A folder with such files.
pub(super) struct Folder<'a> {
    /// Where it is.
    pub(super) path: &'a Path,
    /// What is kept in it, for errors.
    pub(super) of: &'static str,
    /// What else can be done about a folder that is refused, as the end of a sentence.
    pub(super) otherwise: &'static str,
}

impl Folder<'_> {
    /// Makes it, and those above it that are missing.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] that names the folder, and those of [`Folder::check`].
    pub(super) fn prepare(&self) -> Result<()> {
        let what = format!("make the folder for {}", self.of);
        let failed = |error| Error::own_file(&what, self.path, &error);
        make_private_folders(self.path).map_err(failed)?;
        self.check()
    }

    /// Refuses a folder that others may change. One that is missing is none.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] that says why; [`ErrorCode::Io`].
    pub(super) fn check(&self) -> Result<()> {
        let metadata = match fs::metadata(self.path) {
            Ok(metadata) => metadata,
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(Error::own_file("look at", self.path, &error)),
        };
        let own = rustix::process::geteuid().as_raw();
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        let why = if owner != own && owner != 0 {
            format!("belongs to another user, number {owner}: remove it")
        } else if mode & 0o022 != 0 {
            let folder = shell_word(self.path.as_os_str());
            format!("has mode {mode:04o}, so others may change it: chmod go-w {folder}")
        } else {
            return Ok(());
        };
        let Folder { path, of, otherwise } = self;
        Err(Error::new(
            ErrorCode::InvalidConfig,
            format!("the folder for {of} {} {why}{otherwise}", path.display()),
        ))
    }
}

/// Nothing is at that path, nor could it be, as below `/dev/null`.
pub(super) fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The content of a file. `None`: there is none.
///
/// # Errors
/// [`ErrorCode::Io`] that names the file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match read_bounded(path, FILE_MAX_BYTES) {
        Ok(content) => Ok(Some(content)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(Error::own_file("read", path, &error)),
    }
}
