//! The cluster's secret key: a file with 64 hexadecimal digits, mode 0600.
//!
//! While a cluster gets a new key the file has two lines: the new key, then the old one.
//!
//! Replicas prove to each other that they hold it. Whoever can read it can
//! speak as a replica, so a file that others can read is refused, not used
//! with a warning that nobody reads.
//!
//! A service manager may give a service its own copy (`LoadCredential=` of systemd), in a
//! folder that no other user can enter. From version 254 on the file there is root's, and
//! an access control list lets the service read it. The bits of the group then show what
//! that list permits at most, and nobody else can read the file: so there, and only there,
//! the group's right to read is none of others.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorCode, Result};
use crate::host::{open_private, write_private};
use crate::types::Digest;

/// Bytes of the key.
pub const KEY_BYTES: usize = 32;

/// What a file of keys holds.
#[derive(Clone, PartialEq, Eq)]
pub struct FileKeys {
    /// The cluster's key, or the one that it is to get.
    pub newest: Zeroizing<[u8; KEY_BYTES]>,
    /// The one that it had before, while it gets a new one.
    pub older: Option<Zeroizing<[u8; KEY_BYTES]>>,
}

/// Reads the keys.
///
/// # Errors
/// [`ErrorCode::InvalidConfig`] when the file is missing, is open to others
/// (names the mode), or does not hold a key; [`ErrorCode::Io`] when it cannot
/// be read.
pub fn read(path: &Path) -> Result<FileKeys> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    read_with(path, credentials.as_deref().map(Path::new))
}

/// `credentials`: the folder in which a service manager has put what only this service may
/// read.
fn read_with(path: &Path, credentials: Option<&Path>) -> Result<FileKeys> {
    let refuse = |why: String| {
        Err(Error::new(
            ErrorCode::InvalidConfig,
            format!("the cluster key file {} {why}", path.display()),
        ))
    };
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return refuse(
                "is missing; every server of a cluster needs a copy of the same key".to_string(),
            );
        }
        Err(error) => return Err(Error::io("open the cluster key file", path, &error)),
    };
    let metadata = file.metadata().map_err(|error| Error::io("look at", path, &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    let is_credential = credentials.is_some_and(|folder| path.parent() == Some(folder));
    let of_others = if is_credential { 0o037 } else { 0o077 };
    if mode & of_others != 0 {
        return refuse(format!(
            "has mode {mode:04o}, so others can read the cluster's secret; \
             run: chmod 600 {}",
            super::shell_word(path.as_os_str())
        ));
    }
    // Longer than any key with its line end: enough to see that it is none.
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    (&mut file)
        .take(256)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io("read the cluster key file", path, &error))?;
    match parse_lines(&bytes) {
        Some(keys) => Ok(keys),
        None => refuse("does not hold 64 hexadecimal digits".to_string()),
    }
}

/// One key, or two on lines of their own.
fn parse_lines(bytes: &[u8]) -> Option<FileKeys> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let (newest, older) = match text.split_once('\n') {
        Some((newest, older)) => (newest, Some(parse(older.as_bytes())?)),
        None => (text, None),
    };
    Some(FileKeys { newest: parse(newest.as_bytes())?, older })
}

/// The key that is all a file holds, with white space around it at most.
pub(super) fn parse(bytes: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let Digest(key) = std::str::from_utf8(bytes).ok()?.trim().parse().ok()?;
    Some(Zeroizing::new(key))
}

/// Writes a new key, durably, into a file that must not exist yet.
///
/// # Errors
/// [`ErrorCode::Io`], also when the file is there: a key is never replaced,
/// since running replicas know each other by it.
pub fn write_new(path: &Path, key: &[u8; KEY_BYTES]) -> Result<()> {
    let text = Zeroizing::new(format!("{}\n", Digest(*key)));
    open_private(std::fs::OpenOptions::new().write(true).create_new(true), path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|error| Error::io("write the cluster key file", path, &error))
}

/// Puts one key, or a new one and the old one, durably into the place of what a file
/// holds. A crash leaves the one or the other.
///
/// # Errors
/// [`ErrorCode::Io`].
pub fn replace(path: &Path, keys: &FileKeys) -> Result<()> {
    let mut text = Zeroizing::new(String::new());
    for key in std::iter::once(&keys.newest).chain(&keys.older) {
        text.push_str(&Zeroizing::new(format!("{}\n", Digest(**key))));
    }
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    write_private(path, text.as_bytes())
        .and_then(|()| std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all())
        .map_err(|error| Error::io("write the cluster key file", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_stands_before_the_old_one() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cluster.key");
        let key = |byte| Zeroizing::new([byte; KEY_BYTES]);
        for older in [Some(key(1)), None] {
            let keys = FileKeys { newest: key(2), older };
            replace(&path, &keys).expect("own folder");
            assert!(read(&path).expect("two keys") == keys);
            let mode = std::fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let line = "ab".repeat(32);
        for wrong in [format!("{line}\n{line}\n{line}\n"), format!("{line}\nab\n")] {
            std::fs::write(&path, wrong).expect("own file");
            read(&path).map(drop).expect_err("neither one nor two");
        }
    }

    #[test]
    fn a_key_is_read_back_and_never_replaced() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cluster.key");
        write_new(&path, &[7; KEY_BYTES]).expect("new");
        assert_eq!(*read(&path).expect("own file").newest, [7; KEY_BYTES]);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(write_new(&path, &[8; KEY_BYTES]).expect_err("there").code, ErrorCode::Io);
        assert_eq!(*read(&path).expect("unchanged").newest, [7; KEY_BYTES]);
    }

    #[test]
    fn in_the_folder_of_credentials_the_bits_of_the_group_are_those_of_a_list() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cluster.key");
        write_new(&path, &[7; KEY_BYTES]).expect("new");
        let chmod = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("own file");
        };
        chmod(0o440);
        assert_eq!(*read_with(&path, Some(folder.path())).expect("ours").newest, [7; KEY_BYTES]);
        for elsewhere in [None, Some(Path::new("/run")), folder.path().parent()] {
            let error = read_with(&path, elsewhere).map(drop).expect_err("others can read it");
            assert!(error.message.contains("mode 0440"), "{error}");
        }
        for mode in [0o444, 0o460] {
            chmod(mode);
            read_with(&path, Some(folder.path())).map(drop).expect_err("more than a list permits");
        }
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cluster.key");
        let message = |path: &Path| {
            let error = read(path).map(drop).expect_err("no key");
            assert_eq!(error.code, ErrorCode::InvalidConfig);
            error.message
        };
        assert!(message(&path).contains("is missing"));
        write_new(&path, &[7; KEY_BYTES]).expect("new");
        let open = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&path, open).expect("own file");
        assert!(message(&path).contains("mode 0640"));
        let closed = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, closed).expect("own file");
        for wrong in ["".as_bytes(), b"abc", b"\xff\xfe", &[b'0'; 65]] {
            std::fs::write(&path, wrong).expect("own file");
            assert!(message(&path).contains("64 hexadecimal digits"));
        }
    }
}
