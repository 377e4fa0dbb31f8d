//! The benchmark as a user runs it, kept short. What it measures on a machine
//! that runs tests means nothing, so only what must be so is looked at.

use serde_json::Value;

use crate::harness::{Cluster, Terminal};

fn names(cluster: &Cluster) -> String {
    cluster.person("reader").does(&["accounts", "bench-*"]).ok()
}

/// Percentiles that are there, and in order.
fn check_latency(latency: &Value) {
    let of = |name: &str| latency[name].as_f64().unwrap_or_else(|| panic!("no {name}: {latency}"));
    let ordered = ["min", "p50", "p90", "p99", "p999", "max"].map(of);
    assert!(ordered.is_sorted() && of("mean") <= of("max"), "{latency}");
}

#[test]
fn a_closed_loop_counts_every_message_and_leaves_nothing_behind() {
    let cluster = Cluster::with(&[]);
    let run = ["bench", "--messages", "300", "--clients", "5", "--accounts", "2", "--json"];
    let more = ["--in-flight", "12", "--size", "50", "--warm-up", "50ms"];
    let report = cluster.run(&run).and(&more).end().json();
    for (field, wanted) in [
        ("messages", 300),
        ("clients", 5),
        ("accounts", 2),
        ("in_flight", 12),
        ("size_bytes", 50),
        ("recipients", 1),
        ("repeated", 0),
    ] {
        assert_eq!(report[field], wanted, "{field} of {report}");
    }
    assert_eq!((&report["work"], &report["mode"]), (&"send".into(), &"closed".into()));
    check_latency(&report["latency_ms"]);
    assert!(report["latency_ms"]["min"].as_f64() > Some(0.0), "{report}");
    let bytes = |field: &str| report[field].as_u64().expect("bytes");
    assert!(bytes("sent_bytes") > 300 * 50 && bytes("received_bytes") > 300 * 50, "{report}");
    let rate = report["rate"].as_f64().expect("a rate");
    let elapsed_s = report["elapsed_s"].as_f64().expect("seconds");
    // Seconds are told in whole milliseconds, which is much of a run this short.
    assert!((rate * elapsed_s - 300.0).abs() <= rate * 0.000_5 + 1.0, "{report}");
    assert_eq!(names(&cluster), "");
}

#[test]
fn accounts_that_are_kept_still_get_messages() {
    let cluster = Cluster::with(&[]);
    let run = ["bench", "--messages", "40", "--accounts", "1", "--warm-up", "0s", "--keep"];
    cluster.run(&run).end().ok();
    let name = names(&cluster).trim_end().to_string();
    assert!(name.starts_with("bench-") && !name.contains('\n'), "{name}");
    let kept = cluster.known(&name);
    cluster.person("alice").send(&kept, "still there");
}

#[test]
fn an_open_loop_keeps_its_rate_and_a_sweep_finds_its_own() {
    let cluster = Cluster::shared();
    let run = ["bench", "--warm-up", "0s", "--accounts", "2", "--clients", "2", "--json"];
    let open = cluster.run(&run).and(&["--rate", "200,400", "--messages", "60"]).end().objects();
    let asked: Vec<_> = open.iter().map(|report| report["rate_asked"].as_f64()).collect();
    assert_eq!(asked, [Some(200.0), Some(400.0)]);
    for report in &open {
        assert_eq!((&report["mode"], &report["messages"]), (&"open".into(), &60.into()));
        // 60 messages, 5 ms or 2.5 ms apart; the machine may be slower, not faster.
        let rate = report["rate"].as_f64().expect("a rate");
        assert!(rate <= report["rate_asked"].as_f64().expect("a rate") * 1.05, "{report}");
        check_latency(&report["latency_ms"]);
    }
    let sweep = cluster.run(&run).and(&["--sweep", "--messages", "20"]).end().objects();
    let modes: Vec<_> = sweep.iter().map(|report| report["mode"].as_str()).collect();
    assert_eq!(modes[0], Some("closed"));
    assert_eq!(&modes[1..], [Some("open"); 6]);
    assert!(sweep[1..].is_sorted_by(|a, b| a["rate_asked"].as_f64() < b["rate_asked"].as_f64()));
}

#[test]
fn inboxes_are_read_whole_and_followers_see_everything() {
    let cluster = Cluster::shared();
    let run = ["bench", "--warm-up", "0s", "--accounts", "3", "--clients", "3", "--json"];
    let read = cluster.run(&run).and(&["--inbox", "7", "--messages", "30"]).end().json();
    assert_eq!(
        (&read["work"], &read["page"], &read["messages"]),
        (&"inbox".into(), &7.into(), &30.into())
    );
    let follow = ["--followers", "6", "--recipients", "3", "--messages", "25"];
    let report = cluster.run(&run).and(&follow).end().json();
    // Each message goes to all three accounts, and two follow each of them.
    assert_eq!(report["delivery"]["deliveries"], 25 * 6, "{report}");
    check_latency(&report["delivery"]["latency_ms"]);
    check_latency(&report["delivery"]["last_ms"]);
}

#[test]
fn a_server_that_dies_costs_time_and_no_message() {
    let cluster = Cluster::surviving();
    let run = ["bench", "--rate", "300", "--messages", "600", "--warm-up", "0s", "--json"];
    let before = cluster.status()["commit"].as_u64().expect("a number");
    let bench = cluster.run(&run).start();
    // Accounts take twelve entries; the rest is messages.
    cluster.await_status("load", |status| status["commit"].as_u64() > Some(before + 50));
    cluster.crash(cluster.leader());
    let report = bench.json();
    // A third of the clients had their connections to the one that died.
    assert_eq!(report["messages"], 600, "{report}");
    bench.end().code(0);
    assert_eq!(names(&cluster), "");
}

#[test]
fn an_interrupted_benchmark_removes_its_accounts() {
    let cluster = Cluster::with(&[]);
    let run = cluster.run(&["bench", "--duration", "1h", "--warm-up", "0s"]);
    let mut terminal = Terminal::start(run);
    terminal.await_text("in flight; answered");
    terminal.keys("\u{3}");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(130), "{shown}");
    assert_eq!(names(&cluster), "");
}

#[test]
fn on_a_terminal_there_is_a_table_and_in_a_pipe_a_line() {
    let cluster = Cluster::shared();
    let run = || cluster.run(&["bench", "--messages", "20", "--warm-up", "0s", "--accounts", "1"]);
    let (code, shown) = Terminal::start(run()).end();
    assert_eq!(code, Some(0), "{shown}");
    for text in ["P99.9", "12 in flight", "12 clients, 1 accounts"] {
        assert!(shown.contains(text), "no {text:?} in {shown}");
    }
    let piped = run().end().code(0);
    assert_eq!((piped.stderr.as_str(), piped.stdout.lines().count()), ("", 1), "{piped:?}");
    let fields: Vec<&str> = piped.stdout.trim_end().split('\t').collect();
    assert_eq!(fields[..4], ["send", "closed", "12", "20"]);
    assert_eq!(fields.len(), 15);
}

#[test]
fn wrong_usage_does_nothing() {
    let cluster = Cluster::shared();
    for (wrong, words) in [
        (&["--recipients", "9"][..], &["--recipients 9", "--accounts"][..]),
        (&["--rate", "5", "--in-flight", "5"], &["--in-flight"]),
        (&["--rate", "0"], &["0.01"]),
        (&["--inbox", "5", "--size", "5"], &["--size"]),
        (&["--clients", "0"], &["1 to 100000"]),
    ] {
        let output = cluster.run(&["bench"]).and(wrong).end().code(2);
        for word in words {
            assert!(output.stderr.contains(word), "no {word:?} in {output:?}");
        }
    }
}
