//! On Linux `/proc` tells which files a process has open.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

use super::HasOpen;
use crate::host::FileId;

/// Whether a process has this file open.
pub fn has_open(pid: u32, file: FileId) -> HasOpen {
    let open = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(open) => open,
        // Nobody may look at a process that has begun to end either.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && runs(pid) => {
            return HasOpen::Unknown;
        }
        Err(_) => return HasOpen::No,
    };
    let is_it = |entry: fs::DirEntry| leads_to(&entry.path(), file);
    if open.flatten().any(is_it) { HasOpen::Yes } else { HasOpen::No }
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

/// Whether a process listens at a port.
pub fn listens(pid: u32, port: u16) -> bool {
    /// In the fourth field of a line.
    const LISTENING: &str = "0A";
    let table = |name| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let own_port = format!(":{port:04X}");
    // The tenth field of a line is the number of the socket.
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(3) == Some(&LISTENING) && fields.get(1)?.ends_with(&own_port);
        listens.then(|| fields.get(9).map(|socket| format!("socket:[{socket}]")))?
    };
    let sockets: Vec<String> = ["tcp", "tcp6"]
        .iter()
        .flat_map(|name| table(name).lines().filter_map(socket).collect::<Vec<_>>())
        .collect();
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|file| sockets.iter().any(|socket| file.as_os_str() == socket.as_str()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_at_a_port_is_known_and_who_only_connects_does_not() {
        let own = std::process::id();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        assert!(listens(own, port));
        assert!(!listens(1.max(own - 1), port), "another process");
        let there = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        assert!(!listens(own, there.local_addr().expect("bound").port()));
        drop(listener);
        assert!(!listens(own, port));
    }
}
