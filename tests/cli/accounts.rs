//! Accounts and sessions.

use std::os::unix::fs::PermissionsExt;

use crate::harness::cluster::PASSWORD;
use crate::harness::{Cluster, Person};

fn login(person: &Person<'_>, password: &str) -> crate::harness::Run {
    person.run(&["login", &person.name, "--password-stdin"]).stdin(password)
}

#[test]
fn registering_makes_an_account_and_logs_in() {
    let cluster = Cluster::shared();
    let alice = cluster.stranger("alice");
    let register = alice.run(&["register", &alice.name, "--password-stdin"]).stdin(PASSWORD);
    assert_eq!(register.end().ok(), format!("{}\n", alice.name));
    assert_eq!(alice.does(&["whoami"]).ok(), format!("{}\n", alice.name));
}

#[test]
fn each_account_command_has_its_json() {
    let cluster = Cluster::shared();
    let alice = cluster.stranger("alice");
    let name = alice.name.as_str();
    let password = cluster.place.write(&format!("{name}.password"), format!("{PASSWORD}\n"));
    let password = password.display().to_string();
    let with_file = ["--password-file", &password, "--json"];

    let registered = alice.run(&["register", name]).and(&with_file).end().json();
    assert_eq!(registered["name"], name);
    assert_eq!(registered["registered"], true);
    assert!(registered["expires"].as_str().expect("a time").ends_with('Z'), "{registered}");

    let whoami = alice.does(&["--json", "whoami"]).json();
    assert_eq!((&whoami["name"], &whoami["account"]), (&name.into(), &registered["account"]));

    let listed = alice.does(&["accounts", name, "--json"]).objects();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["name"], name);

    let out = alice.does(&["logout", "--json"]).json();
    assert_eq!((&out["name"], &out["deleted"]), (&name.into(), &false.into()));

    let again = alice.run(&["login", name]).and(&with_file).end().json();
    assert_eq!((&again["registered"], &again["account"]), (&false.into(), &registered["account"]));

    let gone = alice.run(&["delete-account", "--confirm", name]).and(&with_file).end().json();
    assert_eq!((&gone["name"], &gone["deleted"]), (&name.into(), &true.into()));
}

#[test]
fn accounts_match_a_pattern_and_are_in_order() {
    let cluster = Cluster::shared();
    let (a, b) = (cluster.person("pattern-b"), cluster.person("pattern-a"));
    let mut expected = [a.name.clone(), b.name.clone()];
    expected.sort();
    let both = a.does(&["accounts", "PATTERN-*"]).ok();
    assert_eq!(both.lines().collect::<Vec<_>>(), expected);
    assert_eq!(a.does(&["accounts", "pattern-nobody*"]).ok(), "");
    assert!(a.does(&["accounts"]).ok().lines().count() >= 2);
}

#[test]
fn logging_out_ends_the_session_here_and_at_the_servers() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let file = session_file(&alice);
    let session: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a session")).expect("JSON");
    let token = session["token"].as_str().expect("a token").to_string();
    assert_eq!(cluster.run(&["whoami"]).env("FTCHAT_TOKEN", &token).end().ok().trim(), alice.name);

    alice.does(&["logout"]).ok();
    alice.does(&["whoami"]).fails(4, &["nobody is logged in", "ftchat login"]);
    alice.does(&["whoami", "--json"]).refused(4, "not_logged_in");
    cluster.run(&["whoami"]).env("FTCHAT_TOKEN", &token).end().fails(4, &["session"]);
}

#[test]
fn sessions_are_for_their_owner_alone() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let file = session_file(&alice);
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().expect("a folder")), 0o700);
    assert_eq!(mode(&alice.sessions_dir()), 0o700);
}

fn session_file(person: &Person<'_>) -> std::path::PathBuf {
    let cluster = person.cluster.status()["cluster"].as_str().expect("an id").to_string();
    let folder = person.sessions_dir().join(cluster);
    let named = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|e| e == "json");
    let mut entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one"));
    entries.find(named).expect("a session").path()
}

#[test]
fn several_accounts_are_logged_in_side_by_side() {
    let cluster = Cluster::shared();
    let first = cluster.person("first");
    let second = cluster.stranger("second");
    first.run(&["register", &second.name, "--password-stdin"]).stdin(PASSWORD).end().ok();
    assert_eq!(first.does(&["whoami"]).ok().trim(), second.name);
    assert_eq!(first.does(&["whoami", "--user", &first.name]).ok().trim(), first.name);
    let other = first.run(&["whoami"]).env("FTCHAT_USER", &first.name).end();
    assert_eq!(other.ok().trim(), first.name);
    first.does(&["whoami", "--user", "nobody-here"]).fails(4, &["nobody-here", "ftchat login"]);
}

#[test]
fn a_wrong_password_and_an_unknown_account_are_refused_alike() {
    let cluster = Cluster::shared();
    let (alice, nobody) = (cluster.person("alice"), cluster.stranger("nobody"));
    let wrong = login(&alice, "wrong horse").end().fails(4, &["password"]);
    let unknown = login(&nobody, PASSWORD).end().fails(4, &["password"]);
    let without = |output: &crate::harness::Output, name: &str| output.stderr.replace(name, "X");
    assert_eq!(without(&wrong, &alice.name), without(&unknown, &nobody.name));
    login(&alice, "wrong horse").and(&["--json"]).end().refused(4, "login_refused");
    // The session that there was goes on.
    alice.does(&["whoami"]).ok();
}

#[test]
fn a_name_that_is_taken_is_refused_whatever_its_case() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let loud = alice.name.to_uppercase();
    let again =
        |name: &str| cluster.run(&["register", name, "--password-stdin"]).stdin("another password");
    again(&alice.name).end().fails(1, &[&alice.name, "belongs to somebody"]);
    again(&loud).and(&["--json"]).end().refused(1, "name_taken");
    login(&alice, PASSWORD).end().ok();
}

#[test]
fn names_and_passwords_outside_their_bounds_are_refused_with_the_bound() {
    let cluster = Cluster::shared();
    let register = |name: &str| cluster.run(&["register", name, "--password-stdin"]);
    let longest = format!("{:x<32}", cluster.stranger("long").name);
    register(&longest).stdin(PASSWORD).end().ok();
    for name in ["", &format!("{longest}x")] {
        register(name).stdin(PASSWORD).end().fails(1, &["1 to 32 characters"]);
    }
    for name in ["two words", "umläut", "a\u{202e}b", "semi;colon"] {
        register(name).stdin(PASSWORD).end().fails(1, &["letters"]);
    }
    let fresh = cluster.stranger("fresh");
    for password in ["short", "seven77"] {
        register(&fresh.name).stdin(password).end().fails(1, &["8"]);
    }
    register(&fresh.name).stdin("x".repeat(1025)).end().fails(1, &["1024"]);
    register(&fresh.name).stdin(b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe").end().fails(1, &["UTF-8"]);
    register(&fresh.name).stdin("").end().fails(1, &["empty"]);
    // Nothing of that made an account.
    register(&fresh.name).stdin(PASSWORD).end().ok();
}

#[test]
fn a_password_is_never_taken_from_a_flag_or_guessed_from_a_pipe() {
    let cluster = Cluster::shared();
    let alice = cluster.stranger("alice");
    alice.does(&["register", &alice.name, "--password", "correct horse"]).code(2);
    alice
        .run(&["register", &alice.name])
        .stdin(PASSWORD)
        .end()
        .fails(2, &["--password-stdin", "--password-file"]);
    let file = ["register", &alice.name, "--password-file", "/nonexistent/password"];
    alice.does(&file).fails(1, &["/nonexistent/password"]);
    let both = [&file[..], &["--password-stdin"]].concat();
    alice.does(&both).code(2);
}

#[test]
fn an_expired_session_says_so_and_what_to_do() {
    let cluster = Cluster::with(&[("FTCHAT_LIMITS_SESSION_LIFETIME_S", "1")]);
    let alice = cluster.person("alice");
    let expired = crate::harness::wait_for("an expired session", || {
        Some(alice.does(&["whoami"])).filter(|whoami| whoami.code != Some(0))
    });
    expired.fails(4, &["expired", "log in"]);
    alice.does(&["send", &alice.name, "too late"]).fails(4, &["session"]);
    alice.does(&["inbox", "--json"]).refused(4, "session_expired");
    login(&alice, PASSWORD).end().ok();
}

#[test]
fn deleting_an_account_takes_its_password_and_its_name_again() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.send(&alice, "for the first alice");
    let delete = |confirm: &str, password: &str| {
        let line = ["delete-account", "--confirm", confirm, "--password-stdin"];
        alice.run(&line).stdin(password).end()
    };
    delete("somebody", PASSWORD).fails(1, &["somebody", &alice.name, "nothing was deleted"]);
    delete(&alice.name, "wrong horse").fails(4, &["password"]);
    alice
        .run(&["delete-account", "--password-stdin"])
        .stdin(PASSWORD)
        .end()
        .fails(2, &["--confirm"]);
    assert_eq!(alice.texts(), ["for the first alice"]);

    assert_eq!(delete(&alice.name, PASSWORD).ok().trim(), alice.name);
    alice.does(&["inbox"]).fails(4, &["log"]);
    bob.does(&["send", &alice.name, "anybody there?"]).fails(5, &[&alice.name]);

    // A later owner of the name sees nothing of the old one.
    alice.run(&["register", &alice.name, "--password-stdin"]).stdin("another horse").end().ok();
    assert_eq!(alice.texts(), [""; 0]);
    login(&alice, PASSWORD).end().fails(4, &["password"]);
}
