//! Folders with keys that appear as a whole or not at all.
//!
//! Such a folder is made beside its place, and gets its name last. Until then it holds a
//! file, [`MARK`], on which the command that makes it has a lock. A command that is killed
//! leaves its half of a folder behind, with keys in it. The next one that makes a folder at
//! the same place removes that: it has the name that such a folder gets, and the mark, and
//! nobody has the lock. Nothing else is touched, and another command that is just at work
//! has the lock.
//!
//! The mark goes when the folder has its name. A command that is killed right before that
//! leaves a whole folder with an empty file too many.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::description::same_file;
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Host, make_private_folders, open_private};

/// In a folder that has not got its name yet.
const MARK: &str = ".unfinished";

/// Makes a folder, which must not exist or be empty: `write_all` writes it beside its place.
/// Returns its whole path.
///
/// # Errors
/// Those of [`Unfinished::begin`], of `write_all` and of [`Unfinished::finish`].
pub(super) fn written_as_a_whole(
    host: &Host,
    out: &Path,
    write_all: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let unfinished = Unfinished::begin(host, out)?;
    match write_all(&unfinished.beside) {
        Ok(()) => unfinished.finish(),
        Err(error) => {
            unfinished.abandon();
            Err(error)
        }
    }
}

/// A folder that is being written beside its place. Dropped, it stays there, as that of a
/// command that was killed does.
pub(super) struct Unfinished {
    out: PathBuf,
    beside: PathBuf,
    _mark: fs::File,
}

impl Unfinished {
    /// Begins a folder whose place must not exist or be empty.
    ///
    /// # Errors
    /// [`ErrorCode::NotEmpty`]; [`ErrorCode::WrongUsage`]; [`ErrorCode::Io`].
    pub(super) fn begin(host: &Host, out: &Path) -> Result<Unfinished> {
        let out = check_out(out)?;
        remove_leftovers(&out);
        let mut name = out.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{:016x}", host.random_u64()));
        let beside = out.with_file_name(name);
        match mark(&beside) {
            Ok(mark) => Ok(Unfinished { out, beside, _mark: mark }),
            Err(error) => {
                remove(&beside);
                Err(error)
            }
        }
    }

    /// Where to write.
    pub(super) fn path(&self) -> &Path {
        &self.beside
    }

    /// Gives the folder its name, durably; its whole path.
    ///
    /// # Errors
    /// [`ErrorCode::NotEmpty`]; [`ErrorCode::Io`]. Then nothing is left of it.
    pub(super) fn finish(self) -> Result<PathBuf> {
        let Unfinished { out, beside, _mark } = self;
        // An empty folder gives way, and nothing else does.
        if let Err(error) = fs::rename(&beside, &out) {
            remove(&beside);
            return Err(match error.kind() {
                io::ErrorKind::DirectoryNotEmpty => not_empty(&out),
                _ => Error::own_file("make", &out, &error),
            });
        }
        if let Err(error) = fs::remove_file(out.join(MARK)) {
            tracing::warn!("{} is of no use: {error}", out.join(MARK).display());
        }
        let entries = fs::read_dir(&out).into_iter().flatten().flatten();
        let within = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
        let folders = within.chain([out.clone()]).chain(out.parent().map(Path::to_path_buf));
        for folder in folders {
            if let Err(error) = fs::File::open(folder).and_then(|it| it.sync_all()) {
                tracing::warn!("{} may not survive a power cut: {error}", out.display());
            }
        }
        Ok(out)
    }

    /// Removes what was written.
    pub(super) fn abandon(self) {
        remove(&self.beside);
    }
}

/// Removes a folder that did not become one.
fn remove(beside: &Path) {
    if let Err(left) = fs::remove_dir_all(beside)
        && left.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("{} is left behind: {left}", beside.display());
    }
}

/// Whether a folder may be made there; its whole path.
///
/// # Errors
/// [`ErrorCode::NotEmpty`]; [`ErrorCode::WrongUsage`]; [`ErrorCode::Io`].
pub fn check_out(out: &Path) -> Result<PathBuf> {
    let out = std::path::absolute(out).map_err(|error| Error::own_file("find", out, &error))?;
    refuse_what_is_there(&out)?;
    // Whoever is in a folder that is replaced would see an empty one.
    let is_here = std::env::current_dir().is_ok_and(|here| is_same_folder(&here, &out));
    if out.file_name().is_none() || is_here {
        let path = out.display();
        let message = format!("{path} is no folder that could be made; name a new one");
        return Err(Error::new(ErrorCode::WrongUsage, message));
    }
    Ok(out)
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(one).is_some() && real(one) == real(other)
}

fn not_empty(out: &Path) -> Error {
    Error::new(
        ErrorCode::NotEmpty,
        format!(
            "{} is not empty; name another folder, so that no key is written over",
            out.display()
        ),
    )
}

/// Refuses a folder that has something in it.
///
/// # Errors
/// [`ErrorCode::NotEmpty`]; [`ErrorCode::Io`].
pub(super) fn refuse_what_is_there(out: &Path) -> Result<()> {
    match fs::read_dir(out) {
        Ok(entries) => match entries.count() {
            0 => Ok(()),
            _ => Err(not_empty(out)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::own_file("look into", out, &error)),
    }
}

/// Makes the folder beside its place, and the mark in it, which is locked.
fn mark(beside: &Path) -> Result<fs::File> {
    make_private_folders(beside).map_err(|error| Error::own_file("make", beside, &error))?;
    let path = beside.join(MARK);
    let mut options = fs::OpenOptions::new();
    let file = open_private(options.write(true).create_new(true), &path)
        .map_err(|error| Error::own_file("make", &path, &error))?;
    // Another command may take it for one that is left, before it is locked.
    match fs4::FileExt::try_lock(&file) {
        Ok(()) if same_file(&file, &path) => Ok(file),
        Ok(()) | Err(fs4::TryLockError::WouldBlock) => Err(Error::unavailable(
            "another command makes the same folder; nothing was made, try again when it has ended",
        )),
        Err(fs4::TryLockError::Error(error)) => Err(Error::own_file("lock", &path, &error)),
    }
}

/// Removes what commands that were killed have left beside a folder's place.
fn remove_leftovers(out: &Path) {
    let (Some(parent), Some(name)) = (out.parent(), out.file_name()) else { return };
    // What cannot be listed is not there yet, or the command fails later and says why.
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !is_beside(&entry.file_name(), name) {
            continue;
        }
        let left = entry.path();
        match remove_leftover(&left) {
            Ok(true) => tracing::info!("removed {}, half of a folder", left.display()),
            Ok(false) => {}
            Err(error) => tracing::warn!("{} is left behind: {error}", left.display()),
        }
    }
}

/// Whether a folder gets this name while it is made.
fn is_beside(beside: &OsStr, name: &OsStr) -> bool {
    let digits = beside.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
    let digits = digits.and_then(|rest| rest.strip_prefix(b"."));
    digits.is_some_and(|digits| {
        digits.len() == 16 && digits.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Removes one of them; whether it was one.
fn remove_leftover(left: &Path) -> io::Result<bool> {
    let mark = left.join(MARK);
    let is_marked = fs::symlink_metadata(left).is_ok_and(|it| it.is_dir())
        && fs::symlink_metadata(&mark).is_ok_and(|it| it.is_file());
    if !is_marked {
        return Ok(false);
    }
    let file = fs::OpenOptions::new().write(true).open(&mark)?;
    // Somebody is at work, or has just ended.
    if fs4::FileExt::try_lock(&file).is_err() || !same_file(&file, &mark) {
        return Ok(false);
    }
    // The mark last: what is broken off here is found again.
    for entry in fs::read_dir(left)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false if entry.file_name() == MARK => {}
            false => fs::remove_file(entry.path())?,
        }
    }
    fs::remove_file(&mark)?;
    fs::remove_dir(left)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> = entries.map(|it| name(it).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn make(out: &Path) -> Result<PathBuf> {
        written_as_a_whole(&Host::real(), out, |beside| {
            fs::write(beside.join("key"), "new").map_err(|it| Error::own_file("write", out, &it))
        })
    }

    #[test]
    fn what_a_killed_command_left_goes_and_nothing_else() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let out = folder.path().join("new");
        let beside = |name: &str, is_marked: bool| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.join("alpha")).expect("a folder");
            fs::write(path.join("alpha/key"), "old").expect("a file");
            if is_marked {
                fs::write(path.join(MARK), "").expect("a file");
            }
            path
        };
        let left = beside("new.0123456789abcdef", true);
        let at_work = beside("new.fedcba9876543210", true);
        let lock = fs::File::open(at_work.join(MARK)).expect("a mark");
        fs4::FileExt::try_lock(&lock).expect("the lock");
        let others = [
            ("new.00000000000000aa", false),
            ("new.0123456789ABCDEF", true),
            ("newer.0123456789abcdef", true),
            ("new.0123", true),
        ];
        others.iter().for_each(|(name, is_marked)| drop(beside(name, *is_marked)));
        std::os::unix::fs::symlink(others[0].0, folder.path().join("new.0000000000000000"))
            .expect("a link");
        make(&out).expect("made");
        assert!(!left.exists());
        assert_eq!(names(&out), ["key"]);
        assert_eq!(
            names(folder.path()),
            [
                "new",
                "new.0000000000000000",
                "new.00000000000000aa",
                "new.0123",
                "new.0123456789ABCDEF",
                "new.fedcba9876543210",
                "newer.0123456789abcdef",
            ]
        );
        assert!(at_work.join("alpha/key").exists());
    }

    #[test]
    fn what_fails_leaves_nothing_and_what_is_there_stays() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let out = folder.path().join("new");
        let failed = written_as_a_whole(&Host::real(), &out, |beside| {
            fs::write(beside.join("key"), "new").expect("a file");
            Err(Error::unavailable("no"))
        });
        failed.expect_err("it failed");
        assert_eq!(names(folder.path()), [""; 0]);
        make(&out).expect("made");
        assert_eq!(make(&out).expect_err("full").code, ErrorCode::NotEmpty);
        assert_eq!(names(folder.path()), ["new"]);
    }
}
