//! Shell scripts stand in for servers: they take the lock of a data directory,
//! write `LOCK`, and end on SIGTERM or refuse to.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;

use super::super::description::{Description, tests as descriptions};
use super::super::launch::Program;
use rustix::process::kill_process;

use super::super::Limit;
use super::*;
use crate::client::survey::tests::{Server, host_with, leader};
use crate::host::Host;

const OBEDIENT: &str = "trap 'exit 0' TERM";
const ENDS_AT_ONCE: &str = "echo cannot; echo open; exit 3";

/// What `LOCK` says of its holder beside the process and the server, for a shell.
const SINCE: &str =
    "\\\"started_at\\\":\\\"2026-01-01T00:00:00.000Z\\\",\\\"address\\\":\\\"127.0.0.1:1\\\"";

struct Scene {
    _folder: tempfile::TempDir,
    cluster: Description,
    host: Host,
    program: Program,
}

impl Scene {
    fn new(base_port: u16, replicas: u32, first_line: &str, servers: &[(u32, Server)]) -> Scene {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut settings = descriptions::settings(&folder.path().join("cluster"));
        (settings.base_port, settings.replicas) = (base_port, replicas);
        let cluster = descriptions::make_with(&settings).expect("a new cluster");
        // `sh serve --id ...` in the cluster's folder reads this file. Executing
        // it would fail at times: another test's fork may hold it open.
        let text = format!(
            "{first_line}\nwhile [ \"$1\" != --data-dir ]; do shift; done\nlast=$2\nmkdir -p \"$last\"\n\
             exec 9<>\"$last/LOCK\"\nflock 9\n\
             echo \"{{\\\"pid\\\":$$,{SINCE},\\\"server\\\":${{last##*-}}}}\" > \"$last/LOCK\"\n\
             while :; do sleep 0.02 9>&- & wait $!; done\n"
        );
        std::fs::write(cluster.dir().join("serve"), text).expect("own folder");
        let at = |id: u32| cluster.replicas[id as usize - 1].address.clone();
        let servers: BTreeMap<_, _> =
            servers.iter().map(|(id, server)| (at(*id), server.clone())).collect();
        let program = Program { executable: "/bin/sh".into(), config_file: None, verbose: 0 };
        Scene { _folder: folder, cluster, host: host_with(servers), program }
    }

    fn supervisor(&self) -> Supervisor<'_> {
        Supervisor {
            cluster: self.cluster.clone(),
            host: &self.host,
            program: self.program.clone(),
            limit: Limit::Each(Duration::from_secs(20)),
            progress: &|_| {},
        }
    }

    /// Who runs a replica.
    async fn occupant(&self, id: u32) -> Occupant {
        let replica = self.cluster.replica(ReplicaId(id)).expect("known");
        self.supervisor().occupant(replica).await.expect("looks")
    }

    /// Whether a replica's server has its lock.
    fn is_locked(&self, id: u32) -> bool {
        let lock = self.cluster.dir().join(format!("replica-{id}/LOCK"));
        let Ok(lock) = std::fs::File::open(lock) else { return false };
        fs4::FileExt::try_lock_shared(&lock).is_err()
    }

    /// Starts a pretended server and waits until it has written its `LOCK`.
    async fn launch(&self, id: u32) -> Child {
        let replica = self.cluster.replica(ReplicaId(id)).expect("known");
        let child = self.program.launch(&self.cluster, replica).expect("a shell");
        while !self.is_locked(id) || self.occupant(id).await.pid() != Some(child.id()) {
            tokio::task::yield_now().await;
        }
        child
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn reap(mut child: Child) -> std::process::ExitStatus {
    child.wait().expect("own child")
}

#[tokio::test]
async fn all_are_stopped_at_once_a_frozen_one_too() {
    let scene = Scene::new(1, 3, OBEDIENT, &[]);
    let (one, two) = (scene.launch(1).await, scene.launch(2).await);
    scene.supervisor().freeze(ReplicaId(2)).await.expect("ours");
    let stopped = scene.supervisor().down(|_| true).await.all().expect("stopped");
    let ended: Vec<_> = stopped.iter().map(|s| (s.id.0, s.pid, s.ended)).collect();
    assert_eq!(
        ended,
        [
            (1, Some(one.id()), Ended::Stopped),
            (2, Some(two.id()), Ended::Stopped),
            (3, None, Ended::NotRunning)
        ]
    );
    assert!(reap(one).success() && reap(two).success());
}

#[tokio::test]
async fn one_that_has_let_go_of_its_lock_is_not_gone_before_it_has_ended() {
    let lingers = "trap 'exec 9>&-; sleep 0.3; exit 0' TERM";
    let scene = Scene::new(1, 1, lingers, &[]);
    let child = scene.launch(1).await;
    let stopped = scene.supervisor().stop(ReplicaId(1)).await.expect("ours");
    assert_eq!((stopped.ended, stopped.pid), (Ended::Stopped, Some(child.id())));
    assert_eq!(scene.occupant(1).await, Occupant::Nobody, "a start would find it running");
    assert!(reap(child).success());
}

#[tokio::test]
async fn one_is_killed_and_the_others_go_on() {
    let scene = Scene::new(1, 2, OBEDIENT, &[]);
    let (one, two) = (scene.launch(1).await, scene.launch(2).await);
    let killed = scene.supervisor().kill(ReplicaId(1)).await.expect("killed");
    assert_eq!((killed.pid, killed.ended), (Some(one.id()), Ended::Killed));
    assert_eq!(scene.occupant(1).await, Occupant::Nobody);
    assert_eq!(scene.occupant(2).await.pid(), Some(two.id()));
    let again = scene.supervisor().kill(ReplicaId(1)).await.expect("fine");
    assert_eq!((again.pid, again.ended), (None, Ended::NotRunning));
    assert_eq!(scene.supervisor().stop(ReplicaId(2)).await.expect("ours").ended, Ended::Stopped);
    assert!(!reap(one).success() && reap(two).success());
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_listen_is_killed_after_the_grace() {
    let scene = Scene::new(1, 1, "trap '' TERM", &[]);
    let child = scene.launch(1).await;
    let started = tokio::time::Instant::now();
    // Grace passes on the paused clock; that it kills, it tells, and from then
    // on the process ends in real time.
    let progress = |_: &str| tokio::time::resume();
    let supervisor = Supervisor { progress: &progress, ..scene.supervisor() };
    let stopped = supervisor.stop(ReplicaId(1)).await.expect("killed");
    assert_eq!((stopped.ended, stopped.pid), (Ended::Killed, Some(child.id())));
    assert!(started.elapsed() >= GRACE);
    assert!(!reap(child).success());
}

/// A script that takes the locks of both replicas as the server of the first.
fn adopts() -> String {
    format!(
        "mkdir -p replica-2; exec 8<>replica-2/LOCK; flock 8; \
         echo \"{{\\\"pid\\\":$$,{SINCE},\\\"server\\\":1}}\" > replica-2/LOCK"
    )
}

#[tokio::test]
async fn an_adopted_replica_is_not_stopped_by_stopping_its_host() {
    let scene = Scene::new(1, 2, &adopts(), &[]);
    let one = scene.launch(1).await;
    let stopped = scene.supervisor().kill(ReplicaId(2)).await.expect("left alone");
    assert_eq!(stopped.ended, Ended::NotRunning);
    assert_eq!(stopped.adopted_by_pid, Some(one.id()));
    assert_eq!(scene.occupant(1).await.pid(), Some(one.id()));
    let error = scene.supervisor().purge().await.expect_err("held");
    assert_eq!(error.code, ErrorCode::DirectoryInUse);
    scene.supervisor().kill(ReplicaId(1)).await.expect("ours");
    reap(one);
    assert!(scene.supervisor().purge().await.is_ok());
}

#[tokio::test]
async fn one_that_cannot_be_stopped_keeps_no_other_from_it() {
    let scene = Scene::new(1, 3, OBEDIENT, &[]);
    let servers = [scene.launch(1).await, scene.launch(2).await, scene.launch(3).await];
    // It says that it is another process, which has nothing of it.
    let lock = scene.cluster.dir().join("replica-1/LOCK");
    std::fs::write(&lock, crate::cluster::process::tests::lock_of(1, 1)).expect("own folder");
    std::fs::remove_file(scene.cluster.log_file(&scene.cluster.replicas[0])).expect("its log");
    let Ending { stopped, failed } = scene.supervisor().down(|_| true).await;
    let ids: Vec<_> = stopped.iter().map(|it| (it.id.0, it.ended)).collect();
    assert_eq!(ids, [(2, Ended::Stopped), (3, Ended::Stopped)]);
    let failed = failed.expect("one goes on");
    assert_eq!(failed.code, ErrorCode::DirectoryInUse);
    assert!(failed.message.contains("replica-1") && !failed.message.contains("replica-2"));
    let pid = rustix::process::Pid::from_child(&servers[0]);
    kill_process(pid, Signal::KILL).expect("own child");
    for server in servers {
        reap(server);
    }
}

#[tokio::test]
async fn starting_is_idempotent_and_waits_for_the_answer() {
    let scene = Scene::new(free_port(), 1, OBEDIENT, &[(1, leader())]);
    let supervisor = scene.supervisor();
    let started = supervisor.start(ReplicaId(1), true).await.expect("answers");
    assert!(!started.already_running && started.caught_up);
    let replica = &scene.cluster.replicas[0];
    while !scene.is_locked(replica.id.0) {
        tokio::task::yield_now().await;
    }
    let again = supervisor.start(ReplicaId(1), false).await.expect("answers");
    assert!(again.already_running);
    let mut launched = supervisor.launch_missing().await.expect("nothing to start");
    assert!(launched.is_empty());
    assert!(supervisor.wait_up(&mut launched).await.expect("writable").writable);
    assert_eq!(supervisor.stop(ReplicaId(1)).await.expect("ours").ended, Ended::Stopped);
}

#[tokio::test]
async fn a_taken_port_is_told_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let scene = Scene::new(taken.local_addr().expect("bound").port(), 1, OBEDIENT, &[]);
    let error = scene.supervisor().launch_missing().await.err().expect("taken");
    assert_eq!(error.code, ErrorCode::AddressInUse);
    assert!(!Path::new(&scene.cluster.log_file(&scene.cluster.replicas[0])).exists());
}

#[tokio::test]
async fn a_server_that_ends_at_once_is_reported_with_its_log() {
    let scene = Scene::new(free_port(), 1, ENDS_AT_ONCE, &[]);
    let told = std::cell::RefCell::new(Vec::new());
    let progress = |line: &str| told.borrow_mut().push(line.to_string());
    let supervisor = Supervisor { progress: &progress, ..scene.supervisor() };
    let mut launched = supervisor.launch_missing().await.expect("started");
    let error = supervisor.wait_up(&mut launched).await.expect_err("it ends");
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("replica 1 ended at once (exit status: 3)"), "{error}");
    let told = told.borrow();
    assert!(told.contains(&"replica-1 | cannot".to_string()), "{told:?}");
    assert!(told.contains(&"replica-1 | open".to_string()), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_in_time() {
    let scene = Scene::new(free_port(), 1, OBEDIENT, &[(1, Server::Frozen)]);
    let error = scene.supervisor().start(ReplicaId(1), false).await.expect_err("silent");
    assert!(error.message.contains("replica 1 does not answer"), "{error}");
    // A process ends in real time; the paused clock would run ahead of it.
    tokio::time::resume();
    assert_eq!(scene.supervisor().kill(ReplicaId(1)).await.expect("ours").ended, Ended::Killed);
}

#[tokio::test]
async fn what_this_process_started_is_stopped_before_it_has_said_a_word() {
    let scene = Scene::new(free_port(), 1, "sleep 60", &[]);
    let supervisor = scene.supervisor();
    let mut launched = supervisor.launch_missing().await.expect("started");
    assert!(!scene.is_locked(1), "no LOCK yet");
    supervisor.stop_launched(&mut launched).await.expect("ours").all().expect("stopped");
    assert!(launched.iter().all(|server| !server.runs()));
}

#[tokio::test]
async fn an_unknown_replica_is_refused_everywhere() {
    let scene = Scene::new(1, 1, OBEDIENT, &[]);
    let supervisor = scene.supervisor();
    let nine = ReplicaId(9);
    for code in [
        supervisor.start(nine, false).await.expect_err("unknown").code,
        supervisor.stop(nine).await.expect_err("unknown").code,
        supervisor.kill(nine).await.expect_err("unknown").code,
        supervisor.restart(&[nine]).await.expect_err("unknown").code,
    ] {
        assert_eq!(code, ErrorCode::UnknownReplica);
    }
}
