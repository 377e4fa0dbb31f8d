//! History, search, mentions, and how much is unread.

use serde_json::{Value, json};

use crate::harness::{Cluster, Person, Terminal};

fn texts(person: &Person<'_>, arguments: &[&str]) -> Vec<String> {
    let messages = person.run(arguments).and(&["--json"]).end().objects();
    messages.iter().map(|it| it["text"].as_str().expect("a text").to_string()).collect()
}

#[test]
fn a_conversation_is_shown_from_both_sides_oldest_first_and_marks_nothing() {
    let cluster = Cluster::shared();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| cluster.person(name));
    alice.send(&bob, "1");
    let second = bob.send(&alice, "2");
    carol.send(&alice, "of carol");
    alice.does(&["send", &format!("{},{}", carol.name, bob.name), "3"]).ok();
    for (person, other) in [(&alice, &bob), (&bob, &alice)] {
        assert_eq!(texts(person, &["history", &other.name]), ["1", "2", "3"]);
    }
    assert_eq!(texts(&carol, &["history", &bob.name]), [""; 0], "alice wrote to both");
    let history = |flags: &[&str]| texts(&alice, &[&["history", &bob.name], flags].concat());
    assert_eq!(history(&["--limit", "2"]), ["2", "3"]);
    assert_eq!(history(&["--before", &second]), ["1"]);
    assert_eq!(history(&["--before", &second[..9]]), ["1"], "it is in the inbox");
    assert_eq!(history(&["--since", "1h", "--limit", "1"]), ["3"]);
    assert_eq!(history(&["--since", "2999-01-01"]), [""; 0]);
    assert_eq!(alice.texts().len(), 2, "nothing was marked");

    let shown = bob.does(&["history", &alice.name, "--json"]).objects();
    let field = |field: &str| shown.iter().map(|it| it[field].clone()).collect::<Vec<Value>>();
    assert_eq!(field("from"), [&*alice.name, &*bob.name, &*alice.name]);
    assert_eq!(field("read"), [false, true, false], "what one sent is read");
    assert_eq!(field("room"), [Value::Null, Value::Null, Value::Null]);
    let plain = bob.does(&["history", &alice.name]).ok();
    let line: Vec<&str> = plain.lines().nth(1).expect("three lines").split('\t').collect();
    assert_eq!((line.len(), line[0], line[2], line[3]), (4, &*second, &*bob.name, "2"));
}

#[test]
fn more_than_a_page_is_shown_without_a_gap_in_its_order() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let lines: String = (0..2_300).map(|number| format!("line {number}\n")).collect();
    alice.run(&["send", &bob.name, "--lines"]).stdin(&lines).end().ok();
    let all: Vec<String> = lines.lines().map(str::to_string).collect();
    assert_eq!(texts(&bob, &["history", &alice.name]), all[2_250..], "the last fifty");
    assert_eq!(texts(&bob, &["history", &alice.name, "--since", "1h"]), all);
    assert_eq!(texts(&bob, &["history", &alice.name, "--limit", "1500"]), all[800..]);
    let newest_first: Vec<String> = all.iter().rev().cloned().collect();
    assert_eq!(texts(&bob, &["search", "line"]), newest_first);
    assert_eq!(texts(&bob, &["search", "line", "7"]), ["line 7"]);
    assert_eq!(texts(&bob, &["search", "22*", "--limit", "3"]), newest_first[..3]);
}

#[test]
fn what_is_wrong_with_looking_back_is_a_sentence() {
    let cluster = Cluster::shared();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| cluster.person(name));
    let nobody = cluster.stranger("nobody");
    let theirs = bob.send(&carol, "not alice's");
    alice.does(&["history", &nobody.name]).fails(5, &[&nobody.name]);
    alice.does(&["history", &nobody.name, "--json"]).refused(5, "unknown_account");
    alice.does(&["history", "no such name"]).fails(1, &["name"]);
    alice.does(&["history", &bob.name, "--limit", "0"]).code(2);
    alice.does(&["history", &bob.name, "--before", "soon"]).fails(2, &["soon", "id"]);
    // Of a message that one may not see it is not told that it is there.
    let mine = alice.send(&carol, "of another conversation");
    for id in [&theirs, &mine, &crate::harness::place::random_id()] {
        let refused = alice.does(&["history", &bob.name, "--before", id, "--json"]);
        let error = refused.refused(5, "unknown_message");
        assert_eq!(error["message"].as_str().expect("text").replace(id, "ID"), {
            let name = &bob.name;
            format!(
                "no message ID is in the conversation with {name}, or no majority has confirmed \
                 it yet"
            )
        });
    }
    for nothing in ["", "  ", "*"] {
        alice.does(&["search", nothing]).fails(2, &["word"]);
    }
    alice.does(&["search"]).code(2);
    alice.does(&["search", &"x".repeat(64 * 1024)]).code(2);
    alice.does(&["search", "word", "--in", &nobody.name]).fails(5, &[&nobody.name]);
    nobody.does(&["unread"]).code(4);
}

#[test]
fn a_search_finds_words_whatever_their_case_and_accents_and_nothing_of_others() {
    let cluster = Cluster::shared();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| cluster.person(name));
    alice.send(&bob, "Das Café in der Hauptstraße");
    bob.send(&alice, "the cafe is closed");
    bob.send(&carol, "cafe: not alice's");
    let found = |arguments: &[&str]| texts(&alice, &[&["search"], arguments].concat());
    let both = ["the cafe is closed", "Das Café in der Hauptstraße"];
    assert_eq!(found(&["CAFE"]), both);
    assert_eq!(found(&["cafe", "--from", &bob.name]), both[..1]);
    assert_eq!(found(&["cafe", "--in", &bob.name]), both);
    assert_eq!(found(&["cafe", "--in", &carol.name]), [""; 0]);
    assert_eq!(found(&["closed cafe"]), both[..1]);
    assert_eq!(found(&["HAUPTSTRASSE"]), both[1..]);
    assert_eq!(found(&["haupt"]), [""; 0], "words are whole");
    assert_eq!(found(&["haupt*"]), both[1..]);
    assert_eq!(found(&["cafe", "--since", "2999-01-01"]), [""; 0]);
}

#[test]
fn what_is_unread_is_one_line_a_sender_with_its_mentions() {
    let cluster = Cluster::shared();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| cluster.person(name));
    assert_eq!(alice.does(&["unread"]).ok(), "");
    bob.send(&alice, &format!("@{} look", alice.name));
    bob.send(&alice, &format!("at x@{}", alice.name));
    carol.send(&alice, "hello");
    let (of_bob, of_carol) = (format!("{}\t2\t1\n", bob.name), format!("{}\t1\t0\n", carol.name));
    assert_eq!(alice.does(&["unread"]).ok(), format!("{of_bob}{of_carol}"));
    let rows = alice.does(&["unread", "--json"]).objects();
    assert_eq!(rows[0], json!({"name": bob.name, "room": false, "unread": 2, "mentions": 1}));
    let mentions = alice.does(&["inbox", "--peek", "--mentions", "--json"]).objects();
    assert_eq!((mentions.len(), &mentions[0]["mention"]), (1, &Value::from(true)));
    let all = alice.does(&["inbox", "--json"]).objects();
    let mention: Vec<&Value> = all.iter().map(|it| &it["mention"]).collect();
    assert_eq!(mention, [true, false, false]);
    assert_eq!(alice.does(&["unread"]).ok(), "", "all is read");
}

#[test]
fn on_a_terminal_a_day_stands_once_and_a_mention_is_marked() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "first");
    alice.send(&bob, &format!("@{} second", bob.name));
    for verb in [&["inbox", "--peek"][..], &["history", &alice.name]] {
        let run = bob.run(verb).env("TZ", "IST-05:30").env("NO_COLOR", "1");
        let (code, shown) = Terminal::start(run).end();
        assert_eq!(code, Some(0), "{shown}");
        assert_eq!(shown.matches(" +05:30 --\r\n").count(), 1, "{shown}");
        let heads: Vec<&str> = shown.lines().filter(|it| it.starts_with(&*alice.name)).collect();
        assert_eq!(heads.len(), 2, "{shown}");
        assert!(!heads[0].ends_with("  @") && heads[1].ends_with("  @"), "{shown}");
    }
    let run = bob.run(&["unread"]).env("NO_COLOR", "1");
    let (_, shown) = Terminal::start(run).end();
    assert!(shown.contains(&format!("{}  2 unread, 1 mention", alice.name)), "{shown}");
    let (_, shown) = bob.types(&["search", "nothing"]).end();
    assert!(shown.contains("Nothing was found."), "{shown}");
    let (_, shown) = alice.types(&["history", &alice.name]).end();
    assert!(shown.contains(&format!("No messages with {}.", alice.name)), "{shown}");
}

#[test]
fn an_answer_is_shown_with_the_beginning_of_what_it_answers() {
    let cluster = Cluster::shared();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| cluster.person(name));
    let question = alice.send(&bob, "shall we?\nnow?");
    let to = format!("{},{}", alice.name, carol.name);
    let answer = bob.does(&["send", &to, "yes", "--reply-to", &question[..8]]).ok();
    let again = ["send", &to, "yes", "--reply-to", &question, "--id", answer.trim()];
    assert_eq!(bob.does(&again).ok(), answer, "it is the same message");
    for person in [&alice, &carol] {
        let inbox = person.does(&["inbox", "--peek", "--json"]).objects();
        assert_eq!(inbox[0]["reply_to"], Value::from(question.clone()), "{inbox:?}");
    }
    let shown = |person: &Person<'_>| {
        let run = person.run(&["inbox", "--peek"]).env("NO_COLOR", "1");
        Terminal::start(run).end().1
    };
    let quote = format!("\r\n    > {}: shall we? now?\r\n    yes\r\n", alice.name);
    assert!(shown(&alice).contains(&quote), "{}", shown(&alice));
    let of_carol = shown(&carol);
    assert!(!of_carol.contains("shall we") && of_carol.contains("    yes"), "{of_carol}");

    carol
        .does(&["send", &bob.name, "what?", "--reply-to", &question])
        .fails(5, &["nothing was sent"]);
    let digits = &question[..8];
    carol.does(&["send", &bob.name, "what?", "--reply-to", digits]).fails(5, &[digits]);
    bob.does(&["send", &alice.name, "x", "--reply-to", "soon"]).fails(2, &["soon"]);
    bob.run(&["send", &alice.name, "--lines", "--reply-to", &question]).stdin("a\n").end().code(2);
}
