//! What makes a death show early: threads that outlive the descriptors.

use std::path::PathBuf;

use super::log;
use rustix::process::Signal;

use crate::harness::Cluster;

/// Where the descriptors of a process's threads lead, by the thread's name.
fn descriptors(pid: u32) -> Vec<(String, Vec<PathBuf>)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let look = |task: std::io::Result<std::fs::DirEntry>| {
        let task = task.expect("a thread").path();
        // A thread that ends meanwhile is none that is looked for.
        let name = std::fs::read_to_string(task.join("comm")).ok()?;
        let open = std::fs::read_dir(task.join("fd")).ok()?;
        let leads = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).collect();
        Some((name.trim_end().to_string(), leads))
    };
    tasks.filter_map(look).collect()
}

#[test]
fn some_threads_have_neither_locks_nor_connections() {
    let cluster = Cluster::surviving();
    for id in 1..=3 {
        let threads = descriptors(cluster.pid(id));
        let is_lock = |path: &PathBuf| path.ends_with("LOCK");
        let is_socket = |path: &PathBuf| path.to_string_lossy().starts_with("socket:");
        let (outliving, working): (Vec<_>, Vec<_>) =
            threads.iter().partition(|(name, _)| name == "outlives");
        // Some containers do not allow it; then the server says so.
        let refused = log(&cluster, id).contains("does not let threads have descriptors");
        assert_eq!(outliving.len(), if refused { 0 } else { 4 }, "{threads:?}");
        for (_, leads) in outliving {
            assert!(!leads.iter().any(|path| is_lock(path) || is_socket(path)), "{leads:?}");
        }
        for (name, leads) in working {
            let holds = leads.iter().any(is_lock) && leads.iter().any(is_socket);
            assert!(holds, "{name}: {leads:?}");
        }
    }
}

/// The handler of a signal writes to a pipe, which must be there.
#[test]
fn no_thread_without_descriptors_is_asked_to_end() {
    let cluster = Cluster::surviving();
    for task in std::fs::read_dir(format!("/proc/{}/task", cluster.pid(1))).expect("it runs") {
        // A thread that ends meanwhile is none that is looked for.
        let path = task.expect("a thread").path().join("status");
        let Ok(status) = std::fs::read_to_string(path) else { continue };
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).expect("told");
        let blocked = u64::from_str_radix(field("SigBlk:").trim(), 16).expect("a mask");
        let terminate = 1 << (Signal::TERM.as_raw() - 1);
        let is_blocked = blocked & terminate != 0;
        assert_eq!(is_blocked, field("Name:").trim() == "outlives", "{status}");
    }
}
