//! Two of three servers gone, with `--survivor never`: nothing is taken,
//! nothing is lost, and everybody is told.

use rustix::process::Signal;

use crate::harness::cluster::PASSWORD;
use crate::harness::place::random_id;
use crate::harness::{Cluster, Output, Person, wait_for};

/// Tries to send, with the majority gone. Returns whether the outcome is
/// unknown; else nothing was done.
fn try_to_send(from: &Person<'_>, to: &Person<'_>, text: &str, id: &str, missing: &[u64]) -> bool {
    let sent = from.does(&["send", &to.name, text, "--id", id, "--timeout", "1500ms"]);
    assert!(sent.took.as_millis() < 10_000, "{sent:?}");
    let addresses = from.cluster.addresses();
    for gone in missing {
        let address = &addresses[*gone as usize - 1];
        assert!(sent.stderr.contains(address.as_str()), "no {address} in {sent:?}");
    }
    assert_eq!(sent.stdout, "");
    match sent.code {
        Some(3) => false,
        Some(6) => {
            assert!(sent.stderr.contains(&format!("--id {id}")), "{sent:?}");
            true
        }
        _ => panic!("{sent:?}"),
    }
}

/// Reads that nobody can confirm say so, and change nothing.
fn reads_are_refused(person: &Person<'_>) {
    let inbox = |flags: &[&str]| -> Output {
        person.run(&["inbox", "--timeout", "2500ms"]).and(flags).end()
    };
    let refused = inbox(&[]).code(3);
    assert_eq!(refused.stdout, "", "{refused:?}");
    assert!(refused.stderr.contains("majority"), "{refused:?}");
    inbox(&["--json"]).code(3);
}

fn with_two_gone(which: impl Fn(&Cluster) -> [u64; 2], signal: Signal) {
    let cluster = Cluster::new();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "before");
    let gone = which(&cluster);
    gone.iter().for_each(|id| cluster.signal(*id, signal));

    let (first, second) = (random_id(), random_id());
    let attempts = [("first", &first), ("second", &second)].map(|(text, id)| {
        let unknown = try_to_send(&alice, &bob, text, id, &gone);
        (text, id, unknown)
    });
    reads_are_refused(&bob);
    let carol = cluster.stranger("carol");
    let register = carol.run(&["register", &carol.name, "--password-stdin", "--timeout", "1s"]);
    let registered = register.stdin(PASSWORD).end();
    assert!(matches!(registered.code, Some(3 | 6)), "{registered:?}");

    let status = cluster.await_status("no leader that takes writes", |s| s["writable"] == false);
    assert_eq!(status["tolerates"], 0);
    assert_eq!(status["replicas"].as_array().map(Vec::len), Some(3));
    cluster.run(&["status", "--check"]).end().code(3);
    cluster.run(&["status"]).end().code(0);

    match signal {
        Signal::STOP => gone.iter().for_each(|id| cluster.signal(*id, Signal::CONT)),
        _ => drop(cluster.admin(&["up", "-d"]).end().ok()),
    }
    cluster.await_whole();
    let mut expected = vec!["before".to_string()];
    for (text, id, unknown) in attempts {
        // Repeated with its id it is there once, whether or not it was before.
        // What was refused is not repeated, and must never appear.
        if unknown {
            alice.does(&["send", &bob.name, text, "--id", id]).ok();
            expected.push(text.to_string());
        }
    }
    assert_eq!(bob.texts(), expected);
    alice.send(&bob, "after");
    expected.push("after".to_string());
    assert_eq!(bob.texts(), expected);
}

#[test]
fn with_the_leader_and_a_follower_crashed_nothing_is_taken_and_nothing_lost() {
    with_two_gone(|cluster| [cluster.leader(), cluster.followers()[0]], Signal::KILL);
}

#[test]
fn with_both_followers_crashed_nothing_is_taken_and_nothing_lost() {
    with_two_gone(|cluster| cluster.followers().try_into().expect("two"), Signal::KILL);
}

#[test]
fn with_both_followers_frozen_nothing_is_taken_and_nothing_lost() {
    with_two_gone(|cluster| cluster.followers().try_into().expect("two"), Signal::STOP);
}

#[test]
fn with_the_leader_and_a_follower_frozen_nothing_is_taken_and_nothing_lost() {
    with_two_gone(|cluster| [cluster.leader(), cluster.followers()[0]], Signal::STOP);
}

#[test]
fn a_command_that_waits_succeeds_when_the_majority_is_back() {
    let cluster = Cluster::new();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let gone = cluster.followers();
    gone.iter().for_each(|id| cluster.signal(*id, Signal::STOP));
    let follow = bob.run(&["inbox", "-f", "--json"]).start();
    let waiting = alice.run(&["send", &bob.name, "patience", "--timeout", "60s"]).start();
    cluster.await_status("a cluster that takes no writes", |status| status["writable"] == false);
    gone.iter().for_each(|id| cluster.signal(*id, Signal::CONT));
    waiting.end().ok();
    assert_eq!(follow.json()["text"], "patience");
    assert_eq!(bob.texts(), ["patience"]);
}

#[test]
fn a_write_that_entered_the_log_is_in_doubt_and_repeated_by_its_id() {
    let cluster = Cluster::new();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let (leader, gone) = (cluster.leader(), cluster.followers());
    // The leader takes it and cannot tell what becomes of it.
    let at_leader = cluster.addresses()[leader as usize - 1].clone();
    // For as long as its lease lasts, that is: on a busy machine a send may come
    // too late, is refused as it should be, and another one is tried.
    let (id, sent) = wait_for("a write that enters the log", || {
        let id = random_id();
        let send = ["send", &bob.name, "in doubt", "--id", &id];
        gone.iter().for_each(|id| cluster.signal(*id, Signal::STOP));
        let sent =
            alice.run(&send).and(&["--servers", &at_leader, "--timeout", "1s", "--json"]).end();
        if sent.code == Some(6) {
            return Some((id, sent));
        }
        gone.iter().for_each(|id| cluster.signal(*id, Signal::CONT));
        cluster.await_status("the same leader again", |status| {
            status["writable"] == true && status["leader"] == leader
        });
        None
    });
    let send = ["send", &bob.name, "in doubt", "--id", &id];
    let error = sent.refused(6, "outcome_unknown");
    assert_eq!((&error["id"], &error["retryable"]), (&id.as_str().into(), &true.into()));
    gone.iter().for_each(|id| cluster.signal(*id, Signal::CONT));
    assert_eq!(alice.does(&send).ok().trim(), id);
    assert_eq!(bob.texts(), ["in doubt"]);
}
