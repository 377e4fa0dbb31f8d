//! What the system limits: descriptors that are left to servers.

use crate::harness::{ByHand, Cluster};

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
