use super::*;

fn replica(id: u32, state: ReplicaState, host: Option<u32>) -> ReplicaStatus {
    ReplicaStatus {
        id: ReplicaId(id),
        address: format!("127.0.0.1:{}", 8090 + id).parse().expect("valid"),
        state,
        term: 3,
        last_log: 9,
        applied: 9,
        lag: 0,
        applied_before: None,
        stalled: false,
        votes: true,
        hosted_by: host.map(ReplicaId),
        pid: host.map(|host| 100 + host),
        version: Some("0.1.0".to_string()),
        uptime_s: Some(75),
        alone_since: None,
        outbox: 0,
        outbox_unusable: false,
        disk_bytes: None,
        state_hash: None,
        error: None,
    }
}

fn status() -> ClusterStatus {
    let mut dead = replica(2, ReplicaState::Unreachable, None);
    (dead.error, dead.version, dead.uptime_s) = (Some("connection refused".into()), None, None);
    ClusterStatus {
        cluster: None,
        writable: true,
        confirming: true,
        unconfirmed: 0,
        tolerates_alone: 0,
        leader: Some(ReplicaId(1)),
        term: 3,
        commit: 9,
        tolerates: 0,
        feature_level: Some(1),
        stored_bytes: Some(5 << 20),
        stored_bytes_max: Some(1 << 30),
        replicas: vec![
            replica(1, ReplicaState::Leader, Some(1)),
            dead,
            replica(3, ReplicaState::Follower, Some(1)),
        ],
        survivor: None,
        notices: Vec::new(),
    }
}

/// As the cluster shows it that needs no flag.
fn shown(status: &ClusterStatus) -> Shown<'_> {
    static PLAIN: std::sync::LazyLock<CommandLines> =
        std::sync::LazyLock::new(CommandLines::default);
    Shown::new(status, Some(&PLAIN))
}

fn written(show: impl Fn(&mut dyn Write) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    show(&mut out).expect("a vector takes everything");
    String::from_utf8(out).expect("text")
}

#[test]
fn lines_for_scripts_are_tab_separated_and_never_empty() {
    let text = written(|out| shown(&status()).plain(out));
    assert_eq!(
        text,
        "1\t127.0.0.1:8091\tleader\t3\t9\t0\t1\t75\t0.1.0\n\
         2\t127.0.0.1:8092\tunreachable\t3\t9\t0\t-\t-\t-\n\
         3\t127.0.0.1:8093\tfollower\t3\t9\t0\t1\t75\t0.1.0\n\
         notice\treplica 2: connection refused\n\
         stored\t5242880\t1073741824\n\
         writes\ttaken\t0\n"
    );
}

#[test]
fn the_terminal_says_what_fails_and_what_to_type() {
    let text =
        written(|out| shown(&status()).terminal(out, Style { color: false, ..Style::default() }));
    assert!(text.contains("HOSTED BY"), "{text}");
    assert!(text.contains("Writes are taken. No further server may fail."), "{text}");
    assert!(text.contains("replica 2 is down (connection refused): ftchat cluster start 2"));
    assert!(text.contains("server 1 runs"));
    assert!(text.contains("\n5 MiB of 1 GiB stored.\n"), "{text}");
    assert!(!text.contains('\x1b'));
    let colored =
        written(|out| shown(&status()).terminal(out, Style { color: true, ..Style::default() }));
    assert!(colored.contains("\x1b[33mWrites are taken."), "{colored:?}");
}

#[test]
fn the_sentence_tells_no_leader_from_no_majority_from_no_answer() {
    let mut status = status();
    for (tolerates, words) in [(1, "One more server may fail"), (2, "2 more servers may fail")] {
        status.tolerates = tolerates;
        assert!(sentence(&status, None).contains(words));
    }
    status.writable = false;
    assert!(sentence(&status, None).contains("leader 1 has no confirmation"));
    status.leader = None;
    assert!(sentence(&status, None).contains("no leader"));
    for replica in &mut status.replicas {
        (replica.state, replica.hosted_by) = (ReplicaState::Unreachable, None);
    }
    assert_eq!(sentence(&status, None), "No server answers.");
}

#[test]
fn a_server_that_is_alone_takes_messages_and_says_what_waits() {
    let mut status = status();
    let since = Timestamp(1_700_000_000_000);
    (status.confirming, status.leader, status.unconfirmed) = (false, None, 14);
    status.replicas[0] = replica(1, ReplicaState::Unreachable, None);
    (status.replicas[2].alone_since, status.replicas[2].outbox) = (Some(since), 14);
    assert_eq!(
        sentence(&status, Some(since)),
        "Server 3 is alone since 22:13 (no answer from 1, 2; no proof that they are off). \
         It takes messages; 14 wait to be confirmed. Accounts, passwords wait for a majority."
    );
    let plain = written(|out| shown(&status).plain(out));
    assert!(plain.ends_with("unconfirmed\t14\nwrites\ttaken\t0\n"), "{plain}");
    let before = written(|out| shown(&super::tests::status()).plain(out));
    assert!(!before.contains("unconfirmed"), "{before}");
    // Elsewhere a majority goes on.
    (status.confirming, status.leader) = (true, Some(ReplicaId(1)));
    assert!(sentence(&status, None).starts_with("Writes are taken. "));
    let text = written(|out| shown(&status).at(since).terminal(out, Style::default()));
    let hint = "- server 3 is alone since 22:13, and 14 wait to be confirmed\n";
    assert!(text.contains(hint), "{text}");
    status.replicas[2].alone_since = None;
    let text = written(|out| shown(&status).terminal(out, Style::default()));
    assert!(text.contains("- 14 accepted by servers that were alone wait"), "{text}");
}

#[test]
fn what_servers_say_reaches_the_terminal_without_its_control_characters() {
    let mut status = status();
    status.notices.push("\x1b[2J\u{202e}evil".to_string());
    status.replicas[0].version = Some("\x07".to_string());
    let text =
        written(|out| shown(&status).terminal(out, Style { color: false, ..Style::default() }));
    assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{text:?}");
}

#[test]
fn in_a_pipe_reasons_and_notices_are_told_as_well() {
    let mut status = status();
    status.notices.push("server 1: no\tmajority".to_string());
    let text = written(|out| shown(&status).plain(out));
    let lines: Vec<&str> = text.lines().collect();
    let reason = "notice\treplica 2: connection refused";
    let last = ["stored\t5242880\t1073741824", "writes\ttaken\t0"];
    assert_eq!(lines[3..], [&["notice\tserver 1: no\\tmajority", reason], &last[..]].concat());
}

#[test]
fn where_the_local_cluster_is_not_known_no_command_line_is_shown() {
    let mut status = status();
    status.replicas[1].id = UNKNOWN;
    let terminal = |lines| {
        let shown = Shown::new(&status, lines);
        written(|out| shown.terminal(out, Style { color: false, ..Style::default() }))
    };
    let text = terminal(None);
    assert!(!text.contains("ftchat"), "{text}");
    assert!(text.contains("the replica at 127.0.0.1:8092 is down (connection refused)"));
    assert!(text.contains("server 1 runs replicas 1 and 3; one failure away from stopping"));
    assert!(written(|out| Shown::new(&status, None).plain(out)).contains("-\t127.0.0.1:8092"));
    // A number that nobody knows cannot be typed either.
    let text = terminal(Some(&CommandLines::default()));
    assert!(text.contains("8092 is down (connection refused): start its server"), "{text}");
}

#[test]
fn a_narrow_terminal_has_fewer_columns_and_no_line_that_wraps() {
    let status = status();
    let widths = |width| {
        let table = table(&status.replicas, width);
        let widest = table.lines().map(|line| line.chars().count()).max().expect("a header");
        (widest, table)
    };
    let (whole, _) = widths(None);
    for width in (57..=whole).rev() {
        let (widest, table) = widths(Some(width));
        assert!(widest <= width, "{widest} columns of {width}:\n{table}");
        for column in ["ID", "ADDRESS", "STATE", "LAG", "HOSTED BY"] {
            assert!(table.contains(column), "{table}");
        }
    }
    assert!(widths(Some(80)).1.contains("VERSION"));
}

#[test]
fn a_frame_redraws_on_a_terminal_only() {
    let frame = |status: &ClusterStatus| {
        written(|out| {
            Frame(shown(status)).terminal(out, Style { color: false, ..Style::default() })
        })
    };
    assert!(frame(&status()).starts_with("\x1b[H\x1b[J"));
    assert_eq!(
        written(|out| Frame(shown(&status())).plain(out)),
        written(|out| shown(&status()).plain(out))
    );
}

#[test]
fn uptimes_have_two_units() {
    for (seconds, text) in [(5, "5s"), (75, "1m15s"), (7_260, "2h1m"), (90_000, "1d1h")] {
        assert_eq!(uptime(seconds), text);
    }
}
