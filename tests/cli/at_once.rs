//! Several commands at one cluster at the same time.

use crate::harness::Place;
use crate::harness::place::free_ports;

#[test]
fn of_several_first_ups_at_once_one_decides_and_the_others_agree_or_are_refused() {
    for _ in 0..3 {
        let place = Place::new();
        let dir = place.path().join("cluster").display().to_string();
        let ports = [1, 2, 3, 4].map(|_| free_ports(1).to_string());
        let up = ["cluster", "up", "-d", "--replicas", "1", "--dir", &dir, "--base-port"];
        let ups = ports.each_ref().map(|port| place.run(&up).and(&[port]).start());
        let ended = ups.map(|up| up.end());
        let winners: Vec<usize> = (0..4).filter(|n| ended[*n].code == Some(0)).collect();
        let [winner] = winners[..] else { panic!("{ended:#?}") };
        for (n, other) in ended.iter().enumerate().filter(|(n, _)| *n != winner) {
            let told = format!("begins at port {}, not {}", ports[winner], ports[n]);
            assert!(other.code == Some(2) && other.stderr.contains(&told), "{other:#?}");
        }
        // What is written down is where the server is.
        let env = place.run(&["cluster", "env", "--json", "--dir", &dir]).end().json();
        assert_eq!(env["FTCHAT_SERVERS"], format!("127.0.0.1:{}", ports[winner]));
        let servers = format!("127.0.0.1:{}", ports[winner]);
        place.run(&["status", "--check", "--servers", &servers]).end().ok();
        place.run(&["cluster", "down", "--purge", "--dir", &dir]).end().ok();
    }
}

#[test]
fn several_ups_that_ask_for_nothing_special_all_have_their_cluster() {
    let mut place = Place::new();
    place.set("FTCHAT_CLUSTER_DIR", place.path().join("cluster").display().to_string());
    place.set("FTCHAT_CLUSTER_REPLICAS", "1");
    place.set("FTCHAT_CLUSTER_BASE_PORT", free_ports(1).to_string());
    let up = || place.run(&["cluster", "up", "-d", "--json"]).start();
    let pids = [up(), up(), up()].map(|up| up.end().json()["replicas"][0]["pid"].clone());
    assert!(pids.iter().all(|pid| pid.is_u64() && *pid == pids[0]), "{pids:?}");
}
