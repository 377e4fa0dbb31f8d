//! On which file systems a lock tells whether a process of this machine lives.

use std::io;
use std::path::Path;

use super::FileSystem;

/// File systems on which the kernel alone decides who holds a lock, by the
/// number that statfs(2) gives them. Not among them, on purpose: nfs, cifs, 9p,
/// virtiofs and fuse, where a server or another kernel may see things differently.
#[cfg(target_os = "linux")]
const LOCAL_FILE_SYSTEMS: [(u32, &str); 7] = [
    (0x0000_ef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x2fc1_2fc1, "zfs"),
    (0xf2f5_2010, "f2fs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlay"),
];

#[cfg(target_os = "linux")]
pub(super) fn kind_of(path: &Path) -> io::Result<FileSystem> {
    // The type of the number differs between architectures; 32 bits hold it.
    let magic = rustix::fs::statfs(path)?.f_type as u32;
    let known = LOCAL_FILE_SYSTEMS.iter().find(|(number, _)| *number == magic);
    Ok(match known {
        Some((_, name)) => FileSystem { name: name.to_string(), locks_are_local: true },
        None => FileSystem { name: format!("type {magic:#x}"), locks_are_local: false },
    })
}

/// Elsewhere nobody has looked closely enough.
#[cfg(not(target_os = "linux"))]
pub(super) fn kind_of(path: &Path) -> io::Result<FileSystem> {
    fs::metadata(path)?;
    Ok(FileSystem { name: "not known on this system".to_string(), locks_are_local: false })
}
