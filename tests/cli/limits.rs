//! What the system limits: descriptors that are left to servers, sizes of files,
//! and time.

use crate::harness::cluster::PASSWORD;
use crate::harness::{ByHand, Cluster, wait_for};

/// A shell that holds the lock of a file on descriptor 9, then becomes the command.
fn holding(lock: &std::path::Path) -> Vec<String> {
    std::fs::write(lock, "").expect("a file");
    let script = format!("exec 9>'{}' 8<&9; flock 9 && exec \"$@\"", lock.display());
    ["sh", "-c", &script, "sh"].map(str::to_string).to_vec()
}

fn is_free(lock: &std::path::Path) -> bool {
    let lock = std::fs::File::open(lock).expect("a file");
    fs4::FileExt::try_lock(&lock).is_ok()
}

#[test]
fn servers_have_nothing_of_what_their_starter_had_open() {
    let cluster = Cluster::new();
    let lock = cluster.place.path().join("l");
    cluster.admin(&["down"]).end().ok();
    for action in [&["up", "-d"][..], &["restart", "2"]] {
        cluster.admin(action).under(&holding(&lock)).end().ok();
        assert!(is_free(&lock), "{action:?}");
    }
    cluster.admin(&["kill", "3"]).end().ok();
    cluster.admin(&["start", "3"]).under(&holding(&lock)).end().ok();
    assert!(is_free(&lock));
}

#[test]
fn a_server_that_is_started_by_hand_keeps_nothing_but_its_three_streams() {
    let mut by_hand = ByHand::new();
    let lock = by_hand.cluster.place.path().join("l");
    by_hand.kill(3);
    let server = by_hand.serve(3).under(&holding(&lock)).start();
    by_hand.cluster.await_whole();
    assert!(is_free(&lock));
    // A key that a shell passes on is read all the same.
    drop(server);
    let cluster = &by_hand.cluster;
    let peers: Vec<String> =
        (1..).zip(cluster.addresses()).map(|(id, address)| format!("{id}={address}")).collect();
    let wrapper = format!("exec 7<'{}/common.key'; exec \"$@\"", cluster.place.path().display());
    let _server = cluster
        .run(&["serve", "--id", "3", "--peers", &peers.join(",")])
        .and(&["--data-dir", &cluster.data_dir(3).display().to_string()])
        .and(&["--cluster-key-file", "/dev/fd/7"])
        .under(&["sh", "-c", &wrapper, "sh"])
        .start();
    cluster.await_whole();
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    // In blocks of 512 bytes.
    let cluster = Cluster::under(&["sh", "-c", "ulimit -f 256; exec \"$@\"", "sh"]);
    let pids = [1, 2, 3].map(|id| cluster.pid(id));
    let alice = cluster.person("alice");
    let text = "x".repeat(8_000);
    let mut taken = Vec::new();
    let refused = wait_for("a message that does not fit", || {
        let sent = alice.does(&["send", &alice.name, &text, "--timeout", "3s"]);
        match sent.code {
            Some(0) => taken.push(sent.stdout.trim_end().to_string()),
            _ => return Some(sent),
        }
        None
    });
    assert!(matches!(refused.code, Some(3 | 6)), "{refused:?}");
    assert!(refused.stderr.contains("full"), "{refused:?}");
    assert!(taken.len() > 3, "{taken:?}");
    assert_eq!([1, 2, 3].map(|id| cluster.server(id)), pids.map(Some));
    // With room all goes on, and nothing is lost.
    cluster.admin(&["down"]).end().ok();
    cluster.admin(&["up", "-d"]).end().ok();
    alice.run(&["login", &alice.name, "--password-stdin"]).stdin(PASSWORD).end().ok();
    taken.push(alice.send(&alice, "goes on"));
    let ids = alice.ids();
    assert!(taken.iter().all(|id| ids.contains(id)), "{taken:?} and {ids:?}");
}

#[test]
fn a_command_whose_output_may_not_grow_tells_so_and_is_not_ended_by_it() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let out = cluster.place.path().join("out").display().to_string();
    let wrapper = format!("ulimit -f 1; exec \"$@\" > '{out}'");
    for id in 0..4 {
        alice.send(&alice, &format!("{id} {}", "x".repeat(500)));
    }
    let read = alice.run(&["inbox", "--peek", "--json"]).under(&["sh", "-c", &wrapper, "sh"]).end();
    let told = read.code(1);
    assert!(told.stderr.contains("File too large"), "{told:?}");
}

#[test]
fn a_time_limit_counts_although_servers_have_much_to_tell() {
    let cluster = Cluster::with(&[("FTCHAT_LOG", "trace")]);
    cluster.admin(&["down"]).end().ok();
    for _ in 0..2 {
        let start = cluster.admin(&["start", "1", "--wait", "-v", "--timeout", "2s"]).end();
        start.fails(3, &["replica 1 has not caught up after 2s"]);
    }
    cluster.admin(&["start", "2", "--timeout", "20s"]).end().ok();
    cluster.admin(&["start", "1", "--wait"]).end().ok();
}
