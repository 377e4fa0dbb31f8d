//! On which file systems a lock tells whether a process of this machine lives.

#[cfg(not(target_os = "linux"))]
pub(super) use self::elsewhere::kind_of;
#[cfg(target_os = "linux")]
pub(super) use self::linux::kind_of;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::path::Path;

    use crate::host::FileSystem;

    /// File systems on which the kernel alone decides who holds a lock, by the
    /// number that statfs(2) gives them. Not among them, on purpose: nfs, cifs,
    /// 9p, virtiofs and fuse, where a server or another kernel may see things
    /// differently.
    const LOCAL_FILE_SYSTEMS: [(u32, &str); 7] = [
        (0x0000_ef53, "ext4"),
        (0x5846_5342, "xfs"),
        (0x9123_683e, "btrfs"),
        (0x2fc1_2fc1, "zfs"),
        (0xf2f5_2010, "f2fs"),
        (0x0102_1994, "tmpfs"),
        (0x794c_7630, "overlay"),
    ];

    pub fn kind_of(path: &Path) -> io::Result<FileSystem> {
        // The type of the number differs between architectures; 32 bits hold it.
        let magic = rustix::fs::statfs(path)?.f_type as u32;
        let known = LOCAL_FILE_SYSTEMS.iter().find(|(number, _)| *number == magic);
        Ok(match known {
            Some((_, name)) => FileSystem { name: name.to_string(), locks_are_local: true },
            None => FileSystem { name: format!("type {magic:#x}"), locks_are_local: false },
        })
    }
}

/// Where nobody has looked closely enough. Its tests run everywhere.
#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere {
    use std::io;
    use std::path::Path;

    use crate::host::FileSystem;

    pub fn kind_of(path: &Path) -> io::Result<FileSystem> {
        std::fs::metadata(path)?;
        Ok(FileSystem { name: "not known on this system".to_string(), locks_are_local: false })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn where_nothing_is_known_no_lock_proves_anything() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert!(!elsewhere::kind_of(folder.path()).expect("it is there").locks_are_local);
        for kind_of in [kind_of, elsewhere::kind_of] {
            let missing = kind_of(Path::new("/nowhere/at/all")).expect_err("not there");
            assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
        }
    }
}
