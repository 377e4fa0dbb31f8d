//! How much may be stored and sent: what one account cannot do to a server, and to others.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::cluster::PASSWORD;
use crate::harness::{Cluster, Output, Person, wait_for};

const MIB: u64 = 1024 * 1024;

/// What a server holds in memory, in bytes.
#[cfg(target_os = "linux")]
fn memory(cluster: &Cluster, id: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.pid(id)));
    let status = status.expect("a server that runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib * 1024
}

/// Waits until the servers count, and what they propose holds.
fn with_bounds(variables: &[(&str, &str)], total_bytes: u64) -> Cluster {
    let cluster = Cluster::with(variables);
    let room = total_bytes / 4 * 3;
    cluster.await_status("bounds", |status| status["stored_bytes_max"] == room);
    cluster
}

fn limits(cluster: &Cluster) -> Value {
    cluster.admin(&["limits", "--json"]).end().json()
}

/// Sends many long lines as fast as it can.
fn flood(from: &Person<'_>, to: &str, lines: usize) -> Output {
    let line = "x".repeat(8_000) + "\n";
    from.run(&["send", "--lines", "--json", to]).stdin(line.repeat(lines)).end()
}

/// The code of the error that a flood ended with.
fn ended_with(output: &Output) -> String {
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let last = output.stderr.lines().last().expect("an error");
    let error: Value = serde_json::from_str(last).expect("JSON");
    error["error"]["code"].as_str().or(error["code"].as_str()).expect("a code").to_string()
}

#[test]
#[cfg(target_os = "linux")]
fn no_account_brings_a_server_beyond_its_bound_nor_others_to_a_stop() {
    let cluster = with_bounds(
        &[
            ("FTCHAT_LIMITS_ACCOUNT_BYTES", "4194304"),
            ("FTCHAT_LIMITS_TOTAL_BYTES", "16777216"),
            ("FTCHAT_LIMITS_FOLLOWS_PER_ACCOUNT_MAX", "8"),
            ("FTCHAT_PASSWORDS_MEMORY_KIB", "8"),
        ],
        16 * MIB,
    );
    let mallory = cluster.person("mallory");
    let victims: Vec<Person<'_>> = (0..24).map(|_| cluster.person("victim")).collect();
    let (bob, carol) = (cluster.person("bob"), cluster.person("carol"));
    let before = [1, 2, 3].map(|id| memory(&cluster, id));
    // 4 times 40 MB at once, to one, to many, and to itself.
    let everybody = victims[..4].iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(",");
    std::thread::scope(|scope| {
        let targets = [&mallory.name, &victims[0].name, &victims[1].name, &everybody];
        let floods = targets.map(|to| scope.spawn(|| flood(&mallory, to, 5_000)));
        // Others go on meanwhile, also to whom it attacks.
        for n in 0..5 {
            bob.send(&carol, &format!("to carol {n}"));
            bob.send(&victims[0], &format!("to the victim {n}"));
        }
        for flood in floods {
            assert_eq!(ended_with(&flood.join().expect("no panic")), "inbox_full");
        }
    });
    assert_eq!(carol.texts().len(), 5);
    // Nobody got what was for all and had no room with one.
    let shown = cluster.admin(&["account", "list", "--json"]).end().objects();
    for account in &shown {
        assert!(account["bytes"].as_u64().expect("a number") <= 4 * MIB, "{account}");
    }
    // Nor do many sessions, many follows or many victims help.
    for _ in 0..70 {
        mallory.run(&["login", &mallory.name, "--password-stdin"]).stdin(PASSWORD).end().ok();
    }
    let server = &cluster.addresses()[0];
    let follow = || mallory.run(&["inbox", "--follow", "--json"]).and(&["--servers", server]);
    let mut following: Vec<_> = (0..9).map(|_| follow().start()).collect();
    let one = wait_for("one too many", || following.iter_mut().position(|it| it.has_ended()));
    let refused = following.remove(one).end().code(1);
    assert!(refused.stderr.contains("8 follows open"), "{}", refused.stderr);
    drop(following);
    let codes = victims[4..].iter().map(|it| ended_with(&flood(&mallory, &it.name, 200)));
    let codes: Vec<String> = codes.collect();
    // Others hold as much from it as they may, and there is room for others.
    assert_eq!(codes.last().map(String::as_str), Some("storage_full"), "{codes:?}");
    bob.send(&victims[23], "not from it");
    for (id, before) in (1..).zip(before) {
        // Twice, for a snapshot that is being written; and what is not counted: the log's
        // newest entries, requests under way, what the allocator keeps.
        let most = before + 2 * 16 * MIB + 64 * MIB;
        let now = memory(&cluster, id);
        assert!(now < most, "server {id} holds {now} bytes, from {before}");
    }
}

#[test]
fn what_all_may_store_is_shown_warned_of_and_changed_and_deleting_makes_room() {
    let variables = [("FTCHAT_LIMITS_TOTAL_BYTES", "1073741824")];
    let cluster = with_bounds(&variables, 1024 * MIB);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let shown = limits(&cluster);
    assert_eq!(shown["account_bytes"], Value::Null, "nobody else can reach it");
    assert_eq!(
        (&shown["total_bytes"], &shown["total_proposed"]),
        (&(1 << 30).into(), &true.into())
    );
    assert!(shown["stored_bytes"].as_u64().expect("a number") > 1_000, "{shown}");
    alice.send(&bob, "early");
    let set = ["limits", "set", "account_bytes=1MiB", "total_bytes=1MiB", "--json"];
    let set = cluster.admin(&set).end().json();
    assert_eq!((&set["account_bytes"], &set["total_bytes"]), (&MIB.into(), &MIB.into()));
    assert_eq!((&set["account_proposed"], &set["total_proposed"]), (&false.into(), &false.into()));
    assert_eq!(ended_with(&flood(&alice, &bob.name, 100)), "inbox_full");
    let mine = flood(&bob, &bob.name, 200);
    assert!(["inbox_full", "storage_full"].contains(&ended_with(&mine).as_str()), "{mine:?}");
    let status = cluster.await_status("a notice", |status| {
        status["notices"].to_string().contains("or raise total_bytes")
    });
    let room = MIB / 4 * 3;
    assert_eq!(status["stored_bytes_max"], room);
    assert!(status["stored_bytes"].as_u64().expect("a number") > room / 10 * 8, "{status}");
    assert_eq!(cluster.run(&["status", "--check"]).end().code, Some(0), "it is no failure");
    alice.run(&["send", &alice.name, "x".repeat(8_000).as_str(), "--json"]).end();
    let refused = alice.run(&["send", &alice.name, &"y".repeat(8_000), "--json"]).end();
    assert_eq!(ended_with(&refused), "storage_full");
    // A server that comes back counts alike.
    let follower = cluster.followers()[0];
    cluster.crash(follower);
    cluster.start(follower);
    let again = alice.run(&["send", &alice.name, &"z".repeat(8_000), "--json"]).end();
    assert_eq!(ended_with(&again), "storage_full");
    bob.run(&["delete"]).and(&bob.ids()).end().ok();
    alice.send(&bob, "late");
    assert_eq!(bob.texts(), ["late"]);
    cluster.admin(&["limits", "set", "total_bytes=none"]).end().ok();
    assert_eq!(limits(&cluster)["total_bytes"], Value::Null);
    let done = cluster.admin(&["actions", "--json"]).end().objects();
    let last = done.last().expect("an action");
    assert_eq!((&last["action"], &last["total_bytes"]), (&"set_bounds".into(), &0.into()));
    for (arguments, why) in [
        (&["limits", "set"][..], "KEY=VALUE"),
        (&["limits", "set", "total_bytes=0"], "256MiB"),
        (&["limits", "set", "rooms=7"], "account_bytes=SIZE"),
    ] {
        let refused = cluster.admin(arguments).end().code(2);
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    let too_low = cluster.admin(&["limits", "set", "total_bytes=7KiB"]).end();
    too_low.fails(1, &["total_bytes is 1 MiB to", "nothing was changed"]);
}

#[test]
fn lines_wait_where_a_server_takes_fewer_and_a_single_message_is_told_when() {
    let cluster = Cluster::with(&[
        ("FTCHAT_LIMITS_CHANGES_PER_ACCOUNT_PER_S", "1"),
        ("FTCHAT_LIMITS_CHANGE_BURST", "5"),
    ]);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let leader = cluster.addresses()[cluster.leader() as usize - 1].clone();
    let lines: Vec<String> = (1..=12).map(|n| format!("line {n}")).collect();
    let begun = Instant::now();
    let sent = alice.run(&["send", &bob.name, "--lines", "--servers", &leader]);
    let ids = sent.stdin(lines.join("\n") + "\n").end().ok();
    assert_eq!(ids.lines().count(), 12);
    // Seven of them were not there at once, however fast or slow the machine is.
    assert!(begun.elapsed() > Duration::from_secs(6), "it was told to wait");
    assert_eq!(bob.texts(), lines, "in their order");
    let refused = wait_for("one too many", || {
        let one = || alice.run(&["send", &bob.name, "more", "--servers", &leader, "--json"]);
        let at_once: Vec<_> = (0..8).map(|_| one().start()).collect();
        let ended: Vec<_> = at_once.into_iter().map(|one| one.end()).collect();
        ended.into_iter().find(|one| one.code != Some(0))
    });
    assert_eq!(ended_with(&refused), "rate_limited");
    assert!(refused.stderr.contains("\"retry_after_ms\":"), "{refused:?}");
    bob.send(&alice, "others go on");
}

#[test]
fn how_long_messages_are_kept_is_set_shown_and_recorded_and_takes_nothing_that_is_young() {
    let cluster = Cluster::new();
    let newest = ftchat::limits::FEATURE_LEVEL_KNOWN;
    cluster.await_status("the highest level", |status| status["feature_level"] == newest);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "young");
    assert_eq!(limits(&cluster)["keep_messages_days"], Value::Null);
    let before = limits(&cluster);
    let set = ["limits", "set", "keep_messages_days=1", "--json"];
    let set = cluster.admin(&set).end().json();
    assert_eq!(set["keep_messages_days"], 1);
    for same in ["account_bytes", "total_bytes", "total_proposed"] {
        assert_eq!(set[same], before[same], "{same}");
    }
    let plain = cluster.admin(&["limits"]).end().ok();
    assert_eq!(plain.trim_end().split('\t').next_back(), Some("1"), "{plain}");
    assert_eq!(bob.texts(), ["young"]);
    let done = cluster.admin(&["actions", "--json"]).end().objects();
    assert_eq!(done.last().expect("an action")["keep_messages_days"], 1);
    cluster.admin(&["limits", "set", "keep_messages_days=none"]).end().ok();
    assert_eq!(limits(&cluster)["keep_messages_days"], Value::Null);
    for wrong in ["keep_messages_days=0", "keep_messages_days=3651", "keep_messages_days=1d"] {
        let refused = cluster.admin(&["limits", "set", wrong]).end().code(2);
        assert!(refused.stderr.contains("keep_messages_days=DAYS"), "{refused:?}");
    }
}

#[test]
fn a_server_that_proposes_less_than_is_stored_says_so_once_and_changes_nothing() {
    let variables = [("FTCHAT_LIMITS_TOTAL_BYTES", "1073741824")];
    let cluster = with_bounds(&variables, 1024 * MIB);
    let alice = cluster.person("alice");
    assert_eq!(flood(&alice, &alice.name, 200).code, Some(0));
    let small = cluster.followers()[0];
    cluster.crash(small);
    let start = ["start", &small.to_string(), "--wait"];
    cluster.admin(&start).env("FTCHAT_LIMITS_TOTAL_BYTES", "1048576").end().ok();
    let log = cluster.place.path().join("cluster").join(format!("replica-{small}.log"));
    let sentence = "this server proposes that 768 KiB may be stored";
    let said = || std::fs::read_to_string(&log).expect("a log").matches(sentence).count();
    wait_for("the warning", || (said() > 0).then_some(()));
    // It asks again in a minute; until then everybody goes on under what was set before.
    alice.send(&alice, "more");
    assert_eq!(limits(&cluster)["total_bytes"], 1 << 30);
    assert_eq!(said(), 1);
    let done = cluster.admin(&["actions", "--json"]).end().objects();
    assert!(done.iter().all(|action| action["total_bytes"] != MIB), "{done:?}");
}
