//! What the error of a failed call on a file proves about the disk.
//!
//! | call | error | what it proves | what is done |
//! |---|---|---|---|
//! | fdatasync, fsync | any | bytes may be lost that the system shows | the directory is marked as poisoned |
//! | any other | `ENOSPC`, `EDQUOT`, `EFBIG` | no room | waited for |
//! | any other | `EMFILE`, `ENFILE`, `ENOMEM`, `ENOLCK`, `EAGAIN`, `EBUSY`, `EINTR` | the process or the machine is short of something | waited for |
//! | any other | `EACCES`, `EPERM`, `EROFS`, `ENOENT`, `ENOTDIR`, `ELOOP` and the like | somebody has changed something around the files | the server ends, the directory stays as it is |
//! | any other | `EIO`, `EUCLEAN`, `ENXIO`, `ENODEV`, `ESTALE`, and all that is not named here | the disk is broken | as after an fsync |
//!
//! Only the first and the last row prove damage. All other failures have left the
//! bytes that were durable before as they were.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Room on the disk.
    Room,
    /// File descriptors or memory, or the file itself is busy.
    Resources,
}

impl Shortage {
    /// What it means for a replica, for `status`.
    pub fn notice(self) -> &'static str {
        match self {
            Shortage::Room => "the disk is full: it stores nothing more until there is room",
            Shortage::Resources => {
                "no file descriptor or no memory is left: it stores nothing more until there is"
            }
        }
    }

    /// Why nothing is written, as the end of a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Shortage::Room => {
                "the disk of this server is full; it goes on by itself when there is room"
            }
            Shortage::Resources => {
                "this server has no file descriptor or no memory left; it goes on by itself when \
                 there is, and with a higher limit (ulimit -n) from its next start on"
            }
        }
    }
}

/// What an error of a call other than an fsync proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Short(Shortage),
    /// The call was not possible. The disk itself is not in question.
    Refused,
    Damage,
}

/// The error numbers that the standard library has no kind for.
const RESOURCES: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOLCK, Errno::NOBUFS];

pub(super) fn verdict(error: &io::Error) -> Verdict {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Verdict::Short(Shortage::Room)
        }
        ErrorKind::OutOfMemory
        | ErrorKind::WouldBlock
        | ErrorKind::Interrupted
        | ErrorKind::ResourceBusy => Verdict::Short(Shortage::Resources),
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::DirectoryNotEmpty
        | ErrorKind::InvalidFilename
        | ErrorKind::CrossesDevices => Verdict::Refused,
        _ => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(number) if RESOURCES.contains(&number) => Verdict::Short(Shortage::Resources),
            // The standard library does not tell its kind yet.
            Some(Errno::LOOP) => Verdict::Refused,
            _ => Verdict::Damage,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_proves_damage_counts_as_damage() {
        let verdict = |number: Errno| verdict(&io::Error::from_raw_os_error(number.raw_os_error()));
        for number in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert_eq!(verdict(number), Verdict::Short(Shortage::Room), "{number}");
        }
        for number in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::NOLCK,
            Errno::AGAIN,
            Errno::BUSY,
            Errno::INTR,
            Errno::NOBUFS,
        ] {
            assert_eq!(verdict(number), Verdict::Short(Shortage::Resources), "{number}");
        }
        for number in [
            Errno::ACCESS,
            Errno::PERM,
            Errno::ROFS,
            Errno::NOENT,
            Errno::EXIST,
            Errno::NOTDIR,
            Errno::ISDIR,
            Errno::LOOP,
            Errno::NAMETOOLONG,
            Errno::XDEV,
        ] {
            assert_eq!(verdict(number), Verdict::Refused, "{number}");
        }
        for number in [Errno::IO, Errno::NXIO, Errno::NODEV, Errno::STALE, Errno::BADF] {
            assert_eq!(verdict(number), Verdict::Damage, "{number}");
        }
        assert_eq!(super::verdict(&io::Error::other("anything")), Verdict::Damage);
    }
}
