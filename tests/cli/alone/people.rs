//! What people and scripts see of messages that no majority has confirmed.

use serde_json::Value;

use super::{left_alone, sent, thaw};
use crate::harness::cluster::PASSWORD;
use crate::harness::running::json;
use crate::harness::{Cluster, Output, Person, Run, Terminal};

/// What `inbox --json` shows of a field, with these flags and the line that says who is alone.
fn shown(person: &Person<'_>, flags: &[&str], field: &str, left: u64) -> Vec<Value> {
    let read = person.run(&["inbox", "--json"]).and(flags).end();
    assert!(read.stderr.contains(&format!("server {left} is alone since")), "{read:?}");
    read.objects().into_iter().map(|message| message[field].clone()).collect()
}

fn texts(person: &Person<'_>, flags: &[&str], left: u64) -> Vec<String> {
    let shown = shown(person, &[&["--peek"], flags].concat(), "text", left);
    shown.iter().map(|text| text.as_str().expect("a text").to_string()).collect()
}

/// What commands of `--exec` printed, among the messages themselves.
fn ran(stdout: &str) -> Vec<&str> {
    stdout.lines().filter_map(|line| line.strip_prefix("ran ")).collect()
}

/// A command for each message that says for which, and whether that was confirmed.
const EXEC: [&str; 2] = ["--exec", r#"echo "ran $FTCHAT_TEXT $FTCHAT_CONFIRMED""#];

/// Runs commands beside each other, as each waits for its time to be up.
fn all_at_once(commands: impl IntoIterator<Item = Run>) -> Vec<Output> {
    let running: Vec<_> =
        commands.into_iter().map(|run| std::thread::spawn(move || run.end())).collect();
    running.into_iter().map(|it| it.join().expect("it ends")).collect()
}

#[test]
fn what_is_unconfirmed_is_found_like_any_other_message_and_acted_upon_once() {
    let cluster = Cluster::surviving();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| cluster.person(name));
    alice.send(&bob, "before");
    let (left, frozen) = left_alone(&cluster);
    let one = sent(&alice, &bob, "one");
    let two = sent(&carol, &bob, "two");
    let three = sent(&alice, &bob, "three");
    let unwanted = [sent(&alice, &bob, "four"), sent(&alice, &bob, "five")];

    // An id may be cut, also that of a message which no majority knows.
    let id = |sent: &Value| sent["id"].as_str().expect("an id").to_string();
    let deleted = bob.does(&["delete", &id(&unwanted[0]), &id(&unwanted[1])[..12]]);
    assert!(deleted.stderr.contains(&format!("deleted at server {left} alone")), "{deleted:?}");
    assert_eq!(deleted.ok().lines().count(), 2);
    // Perhaps a majority knows it.
    bob.does(&["delete", "00000000-0000-4000-8000"]).fails(3, &["a server knows that is alone"]);
    let unknown = "00000000-0000-4000-8000-000000000000";
    for looking_back in [
        &["history", "nobody-here"][..],
        &["history", &alice.name, "--before", unknown],
        &["history", &alice.name, "--before", &unknown[..12]],
    ] {
        bob.does(looking_back).fails(3, &["a server knows that is alone"]);
    }

    let taken_at = shown(&bob, &["--peek"], "accepted_at", left)[2].clone();
    let taken_at = taken_at.as_str().expect("when it was taken");
    for (flags, expected) in [
        (&[][..], &["before", "one", "two", "three"][..]),
        (&["--from", &carol.name], &["two"]),
        (&["--limit", "2"], &["before", "one"]),
        (&["--since", taken_at], &["two", "three"]),
        (&["--since", taken_at, "--limit", "1"], &["two"]),
        (&["--confirmed"], &["before"]),
        (&["--confirmed", "--from", &carol.name], &[]),
    ] {
        assert_eq!(texts(&bob, flags, left), expected, "{flags:?}");
    }
    let of_alice = shown(&alice, &["--sent"], "confirmed", left);
    assert_eq!(of_alice, [true, false, false, false, false], "who sent it keeps it");

    let first = bob.does(&["inbox", EXEC[0], EXEC[1]]).ok();
    assert_eq!(ran(&first), ["before 1", "one 0", "two 0", "three 0"], "{first}");
    let again = bob.does(&["inbox", EXEC[0], EXEC[1]]).ok();
    assert_eq!(again, "", "they are marked, by their ids");

    thaw(&cluster, &frozen);
    assert_eq!(bob.does(&["inbox", EXEC[0], EXEC[1]]).ok(), "", "nor is it run again");
    let expected = [&id(&one), &id(&two), &id(&three)];
    assert_eq!(bob.ids()[1..].iter().collect::<Vec<_>>(), expected);
}

#[test]
fn who_follows_acts_once_on_each_message_and_who_wants_what_is_final_waits_for_it() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let acting = bob.run(&["inbox", "-f", "--all", EXEC[0], EXEC[1]]).start();
    let strict = bob.run(&["inbox", "-f", "--all", "--confirmed", "--json"]).start();
    alice.send(&bob, "before");
    let next = || loop {
        if let Some(ran) = acting.line().strip_prefix("ran ") {
            return ran.to_string();
        }
    };
    assert_eq!((next().as_str(), &strict.json()["text"]), ("before 1", &"before".into()));
    let (_, frozen) = left_alone(&cluster);
    let taken = sent(&alice, &bob, "alone");
    assert_eq!(next(), "alone 0");
    assert_eq!(strict.printed(), Vec::<String>::new());
    thaw(&cluster, &frozen);
    alice.send(&bob, "after");
    assert_eq!(next(), "after 1", "it is not run again for the one before");
    let confirmed = strict.json();
    assert_eq!(
        [&confirmed["id"], &confirmed["confirmed"], &confirmed["text"]],
        [&taken["id"], &true.into(), &"alone".into()]
    );
    assert_eq!(strict.json()["text"], "after");
}

/// The server's own log tells an administrator when that was, and how many messages.
#[test]
fn the_status_and_the_log_say_since_when_a_server_is_alone_and_what_became_of_it() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let (left, frozen) = left_alone(&cluster);
    let log = || std::fs::read_to_string(format!("{}/replica-{left}.log", cluster.dir()));
    let said = |words: &[&str]| {
        let log = log().expect("a log");
        let mut lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        lines.next_back().unwrap_or_else(|| panic!("nothing with {words:?} in {log}")).to_string()
    };
    for number in 0..14 {
        sent(&alice, &bob, &number.to_string());
    }
    let status = cluster.status();
    let replica = |id: u64| &status["replicas"][id as usize - 1];
    assert_eq!([&status["unconfirmed"], &replica(left)["outbox"]], [14, 14], "{status}");
    assert_eq!((&status["leader"], &status["confirming"]), (&Value::Null, &false.into()));
    let since = replica(left)["alone_since"].as_str().expect("an instant");
    for id in &frozen {
        assert_eq!(replica(*id)["alone_since"], Value::Null, "{status}");
        assert_eq!(replica(*id)["state"], "unreachable", "{status}");
    }
    cluster.run(&["status", "--check"]).end().code(1);
    let shown = Terminal::start(cluster.run(&["status"])).end().1;
    let sentence = format!("Server {left} is alone since ");
    assert!(shown.contains(&sentence) && shown.contains("14 wait to be confirmed"), "{shown}");
    said(&["WARN", "this server is alone", since, "holds its lock"]);

    thaw(&cluster, &frozen);
    said(&["INFO", "is confirmed", "messages=14"]);
    said(&["INFO", "this server is alone no longer"]);
    cluster.run(&["status", "--check"]).end().code(0);
}

#[test]
fn who_wants_a_majority_gets_its_word_or_nothing_and_is_told_why() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let id = alice.send(&bob, "before");
    let (left, frozen) = left_alone(&cluster);
    let strict = [
        &["send", &alice.name, "strict"][..],
        &["send", &alice.name, "--lines"],
        &["inbox"],
        &["accounts"],
        &["whoami"],
        &["delete", &id],
        &["logout"],
    ];
    let run = |verb: &[&str]| {
        let strict = ["--confirm", "majority", "--timeout", "2s"];
        bob.run(verb).and(&strict).stdin("strict\n")
    };
    let alone = format!("server {left} is alone");
    for refused in all_at_once(strict.map(run)) {
        let refused = refused.fails(3, &[&alone, "no majority", "holds its lock"]);
        assert!(!refused.stderr.contains("is alone since"), "nothing is answered: {refused:?}");
    }
    thaw(&cluster, &frozen);
    assert_eq!((bob.ids(), alice.ids()), (vec![id], vec![]));
    assert_eq!(json(&bob.does(&["whoami", "--json"]).ok())["name"], bob.name.as_str());
}

/// What must be unique, gives rights, or concerns the cluster.
#[test]
fn what_a_server_does_not_do_alone_ends_with_3_and_is_not_done() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let before = cluster.admin(&["actions"]).end().ok();
    let (left, frozen) = left_alone(&cluster);
    let carol = cluster.stranger("carol");
    let other = frozen[0].to_string();
    let (dir, file) = (cluster.dir(), cluster.place.path().join("backup").display().to_string());
    let limit = ["--timeout", "2s"];
    let by_alice = |verb: &[&str]| alice.run(verb).and(&limit).stdin(PASSWORD);
    let delete = ["delete-account", "--confirm", &alice.name, "--password-stdin"];
    let people = [
        by_alice(&["login", &alice.name, "--password-stdin"]),
        by_alice(&delete),
        alice
            .run(&["passwd", "--password-stdin"])
            .and(&limit)
            .stdin(format!("{PASSWORD}\n{PASSWORD}")),
        carol.run(&["register", &carol.name, "--password-stdin"]).and(&limit).stdin(PASSWORD),
    ];
    let alone = format!("server {left} is alone, and this needs a majority");
    for refused in all_at_once(people) {
        refused.fails(3, &[&alone, "holds its lock"]);
    }
    let admin = |verb: &[&str]| cluster.admin(verb).and(&limit);
    let of_majority = [
        cluster.run(&["backup", &file, "--dir", &dir]).and(&limit),
        admin(&["invite"]),
        admin(&["account", "list"]),
        admin(&["account", "disable", &bob.name]),
        admin(&["limits", "set", "keep_messages_days=1"]),
        admin(&["registration", "closed"]),
    ];
    for refused in all_at_once(of_majority) {
        refused.fails(3, &["no majority", "holds its lock"]);
    }
    for refused in all_at_once([admin(&["transfer", &other]), admin(&["remove", &other])]) {
        refused.fails(3, &["lead"]);
    }
    assert!(!std::path::Path::new(&file).exists());
    thaw(&cluster, &frozen);
    assert_eq!(cluster.admin(&["actions"]).end().ok(), before);
    let names = alice.does(&["accounts"]).ok();
    assert_eq!(names.lines().collect::<Vec<_>>(), [&*alice.name, &*bob.name]);
}
