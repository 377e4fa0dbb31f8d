//! What people change about their own accounts.

use std::sync::Arc;

use crate::harness::cluster::PASSWORD;
use crate::harness::{Cluster, Output, Person, Run};

const NEW_PASSWORD: &str = "a better horse";

/// The shared cluster, when all of its servers have agreed on the newest level.
fn cluster() -> Arc<Cluster> {
    let cluster = Cluster::shared();
    cluster.await_status("the newest level", |status| {
        status["feature_level"] == ftchat::limits::FEATURE_LEVEL_KNOWN
    });
    cluster
}

fn login(place: &Person<'_>, name: &str, password: &str) -> Output {
    place.run(&["login", name, "--password-stdin"]).stdin(password).end()
}

/// That of the session that is kept.
fn token(person: &Person<'_>) -> String {
    let cluster = person.cluster.status()["cluster"].as_str().expect("an id").to_string();
    let folder = std::fs::read_dir(person.sessions_dir().join(cluster)).expect("a folder");
    let mut files = folder.map(|entry| entry.expect("one").path());
    let file = files.find(|path| path.extension().is_some_and(|it| it == "json"));
    let session = std::fs::read_to_string(file.expect("a session")).expect("readable");
    crate::harness::running::json(&session)["token"].as_str().expect("a token").to_string()
}

fn passwd(person: &Person<'_>, old: &str, new: &str) -> Run {
    person.run(&["passwd", "--password-stdin"]).stdin(format!("{old}\n{new}\n"))
}

#[test]
fn a_new_password_ends_all_other_sessions_and_the_old_one_opens_nothing() {
    let cluster = cluster();
    let (alice, elsewhere) = (cluster.person("alice"), cluster.stranger("elsewhere"));
    login(&elsewhere, &alice.name, PASSWORD).ok();
    elsewhere.does(&["whoami"]).ok();
    assert_eq!(passwd(&alice, PASSWORD, NEW_PASSWORD).end().ok(), format!("{}\n", alice.name));
    for server in cluster.addresses() {
        let whoami = |person: &Person<'_>| person.does(&["whoami", "--servers", &server]);
        whoami(&elsewhere).fails(4, &["the session has ended", "ftchat login"]);
        assert_eq!(whoami(&alice).ok().trim(), alice.name);
    }
    elsewhere.does(&["send", &alice.name, "x"]).fails(4, &["session"]);
    login(&elsewhere, &alice.name, PASSWORD).fails(4, &["wrong password"]);
    login(&elsewhere, &alice.name, NEW_PASSWORD).ok();
    let changed = passwd(&alice, NEW_PASSWORD, PASSWORD).and(&["--json"]).end().json();
    assert_eq!(
        (&changed["name"], &changed["changed"]),
        (&alice.name.as_str().into(), &true.into())
    );
}

#[test]
fn a_password_that_cannot_be_set_is_refused_and_everything_stays() {
    let cluster = cluster();
    let (alice, elsewhere) = (cluster.person("alice"), cluster.stranger("elsewhere"));
    login(&elsewhere, &alice.name, PASSWORD).ok();
    passwd(&alice, "wrong horse", NEW_PASSWORD).end().fails(4, &["wrong password", "not changed"]);
    let wrong = passwd(&alice, "wrong horse", NEW_PASSWORD).and(&["--json"]).end();
    wrong.refused(4, "login_refused");
    passwd(&alice, PASSWORD, "short").end().fails(1, &["8 to 1024 bytes", "not 5"]);
    passwd(&alice, PASSWORD, &"x".repeat(1_025)).end().fails(1, &["longer than 1024"]);
    let passwd_by = |flags: &[&str]| alice.run(&["passwd"]).and(flags).stdin(PASSWORD).end();
    passwd_by(&["--password-stdin"]).fails(2, &["two lines"]);
    passwd_by(&[]).fails(2, &["no terminal", "--password-stdin", "--new-password-file"]);
    passwd_by(&["--password-file", "x"]).fails(2, &["no terminal"]);
    passwd_by(&["--password-stdin", "--password-file", "x"]).code(2);
    passwd_by(&["--password-file", "x", "--new-password-file", "/nonexistent"]).code(1);
    let nobody = cluster.stranger("nobody");
    passwd(&nobody, PASSWORD, NEW_PASSWORD).end().fails(4, &["nobody is logged in"]);
    elsewhere.does(&["whoami"]).ok();
    login(&elsewhere, &alice.name, PASSWORD).ok();
}

#[test]
fn passwords_come_from_files_and_a_token_from_the_environment_and_a_repetition_does_no_harm() {
    let cluster = cluster();
    let alice = cluster.person("alice");
    let file = |what: &str, text: &str| {
        let name = format!("{}.{what}", alice.name);
        cluster.place.write(&name, format!("{text}\n")).display().to_string()
    };
    let (old, new) = (file("old", PASSWORD), file("new", NEW_PASSWORD));
    let id = "5b0f4c5e-7d3f-4a0e-9a53-0c2f1f6f7a10";
    let files = ["passwd", "--password-file", &old, "--new-password-file", &new, "--id", id];
    for _ in 0..2 {
        assert_eq!(alice.does(&files).ok(), format!("{}\n", alice.name));
    }
    alice.does(&files[..5]).fails(4, &["wrong password"]);
    let token = token(&alice);
    let by_token = cluster.run(&["passwd", "--password-stdin"]).env("FTCHAT_TOKEN", &token);
    let changed = by_token.stdin(format!("{NEW_PASSWORD}\n{PASSWORD}")).end();
    assert_eq!(changed.ok(), format!("{}\n", alice.name));
    // The session of that token is the kept one, and stays.
    alice.does(&["whoami"]).ok();
    login(&cluster.stranger("elsewhere"), &alice.name, PASSWORD).ok();
}

#[test]
fn on_a_terminal_the_old_password_is_asked_for_once_and_the_new_one_twice() {
    let cluster = cluster();
    let alice = cluster.person("alice");
    for (again, code, said) in
        [("another one", 1, "the two passwords differ"), (NEW_PASSWORD, 0, "Changed the password")]
    {
        let mut terminal = alice.types(&["passwd"]);
        for (prompt, typed) in [
            ("Old password: ", PASSWORD),
            ("New password: ", NEW_PASSWORD),
            ("The same password again: ", again),
        ] {
            terminal.await_secret_prompt(prompt);
            terminal.keys(&format!("{typed}\n"));
        }
        let (ended, shown) = terminal.end();
        assert_eq!(ended, Some(code), "{shown}");
        assert!(shown.contains(said), "{shown}");
        assert!(!shown.contains(PASSWORD) && !shown.contains(NEW_PASSWORD), "{shown}");
    }
    login(&alice, &alice.name, NEW_PASSWORD).ok();
}

#[test]
fn sessions_are_listed_and_revoked_and_an_open_follow_ends() {
    let cluster = cluster();
    let (alice, elsewhere) = (cluster.person("alice"), cluster.stranger("elsewhere"));
    login(&elsewhere, &alice.name, PASSWORD).ok();
    let listed = alice.does(&["sessions", "--json"]).objects();
    assert_eq!(listed.len(), 2, "{listed:?}");
    let (own, other) = (&listed[0], &listed[1]);
    for session in &listed {
        let mut keys: Vec<&str> =
            session.as_object().expect("an object").keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["current", "expires", "from", "id", "last_used", "started"]);
        assert_eq!(session["from"], "127.0.0.1");
        for time in ["expires", "last_used", "started"] {
            assert!(session[time].as_str().is_some_and(|at| at.ends_with('Z')), "{session}");
        }
    }
    assert_eq!((&own["current"], &other["current"]), (&true.into(), &false.into()));
    let plain = alice.does(&["sessions"]).ok();
    let lines: Vec<Vec<&str>> = plain.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0][0], lines[0][5]), (own["id"].to_string().as_str(), "current"));
    assert_eq!(lines[1][3], "127.0.0.1");

    let (own, other) = (own["id"].to_string(), other["id"].to_string());
    alice.does(&["sessions", "revoke", &other, "999999999"]).fails(5, &["no session 999999999"]);
    alice.does(&["sessions", "revoke", "999999999", "--json"]).refused(5, "unknown_session");
    for wrong in [&["x"][..], &[], &["1", "--others"], &["-1"]] {
        alice.run(&["sessions", "revoke"]).and(wrong).end().code(2);
    }
    let follow = elsewhere.run(&["inbox", "--follow"]).start();
    alice.send(&alice, "for whoever follows");
    assert!(follow.line().ends_with("for whoever follows"));
    let revoked = alice.does(&["sessions", "revoke", &other, &other, "--json"]).json();
    assert_eq!(revoked["revoked"].to_string(), format!("[{other}]"));
    follow.end().fails(4, &["session"]);
    elsewhere.does(&["whoami"]).fails(4, &["session"]);
    login(&elsewhere, &alice.name, PASSWORD).ok();
    alice.does(&["sessions", "revoke", "--others"]).ok();
    elsewhere.does(&["sessions"]).fails(4, &["session"]);
    assert_eq!(alice.does(&["sessions", "revoke", &own]).ok(), format!("{own}\n"));
    alice.does(&["whoami"]).fails(4, &["session"]);
}

#[test]
fn whoever_has_read_a_message_is_named_to_its_sender_unless_receipts_are_off() {
    let cluster = cluster();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "one");
    let sent = |flags: &[&str]| alice.run(&["inbox", "--sent"]).and(flags).end();
    let read_by = || sent(&["--json"]).objects()[0]["read_by"].clone();
    assert_eq!(read_by(), serde_json::json!([]));
    bob.does(&["inbox"]).ok();
    assert_eq!(read_by(), serde_json::json!([bob.name]));
    assert_eq!(sent(&[]).ok().matches('\t').count(), 3, "a line in a pipe is as it was");
    let (code, shown) = alice.types(&["inbox", "--sent"]).end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(&format!("read by {}", bob.name)), "{shown}");
    assert!(bob.does(&["inbox", "--all", "--json"]).objects()[0].get("read_by").is_none());

    assert_eq!(bob.does(&["settings"]).ok(), "receipts\ton\n");
    assert_eq!(bob.does(&["settings", "receipts", "off"]).ok(), "receipts\toff\n");
    assert_eq!(read_by(), serde_json::json!([]));
    let listed = bob.does(&["settings", "receipts", "--json"]).json();
    assert_eq!(listed, serde_json::json!({"key": "receipts", "value": "off"}));
    let on = bob.does(&["settings", "receipts", "on", "--json"]).json();
    assert_eq!(on, serde_json::json!({"key": "receipts", "value": "on"}));
    assert_eq!(read_by(), serde_json::json!([bob.name]));
    bob.does(&["settings", "receipt"]).fails(2, &["\"receipt\"", "there is: receipts"]);
    bob.does(&["settings", "receipt", "off"]).fails(2, &["\"receipt\"", "there is: receipts"]);
    bob.does(&["settings", "receipts", "no"]).fails(2, &["on or off"]);
    bob.does(&["settings", "receipts", "no", "--json"]).refused(2, "wrong_usage");
}

#[test]
fn what_a_blocked_account_sends_is_acknowledged_and_never_arrives() {
    let cluster = cluster();
    let [mallory, bob, carol] = ["mallory", "bob", "carol"].map(|who| cluster.person(who));
    assert_eq!(bob.does(&["block", &mallory.name]).ok(), format!("{}\n", mallory.name));
    let again = bob.does(&["block", &mallory.name.to_uppercase(), "--json"]).json();
    assert_eq!(again["blocked"], true);
    assert_eq!(bob.does(&["blocked"]).ok(), format!("{}\n", mallory.name));
    assert_eq!(bob.does(&["blocked", "--json"]).objects()[0]["name"], mallory.name.as_str());
    let to = format!("{},{}", bob.name, carol.name);
    let sent = mallory.does(&["send", &to, "blocked", "--json"]).json();
    assert_eq!(sent["to"], serde_json::json!([bob.name, carol.name]));
    assert!(sent["seq"].is_u64(), "{sent}");
    assert_eq!(carol.texts(), ["blocked"]);
    assert_eq!(bob.texts(), [""; 0]);
    assert_eq!(bob.does(&["unblock", &mallory.name]).ok(), format!("{}\n", mallory.name));
    mallory.send(&bob, "not blocked");
    assert_eq!(bob.texts(), ["not blocked"]);
    assert_eq!(bob.does(&["blocked"]).ok(), "");
    bob.does(&["block", &bob.name]).fails(1, &["cannot block yourself"]);
    bob.does(&["block", "nobody-here"]).fails(5, &["nobody-here"]);
    bob.does(&["unblock", "nobody-here", "--json"]).refused(5, "unknown_account");
    bob.does(&["block", "two words"]).fails(1, &["letters"]);
    bob.does(&["block"]).code(2);
}
