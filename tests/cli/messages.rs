//! Sending, reading and deleting.

use crate::harness::place::random_id;
use crate::harness::{Cluster, wait_for};

#[test]
fn a_message_arrives_once_with_its_fields() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let sent = alice.does(&["send", &bob.name, "see you at six", "--json"]).json();
    assert_eq!(sent["to"], serde_json::json!([bob.name]));
    assert_eq!(sent["replicas"], 3);
    assert!((2..=3).contains(&sent["copies"].as_u64().expect("a number")), "{sent}");

    let got = bob.does(&["inbox", "--json"]).objects();
    assert_eq!(got.len(), 1);
    for field in ["id", "at", "seq", "to"] {
        assert_eq!(got[0][field], sent[field], "{field}");
    }
    assert_eq!(got[0]["from"], alice.name.as_str());
    assert_eq!(got[0]["text"], "see you at six");
    assert_eq!(got[0]["read"], false);
    let at: jiff::Timestamp = got[0]["at"].as_str().expect("a text").parse().expect("RFC 3339");
    assert!(got[0]["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{at} is not UTC");
}

#[test]
fn off_a_terminal_a_message_is_one_line_of_four_fields() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let id = alice.send(&bob, "one\ttwo\nthree");
    let line = bob.does(&["inbox"]).ok();
    let fields: Vec<&str> = line.trim_end_matches('\n').split('\t').collect();
    assert_eq!(fields.len(), 4, "{line:?}");
    assert_eq!((fields[0], fields[2], fields[3]), (&*id, &*alice.name, r"one\ttwo\nthree"));
    assert!(fields[1].ends_with('Z'), "{line:?}");
}

#[test]
fn reading_marks_what_it_printed_and_peeking_marks_nothing() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    for text in ["first", "second", "third"] {
        alice.send(&bob, text);
    }
    let texts = |arguments: &[&str]| {
        let messages = bob.run(&["inbox", "--json"]).and(arguments).end().objects();
        messages.iter().map(|m| m["text"].as_str().expect("text").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&["--peek"]), ["first", "second", "third"]);
    assert_eq!(texts(&["--limit", "2"]), ["first", "second"]);
    assert_eq!(texts(&[]), ["third"]);
    assert_eq!(texts(&[]), [""; 0]);
    assert_eq!(texts(&["--all"]), ["first", "second", "third"]);
    let read = bob.does(&["inbox", "--all", "--json"]).objects();
    assert!(read.iter().all(|message| message["read"] == true), "{read:?}");
}

#[test]
fn an_inbox_is_narrowed_by_sender_time_and_direction() {
    let cluster = Cluster::shared();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| cluster.person(name));
    alice.send(&bob, "from alice");
    carol.send(&bob, "from carol");
    let inbox = |arguments: &[&str]| {
        let messages = bob.run(&["inbox", "--all", "--json"]).and(arguments).end().objects();
        messages.iter().map(|m| m["text"].as_str().expect("text").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(inbox(&["--from", &carol.name]), ["from carol"]);
    assert_eq!(inbox(&["--since", "1h"]), ["from alice", "from carol"]);
    assert_eq!(inbox(&["--since", "2999-01-01"]), [""; 0]);
    let sent = alice.does(&["inbox", "--sent", "--json"]).objects();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["text"], "from alice");
    let line = alice.does(&["inbox", "--sent"]).ok();
    assert!(line.contains(&format!("\t{}\t", bob.name)), "{line:?}");
    bob.does(&["inbox", "--since", "soon"]).fails(2, &["soon", "2h"]);
}

#[test]
fn a_message_to_several_reaches_all_of_them_or_none() {
    let cluster = Cluster::shared();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| cluster.person(name));
    let nobody = cluster.stranger("nobody");
    let to = |names: &[&str]| names.join(",");
    let both = to(&[&bob.name, &carol.name]);
    let sent = alice.does(&["send", &both, "to both", "--json"]).json();
    assert_eq!(sent["to"], serde_json::json!([bob.name, carol.name]));
    let with_nobody = to(&[&bob.name, &nobody.name, &carol.name]);
    alice.does(&["send", &with_nobody, "to nobody"]).fails(5, &[&nobody.name]);
    alice.does(&["send", &with_nobody, "x", "--json"]).refused(5, "unknown_account");
    assert_eq!((bob.texts(), carol.texts()), (vec!["to both".into()], vec!["to both".into()]));
}

#[test]
fn standard_input_is_one_message_or_with_lines_one_each() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.run(&["send", &bob.name]).stdin("two\nlines\n").end().ok();
    alice.run(&["send", &bob.name, "-"]).stdin("no newline").end().ok();
    let lines: String = (0..300).map(|n| format!("line {n}\n")).collect();
    let ids = alice.run(&["send", &bob.name, "--lines"]).stdin(&lines).end().ok();
    let messages = bob.does(&["inbox", "--json"]).objects();
    let field = |name: &str| -> Vec<String> {
        messages.iter().map(|m| m[name].as_str().expect("text").to_string()).collect()
    };
    let mut expected = vec!["two\nlines".to_string(), "no newline".to_string()];
    expected.extend(lines.lines().map(str::to_string));
    assert_eq!(field("text"), expected);
    assert_eq!(field("id")[2..], ids.lines().collect::<Vec<_>>());
    let json = alice.run(&["send", &bob.name, "--lines", "--json"]).stdin("a\nb\n").end().objects();
    assert_eq!(json.len(), 2);
    assert!(json[0]["seq"].as_u64() < json[1]["seq"].as_u64(), "{json:?}");
}

#[test]
fn a_line_that_is_refused_is_named_and_what_was_before_it_is_sent() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let sent = alice.run(&["send", &bob.name, "--lines"]).stdin("one\ntwo\n\nfour\n").end().code(1);
    assert!(sent.stderr.contains("line 3"), "{sent:?}");
    assert_eq!(sent.stdout.lines().count(), 2, "{sent:?}");
    assert_eq!(bob.texts(), ["one", "two"]);
}

#[test]
fn the_same_id_again_is_the_same_message() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let id = random_id();
    let send = |text: &str| alice.does(&["send", &bob.name, text, "--id", &id, "--json"]);
    let first = send("only once").json();
    assert_eq!(first["id"], id.as_str());
    let second = send("only once").json();
    for field in ["id", "seq", "at", "to"] {
        assert_eq!(first[field], second[field], "{field}");
    }
    send("something else").refused(1, "id_conflict");
    alice.does(&["send", &alice.name, "only once", "--id", &id]).fails(1, &[&id]);
    assert_eq!(bob.texts(), ["only once"]);

    // With --lines the ids of all lines follow from it.
    let base = random_id();
    let lines = || alice.run(&["send", &bob.name, "--lines", "--id", &base]).stdin("x\ny\n").end();
    assert_eq!(lines().ok(), lines().ok());
    assert_eq!(bob.texts(), ["only once", "x", "y"]);
}

#[test]
fn a_command_runs_for_each_message_with_its_fields() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let id = alice.send(&bob, "it's \"quoted\"; $HOME");
    alice.send(&bob, "fail");
    let file = cluster.place.path().join(format!("{}.out", bob.name));
    let command = format!(
        r#"[ "$FTCHAT_TEXT" != fail ] && printf '%s|' "$FTCHAT_ID" "$FTCHAT_FROM" "$FTCHAT_TEXT" "$FTCHAT_AT" >> '{}'"#,
        file.display()
    );
    let done = bob.does(&["inbox", "--exec", &command]).code(1);
    assert!(done.stderr.contains("1 of 2 messages"), "{done:?}");
    let written = std::fs::read_to_string(&file).expect("the command has written it");
    let fields: Vec<&str> = written.split('|').collect();
    assert_eq!(fields[..3], [&id, alice.name.as_str(), "it's \"quoted\"; $HOME"]);
    assert!(fields[3].ends_with('Z'), "{written}");
    // The one whose command failed stays unread.
    let unread = bob.does(&["inbox", "--peek", "--json"]).objects();
    assert_eq!(unread.len(), 1);
    assert_eq!(unread[0]["text"], "fail");
}

#[test]
fn following_shows_what_is_there_and_what_comes() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "before");
    let follow = bob.run(&["inbox", "--follow", "--json"]).start();
    assert_eq!(follow.json()["text"], "before");
    for n in 0..5 {
        alice.send(&bob, &format!("after {n}"));
        assert_eq!(follow.json()["text"], format!("after {n}"));
    }
    // What was printed is marked as read after it was printed.
    wait_for("an inbox without unread messages", || {
        bob.does(&["inbox", "--peek"]).ok().is_empty().then_some(())
    });
    follow.signal(rustix::process::Signal::INT);
    let ended = follow.end().code(130);
    assert!(ended.stderr.contains("interrupted"), "{ended:?}");
    alice.send(&bob, "last");
    assert!(bob.does(&["inbox", "-f", "--limit", "1"]).ok().ends_with("\tlast\n"));
}

#[test]
fn a_reader_that_goes_ends_the_program_quietly() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let line = "x".repeat(8_000);
    // More than any pipe holds, so that the writer meets the closed end.
    let lines: String = (0..40).map(|_| line.clone() + "\n").collect();
    alice.run(&["send", &bob.name, "--lines"]).stdin(lines).end().ok();
    let script = r#"{ "$@"; echo "ended with $?" >&2; } | head -c 100"#;
    for command in [&["inbox", "--all", "--peek"][..], &["inbox", "--all", "--peek", "--json"]] {
        let output = bob.run(command).under(&["sh", "-c", script, "sh"]).end();
        assert_eq!(output.stderr, "ended with 0\n");
        assert_eq!(output.stdout.len(), 100);
    }
}

#[test]
fn deleting_takes_any_prefix_that_no_other_message_has() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let tail = &random_id()[9..];
    let ids = [format!("abcdef01-{tail}"), format!("abcdef02-{tail}"), random_id()];
    for id in &ids {
        alice.does(&["send", &format!("{},{}", bob.name, alice.name), "x", "--id", id]).ok();
    }
    let ambiguous = bob.does(&["delete", "abcdef0"]).fails(1, &["abcdef0", "more digits"]);
    assert!(ambiguous.stderr.contains(&ids[0]) && ambiguous.stderr.contains(&ids[1]));
    bob.does(&["delete", "abcdef", "--json"]).refused(1, "ambiguous_id");
    for wrong in ["xyz1", "abc", "no-uuid", &format!("{}0", ids[2])] {
        bob.does(&["delete", wrong]).fails(2, &[wrong, "digits"]);
    }
    let unknown = random_id();
    bob.does(&["delete", &unknown]).fails(5, &[&unknown]);
    // All or none.
    bob.does(&["delete", &ids[2], &unknown, "--json"]).refused(5, "unknown_message");
    assert_eq!(bob.texts().len(), 3);

    assert_eq!(bob.does(&["delete", "abcdef01"]).ok().trim(), ids[0]);
    let deleted = bob.does(&["delete", &ids[1], &ids[2], "--json"]).json();
    assert_eq!((&deleted["deleted"], &deleted["ids"][1]), (&2.into(), &ids[2].as_str().into()));
    // Other recipients keep theirs.
    assert_eq!((bob.texts().len(), alice.texts().len()), (0, 3));
}
