use std::process::{Child, Command, Stdio};

use super::*;

/// A process that looks like a server of `data_dir` and waits until it is
/// signalled or its standard input closes.
fn pretend_server(data_dir: &Path) -> Child {
    Command::new("sh")
        .args(["-c", "read line", "serve", "--data-dir"])
        .arg(data_dir)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell")
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().expect("own child");
}

fn write_lock(data_dir: &Path, pid: u32) {
    let line = format!("{{\"pid\":{pid},\"started_at\":\"x\",\"address\":\"h:1\"}}\n");
    std::fs::write(data_dir.join("LOCK"), line).expect("own folder");
}

/// Until the new process has its own command line instead of ours.
fn until_started(pid: u32, data_dir: &Path) {
    while !is_server_of(pid, data_dir) {
        std::thread::yield_now();
    }
}

#[test]
fn a_server_is_known_by_its_lock_and_its_command_line() {
    let folder = tempfile::tempdir().expect("temporary folder");
    assert_eq!(server_of(folder.path()), None, "no LOCK at all");
    let child = pretend_server(folder.path());
    until_started(child.id(), folder.path());
    write_lock(folder.path(), child.id());
    assert_eq!(server_of(folder.path()), Some(child.id()));
    end(child);
    assert_eq!(server_of(folder.path()), None, "it has ended");
}

#[test]
fn a_reused_process_id_is_never_taken_for_a_server() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut bystander = Command::new("sh")
        .args(["-c", "read line"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    write_lock(folder.path(), bystander.id());
    assert_eq!(server_of(folder.path()), None);
    assert!(!signal(bystander.id(), folder.path(), Signal::KILL).expect("nothing to signal"));
    assert!(bystander.try_wait().expect("own child").is_none(), "it still runs");
    end(bystander);
}

#[test]
fn a_host_of_an_adopted_replica_is_not_its_server() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (one, two) = (folder.path().join("replica-1"), folder.path().join("replica-2"));
    std::fs::create_dir_all(&one).and(std::fs::create_dir_all(&two)).expect("own folder");
    let child = pretend_server(&one);
    until_started(child.id(), &one);
    write_lock(&two, child.id());
    assert_eq!(server_of(&two), None);
    assert!(!signal(child.id(), &two, Signal::KILL).expect("nothing to signal"));
    let both = [one.as_path(), two.as_path()];
    assert_eq!(adopter_of(&two, both.into_iter()), Some(child.id()));
    assert_eq!(adopter_of(&two, [two.as_path()].into_iter()), None);
    end(child);
}

#[test]
fn a_torn_lock_names_nobody() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for text in ["", "{\"pid\":", "{}", "poisoned 1\n", "{\"pid\":-4}\n"] {
        std::fs::write(folder.path().join("LOCK"), text).expect("own folder");
        assert_eq!(server_of(folder.path()), None, "{text:?}");
    }
}

#[tokio::test]
async fn a_signalled_server_is_waited_for() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut child = pretend_server(folder.path());
    until_started(child.id(), folder.path());
    assert!(!wait_gone(child.id(), folder.path(), Duration::from_millis(30)).await, "it runs");
    assert!(signal(child.id(), folder.path(), Signal::TERM).expect("own child"));
    // Nobody has waited for it yet: it may be a zombie, which counts as gone.
    assert!(wait_gone(child.id(), folder.path(), Duration::from_secs(10)).await);
    assert!(!child.wait().expect("own child").success());
    assert!(!signal(child.id(), folder.path(), Signal::TERM).expect("gone"));
}
