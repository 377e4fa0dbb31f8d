//! `cluster transfer`: leadership moves, and nobody who sends notices.

#![cfg(target_os = "linux")]

use std::path::PathBuf;

use rustix::process::Signal;

use crate::harness::{Cluster, Steady};

#[test]
fn leadership_goes_round_and_no_command_fails() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    for _ in 0..2 {
        for id in 1..=3_u64 {
            let moved = cluster.admin(&["transfer", &id.to_string(), "--json"]).end().ok();
            let moved: serde_json::Value = serde_json::from_str(&moved).expect("JSON");
            assert_eq!(moved["leader"], id, "{moved}");
            assert_eq!(cluster.leader(), id);
            steady.goes_on();
        }
    }
    // To whom it has already it needs not go.
    let leader = cluster.leader();
    let again = cluster.admin(&["transfer", &leader.to_string()]).end().ok();
    assert!(again.starts_with(&format!("{leader}\t{leader}\t")), "{again}");
    steady.all_arrived();
}

#[test]
fn leadership_does_not_go_where_nobody_could_lead() {
    let cluster = Cluster::surviving();
    cluster.admin(&["transfer", "4"]).end().fails(5, &["4"]);
    let frozen = cluster.followers()[0];
    cluster.signal(frozen, Signal::STOP);
    let transfer = ["transfer", &frozen.to_string(), "--timeout", "3s"];
    cluster.admin(&transfer).end().fails(3, &[&format!("replica {frozen}")]);
    cluster.signal(frozen, Signal::CONT);
    cluster.await_whole();

    let [survivor, dead] = [cluster.followers()[0], cluster.leader()];
    for id in [dead, 6 - dead - survivor] {
        cluster.crash(id);
    }
    cluster.await_status("one server that runs all replicas", |status| {
        status["writable"] == true
            && status["replicas"]
                .as_array()
                .is_some_and(|all| all.iter().all(|it| it["hosted_by"] == survivor))
    });
    let transfer = cluster.admin(&["transfer", &dead.to_string()]).end();
    transfer.fails(1, &[&format!("runs in server {survivor}"), "ftchat cluster start"]);
}

#[test]
fn only_who_holds_the_key_moves_leadership() {
    let cluster = Cluster::surviving();
    let leader = cluster.leader();
    // Not in its own folder, where servers would look for a new key.
    let folder = cluster.place.path().join("another");
    std::fs::create_dir(&folder).expect("a folder");
    let described = PathBuf::from(cluster.dir()).join("cluster.json");
    std::fs::copy(described, folder.join("cluster.json")).expect("a copy");
    crate::harness::place::write_key(&folder.join("cluster.key"), 0o600);
    let (other, dir) = (cluster.followers()[0].to_string(), folder.display().to_string());
    let transfer = ["cluster", "transfer", &other, "--dir", &dir, "--timeout", "2s"];
    let refused = cluster.run(&transfer).end();
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("key"), "{refused:?}");
    assert_eq!(cluster.leader(), leader);
}
