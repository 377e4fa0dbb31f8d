//! On Linux `/proc` tells which files a process has open.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

use super::Sight;
use crate::host::FileId;

/// Whether a process has this file open.
pub fn of(pid: u32, file: FileId) -> Sight {
    let open = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(open) => open,
        // Nobody may look at a process that has begun to end either.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && runs(pid) => {
            return Sight::Hidden;
        }
        Err(_) => return Sight::Without,
    };
    let is_it = |entry: fs::DirEntry| leads_to(&entry.path(), file);
    if open.flatten().any(is_it) { Sight::With } else { Sight::Without }
}

fn leads_to(path: &std::path::Path, file: FileId) -> bool {
    fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (file.device, file.inode))
}

/// The process that runs `serve` and whose standard output and standard error
/// are this file.
pub fn serving_with_output(file: FileId) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_output = |pid: u32, number| leads_to(format!("/proc/{pid}/fd/{number}").as_ref(), file);
    pids.find(|pid| {
        is_output(*pid, 1)
            && is_output(*pid, 2)
            && command_line(*pid).split(|byte| *byte == 0).any(|word| word == b"serve")
    })
}

/// The arguments of a process, each with a zero behind it. Nothing of one that
/// has ended or begun to end: the kernel takes the memory first.
fn command_line(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

fn runs(pid: u32) -> bool {
    !command_line(pid).is_empty()
}

/// Whether a process has begun to end and is not done: its command line is gone,
/// and its files are closed last. A server started in between would find the
/// port and `LOCK` taken.
pub fn is_ending(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().any(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // The name before the state stands in parentheses and may hold any character.
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
    }) && !runs(pid)
}
