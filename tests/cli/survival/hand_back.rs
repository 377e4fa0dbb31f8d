//! The owners of adopted directories come back: one by one, together, again and
//! again, by mistake, and while their host dies.

use rustix::process::Signal;

use super::{
    await_alone, await_gone, by_hand_alone, check_alone, check_holder, check_modes, check_talk,
    crash, log, others, replica, start,
};
use crate::harness::{ByHand, Cluster, Steady, wait_for};

/// Waits until a replica runs in its own server, with this process.
fn await_back(cluster: &Cluster, id: u64, pid: u32) {
    let status = cluster.await_status("a replica that is back", |status| {
        let replica = replica(status, id);
        status["writable"] == true && replica["hosted_by"] == id && replica["pid"] == pid
    });
    assert_eq!(cluster.pid(id), pid, "{status}");
}

#[test]
fn owners_come_back_one_after_the_other_and_nobody_notices() {
    let cluster = Cluster::surviving();
    let survivor = cluster.leader();
    let pid = cluster.server(survivor).expect("it runs");
    crash(&cluster, &others(survivor));
    let steady = Steady::start(&cluster);
    check_alone(&cluster, survivor);

    let [first, second] = others(survivor);
    let started = cluster.start(first);
    assert_eq!((&started["id"], &started["caught_up"]), (&first.into(), &true.into()));
    let back = cluster.server(first).expect("it runs");
    await_back(&cluster, first, back);
    check_holder(&cluster, first, first, back);
    let loaded = "snapshot and log were loaded while another ran it";
    assert!(log(&cluster, first).contains(loaded), "loaded before it was asked for");
    steady.goes_on();
    let status = cluster.await_status("two servers", |status| status["tolerates"] == 1);
    assert!(replica(&status, first)["state_hash"].is_string(), "{status}");

    let started = cluster.start(second);
    assert_eq!((&started["id"], &started["caught_up"]), (&second.into(), &true.into()));
    steady.goes_on();
    let whole = cluster.await_status("three servers", |status| status["tolerates"] == 2);
    for id in 1..=3 {
        assert_eq!(replica(&whole, id)["hosted_by"], id, "{whole}");
        check_modes(&cluster.data_dir(id));
    }
    assert_eq!(cluster.server(survivor), Some(pid), "the host goes on");
    // What came back is worth a majority, and the next time goes as well.
    crash(&cluster, &[survivor, first]);
    steady.goes_on();
    check_alone(&cluster, second);
    start(&cluster, &[survivor, first]);
    steady.all_arrived();
}

#[test]
fn of_owners_that_come_back_together_the_second_waits_until_the_first_is_at_work() {
    let mut by_hand = by_hand_alone(1);
    // Both ask before either is heard.
    by_hand.server(1).signal(Signal::STOP);
    for owner in [2, 3] {
        by_hand.start(owner);
        by_hand.server(owner).said("reading its data before asking for it");
    }
    by_hand.server(1).signal(Signal::CONT);
    by_hand.cluster.await_whole();
    let (gone, back) = ("let go of an adopted replica", "the owner of a replica is back at work");
    // Where a machine is slow, the second does not wait for ever.
    let late = "the owner of a replica is not back at work in time";
    let mut told = Vec::new();
    while told.len() < 3 {
        let line = by_hand.server(1).said("replica");
        if let Some(mark) = [gone, back, late].into_iter().find(|mark| line.contains(mark)) {
            let id = [2, 3].into_iter().find(|id| line.contains(&format!("replica={id}")));
            told.push((mark, id.expect("one of two")));
        }
    }
    let (first, second) = (told[0].1, told[2].1);
    let waited = if told[1].0 == late { late } else { back };
    assert_eq!(told, [(gone, first), (waited, first), (gone, second)]);
    assert_ne!(first, second);
}

#[test]
fn a_server_started_by_hand_takes_its_directory_back() {
    let mut by_hand = by_hand_alone(2);
    by_hand.start(3);
    let pid = by_hand.server(3).pid();
    await_back(&by_hand.cluster, 3, pid);
    check_talk(&by_hand.cluster);
    by_hand.start(1);
    by_hand.cluster.await_whole();
    check_talk(&by_hand.cluster);
}

/// How far a server has got that is about to be killed.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// Its process exists.
    Begun,
    /// It holds its directory.
    Locked,
    /// It runs its replica.
    Back,
}

const POINTS: [Point; 3] = [Point::Begun, Point::Locked, Point::Back];

/// Starts a server and waits until it is that far.
fn start_until(by_hand: &mut ByHand, id: u64, point: Point) {
    by_hand.start(id);
    let pid = by_hand.server(id).pid();
    let cluster = &by_hand.cluster;
    match point {
        Point::Begun => {}
        Point::Locked => {
            wait_for("the owner in LOCK", || (cluster.pid(id) == pid).then_some(()));
        }
        Point::Back => await_back(cluster, id, pid),
    }
}

#[test]
fn an_owner_that_is_killed_again_and_again_costs_nobody_a_message() {
    let mut by_hand = by_hand_alone(1);
    for point in POINTS.into_iter().cycle().take(6) {
        let steady = Steady::start(&by_hand.cluster);
        // The borrow ends before the next server is started.
        steady.all_arrived();
        start_until(&mut by_hand, 2, point);
        by_hand.kill(2);
        await_alone(&by_hand.cluster, 1);
        check_talk(&by_hand.cluster);
    }
    by_hand.start(2);
    let pid = by_hand.server(2).pid();
    await_back(&by_hand.cluster, 2, pid);
    check_talk(&by_hand.cluster);
}

#[test]
fn an_owner_of_a_local_cluster_is_killed_again_and_again_under_load() {
    let cluster = Cluster::surviving();
    let survivor = cluster.followers()[0];
    let steady = Steady::start(&cluster);
    crash(&cluster, &others(survivor));
    steady.goes_on();
    let owner = others(survivor)[0];
    for _ in 0..5 {
        cluster.admin(&["start", &owner.to_string()]).end().ok();
        steady.goes_on();
        crash(&cluster, &[owner]);
        steady.goes_on();
        check_alone(&cluster, survivor);
    }
    start(&cluster, &others(survivor));
    steady.all_arrived();
}

#[test]
fn both_owners_come_back_together() {
    let mut by_hand = by_hand_alone(3);
    by_hand.start(1);
    by_hand.start(2);
    by_hand.cluster.await_whole();
    for id in [1, 2] {
        let pid = by_hand.server(id).pid();
        await_back(&by_hand.cluster, id, pid);
        check_holder(&by_hand.cluster, id, id, pid);
    }
    check_talk(&by_hand.cluster);
}

#[test]
fn both_owners_of_a_local_cluster_come_back_together_under_load() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    for survivor in 1..=3 {
        crash(&cluster, &others(survivor));
        steady.goes_on();
        check_alone(&cluster, survivor);
        cluster.admin(&["up", "-d"]).end().ok();
        cluster.await_whole();
        steady.goes_on();
    }
    steady.all_arrived();
}

#[test]
fn the_holder_is_killed_while_it_hands_back() {
    for point in POINTS {
        let mut by_hand = by_hand_alone(1);
        let (alice, bob) = (by_hand.cluster.person("alice"), by_hand.cluster.person("bob"));
        let before: Vec<String> =
            (0..20).map(|n| alice.send(&bob, &format!("message {n}"))).collect();
        let (alice, bob) = (alice.name, bob.name);
        start_until(&mut by_hand, 2, point);
        by_hand.kill(1);
        // The owner is the last one now, and takes over what is free.
        check_alone(&by_hand.cluster, 2);
        let alice = by_hand.cluster.known(&alice);
        let bob = by_hand.cluster.known(&bob);
        let mut expected = before;
        expected.push(alice.send(&bob, "after"));
        let ids: Vec<String> = bob.ids();
        assert_eq!(ids, expected, "{point:?}");
    }
}

#[test]
fn a_server_that_is_started_twice_is_refused_and_told_by_whom() {
    let mut by_hand = by_hand_alone(1);
    by_hand.start(2);
    let pid = by_hand.server(2).pid();
    await_back(&by_hand.cluster, 2, pid);
    let lock = by_hand.cluster.holder(2);
    let named = pid.to_string();
    by_hand.serve(2).end().fails(1, &[&named]);
    // Also when the address does not give it away.
    let port = crate::harness::place::free_ports(1);
    let elsewhere = ["--listen", &format!("127.0.0.1:{port}")];
    by_hand.serve(2).and(&elsewhere).end().fails(1, &["in use", &named]);
    let again = by_hand.serve(2).and(&elsewhere).and(&["--json"]).end();
    again.refused(1, "directory_in_use");
    assert_eq!(by_hand.cluster.holder(2), lock);
    assert!(!by_hand.server(2).has_ended());
    check_talk(&by_hand.cluster);
}

#[test]
fn of_two_that_come_back_at_once_for_one_directory_one_gets_it() {
    let by_hand = by_hand_alone(1);
    let mut both = [by_hand.serve(2).start(), by_hand.serve(2).start()];
    let loser = wait_for("the end of one of them", || both.iter_mut().position(|s| s.has_ended()));
    let [first, second] = both;
    let (loser, mut winner) = if loser == 0 { (first, second) } else { (second, first) };
    let winner_pid = winner.pid();
    let ended = loser.end().fails(1, &[&winner_pid.to_string()]);
    await_back(&by_hand.cluster, 2, winner_pid);
    assert!(!winner.has_ended(), "{ended:?}");
    check_talk(&by_hand.cluster);
}

#[test]
fn a_server_with_the_directory_of_another_replica_is_refused() {
    let mut by_hand = by_hand_alone(1);
    let survivor = by_hand.server(1).pid();
    let three = by_hand.cluster.data_dir(3);
    let wrong = by_hand.serve_in(2, &three).end();
    wrong.fails(1, &[&three.display().to_string()]);
    await_alone(&by_hand.cluster, 1);
    check_holder(&by_hand.cluster, 3, 1, survivor);
    // Nor that of the server that hosts it.
    let one = by_hand.cluster.data_dir(1);
    by_hand.serve_in(2, &one).end().fails(1, &[&one.display().to_string()]);
    assert!(!by_hand.server(1).has_ended());
    check_alone(&by_hand.cluster, 1);
    check_talk(&by_hand.cluster);
}

#[test]
fn a_server_with_an_empty_directory_loses_nobody_a_message() {
    let mut by_hand = by_hand_alone(1);
    let (alice, bob) = (by_hand.cluster.person("alice"), by_hand.cluster.person("bob"));
    let mut expected: Vec<String> =
        (0..10).map(|n| alice.send(&bob, &format!("message {n}"))).collect();
    let empty = by_hand.cluster.place.path().join("empty");
    let mut server = by_hand.serve_in(2, &empty).start();
    let pid = server.pid();
    // It says why it cannot, or joins as a new incarnation.
    let refused = wait_for("a refusal, or a replica that has joined", || {
        let status = by_hand.cluster.status();
        let replica = replica(&status, 2);
        let joined = replica["pid"] == pid && replica["hosted_by"] == 2 && replica["lag"] == 0;
        if server.has_ended() {
            Some(true)
        } else {
            (joined && status["writable"] == true).then_some(false)
        }
    });
    expected.push(alice.send(&bob, "with it"));
    if refused {
        server.end().fails(1, &["directory"]);
    } else {
        // The holder goes: what is left must have everything.
        server.signal(Signal::KILL);
        server.end().code(128 + 9);
    }
    assert_eq!(bob.ids(), expected);
    expected.push(alice.send(&bob, "without it"));
    assert_eq!(bob.ids(), expected);
    drop((alice, bob));
    assert!(!by_hand.server(1).has_ended());
}

#[test]
fn a_gracefully_stopped_host_gives_everything_away() {
    let cluster = Cluster::surviving();
    let survivor = cluster.leader();
    crash(&cluster, &others(survivor));
    let steady = Steady::start(&cluster);
    check_alone(&cluster, survivor);
    let back = others(survivor)[0];
    cluster.start(back);
    cluster.admin(&["stop", &survivor.to_string()]).end().ok();
    await_gone(&cluster, &[survivor]);
    steady.goes_on();
    check_alone(&cluster, back);
    steady.all_arrived();
}
