use std::process::{Child, Command, Stdio};

use super::*;
use crate::types::Timestamp;

const ID: ReplicaId = ReplicaId(1);

/// A process that holds the lock of `data_dir` and waits until it is signalled
/// or its standard input closes.
fn holder(data_dir: &Path) -> Child {
    let mut child = Command::new("sh")
        .args(["-c", "exec 9<>LOCK && flock 9 && echo locked && read line"])
        .current_dir(data_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut byte = [0];
    let said = std::io::Read::read(child.stdout.as_mut().expect("piped"), &mut byte);
    assert_eq!(said.expect("a pipe"), 1, "it has the lock");
    child
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().expect("own child");
}

/// What a server writes into its `LOCK`.
pub fn lock_of(pid: u32, server: u32) -> String {
    let address = "127.0.0.1:8091".parse().expect("an address");
    let (started_at, server) = (Timestamp(0), ReplicaId(server));
    let holder = Holder { pid, started_at, address, server };
    serde_json::to_string(&holder).expect("plain data serializes") + "\n"
}

fn write_lock(data_dir: &Path, pid: u32, server: u32) {
    let line = lock_of(pid, server);
    std::fs::write(data_dir.join("LOCK"), line).expect("own folder");
}

async fn look(data_dir: &Path) -> Occupant {
    occupant(ID, data_dir, &data_dir.join("log")).await.expect("looks")
}

#[tokio::test]
async fn a_held_lock_is_the_only_truth() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let data_dir = folder.path();
    assert_eq!(look(data_dir).await, Occupant::Nobody, "no LOCK at all");
    write_lock(data_dir, 1, 1);
    assert_eq!(look(data_dir).await, Occupant::Nobody, "nobody has it");
    let child = holder(data_dir);
    write_lock(data_dir, child.id(), 1);
    let Occupant::Server(server) = look(data_dir).await else { panic!("it has it") };
    assert_eq!(server.pid, child.id());
    // By another path, which leads to the same folder.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(data_dir, &link).expect("a link");
    assert_eq!(look(&link).await, Occupant::Server(server));
    write_lock(data_dir, child.id(), 2);
    assert_eq!(look(data_dir).await, Occupant::Adopter(child.id()));
    assert!(keep_out([data_dir].into_iter()).await.is_err());
    end(child);
    assert_eq!(look(data_dir).await, Occupant::Nobody, "it has ended");
    assert_eq!(keep_out([data_dir].into_iter()).await.expect("free").len(), 1);
}

#[tokio::test]
async fn a_reused_process_id_is_never_taken_for_a_server() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let child = holder(folder.path());
    write_lock(folder.path(), child.id(), 1);
    let Occupant::Server(server) = look(folder.path()).await else { panic!("it has it") };
    let mut bystander =
        Command::new("sh").args(["-c", "read line", "serve"]).stdin(Stdio::piped()).spawn();
    let bystander = bystander.as_mut().expect("a shell");
    // As if the process had ended and its number were somebody else's now.
    let reused = Server { pid: bystander.id(), ..server };
    assert!(!reused.runs() && !reused.signal(Signal::KILL).expect("nothing to signal"));
    assert!(bystander.try_wait().expect("own child").is_none(), "it still runs");
    write_lock(folder.path(), bystander.id(), 1);
    assert_eq!(look(folder.path()).await, Occupant::Unseen(Some(bystander.id())));
    end(child);
    drop(bystander.stdin.take());
    bystander.wait().expect("own child");
}

#[tokio::test]
async fn a_torn_lock_names_nobody() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let child = holder(folder.path());
    for text in ["", "{\"pid\":", "{}", "poisoned 1\n", "{\"pid\":-4}\n"] {
        std::fs::write(folder.path().join("LOCK"), text).expect("own folder");
        assert_eq!(look(folder.path()).await, Occupant::Unseen(None), "{text:?}");
    }
    end(child);
}

#[tokio::test]
async fn a_server_without_a_lock_is_known_by_where_its_output_goes() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let log = folder.path().join("log");
    let file = || std::fs::File::options().create(true).append(true).open(&log).expect("own file");
    let start = |word: &str, out: Stdio| {
        let mut command = Command::new("sh");
        command.args(["-c", "read line", word]).stdin(Stdio::piped());
        command.stdout(out).stderr(file()).spawn().expect("a shell")
    };
    let others = [start("observe", file().into()), start("serve", Stdio::null())];
    let server = start("serve", file().into());
    // Until the new process has its own command line instead of ours.
    while look(folder.path()).await == Occupant::Nobody {
        tokio::task::yield_now().await;
    }
    assert_eq!(look(folder.path()).await.pid(), Some(server.id()));
    end(server);
    assert_eq!(look(folder.path()).await, Occupant::Nobody);
    others.into_iter().for_each(end);
}

#[tokio::test]
async fn a_signalled_server_is_waited_for() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut child = holder(folder.path());
    write_lock(folder.path(), child.id(), 1);
    let server = look(folder.path()).await.server().expect("it has it");
    let log = folder.path().join("no-log");
    assert!(!server.wait_gone(&log, Duration::from_millis(30)).await, "it runs");
    assert!(server.signal(Signal::TERM).expect("own child"));
    // Nobody has waited for it yet: it may be a zombie, which counts as gone.
    assert!(server.wait_gone(&log, Duration::from_secs(10)).await);
    assert!(!child.wait().expect("own child").success());
    assert!(!server.signal(Signal::TERM).expect("gone"));
}
