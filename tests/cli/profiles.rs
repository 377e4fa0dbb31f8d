//! Clusters that are kept by name.

use serde_json::{Value, json};

use crate::harness::place::free_ports;
use crate::harness::{Cluster, Output, Place, Run, Terminal};

/// The fingerprint of a cluster that does not exist.
const NOBODYS: &str = "BNZU-R6QD-RFYM-JDWA-PTLT-WYSX-6OPM-QEHW-B4LO-445W-FY6G-4JQQ-VPDA-NHZF";

/// The word that names a cluster, and its fingerprint.
fn word(cluster: &Cluster) -> (String, String) {
    let word = cluster.admin(&["address"]).end().ok().trim_end().to_string();
    let (_, fingerprint) = word.split_once('#').expect("it has one");
    (word.clone(), fingerprint.to_string())
}

/// The word that names a cluster by some of its addresses.
fn word_of(addresses: &[String], fingerprint: &str) -> String {
    format!("ftchat://{}#{fingerprint}", addresses.join(","))
}

fn profiles(place: &Place) -> Vec<Value> {
    place.run(&["profiles", "--json"]).end().objects()
}

/// Where the servers of a command come from, and which they are.
fn servers_in_force(run: Run) -> (String, String) {
    let rows = run.and(&["--json"]).end().objects();
    let row = rows.iter().find(|row| row["key"] == "servers").expect("every key is shown");
    let text = |field: &str| row[field].as_str().expect("a text").to_string();
    (text("origin"), text("value"))
}

fn file(place: &Place) -> std::path::PathBuf {
    place.path().join("home/config/ftchat/profiles.toml")
}

#[test]
fn a_cluster_is_kept_and_spoken_to_from_then_on() {
    let cluster = Cluster::shared();
    let (word, fingerprint) = word(&cluster);
    let place = Place::new();
    assert_eq!(place.run(&["profiles"]).end().code(0).stdout, "");
    let connected = place.run(&["connect", &word, "--json"]).end().json();
    let expected = json!({"name": "127.0.0.1", "servers": cluster.addresses(), "current": true,
        "fingerprint": fingerprint, "connect": word});
    assert_eq!(connected, expected);
    assert_eq!(profiles(&place), [expected]);
    let status = place.run(&["status", "--json"]).end().json();
    assert_eq!(status["cluster"], cluster.status()["cluster"]);
    let kept = format!("profile 127.0.0.1 in {}", file(&place).display());
    assert_eq!(servers_in_force(place.run(&["config", "show"])), (kept, word.clone()));
    // The same cluster again is the same profile; under another name it is another one.
    let fewer = word_of(&cluster.addresses()[1..], &fingerprint);
    place.run(&["connect", &fewer]).end().ok();
    place.run(&["connect", &word, "--name", "work"]).end().ok();
    let lines = format!(
        "127.0.0.1\t{}\t{fingerprint}\t\nwork\t{}\t{fingerprint}\tcurrent\n",
        cluster.addresses()[1..].join(","),
        cluster.addresses().join(",")
    );
    assert_eq!(place.run(&["profiles"]).end().ok(), lines);

    let chosen = place.run(&["connect", "127.0.0.1", "--json"]).end().json();
    assert_eq!((&chosen["name"], &chosen["connect"]), (&"127.0.0.1".into(), &fewer.into()));
    let removed = place.run(&["profiles", "remove", "127.0.0.1", "--json"]).end().json();
    assert_eq!(removed, json!({"name": "127.0.0.1", "was_current": true}));
    assert!(profiles(&place).iter().all(|profile| profile["current"] == false));
    place.run(&["profiles", "remove", "127.0.0.1"]).end().fails(5, &["127.0.0.1", "work"]);
    let gone = place.run(&["profiles", "remove", "127.0.0.1", "--json"]).end();
    gone.refused(5, "unknown_profile");
}

#[test]
fn there_is_a_way_back_to_no_profile() {
    let cluster = Cluster::shared();
    let place = Place::new();
    place.run(&["connect", &word(&cluster).0, "--name", "work"]).end().ok();
    let default = "127.0.0.1:8091,127.0.0.1:8092,127.0.0.1:8093";
    let none = ("default".to_string(), default.to_string());
    for one_command in [&["--profile", "default"][..], &[]] {
        let show = place.run(&["config", "show"]).and(one_command);
        let show = match one_command {
            [] => show.env("FTCHAT_PROFILE", "default"),
            _ => show.env("FTCHAT_SERVERS", "h:1"),
        };
        assert_eq!(servers_in_force(show), none);
    }
    assert!(servers_in_force(place.run(&["config", "show"])).0.starts_with("profile work in "));
    let connected = place.run(&["connect", "default", "--json"]).end().json();
    let servers: Vec<&str> = default.split(',').collect();
    assert_eq!((&connected["name"], &connected["servers"]), (&"default".into(), &json!(servers)));
    assert_eq!(servers_in_force(place.run(&["config", "show"])), none);
    assert_eq!(profiles(&place)[0]["current"], false, "it is kept all the same");
    let named = place.run(&["connect", "ftchat://h:1", "--name", "default"]).end();
    named.fails(2, &["default stands for no profile"]);
}

#[test]
fn nothing_is_kept_where_the_cluster_does_not_answer() {
    let cluster = Cluster::shared();
    let (word, fingerprint) = word(&cluster);
    let place = Place::new();
    let dead = format!("127.0.0.1:{}", free_ports(1));
    let connect =
        |word: &str| place.run(&["connect", word, "--name", "work", "--timeout", "2s"]).end();
    connect(&word_of(&[dead], &fingerprint)).fails(3, &["connection refused"]);
    let strange = word.replace(&fingerprint, NOBODYS);
    connect(&strange).fails(1, &[NOBODYS, &fingerprint]);
    let json = place.run(&["connect", &strange, "--json"]).end();
    json.refused(1, "wrong_cluster");
    connect(&word[..word.len() - 1]).fails(2, &["55 are given"]);
    connect("ftchat://10.0.0.1").fails(2, &["ftchat://10.0.0.1:8091#FINGERPRINT"]);
    place.run(&["connect", "work"]).end().fails(5, &["\"work\"", "ftchat://HOST"]);
    let name = place.run(&["connect", &word, "--name", "a/b"]).end();
    name.fails(2, &["\"a/b\""]);
    place.run(&["connect", "work", "--name", "x"]).end().fails(2, &["--name"]);
    assert!(!file(&place).exists());
    // Nor in the place of another cluster.
    connect(&word).ok();
    let other = Cluster::new();
    let taken = connect(&self::word(&other).0).fails(1, &["there is a profile work"]);
    assert!(taken.took.as_millis() < 1_900, "nobody was waited for: {taken:?}");
    assert_eq!(profiles(&place)[0]["connect"], word);
}

#[test]
fn servers_of_this_machine_need_no_fingerprint() {
    let cluster = Cluster::shared();
    let place = Place::new();
    let one = format!("ftchat://{}", cluster.addresses()[2]);
    let connected = place.run(&["connect", &one, "--name", "local", "--json"]).end().json();
    assert_eq!((&connected["fingerprint"], &connected["connect"]), (&Value::Null, &one.into()));
    let status = place.run(&["status", "--json"]).end().json();
    assert_eq!(status["replicas"].as_array().map(Vec::len), Some(3), "{status}");
}

#[test]
fn what_counts_more_than_the_current_profile_is_told() {
    let cluster = Cluster::shared();
    let word = word(&cluster).0;
    let place = Place::new();
    let connect = || place.run(&["connect", &word, "--name", "work"]);
    assert_eq!(connect().end().code(0).stderr, "");
    let told = |run: Run, word: &str| {
        let said = run.end().code(0).stderr;
        assert!(said.contains(word) && said.lines().count() == 1, "{said}");
    };
    told(connect().env("FTCHAT_SERVERS", "h:1"), "FTCHAT_SERVERS is set");
    told(connect().env("FTCHAT_PROFILE", "other"), "FTCHAT_PROFILE is set");
    told(connect().and(&["--servers", "h:1"]), "--servers counts more");
    told(place.run(&["connect", "default"]).and(&["--profile", "work"]), "--profile counts more");
    let quiet = connect().env("FTCHAT_SERVERS", "h:1").and(&["--quiet"]).end().code(0);
    assert_eq!(quiet.stderr, "");
    assert_eq!(connect().env("FTCHAT_PROFILE", "work").end().code(0).stderr, "");
    // What it is told about is true.
    let show = || place.run(&["config", "show"]);
    let flag = ("flag --servers".to_string(), "h:1".to_string());
    let both = show().and(&["--servers", "h:1"]).env("FTCHAT_SERVERS", "i:1");
    assert_eq!(servers_in_force(both.env("FTCHAT_PROFILE", "work")), flag);
    let both = show().env("FTCHAT_SERVERS", "h:1").env("FTCHAT_PROFILE", "work");
    let variable = ("environment FTCHAT_SERVERS".to_string(), "h:1".to_string());
    assert_eq!(servers_in_force(both), variable);
    let unknown = |run: Run| drop(run.end().refused(5, "unknown_profile"));
    unknown(show().and(&["--json", "--profile", "none"]));
    unknown(show().and(&["--json"]).env("FTCHAT_PROFILE", "none"));
    let two = show().and(&["--profile", "work", "--servers", "h:1"]);
    two.end().fails(2, &["--servers", "--profile"]);
    place
        .run(&["--profile", "work", "config", "--servers", "h:1", "show", "--json"])
        .end()
        .refused(2, "wrong_usage");
}

#[test]
fn a_damaged_file_is_told_of_and_not_passed_over() {
    let place = Place::new();
    let file = file(&place);
    std::fs::create_dir_all(file.parent().expect("below")).expect("own folder");
    std::fs::write(&file, "current = 'x'\n\n[profiles.x]\nserver = 'h:1'\n").expect("own file");
    let at = format!("{}:4: ", file.display());
    for line in [
        &["whoami"][..],
        &["status"],
        &["profiles"],
        &["connect", "ftchat://h:1"],
        &["profiles", "remove", "x"],
        &["cluster", "address"],
        &["config", "show"],
    ] {
        let refused = place.run(line).end().fails(2, &[&at, "\"server\""]);
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    }
    // Whoever says which servers are meant needs no profile, and a server has none.
    place.run(&["config", "show", "--servers", "h:1"]).end().ok();
    place.run(&["serve"]).end().fails(2, &["serve.id"]);
    let nowhere = place.path().join("nowhere").display().to_string();
    place.run(&["cluster", "down", "--dir", &nowhere]).end().fails(5, &["nowhere"]);
    let damaged = std::fs::read_to_string(&file).expect("there");
    assert!(damaged.contains("server = 'h:1'"), "it was not written: {damaged}");
}

#[test]
fn a_cluster_is_found_also_when_every_server_that_was_named_is_gone() {
    let cluster = Cluster::new();
    let (_, fingerprint) = word(&cluster);
    let alice = cluster.person("alice");
    let first = cluster.addresses().remove(0);
    let with = |run: Run, name: &str| run.env("FTCHAT_SERVERS", "").and(&["--profile", name]);
    for (name, word) in [
        ("known", word_of(std::slice::from_ref(&first), &fingerprint)),
        ("local", format!("ftchat://{first}")),
    ] {
        let connect = ["connect", &word, "--name", name];
        cluster.run(&connect).env("FTCHAT_SERVERS", "").end().ok();
    }
    let learned = || {
        let folder = cluster.place.path().join("home/state/ftchat/servers");
        let entries = std::fs::read_dir(folder).expect("it was learned");
        let entry = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.expect("an entry").path();
            let changed = std::fs::metadata(&path).and_then(|it| it.modified()).expect("a file");
            (path, changed)
        };
        let mut files: Vec<_> = entries.map(entry).collect();
        files.sort();
        files
    };
    let before = learned();
    assert_eq!(before.len(), 2, "{before:?}");
    for name in ["known", "local"] {
        with(alice.run(&["whoami"]), name).end().ok();
        with(alice.run(&["status"]), name).end().ok();
    }
    assert_eq!(learned(), before, "nothing was written anew");
    cluster.crash(1);
    for name in ["known", "local"] {
        for line in [&["whoami"][..], &["inbox"], &["send", &alice.name, "found"]] {
            with(alice.run(line), name).end().ok();
        }
        let status = with(cluster.run(&["status", "--json"]), name).end().json();
        assert_eq!(status["writable"], true, "{status}");
    }
    // A list that somebody gives is meant as it is.
    let only = ["whoami", "--servers", &first, "--timeout", "300ms"];
    alice.run(&only).end().fails(3, &[&first]);
    for name in ["known", "local"] {
        cluster.run(&["profiles", "remove", name]).end().ok();
    }
    assert_eq!(learned(), [], "with a profile goes what was learned of it");
}

#[test]
fn the_local_clusters_key_is_not_used_for_another_profile() {
    let (cluster, other) = (Cluster::shared(), Cluster::new());
    let place = Place::new();
    place.run(&["connect", &word(&other).0, "--name", "other"]).end().ok();
    place.run(&["connect", &word(&cluster).0, "--name", "own"]).end().ok();
    let key = format!("{}/cluster.key", other.dir());
    let backup = |profile: &str| {
        let run = place.run(&["backup", "-", "--profile", profile]);
        run.env("FTCHAT_CLUSTER_DIR", &cluster.dir())
    };
    let both = ["--cluster-key-file", "--name or --dir"];
    let refused = backup("other").end().fails(2, &both);
    assert!(refused.stderr.contains("profile other"), "{refused:?}");
    let nowhere = place.path().join("nowhere").display().to_string();
    backup("other").env("FTCHAT_CLUSTER_DIR", &nowhere).end().fails(2, &both);
    backup("own").end().ok();
    backup("other").and(&["--cluster-key-file", &key]).end().ok();
    backup("other").and(&["--dir", &cluster.dir()]).end().ok();
    let address = place.run(&["cluster", "address", "--profile", "other"]);
    let address = address.and(&["--cluster-key-file", &key]).end().ok();
    assert_eq!(address.trim_end(), word(&other).0);
}

/// Every command says so, once, and in no case in its result.
#[test]
fn a_server_of_another_cluster_is_named_by_every_command() {
    let (cluster, other) = (Cluster::shared(), Cluster::new());
    let (alice, stranger) = (other.person("alice"), cluster.addresses().remove(0));
    let (_, fingerprint) = word(&other);
    let first = [stranger.clone(), other.addresses().remove(0)];
    let connect = |place: &Place| {
        // Which of two servers is asked first is chance, and a stranger that nobody has
        // met is nobody's to name.
        std::iter::repeat_with(|| {
            let connect = ["connect", &word_of(&first, &fingerprint), "--name", "mixed"];
            place.run(&connect).env("FTCHAT_SERVERS", "").end().code(0)
        })
        .take(40)
        .find(|connected| !connected.stderr.is_empty())
        .expect("the stranger is met one time in two")
    };
    let said = |output: &Output| {
        let lines: Vec<&str> = output.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{output:?}");
        for word in [&stranger, &self::word(&cluster).1, "passed over"] {
            assert!(lines[0].contains(word), "no {word} in {output:?}");
        }
    };
    said(&connect(&other.place));
    let names_it = |line: &[&str]| {
        let run = || alice.run(line).env("FTCHAT_SERVERS", "").and(&["--profile", "mixed"]);
        let mut outputs = std::iter::repeat_with(|| run().end().code(0)).take(40);
        said(&outputs.find(|output| !output.stderr.is_empty()).expect("met one time in two"));
        for _ in 0..8 {
            assert_eq!(run().and(&["--quiet"]).end().code(0).stderr, "");
        }
    };
    for line in [&["whoami"][..], &["accounts"], &["inbox", "--peek"], &["send", &alice.name, "x"]]
    {
        names_it(line);
    }
    // The status says it in its result, and an error in its sentence.
    let status = alice.run(&["status"]).env("FTCHAT_SERVERS", "").and(&["--profile", "mixed"]);
    let status = status.end().code(0);
    assert!(status.stdout.contains(&stranger) && status.stderr.is_empty(), "{status:?}");
    let wrong = word_of(&first, NOBODYS);
    let refused = alice.run(&["whoami", "--servers", &wrong]).end().fails(1, &[NOBODYS]);
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
}

#[test]
fn at_a_terminal_there_is_a_table_with_the_current_one_marked() {
    let cluster = Cluster::shared();
    let (word, fingerprint) = word(&cluster);
    let place = Place::new();
    let (code, shown) = Terminal::start(place.run(&["profiles"])).end();
    assert!(code == Some(0) && shown.contains("ftchat connect WORD"), "{shown}");
    for name in ["home", "work"] {
        let connect = place.run(&["connect", &word, "--name", name]);
        let (code, shown) = Terminal::start(connect).end();
        assert!(code == Some(0) && shown.contains(&format!("the profile {name}.")), "{shown}");
    }
    let (_, shown) = Terminal::start(place.run(&["profiles", "--color", "never"])).end();
    let lines: Vec<Vec<&str>> =
        shown.lines().map(|line| line.split_whitespace().collect()).collect();
    let addresses = cluster.addresses().join(",");
    let beginning = format!("{}…", &fingerprint[..9]);
    assert_eq!(lines[0], ["NAME", "SERVERS", "FINGERPRINT"]);
    assert_eq!(lines[1], ["home", &addresses, &beginning]);
    assert_eq!(lines[2], ["*", "work", &addresses, &beginning]);
    let (_, shown) = Terminal::start(place.run(&["profiles", "remove", "work"])).end();
    assert!(shown.contains("no profile is the current one now"), "{shown}");
}

#[test]
fn what_is_told_to_type_reaches_the_same_profile() {
    let cluster = Cluster::shared();
    let place = Place::new();
    place.run(&["connect", &word(&cluster).0, "--name", "work"]).end().ok();
    place.run(&["connect", "default"]).end().ok();
    let told = place.run(&["whoami", "--profile", "work"]).end();
    told.fails(4, &["ftchat login NAME --profile work"]);
}
