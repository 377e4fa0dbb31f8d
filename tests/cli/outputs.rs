//! Where results go: to a reader who leaves, or to a disk that is full.

use rustix::process::Signal;

use crate::harness::processes::ending_signals;
use crate::harness::{Cluster, Output, Place, Run, wait_for};

/// Runs a command whose standard output nobody reads.
fn unread(run: Run) -> Output {
    // The reader is gone before the program begins.
    let script = r#"{ sleep 0.1; "$@"; echo "ended with $?" >&2; } | :"#;
    run.under(&["sh", "-c", script, "sh"]).end()
}

/// Runs a command whose standard output is on a full disk.
fn full(run: Run) -> Output {
    run.under(&["sh", "-c", r#""$@" > /dev/full"#, "sh"]).end()
}

#[test]
fn every_line_is_sent_although_nobody_reads_the_ids() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    // More than the ids that a pipe holds, and more than are under way at once.
    let lines: Vec<String> = (0..2_500).map(|n| n.to_string()).collect();
    let send = || alice.run(&["send", &bob.name, "--lines"]).stdin(lines.join("\n"));
    let quiet = unread(send()).code(0);
    assert_eq!(quiet.stderr, "ended with 0\n");
    assert_eq!(bob.texts(), lines);
    let lost = full(send()).code(1);
    assert!(lost.stderr.contains("2500 lines are accepted"), "{lost:?}");
    assert!(lost.stderr.contains("--id "), "{lost:?}");
    assert_eq!(bob.texts().len(), 2 * lines.len());
    // An error of its own is told whoever reads the ids.
    let wrong = unread(alice.run(&["send", &bob.name, "--lines"]).stdin("one\n\n"));
    assert!(wrong.stderr.contains("line 2 is empty"), "{wrong:?}");
    assert!(wrong.stderr.ends_with("ended with 1\n"), "{wrong:?}");
}

#[test]
fn what_could_not_be_written_is_neither_read_nor_called_done() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let sent = full(alice.run(&["send", &bob.name, "one"])).code(1);
    let id = bob.ids().pop().expect("it is accepted");
    assert!(sent.stderr.contains(&format!("accepted with the id {id}, but")), "{sent:?}");
    unread(alice.run(&["send", &bob.name, "two"])).code(0);
    for line in [
        &["inbox"][..],
        &["inbox", "--json"],
        &["inbox", "-f", "--limit", "1"],
        &["inbox", "--exec", "exit 1"],
    ] {
        let printed = full(bob.run(line)).code(1);
        assert!(printed.stderr.contains("cannot write to standard output"), "{printed:?}");
        assert_eq!(unread(bob.run(line)).stderr, "ended with 0\n", "{line:?}");
    }
    let unread_messages = bob.does(&["inbox", "--peek", "--json"]).objects();
    assert_eq!(unread_messages.len(), 2);
    for line in [
        &["whoami"][..],
        &["accounts"],
        &["sessions"],
        &["settings"],
        &["status"],
        &["config", "show"],
        &["cluster", "env", "--dir", &cluster.dir()],
        &["cluster", "account", "list", "--dir", &cluster.dir()],
        &["cluster", "registration", "--dir", &cluster.dir()],
        &["cluster", "limits", "--dir", &cluster.dir()],
        &["completions", "bash"],
        &["--help"],
        &["help", "send"],
        &["--version"],
    ] {
        let printed = full(bob.run(line)).code(1);
        assert!(
            printed.stderr.contains("cannot write to standard output"),
            "{line:?}: {printed:?}"
        );
        let quiet = unread(bob.run(line).env("FTCHAT_QUIET", "true"));
        assert_eq!(quiet.stderr, "ended with 0\n", "{line:?}");
    }
}

#[test]
fn a_profile_that_is_kept_is_told_of_also_where_nothing_can_be_written() {
    let (cluster, place) = (Cluster::shared(), Place::new());
    let word = format!("ftchat://{}", cluster.addresses()[0]);
    let connect = || place.run(&["connect", &word, "--name", "work"]);
    let lost = full(connect()).code(1);
    assert!(lost.stderr.contains("work is the current profile, but that"), "{lost:?}");
    assert_eq!(unread(connect()).stderr, "ended with 0\n");
    full(place.run(&["profiles"])).code(1);
    assert_eq!(unread(place.run(&["profiles"])).stderr, "ended with 0\n");
    let lost = full(place.run(&["profiles", "remove", "work"])).code(1);
    assert!(lost.stderr.contains("the profile work is removed, but that"), "{lost:?}");
}

#[test]
fn a_result_that_is_an_exit_code_needs_no_reader() {
    let cluster = Cluster::shared();
    let place = &cluster.place;
    let nobody = ["status", "--check", "--servers", "127.0.0.1:9"];
    assert_eq!(unread(place.run(&nobody)).stderr, "ended with 3\n");
    full(place.run(&nobody)).code(3);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let send = ["send", &bob.name, "--lines", "--servers", "127.0.0.1:9", "--timeout", "300ms"];
    let failed = unread(alice.run(&send).stdin("x\n"));
    assert!(failed.stderr.ends_with("ended with 3\n"), "{failed:?}");
    // All of the files are written, whoever reads their names.
    let man = cluster.place.path().join(format!("{}-man", alice.name));
    unread(place.run(&["man", "--dir", man.to_str().expect("ours")])).code(0);
    assert!(std::fs::read_dir(&man).expect("made").count() > 30);
}

#[test]
fn following_ends_with_its_reader_and_not_a_message_later() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "the only one");
    let script = r#"{ "$@"; echo "ended with $?" >&2; } | head -n 1"#;
    let output = bob.run(&["inbox", "-f"]).under(&["sh", "-c", script, "sh"]).end().code(0);
    assert!(output.stdout.ends_with("the only one\n"), "{output:?}");
    assert_eq!(output.stderr, "ended with 0\n");
    let logs = cluster.admin(&["logs", "1", "-f"]).under(&["sh", "-c", script, "sh"]).end();
    assert_eq!(logs.stderr, "ended with 0\n");
    wait_for("an inbox without unread messages", || {
        bob.does(&["inbox", "--peek"]).ok().is_empty().then_some(())
    });
}

#[test]
fn no_command_runs_again_for_a_message_for_which_it_succeeded() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let folder = cluster.place.path().join(format!("{}-exec", bob.name));
    std::fs::create_dir(&folder).expect("a new folder");
    let path = |name: &str| folder.join(name);
    let lines = |name: &str| std::fs::read_to_string(path(name)).unwrap_or_default();
    // It waits in its middle until it is let go.
    let at = folder.display();
    let command = format!(
        "cd '{at}'; echo $FTCHAT_TEXT >> begun; \
         until [ -e go-$FTCHAT_TEXT ]; do sleep 0.01; done; echo $FTCHAT_TEXT >> done"
    );
    let go = |text: &str| std::fs::write(path(&format!("go-{text}")), "").expect("ours");
    let begun = |text: &str| {
        wait_for("a command that runs", || lines("begun").lines().any(|l| l == text).then_some(()))
    };
    for n in 1..=9 {
        alice.send(&bob, &n.to_string());
    }
    go("1");
    let unread_texts = || {
        let messages = bob.does(&["inbox", "--peek", "--json"]).objects();
        messages.iter().map(|m| m["text"].as_str().expect("text").to_string()).collect::<Vec<_>>()
    };
    // A signal waits for the command, and no other begins.
    let mut last = 1;
    for signal in ending_signals() {
        last += 1;
        let running = &last.to_string();
        let mut reading = bob.run(&["inbox", "--exec", &command]).start();
        begun(running);
        reading.signal(signal);
        // It hears the signal before the end of the command, which it waits for.
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!reading.has_ended(), "{signal:?} did not wait");
        go(running);
        reading.end().code(130);
        assert_eq!(unread_texts()[0], (last + 1).to_string(), "{signal:?}");
    }
    assert_eq!(
        lines("done").lines().collect::<Vec<_>>(),
        (1..=last).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    (last + 1..5).for_each(|n| go(&n.to_string()));
    // A second one does not wait: that one did not succeed.
    let mut reading = bob.run(&["inbox", "-f", "--exec", &command]).start();
    begun("5");
    reading.signal(Signal::TERM);
    wait_for("the end", || {
        // The two may reach it as one.
        reading.signal(Signal::TERM);
        reading.has_ended().then_some(())
    });
    reading.end().code(130);
    assert_eq!(unread_texts()[0], "5");
    // Nor does a crash, and what was before it is known.
    go("5");
    let mut reading = bob.run(&["inbox", "--exec", &command]).start();
    begun("6");
    reading.signal(Signal::KILL);
    wait_for("the end", || reading.has_ended().then_some(()));
    assert_eq!(unread_texts(), ["6", "7", "8", "9"]);
    ["6", "7", "8", "9"].into_iter().for_each(go);
    // Nor does a reader who has gone.
    let some = bob.run(&["inbox", "--exec", &command]);
    some.under(&["sh", "-c", r#""$@" | head -n 1"#, "sh"]).end().code(0);
    bob.does(&["inbox", "--exec", &command]).ok();
    assert_eq!(unread_texts(), [""; 0]);
    let done = lines("done");
    // The commands that nobody waited for came to their ends by themselves.
    for text in ["7", "8", "9"] {
        assert_eq!(done.lines().filter(|line| *line == text).count(), 1, "{done}");
    }
}
