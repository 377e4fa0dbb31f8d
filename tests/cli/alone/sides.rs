//! Two sides that know nothing of each other, each with its own idea of who is there and what
//! was sent. Neither can be asked, so what cannot be delivered is told to its author.

use rustix::process::Signal;
use serde_json::Value;

use super::{left_alone, sent, thaw};
use crate::harness::cluster::PASSWORD;
use crate::harness::place::random_id;
use crate::harness::{Cluster, Person};

/// The notices in somebody's inbox.
fn notices(person: &Person<'_>) -> Vec<String> {
    let messages = person.messages();
    let told = messages.iter().filter(|message| message["notice"] == true);
    told.map(|notice| notice["text"].as_str().expect("a text").to_string()).collect()
}

fn id(sent: &Value) -> String {
    sent["id"].as_str().expect("an id").to_string()
}

/// The side that was there goes away, and the other one comes.
fn change_sides(cluster: &Cluster, gone: &[u64], come: &[u64]) {
    gone.iter().for_each(|id| cluster.signal(*id, Signal::STOP));
    come.iter().for_each(|id| cluster.signal(*id, Signal::CONT));
}

#[test]
fn what_the_other_side_made_impossible_goes_to_nobody_else_and_its_author_is_told() {
    let cluster = Cluster::surviving();
    let [alice, bob, carol, dave] =
        ["alice", "bob", "carol", "dave"].map(|name| cluster.person(name));
    let (left, frozen) = left_alone(&cluster);
    let to_dave = id(&sent(&alice, &dave, "for the one whom I know"));
    let both = format!("{},{}", dave.name, bob.name);
    let to_both = id(&alice.does(&["send", &both, "for both", "--json"]).json());
    let same = random_id();
    let here = ["send", &bob.name, "on this side", "--id", &same, "--json"];
    assert_eq!(carol.does(&here).json()["confirmed"], false);

    change_sides(&cluster, &[left], &frozen);
    cluster.await_status("a majority without it", |status| status["confirming"] == true);
    let delete = ["delete-account", "--confirm", &dave.name, "--password-stdin"];
    dave.run(&delete).stdin(PASSWORD).end().ok();
    dave.run(&["register", &dave.name, "--password-stdin"]).stdin(PASSWORD).end().ok();
    let there = ["send", &bob.name, "on the other side", "--id", &same, "--json"];
    assert_eq!(carol.does(&there).json()["confirmed"], true);
    thaw(&cluster, &[left]);

    assert_eq!(dave.messages(), Vec::<Value>::new(), "the new owner of the name sees nothing");
    assert_eq!(bob.texts(), ["on the other side", "for both"]);
    let (of_alice, of_carol) = (notices(&alice), notices(&carol));
    assert_eq!((of_alice.len(), of_carol.len()), (2, 1), "{of_alice:?} {of_carol:?}");
    for (notice, id) in of_alice.iter().zip([&to_dave, &to_both]) {
        assert!(notice.contains(id) && notice.contains(&dave.name), "{notice}");
    }
    assert!(of_carol[0].contains(&same), "{of_carol:?}");
    assert_eq!(notices(&bob), Vec::<String>::new());
}

/// Neither has a majority, and each takes what it is given.
#[test]
fn what_two_lonely_servers_were_both_given_is_delivered_once() {
    let cluster = Cluster::surviving();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| cluster.person(name));
    let (left, frozen) = left_alone(&cluster);
    let (other, third) = (frozen[0], frozen[1]);
    let same = random_id();
    let both = ["send", &bob.name, "on both sides", "--id", &same, "--json"];
    let first = carol.does(&both).json();
    let mut expected = vec![same.clone(), id(&sent(&alice, &bob, "at the first"))];

    change_sides(&cluster, &[left], &[other]);
    cluster.await_status("the other one alone", |status| {
        status["replicas"][other as usize - 1]["alone_since"].is_string()
    });
    let second = carol.does(&both).json();
    assert_eq!([&first["confirmed"], &second["confirmed"]], [false, false]);
    assert_ne!(first["place"]["list"], second["place"]["list"], "each has a list of its own");
    expected.push(id(&sent(&carol, &bob, "at the second")));
    thaw(&cluster, &[left, third]);

    let mut there = bob.ids();
    there.sort();
    expected.sort();
    assert_eq!(there, expected);
    for person in [&alice, &carol] {
        assert_eq!(notices(person), Vec::<String>::new(), "nothing was undeliverable");
    }
}
