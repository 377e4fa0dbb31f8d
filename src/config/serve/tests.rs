use super::super::keys::{Fallback, KEYS, Kind};
use super::*;
use crate::error::ErrorCode;
use crate::limits::ACCOUNT_BYTES_DEFAULT;

const PEERS: &str = "1=127.0.0.1:8091,2=127.0.0.1:8092,3=127.0.0.1:8093";

fn resolve(changes: &[(&str, &str)]) -> Result<ServeSettings> {
    let mut variables = vec![
        ("FTCHAT_SERVE_ID", "2"),
        ("FTCHAT_SERVE_PEERS", PEERS),
        ("FTCHAT_SERVE_DATA_DIR", "/data/two"),
    ];
    variables.extend_from_slice(changes);
    let lookup = |name: &str| {
        variables.iter().rev().find(|(known, _)| *known == name).map(|(_, v)| v.to_string())
    };
    ServeSettings::from_values(&Values::collect(&[], &lookup, None)?)
}

fn refused(changes: &[(&str, &str)]) -> String {
    let error = resolve(changes).expect_err("impossible");
    assert_eq!(error.code, ErrorCode::InvalidConfig);
    error.message
}

#[test]
fn defaults_are_those_of_the_limits() {
    let settings = resolve(&[]).expect("valid");
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8092");
    assert_eq!(settings.timing.heartbeat_interval_ms, 100);
    assert_eq!(settings.timing.election_timeout_min_ms, 300);
    assert_eq!(settings.timing.election_timeout_max_ms, 600);
    assert_eq!(settings.password_cost, PasswordCost { memory_kib: 19_456, passes: 2 });
    assert_eq!(settings.survivor, Survivor::Auto);
    assert_eq!(settings.members.len(), 3);
}

#[test]
fn strangers_register_by_themselves_only_where_no_other_machine_can_reach() {
    let registration = |changes: &[(&str, &str)]| resolve(changes).expect("valid").registration;
    assert_eq!(registration(&[]), Registration::Open);
    for everywhere in ["[::]:8092", "0.0.0.0:8092", "10.0.0.2:8092"] {
        let listen = ("FTCHAT_SERVE_LISTEN", everywhere);
        assert_eq!(registration(&[listen]), Registration::Invited, "{everywhere}");
        let open = ("FTCHAT_SERVE_REGISTRATION", "open");
        assert_eq!(registration(&[listen, open]), Registration::Open);
    }
    let wrong = refused(&[("FTCHAT_SERVE_REGISTRATION", "friends")]);
    assert!(wrong.contains("open, invited or closed"), "{wrong}");
}

#[test]
fn accounts_are_bounded_where_other_machines_can_reach_and_as_the_configuration_says() {
    let of = |changes: &[(&str, &str)]| {
        let settings = resolve(changes).expect("valid");
        let rate = settings.limits.changes_per_account_per_s;
        (settings.account_bytes, settings.total_bytes, rate)
    };
    let everywhere = ("FTCHAT_SERVE_LISTEN", "0.0.0.0:8092");
    assert_eq!(of(&[]), (0, None, 0));
    assert_eq!(of(&[everywhere]), (ACCOUNT_BYTES_DEFAULT, None, 200));
    let own = [
        everywhere,
        ("FTCHAT_LIMITS_ACCOUNT_BYTES", "0"),
        ("FTCHAT_LIMITS_TOTAL_BYTES", "1048576"),
        ("FTCHAT_LIMITS_CHANGES_PER_ACCOUNT_PER_S", "0"),
    ];
    assert_eq!(of(&own), (0, Some(1_048_576), 0));
    let wrong = refused(&[("FTCHAT_LIMITS_ACCOUNT_BYTES", "100")]);
    assert!(wrong.contains("at least 65536, and not 100"), "{wrong}");
}

#[test]
fn flags_reach_their_settings() {
    let flags = ServeFlags {
        id: Some("1".to_string()),
        listen: Some("127.0.0.1:9999".to_string()),
        peers: Some("1=127.0.0.1:9999".to_string()),
        data_dir: Some("/d".to_string()),
        cluster_key_file: Some("/k".to_string()),
        survivor: Some("never".to_string()),
        registration: Some("closed".to_string()),
        log_format: Some("json".to_string()),
        log_file: Some("/l".to_string()),
    };
    let values = Values::collect(&[], &|_| None, None).expect("valid");
    let values = values.with(&flags.given()).expect("valid");
    let settings = ServeSettings::from_values(&values).expect("valid");
    assert_eq!(settings.id, ReplicaId(1));
    assert_eq!(settings.listen.port(), 9999);
    assert_eq!(settings.data_dir, PathBuf::from("/d"));
    assert_eq!(settings.cluster_key, Some(PathBuf::from("/k")));
    assert_eq!(settings.survivor, Survivor::Never);
    assert_eq!(settings.registration, Registration::Closed);
    assert_eq!(values.text("serve.log_format"), Some("json"));
    assert_eq!(values.path("serve.log_file"), Some(PathBuf::from("/l")));
}

#[test]
fn what_a_server_must_be_told_is_asked_for_by_name() {
    for (variable, flag) in [
        ("FTCHAT_SERVE_ID", "--id"),
        ("FTCHAT_SERVE_PEERS", "--peers"),
        ("FTCHAT_SERVE_DATA_DIR", "--data-dir"),
    ] {
        let message = refused(&[(variable, "")]);
        assert!(message.contains(flag) && message.contains(variable), "{message}");
    }
}

#[test]
fn survivors_adopt_unless_told_otherwise() {
    let survivor = |value| resolve(&[("FTCHAT_SERVE_SURVIVOR", value)]).expect("valid").survivor;
    assert_eq!(resolve(&[]).expect("valid").survivor, Survivor::Auto);
    assert_eq!((survivor("auto"), survivor("never")), (Survivor::Auto, Survivor::Never));
    assert_eq!(survivor("adopt"), Survivor::Adopt);
}

#[test]
fn a_replica_must_be_among_its_peers() {
    let message = refused(&[("FTCHAT_SERVE_ID", "4")]);
    assert!(message.contains("replica 4 is not among the peers"), "{message}");
}

#[test]
fn a_setting_that_there_is_no_more_is_not_passed_over() {
    let told = |message: &str, place: &str| {
        let begin = format!("{place} is gone: servers speak TLS wherever other machines");
        assert!(message.contains(&begin), "{message}");
    };
    told(&refused(&[("FTCHAT_SERVE_INSECURE", "true")]), "FTCHAT_SERVE_INSECURE");
    let file = crate::config::file::parse("f".as_ref(), "[serve]\ninsecure = false\n");
    told(&file.expect_err("gone").message, "f:2: serve.insecure");
    let flag = crate::config::keys::removed_flag("--insecure");
    told(&flag.expect("gone").message, "--insecure");
    assert_eq!(crate::config::keys::removed_flag("--listen"), None);
}

#[test]
fn a_port_that_nobody_can_know_is_refused() {
    assert!(refused(&[("FTCHAT_SERVE_LISTEN", "127.0.0.1:0")]).contains("port"));
}

#[test]
fn the_key_lives_outside_of_the_data_directory() {
    let message = refused(&[("FTCHAT_SERVE_CLUSTER_KEY_FILE", "/data/two/key")]);
    assert!(message.contains("outside of the data directory"), "{message}");
    assert!(resolve(&[("FTCHAT_SERVE_CLUSTER_KEY_FILE", "/data/key")]).is_ok());
    // By whatever paths the two are reached.
    let folder = tempfile::tempdir().expect("temporary folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("own folder");
    std::fs::write(data.join("key"), "").expect("own file");
    std::os::unix::fs::symlink(&data, folder.path().join("link")).expect("a link");
    std::os::unix::fs::symlink(data.join("key"), folder.path().join("key")).expect("a link");
    let text = |path: &str| folder.path().join(path).display().to_string();
    for (key, data) in [("link/key", "data"), ("data/key", "link"), ("key", "link/../data")] {
        let (key, data) = (text(key), text(data));
        let message =
            refused(&[("FTCHAT_SERVE_CLUSTER_KEY_FILE", &key), ("FTCHAT_SERVE_DATA_DIR", &data)]);
        assert!(message.contains("outside of the data directory"), "{message}");
    }
}

#[test]
fn elections_wait_for_three_heartbeats_and_have_room_to_differ() {
    let heartbeat = ("FTCHAT_TIMING_HEARTBEAT_INTERVAL_MS", "101");
    let message = refused(&[heartbeat]);
    assert!(message.contains("303 ms, and not 300 ms"), "{message}");
    let message = refused(&[("FTCHAT_TIMING_ELECTION_TIMEOUT_MAX_MS", "300")]);
    assert!(message.contains("more than the 300 ms"), "{message}");
}

#[test]
fn reserved_connections_stay_below_the_total() {
    let small = ("FTCHAT_LIMITS_CONNECTIONS_MAX", "100");
    assert_eq!(resolve(&[small]).expect("valid").limits.connections_reserved, 50);
    let message = refused(&[small, ("FTCHAT_LIMITS_CONNECTIONS_RESERVED", "100")]);
    assert!(message.contains("less than the 100"), "{message}");
}

#[test]
fn every_limit_in_the_table_is_read() {
    // Each key in turn gets another value than its default; the limits change.
    for key in KEYS.iter().filter(|key| key.name.starts_with("limits.")) {
        let Kind::Integer { max, .. } = key.kind else { panic!("{} is a number", key.name) };
        let other = match key.default {
            Fallback::Value(default) => default.parse::<u64>().expect("limits are numbers") + 1,
            // It depends on where the server listens.
            Fallback::Words(_) => max.min(1 << 20),
        };
        let settings = resolve(&[(key.environment, &other.to_string())]).expect(key.name);
        assert_ne!(settings, resolve(&[]).expect("valid"), "{}", key.name);
    }
}
