//! A new cluster out of what is left of an old one: the real program, its real files.

mod damaged;
mod late;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::cluster::PASSWORD;
use crate::harness::place::{free_ports, random_id};
use crate::harness::{Cluster, Person, Place, wait_for};

/// The name of every local cluster that is given none.
const NAME: &str = "default";

/// Every file below a folder, with what is in it.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(content(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).expect("a file"))),
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in content(from) {
        let to = to.join(path.strip_prefix(from).expect("below it"));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        std::fs::write(to, bytes).expect("a file");
    }
}

/// The cluster of which a data directory is.
fn id_in(folder: &Path) -> String {
    let identity = std::fs::read_to_string(folder.join("identity.json")).expect("a file");
    let identity = crate::harness::running::json(&identity);
    identity["data"]["cluster"].as_str().expect("an id").to_string()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Somebody of an old cluster logs in at the new one.
fn back<'a>(new: &'a Cluster, name: &str) -> Person<'a> {
    let person = new.known(name);
    person.run(&["login", name, "--password-stdin"]).stdin(PASSWORD).end().ok();
    person
}

/// A cluster at the newest level.
fn old() -> Cluster {
    let old = Cluster::surviving();
    old.await_status("the newest level", |status| {
        status["feature_level"] == ftchat::limits::FEATURE_LEVEL_KNOWN
    });
    old
}

/// The disks of two are gone and their servers with them, and nothing proves it to the third.
fn wipe(old: &Cluster, wiped: &[u64]) {
    for id in wiped {
        old.signal(*id, Signal::STOP);
        std::fs::remove_dir_all(old.data_dir(*id)).expect("its directory");
        old.crash(*id);
    }
    wait_for("the end of two", || wiped.iter().all(|id| old.server(*id).is_none()).then_some(()));
}

#[test]
fn when_two_are_wiped_and_the_third_is_killed_all_that_it_knew_comes_over_once_and_in_order() {
    let old = old();
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    let mut sent: Vec<String> = (0..6).map(|n| alice.send(&bob, &n.to_string())).collect();
    bob.does(&["delete", &sent.remove(1)]).ok();
    bob.does(&["inbox", "--limit", "2"]).ok();
    old.await_whole();
    let wiped = old.followers();
    let third = old.leader();
    wipe(&old, &wiped);
    // Nobody is left but the third, which takes these alone.
    for n in ["6", "7"] {
        let alone = alice.does(&["send", &bob.name, n, "--json"]).json();
        assert_eq!(alone["confirmed"], false, "{alone}");
        sent.push(alone["id"].as_str().expect("an id").to_string());
    }
    let old_id = old.status()["cluster"].clone();
    old.crash(third);
    let folder = old.data_dir(third);
    let before = content(&folder);

    let (new, made) = Cluster::recovered(&["--from", &text(&folder), "--others-are-gone", NAME]);
    assert_eq!(content(&folder), before, "the old directory is as it was");
    let from = &made["from"];
    assert_eq!((&from["name"], &from["cluster"]), (&NAME.into(), &old_id), "{made}");
    assert_eq!((&from["accounts"], &from["messages"]), (&2.into(), &8.into()), "{made}");
    assert_eq!(from["taken_alone"], 2, "{made}");
    assert_eq!(from["missing_replicas"], Value::from(wiped.clone()), "{made}");
    assert_eq!(from["confirmed_may_be_missing"], true, "{made}");
    assert!(from["may_be_missing"][0].as_str().expect("said").contains("the newest message"));
    let directory = &from["directories"][0];
    assert_eq!((&directory["replica"], &directory["outbox"]), (&third.into(), &2.into()));
    assert_eq!(
        (&directory["is_base"], &directory["problems"]),
        (&true.into(), &Value::from(Vec::<Value>::new()))
    );

    let status = new.await_whole();
    assert_eq!(status["cluster"], made["cluster"]);
    assert_ne!(status["cluster"], old_id);
    assert_eq!(status["feature_level"], ftchat::limits::FEATURE_LEVEL_KNOWN);
    let (alice, bob) = (back(&new, &alice.name), back(&new, &bob.name));
    assert_eq!(bob.ids(), sent);
    let read = |message: &Value| message["read"] == true;
    assert_eq!(bob.messages().iter().filter(|it| read(it)).count(), 2);
    // What was acknowledged is known by its id, also what one server alone had taken.
    for (id, said) in [(&sent[3], "4"), (&sent[6], "7")] {
        alice.does(&["send", &bob.name, said, "--id", id]).ok();
    }
    assert_eq!(bob.ids(), sent);
    let next = alice.send(&bob, "8");
    assert_eq!(bob.ids().last(), Some(&next));
    // Any two may die as in any other cluster, and whoever lost a disk comes back.
    let lost = new.followers()[0];
    new.crash(lost);
    std::fs::remove_dir_all(new.data_dir(lost)).expect("its directory");
    new.start(lost);
    new.await_whole();
    assert_eq!(bob.ids().len(), 8);
}

#[test]
fn a_server_of_the_old_cluster_takes_no_part_in_the_new_one() {
    let old = old();
    let person = old.person("alice");
    old.await_whole();
    old.admin(&["down"]).end().ok();
    let (new, made) = Cluster::recovered(&["--from", &old.dir(), "--others-are-gone", NAME]);
    assert_eq!(made["from"]["directories"].as_array().expect("all").len(), 3, "{made}");
    assert_eq!(made["from"]["missing_replicas"], Value::from(Vec::<Value>::new()));
    assert_eq!(made["from"]["confirmed_may_be_missing"], false);
    assert_eq!(made["from"]["may_be_missing"], Value::from(Vec::<Value>::new()));
    let whole = new.await_whole();
    back(&new, &person.name);
    // Its old directory in the place of a new one, with the old key and with the new.
    new.crash(2);
    let peers: Vec<String> =
        (1..).zip(new.addresses()).map(|(id, address)| format!("{id}={address}")).collect();
    for of in [&new, &old] {
        let key = text(&Path::new(&of.dir()).join("cluster.key"));
        let serve = new.place.run(&["serve", "--id", "2", "--peers", &peers.join(",")]);
        let data_dir = text(&old.data_dir(2));
        let serve = serve.and(&["--data-dir", &data_dir, "--cluster-key-file", &key]);
        let mut serve = serve.start();
        if of.dir() == new.dir() {
            // A majority says that it is of another cluster.
            let ended = serve.end();
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert!(ended.stderr.contains("belongs to another cluster"), "{ended:?}");
            continue;
        }
        // Whoever has another key is nobody.
        let status = new.status();
        assert_eq!(status["replicas"][1]["state"], "unreachable", "{status}");
        assert!(!serve.has_ended());
        serve.signal(Signal::KILL);
        serve.end();
    }
    new.start(2);
    assert_eq!(new.await_whole()["cluster"], whole["cluster"]);
}

#[test]
fn nothing_is_made_while_it_is_not_confirmed_or_a_server_runs() {
    let old = old();
    old.person("alice");
    old.await_whole();
    let place = Place::new();
    let out = place.path().join("out");
    let recover = |from: &str, flags: &[&str]| {
        place
            .run(&["cluster", "recover", "--out", &text(&out), "--from", from, "--json"])
            .and(flags)
            .end()
    };
    let named = ["--others-are-gone", NAME];
    for from in [old.dir(), text(&old.data_dir(2))] {
        let refused = recover(&from, &named).refused(1, "directory_in_use");
        assert!(refused["message"].as_str().expect("said").contains("replica-"), "{refused}");
    }
    let id = old.status()["cluster"].as_str().expect("an id").to_string();
    old.admin(&["down"]).end().ok();
    recover(&old.dir(), &["--others-are-gone", "other"]).refused(1, "not_confirmed");
    // Nothing is written into what it is made from.
    let inside = text(&old.data_dir(1).join("new"));
    let from = old.dir();
    let into = ["cluster", "recover", "--from", &from, "--out", &inside, "--json"];
    place.run(&into).and(&named).end().refused(2, "wrong_usage");
    let refused = recover(&old.dir(), &[]).refused(2, "wrong_usage");
    assert!(refused["message"].as_str().expect("said").contains("--others-are-gone"), "{refused}");
    // Nothing there is a data directory.
    let empty = place.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    for from in [&empty, &place.path().join("nowhere")] {
        let refused = recover(&text(from), &named).refused(1, "corrupted");
        assert!(refused["message"].as_str().expect("said").contains(&text(from)), "{refused}");
    }
    assert!(!out.exists());
    assert_eq!(std::fs::read_dir(&empty).expect("a folder").count(), 0);
    std::fs::create_dir(&out).expect("made");
    std::fs::write(out.join("mine"), "").expect("a file");
    recover(&old.dir(), &named).refused(1, "not_empty");
    std::fs::remove_file(out.join("mine")).expect("removed");
    // A cluster on several machines has no name in its directories.
    let alone = place.path().join("rescued");
    copy(&old.data_dir(1), &alone);
    recover(&text(&alone), &named).refused(1, "not_confirmed");
    recover(&text(&alone), &["--others-are-gone", &id[..8]]).json();
}

#[test]
fn two_clusters_are_not_mixed() {
    let (one, other) = (Cluster::new(), Cluster::new());
    for cluster in [&one, &other] {
        cluster.person("alice");
        cluster.admin(&["down"]).end().ok();
    }
    let place = Place::new();
    let out = text(&place.path().join("out"));
    let recover = ["cluster", "recover", "--out", &out, "--others-are-gone", NAME, "--json"];
    let from = ["--from", &one.dir(), &other.dir()];
    place.run(&recover).and(&from).end().refused(1, "wrong_cluster");
    assert!(!Path::new(&out).exists());
}

#[test]
fn the_most_advanced_directory_counts_and_an_older_one_adds_what_only_it_has() {
    let old = old();
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    let mut sent: Vec<String> = (0..3).map(|n| alice.send(&bob, &n.to_string())).collect();
    old.await_whole();
    // One goes alone and has messages in its outbox, when it dies.
    let third = old.followers()[0];
    let others: Vec<u64> = (1..=3).filter(|id| *id != third).collect();
    others.iter().for_each(|id| old.signal(*id, Signal::STOP));
    let alone = alice.does(&["send", &bob.name, "alone", "--timeout", "20s", "--json"]).json();
    assert_eq!(alone["confirmed"], false, "{alone}");
    old.crash(third);
    let folder = old.place.path().join("third");
    copy(&old.data_dir(third), &folder);
    std::fs::remove_dir_all(old.data_dir(third)).expect("its directory");
    // The others go on without it, and without what clients had left in their sockets.
    others.iter().for_each(|id| old.crash(*id));
    for id in &others {
        old.admin(&["start", &id.to_string()]).end().ok();
    }
    sent.extend((3..6).map(|n| alice.send(&bob, &n.to_string())));
    old.admin(&["down"]).end().ok();
    sent.push(alone["id"].as_str().expect("an id").to_string());

    let newer = text(&old.data_dir(others[0]));
    let from = ["--from", &text(&folder), &newer, &newer, "--others-are-gone", NAME];
    let (new, made) = Cluster::recovered(&from);
    let directories = made["from"]["directories"].as_array().expect("two");
    assert_eq!(directories.len(), 2, "one that is named twice is one: {made}");
    assert_eq!(
        (&directories[0]["is_base"], &directories[1]["is_base"]),
        (&false.into(), &true.into())
    );
    assert_eq!(made["from"]["confirmed_may_be_missing"], false, "{made}");
    assert_eq!(back(&new, &bob.name).ids(), sent);
}

/// A leader that nobody hears writes into its log what the others never get. Nobody was told
/// that it is refused, so it comes over, once, behind what was confirmed.
#[test]
fn what_only_the_log_of_a_deposed_leader_has_comes_over_as_well() {
    let old = Cluster::new();
    old.await_status("the newest level", |status| {
        status["feature_level"] == ftchat::limits::FEATURE_LEVEL_KNOWN
    });
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    let mut sent: Vec<String> = (0..3).map(|n| alice.send(&bob, &n.to_string())).collect();
    old.await_whole();
    let (leader, others) = (old.leader(), old.followers());
    others.iter().for_each(|id| old.signal(*id, Signal::STOP));
    let id = random_id();
    let send = ["send", &bob.name, "unheard", "--id", &id, "--timeout", "4s"];
    let unknown = alice.run(&send).start();
    wait_for("an entry in the leader's log", || {
        let files = content(&old.data_dir(leader).join("log"));
        files.values().any(|it| it.windows(7).any(|it| it == b"unheard")).then_some(())
    });
    unknown.end().code(6);
    old.signal(leader, Signal::STOP);
    // What waits for them in their sockets goes with them.
    others.iter().for_each(|id| old.crash(*id));
    old.admin(&["up", "-d"]).end().ok();
    sent.extend((3..5).map(|n| alice.send(&bob, &n.to_string())));
    let folder = old.place.path().join("deposed");
    copy(&old.data_dir(leader), &folder);
    old.crash(leader);
    old.admin(&["down"]).end().ok();
    sent.push(id);

    let newer = text(&old.data_dir(others[0]));
    let from = ["--from", &newer, &text(&folder), "--others-are-gone", NAME];
    let (new, made) = Cluster::recovered(&from);
    assert_eq!((&made["from"]["adopted"], &made["from"]["left_out"]), (&1.into(), &0.into()));
    let (alice, bob) = (back(&new, &alice.name), back(&new, &bob.name));
    assert_eq!(bob.ids(), sent, "{made}");
    alice.does(&["send", &bob.name, "unheard", "--id", &sent[5]]).ok();
    assert_eq!(bob.ids(), sent);
}

#[test]
fn a_command_that_is_killed_leaves_nothing_that_is_taken_for_a_cluster() {
    let old = old();
    old.person("alice");
    old.admin(&["down"]).end().ok();
    let place = Place::new();
    let folder = place.path().join("in");
    std::fs::create_dir(&folder).expect("made");
    let out = folder.join("out");
    let recover = || {
        let run = place.run(&["cluster", "recover", "--out", &text(&out), "--from", &old.dir()]);
        run.and(&["--others-are-gone", NAME, "--json"])
    };
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&folder).expect("a folder").flatten();
        entries.map(|it| it.file_name().to_string_lossy().into_owned()).collect()
    };
    let killed_in_the_middle = wait_for("a death in the middle", || {
        let mut running = recover().start();
        wait_for("a folder", || (!names().is_empty() || running.has_ended()).then_some(()));
        running.signal(Signal::KILL);
        running.end();
        if !out.exists() {
            return (!names().is_empty()).then(names);
        }
        // It was faster.
        std::fs::remove_dir_all(&out).expect("removed");
        None
    });
    assert_eq!(killed_in_the_middle.len(), 1, "{killed_in_the_middle:?}");
    let half = folder.join(&killed_in_the_middle[0]);
    let whole_cluster = half.join("cluster.json").exists() && half.join("cluster.key").exists();
    let all_written = (1..=3).all(|id| half.join(format!("replica-{id}/identity.json")).exists());
    assert!(!whole_cluster || all_written, "what makes it a cluster comes last");
    recover().end().json();
    assert_eq!(names(), ["out"], "what the killed one left is gone");
}

#[test]
fn folders_for_other_machines_have_their_data() {
    let old = old();
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    let sent = alice.send(&bob, "hello");
    old.await_whole();
    old.admin(&["down"]).end().ok();
    let mut place = Place::new();
    let out = place.path().join("out");
    let recover = ["cluster", "recover", "--hosts", "alpha,beta,gamma", "--out", &text(&out)];
    let from = ["--from", &old.dir(), "--others-are-gone", NAME, "--json"];
    let made = place.run(&recover).and(&from).end().json();
    assert!(
        made["connect"].as_str().expect("a word").starts_with("ftchat://alpha:8091,"),
        "{made}"
    );
    let readme = std::fs::read_to_string(out.join("README.txt")).expect("a file");
    assert!(readme.contains("alpha/data/ to /var/lib/ftchat/"), "{readme}");

    let base_port = free_ports(3);
    let address = |id: u16| format!("127.0.0.1:{}", base_port + id - 1);
    let peers: Vec<String> = (1..=3).map(|id| format!("{id}={}", address(id))).collect();
    place.set("FTCHAT_SERVERS", (1..=3).map(address).collect::<Vec<_>>().join(","));
    let servers: Vec<_> = (1..)
        .zip(["alpha", "beta", "gamma"])
        .map(|(id, host)| {
            let folder = out.join(host);
            let config = text(&folder.join("config.toml"));
            let serve = place.run(&["serve", "--config", &config, "--peers", &peers.join(",")]);
            let data = text(&folder.join("data"));
            serve.and(&["--listen", &address(id), "--data-dir", &data]).start()
        })
        .collect();
    let login = place.run(&["login", &bob.name, "--password-stdin", "--timeout", "30s"]);
    login.stdin(PASSWORD).end().ok();
    let inbox = place.run(&["inbox", "--json"]).end().objects();
    assert_eq!(inbox.iter().map(|it| &it["id"]).collect::<Vec<_>>(), [&Value::from(sent)]);
    for server in servers {
        server.signal(Signal::KILL);
        server.end();
    }
}

#[test]
fn at_a_terminal_the_name_is_typed_after_what_was_found_is_shown() {
    let old = old();
    let (alice, bob) = (old.person("alice"), old.person("bob"));
    alice.send(&bob, "hello");
    old.await_whole();
    old.admin(&["down"]).end().ok();
    let place = Place::new();
    let from = text(&old.data_dir(1));
    for (name, typed, code) in [("one", "other\n", 1), ("two", "\n", 1), ("three", "default\n", 0)]
    {
        let out = place.path().join(name);
        let recover = place.run(&["cluster", "recover", "--from", &from, "--out", &text(&out)]);
        let mut terminal = crate::harness::Terminal::start(recover);
        terminal.await_text("2 accounts, 1 messages");
        terminal.await_text("servers 2 and 3");
        terminal.await_text("Type the old cluster's name");
        terminal.keys(typed);
        let (ended, shown) = terminal.end();
        assert_eq!(ended, Some(code), "{shown}");
        assert_eq!(out.exists(), code == 0, "{shown}");
    }
}
