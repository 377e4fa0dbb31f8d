//! Which process is a replica's server, and signals to it.
//!
//! The story that this file prevents: a server crashes, its `LOCK` still names
//! process 4711; days later 4711 is somebody's editor, and `cluster down` kills
//! it. Or: server 1 has adopted replica 2, whose `LOCK` therefore names server
//! 1, and `cluster kill 2` kills the survivor. So a process id from a file is
//! only a hint; the process's own command line decides.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::error::{Error, ErrorCode, Result};

/// The part of `LOCK`'s first line that matters here.
#[derive(Deserialize)]
struct Holder {
    pid: u32,
}

/// The process that `LOCK` in a data directory names, dead or alive, ours or not.
fn named_in_lock(data_dir: &Path) -> Option<u32> {
    // Missing, or being written this very moment: no server of ours that has
    // got far enough to be signalled.
    let text = std::fs::read_to_string(data_dir.join("LOCK")).ok()?;
    let holder: Holder = serde_json::from_str(text.lines().next()?).ok()?;
    Some(holder.pid)
}

/// The process that serves a data directory as its own, if it runs.
pub fn server_of(data_dir: &Path) -> Option<u32> {
    named_in_lock(data_dir).filter(|pid| is_server_of(*pid, data_dir))
}

/// The process that holds a data directory although it is another replica's
/// server: one of `neighbours`, the data directories of the same cluster.
pub fn adopter_of<'a>(
    data_dir: &Path,
    mut neighbours: impl Iterator<Item = &'a Path>,
) -> Option<u32> {
    let pid = named_in_lock(data_dir)?;
    neighbours.any(|other| other != data_dir && is_server_of(pid, other)).then_some(pid)
}

/// Whether a process runs `serve` with this data directory. False for one that
/// has ended, also while its parent has not yet noticed.
pub fn is_server_of(pid: u32, data_dir: &Path) -> bool {
    let Some(arguments) = command_line(pid) else { return false };
    let serves = arguments.iter().any(|argument| argument == "serve");
    let here =
        arguments.windows(2).any(|pair| pair[0] == "--data-dir" && Path::new(&pair[1]) == data_dir);
    serves && here
}

/// The arguments of a running process; `None` when there is none, or it is
/// another user's and not to be seen.
#[cfg(target_os = "linux")]
fn command_line(pid: u32) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let arguments: Vec<String> = text.split_terminator('\0').map(str::to_string).collect();
    (!arguments.is_empty()).then_some(arguments)
}

/// Without /proc the system's own tool is asked. It joins arguments with
/// spaces, so a data directory with a space in its name is not recognized; then
/// the process counts as not ours and is left alone.
#[cfg(not(target_os = "linux"))]
fn command_line(pid: u32) -> Option<Vec<String>> {
    let output = std::process::Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let arguments: Vec<String> = text.split_whitespace().map(str::to_string).collect();
    (!arguments.is_empty()).then_some(arguments)
}

/// Signals a replica's server, if the process still is that. Returns whether
/// it was.
///
/// # Errors
/// [`ErrorCode::Io`] when the system refuses, as for another user's process.
pub fn signal(pid: u32, data_dir: &Path, signal: Signal) -> Result<bool> {
    if !is_server_of(pid, data_dir) {
        return Ok(false);
    }
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    match kill_process(target, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(Error::new(
            ErrorCode::Io,
            format!("cannot signal process {pid}: {}", std::io::Error::from(error)),
        )),
    }
}

/// Whether a process has begun to end and is not done: the kernel takes its
/// memory first, and with it the command line, and closes its files last. A
/// server started in between would find the port and `LOCK` taken.
#[cfg(target_os = "linux")]
fn is_ending(pid: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().any(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // The name before the state stands in parentheses and may hold any character.
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
    }) && command_line(pid).is_none()
}

/// Elsewhere nothing tells, and the process counts as ended.
#[cfg(not(target_os = "linux"))]
fn is_ending(_: u32) -> bool {
    false
}

/// Waits until whoever `LOCK` names is not just about to end, at most `limit`.
/// A killed server holds its ports, and those of replicas that it had adopted,
/// for a moment after it can no longer be recognized.
pub async fn wait_ended(data_dir: &Path, limit: Duration) {
    if let Some(pid) = named_in_lock(data_dir).filter(|pid| is_ending(*pid)) {
        // Should it take longer, the port that is taken is named.
        wait_gone(pid, data_dir, limit).await;
    }
}

/// Waits until a replica's server is gone, at most `limit`. Returns whether it is.
pub async fn wait_gone(pid: u32, data_dir: &Path, limit: Duration) -> bool {
    let deadline = tokio::time::Instant::now() + limit;
    let mut pause = Duration::from_millis(5);
    while is_server_of(pid, data_dir) || is_ending(pid) {
        if tokio::time::Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
    true
}

#[cfg(test)]
mod tests;
