use std::os::unix::fs::PermissionsExt;

use super::folder::same_file;
use super::*;
use crate::host::make_private_folders;

struct Ones;
impl crate::host::Random for Ones {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(1);
    }
}

pub(in crate::cluster) fn settings(dir: &Path) -> ClusterSettings {
    ClusterSettings {
        name: "default".to_string(),
        dir: dir.to_path_buf(),
        replicas: 3,
        replicas_given: false,
        base_port: 8091,
        base_port_given: false,
        survivor: Survivor::Auto,
        survivor_given: false,
        command_lines: CommandLines::default(),
    }
}

fn make(dir: &Path) -> Description {
    make_with(&settings(dir)).expect("a new cluster")
}

pub(in crate::cluster) fn make_with(settings: &ClusterSettings) -> Result<Description> {
    Description::existing_or_new(settings, &Ones)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn a_new_cluster_is_private_and_is_found_again() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let dir = folder.path().join("deep/inside");
    let made = make(&dir);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("cluster.json")), 0o600);
    assert_eq!(mode(&made.key_file()), 0o600);
    assert_eq!(*key_file::read(&made.key_file()).expect("a key").newest, [1; key_file::KEY_BYTES]);
    let found = Description::existing(&settings(&dir)).expect("there");
    assert_eq!(found, made);
    let addresses: Vec<String> = found.addresses().iter().map(Address::to_string).collect();
    assert_eq!(addresses, ["127.0.0.1:8091", "127.0.0.1:8092", "127.0.0.1:8093"]);
    assert_eq!(found.data_dir(&found.replicas[1]), dir.join("replica-2"));
    assert_eq!(found.log_file(&found.replicas[1]), dir.join("replica-2.log"));
}

#[test]
fn a_folder_without_a_cluster_is_said_to_have_none() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let error = Description::existing(&settings(folder.path())).expect_err("none");
    assert_eq!(error.code, ErrorCode::UnknownCluster);
    assert!(error.message.contains("ftchat cluster up"), "{}", error.message);
}

#[test]
fn an_unknown_replica_is_answered_with_those_there_are() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let error = make(folder.path()).replica(ReplicaId(4)).cloned().expect_err("only three");
    assert_eq!(error.code, ErrorCode::UnknownReplica);
    assert!(error.message.contains("it has 1, 2, 3"), "{}", error.message);
}

#[test]
fn an_existing_cluster_keeps_its_shape() {
    let folder = tempfile::tempdir().expect("temporary folder");
    make(folder.path());
    let usual = settings(folder.path());
    assert!(make_with(&ClusterSettings { replicas: 5, ..usual.clone() }).is_ok(), "not asked for");
    let five = ClusterSettings { replicas: 5, replicas_given: true, ..usual.clone() };
    let error = make_with(&five).expect_err("three are there");
    assert!(error.message.contains("has 3 replicas, not 5"), "{}", error.message);
    let port = ClusterSettings { base_port: 9000, base_port_given: true, ..usual };
    let error = make_with(&port).expect_err("another port");
    assert!(error.message.contains("begins at port 8091, not 9000"), "{}", error.message);
}

#[test]
fn a_cluster_never_moves_in_with_other_files() {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::write(folder.path().join("thesis.txt"), "years").expect("own folder");
    let error = make_with(&settings(folder.path())).expect_err("not empty");
    assert!(error.message.contains("thesis.txt"), "{}", error.message);
    // What an interrupted `up` leaves is taken over, the key included.
    let half = tempfile::tempdir().expect("temporary folder");
    key_file::write_new(&half.path().join("cluster.key"), &[9; 32]).expect("own folder");
    let made = make(half.path());
    assert_eq!(*key_file::read(&made.key_file()).expect("a key").newest, [9; 32]);
}

#[test]
fn only_descriptions_of_this_program_are_believed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("cluster.json");
    let cases = [
        ("{}", ErrorCode::InvalidConfig),
        ("not json", ErrorCode::InvalidConfig),
        (
            r#"{"ftchat_cluster":2,"name":"x","survivor":"auto","replicas":[]}"#,
            ErrorCode::NewerFormat,
        ),
        (
            r#"{"ftchat_cluster":1,"name":"x","survivor":"auto","replicas":[]}"#,
            ErrorCode::InvalidConfig,
        ),
        (
            r#"{"ftchat_cluster":1,"name":"x","survivor":"auto",
                "replicas":[{"id":1,"address":"h:1","data_dir":"../../home"}]}"#,
            ErrorCode::InvalidConfig,
        ),
    ];
    for (text, code) in cases {
        std::fs::write(&path, text).expect("own folder");
        assert_eq!(Description::load(folder.path()).expect_err(text).code, code, "{text}");
    }
    std::fs::write(&path, vec![b' '; FILE_MAX_BYTES as usize + 1]).expect("own folder");
    let error = Description::load(folder.path()).expect_err("too long");
    assert_eq!(error.code, ErrorCode::Io, "that is no full disk: {error}");
}

#[test]
fn purging_removes_the_cluster_and_nothing_else() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let dir = folder.path().join("c");
    let made = make(&dir);
    std::fs::create_dir_all(dir.join("replica-1/log")).expect("own folder");
    std::fs::write(dir.join("replica-1.log"), "x").expect("own folder");
    std::fs::write(dir.join("notes"), "mine").expect("own folder");
    assert!(!made.clone().purge().expect("purged"), "the folder holds somebody's notes");
    assert_eq!(std::fs::read_dir(&dir).expect("there").count(), 1);
    std::fs::remove_file(dir.join("notes")).expect("own folder");
    let made = make(&dir);
    assert!(made.purge().expect("purged"));
    assert!(!dir.exists());
}

const BRIEF: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_second_command_waits_for_the_first_and_gives_up_in_time() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let settings = settings(folder.path());
    let error = Description::lock_existing(&settings, BRIEF).await.expect_err("no cluster");
    assert_eq!(error.code, ErrorCode::UnknownCluster);
    assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0, "nothing is made");
    let first = Description::lock_existing_or_new(&settings, &Ones, BRIEF).await.expect("free");
    let error = Description::lock_existing(&settings, BRIEF).await.expect_err("held");
    assert_eq!(error.code, ErrorCode::Unavailable);
    drop(first);
    Description::lock_existing(&settings, BRIEF).await.expect("free again");
}

#[tokio::test]
async fn of_two_first_commands_the_second_finds_what_the_first_made() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let dir = folder.path().join("cluster");
    let with_port = |base_port| ClusterSettings { base_port, ..settings(&dir) };
    let (one, other) = (with_port(8000), with_port(9000));
    let patient = Duration::from_secs(20);
    let (made, lock) = Description::lock_existing_or_new(&one, &Ones, BRIEF).await.expect("new");
    let second = Description::lock_existing_or_new(&other, &Ones, patient);
    tokio::pin!(second);
    assert!(tokio::time::timeout(BRIEF, &mut second).await.is_err(), "the first one has it");
    drop(lock);
    assert_eq!(second.await.expect("there").0, made);
}

#[test]
fn a_cluster_that_comes_and_goes_meanwhile_is_nobody_elses() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let settings = settings(&folder.path().join("cluster"));
    let command = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        let mut had = 0;
        while had < 50 {
            // Nobody waits, so that they look while another is at work.
            let up = Description::lock_existing_or_new(&settings, &Ones, Duration::ZERO);
            match runtime.block_on(up) {
                Ok((cluster, lock)) => {
                    let data_dir = cluster.data_dir(&cluster.replicas[0]);
                    make_private_folders(&data_dir).expect("own folder");
                    cluster.purge().expect("only we are at work");
                    drop(lock);
                    had += 1;
                }
                Err(error) => assert_eq!(error.code, ErrorCode::Unavailable, "{error}"),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(command);
        }
    });
}

#[tokio::test]
async fn a_lock_that_was_removed_with_its_cluster_protects_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let dir = folder.path().join("cluster");
    let settings = settings(&dir);
    let patient = Duration::from_secs(20);
    for up in [true, false] {
        let first = Description::lock_existing_or_new(&settings, &Ones, BRIEF);
        let (made, lock) = first.await.expect("new");
        let waiting = async {
            match up {
                true => Description::lock_existing_or_new(&settings, &Ones, patient).await,
                false => Description::lock_existing(&settings, patient).await,
            }
        };
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(BRIEF, &mut waiting).await.is_err(), "the first one has it");
        assert!(made.purge().expect("purged"));
        drop(lock);
        match waiting.await {
            Ok((_, lock)) => assert!(up && same_file(&lock, &dir.join(LOCK_FILE))),
            Err(error) => assert_eq!((up, error.code), (false, ErrorCode::UnknownCluster)),
        }
        assert_eq!(dir.exists(), up);
    }
}

#[test]
fn a_status_is_about_the_cluster_whose_servers_answered() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let known = ["one", "other", "none"].map(|name| settings(&folder.path().join(name)));
    let other_ports = ClusterSettings { base_port: 9000, ..settings(&folder.path().join("third")) };
    let [one, other] = [&known[0], &known[1]].map(|settings| make_with(settings).expect("new"));
    make_with(&other_ports).expect("new");
    for (cluster, pid) in [(&one, 77), (&other, 88)] {
        let data_dir = cluster.data_dir(&cluster.replicas[0]);
        std::fs::create_dir(&data_dir).expect("own folder");
        let lock = crate::cluster::process::tests::lock_of(pid, 1);
        std::fs::write(data_dir.join("LOCK"), lock).expect("own file");
    }
    let replica = |id: u32, pid: Option<u32>| ReplicaStatus {
        id: ReplicaId(id),
        address: format!("127.0.0.1:{}", 8090 + id).parse().expect("valid"),
        state: crate::protocol::client::ReplicaState::Unreachable,
        term: 0,
        last_log: 0,
        applied: 0,
        applied_before: None,
        stalled: false,
        votes: true,
        lag: 0,
        hosted_by: pid.map(|_| ReplicaId(1)),
        pid,
        version: None,
        uptime_s: None,
        alone_since: None,
        outbox: 0,
        outbox_unusable: false,
        disk_bytes: None,
        state_hash: None,
        error: None,
    };
    let about = |pid: Option<u32>, known: &[ClusterSettings]| {
        let status = ClusterStatus {
            cluster: None,
            writable: false,
            confirming: false,
            unconfirmed: 0,
            tolerates_alone: 0,
            leader: None,
            term: 0,
            commit: 0,
            tolerates: 0,
            feature_level: None,
            stored_bytes: None,
            stored_bytes_max: None,
            replicas: vec![replica(1, pid), replica(2, pid), replica(3, None)],
            survivor: None,
            notices: Vec::new(),
        };
        Description::of(&status, known).map(|cluster| cluster.dir().to_path_buf())
    };
    assert_eq!(about(Some(77), &known).as_deref(), Some(one.dir()));
    assert_eq!(about(Some(88), &known).as_deref(), Some(other.dir()));
    assert_eq!(about(Some(99), &known), None, "of neither");
    // Where nobody answers the addresses are all there is.
    assert_eq!(about(None, &known).as_deref(), Some(one.dir()));
    assert_eq!(about(None, &[other_ports]), None);
}

#[test]
fn fuzz_descriptions() {
    let folder = tempfile::tempdir().expect("temporary folder");
    make(folder.path());
    let path = folder.path().join(DESCRIPTION_FILE);
    let corpus = [std::fs::read(&path).expect("just written")];
    crate::protocol::fuzzing::fuzz("descriptions", &corpus, |bytes| {
        std::fs::write(&path, bytes).expect("own file");
        match Description::load(folder.path()) {
            Ok(description) => {
                // Purging removes these folders.
                for replica in description.expect("the file is there").replicas {
                    assert_eq!(replica.data_dir, data_dir_name(replica.id));
                }
            }
            Err(error) => {
                assert!(matches!(error.code, ErrorCode::InvalidConfig | ErrorCode::NewerFormat));
            }
        }
    });
}
