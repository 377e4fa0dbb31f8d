//! Files and folders that nobody else may read, whatever the umask says.
//!
//! Only what is made here gets a mode. What is there already may be shared with
//! others on purpose, or be no more ours than `/tmp` is.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Opens a file as `options` say, which make a missing one; that one is private.
/// A file that is there keeps its mode.
///
/// # Errors
/// Those of opening.
pub fn open_private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.mode(FILE_MODE);
    match options.clone().create_new(true).open(path) {
        Ok(file) => made_private(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    }
}

/// Makes an empty private file, opened as `options` say. Whatever has the name is
/// not written to but replaced: it may lead elsewhere, and others may read it.
///
/// # Errors
/// Those of making and removing a file.
pub fn replace_private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.mode(FILE_MODE).create_new(true);
    let made = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        made => made,
    };
    made_private(made?)
}

/// Puts a private file with this content in the place of whatever has the name, at once
/// and on the disk: a reader sees the old content or the new. What is written first lies
/// beside it.
///
/// # Errors
/// Those of making, writing and renaming a file. Nothing is left of the new one then.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Unique on this machine, so that two commands never share a draft.
    let draft = path.with_file_name(format!("{}-{count}.tmp", std::process::id()));
    let write = || {
        // One of that name is left by a process that died.
        let mut file = replace_private(OpenOptions::new().write(true), &draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().inspect_err(|_| {
        // What is left of the draft is of no use; the first error counts.
        let _ = fs::remove_file(&draft);
    })
}

/// Gives a file that was just made the bits that the umask took.
fn made_private(file: File) -> io::Result<File> {
    if file.metadata()?.mode() & 0o7777 != FILE_MODE {
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    }
    Ok(file)
}

/// Whether a file that exists lies in a folder, by whatever paths the two are
/// reached.
pub fn is_within(file: &Path, folder: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let (Ok(file), Some(folder)) = (file.canonicalize(), id(folder)) else { return false };
    file.ancestors().skip(1).any(|above| id(above) == Some(folder))
}

/// Makes a private folder, and those above it that are missing. Folders that
/// are there keep their modes. Another process may make and remove it meanwhile.
///
/// # Errors
/// Those of making folders.
pub fn make_private_folders(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_private_folders(parent)?;
    }
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Ok(()) => match fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)) {
            Err(error) if gone(&error) => Ok(()),
            set => set,
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(()),
            // A link to nothing is there and no folder.
            Err(missing) if gone(&missing) && !path.is_symlink() => Ok(()),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("own file");
    }

    #[test]
    fn only_what_is_made_gets_a_mode() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
        fs::write(&theirs, "theirs")?;
        set_mode(&theirs, 0o644);
        let mut appending = OpenOptions::new();
        appending.append(true).create(true);
        for path in [&theirs, &ours] {
            io::Write::write_all(&mut open_private(&mut appending, path)?, b" and ours")?;
        }
        assert_eq!((mode(&theirs), mode(&ours)), (0o644, 0o600));
        assert_eq!(fs::read_to_string(&theirs)?, "theirs and ours");

        let shared = folder.path().join("shared");
        fs::create_dir(&shared)?;
        set_mode(&shared, 0o1777);
        make_private_folders(&shared)?;
        make_private_folders(&shared.join("a/b"))?;
        let modes = ["", "a", "a/b"].map(|below| mode(&shared.join(below)));
        assert_eq!(modes, [0o1777, 0o700, 0o700]);
        Ok(())
    }

    #[test]
    fn what_is_replaced_is_not_written_to() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (theirs, name) = (folder.path().join("theirs"), folder.path().join("name"));
        fs::write(&theirs, "theirs")?;
        set_mode(&theirs, 0o644);
        for at in 0..3 {
            match at {
                0 => std::os::unix::fs::symlink(&theirs, &name)?,
                1 => fs::hard_link(&theirs, &name)?,
                _ => {}
            }
            let mut file = replace_private(OpenOptions::new().write(true), &name)?;
            io::Write::write_all(&mut file, b"ours")?;
            assert_eq!((mode(&name), fs::read_to_string(&name)?.as_str()), (0o600, "ours"));
            assert_eq!((mode(&theirs), fs::read_to_string(&theirs)?.as_str()), (0o644, "theirs"));
            fs::remove_file(&name)?;
        }
        Ok(())
    }
}
