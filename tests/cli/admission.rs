//! Who may come in: registration by invitation, and what administrators do to accounts.

use serde_json::Value;

use crate::harness::cluster::PASSWORD;
use crate::harness::{Cluster, Output, Person};

/// Registers at a cluster, with more arguments.
fn register(person: &Person<'_>, more: &[&str]) -> Output {
    person.run(&["register", &person.name, "--password-stdin"]).and(more).stdin(PASSWORD).end()
}

fn login(person: &Person<'_>, password: &str, more: &[&str]) -> Output {
    person.run(&["login", &person.name, "--password-stdin"]).and(more).stdin(password).end()
}

/// Makes an invitation; its code.
fn invite(cluster: &Cluster, flags: &[&str]) -> String {
    cluster.admin(&["invite"]).and(flags).end().ok().trim_end().to_string()
}

fn changes(cluster: &Cluster) -> Vec<Value> {
    cluster.admin(&["actions", "--json"]).end().objects()
}

#[test]
fn newcomers_need_an_invitation_where_the_configuration_says_so() {
    let cluster = Cluster::with(&[("FTCHAT_SERVE_REGISTRATION", "invited")]);
    let (alice, bob, carol) =
        (cluster.stranger("alice"), cluster.stranger("bob"), cluster.stranger("carol"));
    register(&alice, &["--json"]).refused(1, "invitation_required");
    let told = ["by invitation only", "ftchat register --invite CODE NAME"];
    register(&alice, &[]).fails(1, &told);
    assert_eq!(cluster.admin(&["registration"]).end().ok(), "invited\n");

    let code = invite(&cluster, &[]);
    assert_eq!(code.len(), "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV".len(), "the code and nothing else");
    register(&alice, &["--invite", "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV", "--json"])
        .refused(1, "invitation_refused");
    // The leader dies, and what it has let in stays let in.
    cluster.crash(cluster.leader());
    register(&alice, &["--invite", &code]).ok();
    register(&bob, &["--invite", &code]).fails(1, &["used up"]);
    let made = cluster.admin(&["invite", "--uses", "2", "--expires", "1h", "--json"]).end().json();
    let code = made["code"].as_str().expect("a code").to_lowercase().replace('-', "");
    let file = cluster.place.write("invitation", format!("{code}\n")).display().to_string();
    register(&bob, &["--invite-file", &file]).ok();
    let from_environment = carol.run(&["register", &carol.name, "--password-stdin"]);
    from_environment.env("FTCHAT_INVITE", &code).stdin(PASSWORD).end().ok();
    alice.send(&carol, "welcome");
    assert_eq!(carol.texts(), ["welcome"]);

    let listed = cluster.admin(&["invites", "--json"]).end().objects();
    assert_eq!(listed.len(), 2);
    for (invitation, (uses, used)) in listed.iter().zip([(1, 1), (2, 2)]) {
        assert_eq!((&invitation["uses"], &invitation["used"]), (&uses.into(), &used.into()));
        for time in ["expires", "created"] {
            assert!(invitation[time].as_str().expect("a time").ends_with('Z'), "{invitation}");
        }
    }
    assert_eq!((&listed[1]["id"], &listed[1]["expires"]), (&made["id"], &made["expires"]));
    let plain = cluster.admin(&["invites"]).end().ok();
    assert!(plain.starts_with("1\t1\t1\t") && plain.ends_with("\tended\n"), "{plain}");
    for id in 1..=3 {
        for path in ["log", "snapshot"].map(|it| cluster.data_dir(id).join(it)) {
            for file in std::fs::read_dir(path).into_iter().flatten().flatten() {
                let content = std::fs::read_to_string(file.path()).expect("JSON lines");
                assert!(!content.to_lowercase().contains(&code), "{:?}", file.path());
            }
        }
    }
}

#[test]
fn an_administrator_takes_invitations_back_and_closes_registration() {
    let cluster = Cluster::with(&[]);
    let dave = cluster.stranger("dave");
    assert_eq!(cluster.admin(&["registration"]).end().ok(), "open\n", "nobody else can reach it");
    let set = cluster.admin(&["registration", "invited", "--json"]).end().json();
    assert_eq!(set["registration"], "invited");
    let made = cluster.admin(&["invite", "--json"]).end().json();
    let (id, code) = (made["id"].to_string(), made["code"].as_str().expect("a code"));
    assert_eq!(cluster.admin(&["invites", "revoke", &id]).end().ok(), format!("{id}\n"));
    register(&dave, &["--invite", code]).fails(1, &["taken back"]);
    cluster.admin(&["invites", "revoke", &id, "--json"]).end().refused(5, "unknown_invitation");
    let code = invite(&cluster, &[]);
    cluster.admin(&["registration", "closed"]).end().ok();
    register(&dave, &["--invite", &code, "--json"]).refused(1, "registration_closed");
    cluster.admin(&["registration", "open"]).end().ok();
    register(&dave, &[]).ok();
    let done: Vec<_> = changes(&cluster).into_iter().map(|it| it["action"].clone()).collect();
    let set = "set_registration";
    assert_eq!(done, [set, "invite", "revoke_invitation", "invite", set, set]);
    let first = &changes(&cluster)[0];
    assert_eq!((&first["id"], &first["registration"]), (&1.into(), &"invited".into()));
    assert!(first["by"].as_str().expect("somebody").contains('@'), "{first}");
    assert!(first["at"].as_str().expect("a time").ends_with('Z'), "{first}");
    for (arguments, why) in [
        (&["invite", "--uses", "0"][..], "uses"),
        (&["invite", "--expires", "soon"], "duration"),
        (&["invite", "--expires", "99999h"], "at most 87600h"),
        (&["registration", "friends"], "invited"),
    ] {
        let refused = cluster.admin(arguments).end().code(2);
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
}

#[test]
fn only_who_holds_the_key_says_who_may_come_in() {
    let cluster = Cluster::shared();
    let wrong = cluster.place.write("wrong.key", "0123456789abcdef".repeat(4) + "\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&wrong, mode).expect("our own");
    let wrong = wrong.display().to_string();
    for verb in [&["invite"][..], &["registration", "closed"], &["account", "list"]] {
        let asked = cluster.place.run(&["cluster"]).and(verb);
        let asked = asked.and(&["--cluster-key-file", &wrong, "--timeout", "1s"]).end();
        asked.fails(1, &["it belongs to another cluster"]);
    }
}

#[test]
fn a_disabled_account_is_shut_out_and_loses_nothing() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    // When somebody logs in is known from this level on.
    cluster.await_status("the newest level", |status| {
        status["feature_level"] == ftchat::limits::FEATURE_LEVEL_KNOWN
    });
    login(&bob, PASSWORD, &[]).ok();
    let follow = bob.run(&["inbox", "-f"]).start();
    assert_eq!(
        cluster.admin(&["account", "disable", &bob.name.to_uppercase()]).end().code,
        Some(0)
    );
    assert_eq!(follow.end().code, Some(4), "its sessions end");
    bob.does(&["inbox"]).fails(4, &["ended"]);
    login(&bob, PASSWORD, &[]).fails(4, &["this account is disabled"]);
    // Whoever does not have the password learns nothing.
    let guessed = login(&bob, "wrong horse", &[]).fails(4, &["wrong password"]);
    assert!(!guessed.stderr.contains("disabled"), "{guessed:?}");
    alice.send(&bob, "meanwhile");
    let row = |name: &str| cluster.admin(&["account", "list", name, "--json"]).end().objects();
    let bobs = &row(&bob.name)[0];
    assert_eq!((&bobs["blocked"], &bobs["messages"]), (&true.into(), &1.into()), "{bobs}");
    assert!(bobs["bytes"].as_u64().is_some_and(|bytes| bytes > 9), "{bobs}");
    assert!(bobs["last_seen"].as_str().expect("a time").ends_with('Z'), "{bobs}");
    cluster.admin(&["account", "enable", &bob.name]).end().ok();
    login(&bob, PASSWORD, &[]).ok();
    assert_eq!(bob.texts(), ["meanwhile"]);
    cluster.admin(&["account", "disable", "nobody-here"]).end().fails(5, &["nobody-here"]);
}

#[test]
fn an_account_that_is_reset_gets_a_new_password_with_a_code_once() {
    let cluster = Cluster::shared();
    let alice = cluster.person("alice");
    let reset = || cluster.admin(&["account", "reset", &alice.name]).end().ok();
    let code = reset();
    let code = code.trim_end();
    alice.does(&["whoami"]).fails(4, &["ended"]);
    login(&alice, PASSWORD, &[]).fails(4, &["wrong password"]);
    login(&alice, code, &["--json"]).refused(4, "new_password_required");
    login(&alice, code, &[]).fails(4, &["--new-password-file FILE"]);
    let new = cluster.place.write("new.password", "a better horse\n").display().to_string();
    let short = cluster.place.write("short.password", "short").display().to_string();
    login(&alice, code, &["--new-password-file", &short, "--json"]).refused(1, "invalid_password");
    login(&alice, code, &["--new-password-file", &new]).ok();
    login(&alice, code, &["--new-password-file", &new]).fails(4, &["wrong password"]);
    assert_eq!(alice.does(&["whoami"]).ok().trim_end(), alice.name);
    login(&alice, "a better horse", &[]).ok();

    // The same by hand.
    let code = reset();
    let mut typing = alice.types(&["login", &alice.name]);
    typing.await_secret_prompt("Password for");
    typing.keys(&code);
    for prompt in ["The code is right. New password", "The same password again"] {
        typing.await_secret_prompt(prompt);
        typing.keys("the best horse\n");
    }
    let (exit, shown) = typing.end();
    assert_eq!(exit, Some(0), "{shown}");
    login(&alice, "the best horse", &[]).ok();
}

#[test]
fn an_administrator_deletes_an_account() {
    let cluster = Cluster::shared();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.send(&bob, "hers");
    bob.send(&alice, "his");
    let deleted = cluster.admin(&["account", "delete", &alice.name, "--json"]).end().json();
    assert_eq!(
        (&deleted["name"], &deleted["account"]),
        (&alice.name.clone().into(), &"deleted".into())
    );
    alice.does(&["whoami"]).code(4);
    bob.does(&["send", &alice.name, "more"]).fails(5, &["nothing was sent"]);
    assert_eq!(bob.texts(), ["hers"]);
    cluster.admin(&["account", "delete", &alice.name]).end().fails(5, &[&alice.name]);
    register(&alice, &[]).ok();
    assert_eq!(alice.texts(), Vec::<String>::new());
    let about = changes(&cluster).into_iter().filter(|it| it["name"] == alice.name.as_str());
    assert_eq!(about.map(|it| it["action"].clone()).collect::<Vec<_>>(), ["delete_account"]);
}

#[test]
fn every_account_is_listed_once_in_the_order_of_names() {
    let cluster = Cluster::shared();
    let people = ["listed-c", "listed-a", "Listed-b"].map(|name| cluster.person(name));
    let mut names = people.each_ref().map(|person| person.name.clone());
    names.sort_by_key(|name| name.to_lowercase());
    let listed = cluster.admin(&["account", "list", "LISTED-*"]).end().ok();
    let first = |line: &str| line.split('\t').next().map(str::to_string);
    assert_eq!(listed.lines().filter_map(first).collect::<Vec<_>>(), names);
    let mut everybody: Vec<_> =
        cluster.admin(&["account", "list"]).end().ok().lines().filter_map(first).collect();
    assert!(names.iter().all(|name| everybody.contains(name)));
    everybody.dedup();
    assert!(everybody.is_sorted_by_key(|name| name.to_lowercase()), "{everybody:?}");
    assert_eq!(cluster.admin(&["account", "list", "no-such-*"]).end().ok(), "");
}

#[test]
fn a_code_is_asked_for_at_a_terminal() {
    let cluster = Cluster::with(&[("FTCHAT_SERVE_REGISTRATION", "invited")]);
    let alice = cluster.stranger("alice");
    let code = invite(&cluster, &["--expires", "30m"]);
    let mut typing = alice.types(&["register", &alice.name]);
    for prompt in ["New password for", "The same password again"] {
        typing.await_secret_prompt(prompt);
        typing.keys(&format!("{PASSWORD}\n"));
    }
    typing.await_text("by invitation only");
    typing.await_secret_prompt("The code of your invitation");
    typing.keys(&format!("{code}\n"));
    let (exit, shown) = typing.end();
    assert_eq!(exit, Some(0), "{shown}");
    assert!(shown.contains("Registered and logged in"), "{shown}");
}
