use super::*;
use crate::config::key_file;
use crate::peer::{ClusterKey, Keys};
use crate::protocol::peer::{Opening, Remembered};
use crate::storage::Identity;
use crate::types::{KeyChange, KeyStage, Uuid};
use tokio::io::{BufReader, split};

fn introduction(replica: u32, cluster: Option<u128>) -> Introduction {
    Introduction {
        replica: ReplicaId(replica),
        cluster: cluster.map(Uuid::from_u128),
        lineage: cluster.map(Uuid::from_u128),
        incarnation: cluster.map(|_| 1),
    }
}

/// Runs both sides over a pipe; the callee first reads the caller's line.
async fn shake(
    caller: Credentials,
    expected: u32,
    callee: Credentials,
) -> (Result<Introduction>, Result<Introduction>) {
    let host = Host::real();
    let (left, right) = tokio::io::duplex(64 * 1024);
    let (left_read, mut left_write) = split(left);
    let (right_read, mut right_write) = split(right);
    let (mut left_read, mut right_read) = (BufReader::new(left_read), BufReader::new(right_read));
    let callee = async {
        let mut first = Vec::new();
        read_line(&mut right_read, &mut first, 4096).await?;
        let result = answer(&host, &callee, &first, &mut right_read, &mut right_write).await;
        let result = result.map(|met| met.who);
        right_write.shutdown().await.expect("a pipe shuts down");
        result
    };
    let caller = async {
        let result =
            call(&host, &caller, ReplicaId(expected), &mut left_read, &mut left_write).await;
        let result = result.map(|met| met.who);
        left_write.shutdown().await.expect("a pipe shuts down");
        result
    };
    tokio::join!(caller, callee)
}

#[tokio::test]
async fn replicas_with_the_same_key_learn_who_the_other_is() {
    let key = ClusterKey::new([1; 32]);
    let (one, two) = (introduction(1, Some(9)), introduction(2, None));
    let (caller, callee) =
        shake(Credentials::new(key.clone(), one.clone()), 2, Credentials::new(key, two.clone()))
            .await;
    assert_eq!((caller.expect("welcome"), callee.expect("proved")), (two, one));
}

#[tokio::test]
async fn another_key_is_refused_by_both_sides() {
    let credentials = |byte, replica| {
        Credentials::new(ClusterKey::new([byte; 32]), introduction(replica, Some(9)))
    };
    let (caller, callee) = shake(credentials(1, 1), 2, credentials(2, 2)).await;
    assert_eq!(caller.expect_err("wrong key").code, ErrorCode::PermissionDenied);
    assert!(callee.is_err(), "the caller never proved anything");
}

#[tokio::test]
async fn another_cluster_or_replica_is_refused() {
    let key = ClusterKey::new([1; 32]);
    let credentials =
        |replica, cluster| Credentials::new(key.clone(), introduction(replica, Some(cluster)));
    let (caller, _) = shake(credentials(1, 9), 2, credentials(2, 8)).await;
    assert_eq!(caller.expect_err("other cluster").code, ErrorCode::WrongCluster);
    let (caller, _) = shake(credentials(1, 9), 2, credentials(3, 9)).await;
    assert_eq!(caller.expect_err("other replica").code, ErrorCode::WrongCluster);
}

#[tokio::test]
async fn a_caller_of_another_cluster_is_not_let_in_because_it_does_not_mind_itself() {
    let (host, key) = (Host::real(), ClusterKey::new([1; 32]));
    let callee = Credentials::new(key.clone(), introduction(2, Some(9)));
    let other_lineage =
        Introduction { lineage: Some(Uuid::from_u128(8)), ..introduction(1, Some(9)) };
    for (from, welcome) in [
        (introduction(1, Some(9)), true),
        (introduction(1, None), true),
        (introduction(1, Some(8)), false),
        (other_lineage, false),
    ] {
        let (left, right) = tokio::io::duplex(64 * 1024);
        let (left_read, mut left_write) = split(left);
        let (right_read, mut right_write) = split(right);
        let (mut left_read, mut right_read) =
            (BufReader::new(left_read), BufReader::new(right_read));
        let nonce = Digest([5; 32]);
        let hello = PeerHello {
            ftchat: PROTOCOL_VERSION,
            role: Role::Peer,
            nonce,
            key: None,
            from: from.clone(),
        };
        let first = serde_json::to_vec(&hello).expect("plain data");
        let caller = async {
            let Ok(Answered::With(challenge)) = receive::<_, PeerChallenge>(&mut left_read).await
            else {
                panic!("no challenge")
            };
            let (own, callee) = (canonical(&from), canonical(&challenge.from));
            let proof = key.prove("caller", &parts(&own, &nonce, &callee, &challenge.nonce));
            let proof = PeerProof {
                proof,
                remembers: None,
                location: None,
                window: None,
                level: 0,
                clock: None,
                address: None,
            };
            send(&mut left_write, &proof).await.expect("a pipe takes it");
        };
        let answer = answer(&host, &callee, &first, &mut right_read, &mut right_write);
        let (answered, ()) = tokio::join!(answer, caller);
        let refused = answered.err().map(|error| error.code);
        assert_eq!(refused, (!welcome).then_some(ErrorCode::WrongCluster), "{from:?}");
    }
}

#[tokio::test]
async fn replicas_that_remember_ids_for_different_times_do_not_speak() {
    let windowed = |replica, window| {
        let own = introduction(replica, Some(9));
        Credentials::new(ClusterKey::new([1; 32]), own).with_window(window)
    };
    let (caller, callee) = shake(windowed(1, 1_000), 2, windowed(2, 1_000)).await;
    assert!(caller.is_ok() && callee.is_ok());
    let (caller, callee) = shake(windowed(1, 1_000), 2, windowed(2, 2_000)).await;
    let (caller, callee) = (caller.expect_err("differ"), callee.expect_err("differ"));
    assert_eq!(caller, callee, "both are told the same");
    assert_eq!(caller.code, ErrorCode::InvalidConfig);
    for part in ["replica 1", "1000 log entries", "replica 2", "for 2000"] {
        assert!(caller.message.contains(part), "{caller}");
    }
    let none = Credentials::new(ClusterKey::new([1; 32]), introduction(1, Some(9)));
    let (caller, callee) = shake(none, 2, windowed(2, 2_000)).await;
    assert!(caller.is_ok() && callee.is_ok(), "who keeps no state has none");
}

#[tokio::test]
async fn an_old_copy_of_a_directory_is_told_what_the_other_remembers_before_it_says_where_it_is() {
    let opening = |number, id: u128| Opening { number, id: Some(Uuid::from_u128(id)) };
    let copy = |replica| {
        let own = introduction(replica, Some(9));
        let credentials = Credentials::new(ClusterKey::new([1; 32]), own);
        credentials.openings().run_on(Identity {
            format: 1,
            cluster: Uuid::from_u128(9),
            lineage: Uuid::from_u128(9),
            replica: ReplicaId(replica),
            incarnation: 1,
            opens: 5,
            openings: [40, 50].map(Uuid::from_u128).to_vec(),
            knows_level: 0,
        });
        credentials
    };
    for (incarnation, remembered, old) in [
        (1, opening(4, 40), false),
        (1, opening(5, 50), false),
        (1, opening(3, 99), false),
        (1, opening(5, 51), true),
        (1, opening(6, 60), true),
        (2, opening(1, 10), true),
    ] {
        let other = |replica, about| {
            let own = introduction(replica, Some(9));
            let other = Credentials::new(ClusterKey::new([1; 32]), own);
            let remembered = Remembered { incarnation, opening: remembered };
            other.openings().remember(ReplicaId(about), remembered);
            other
        };
        let (caller, callee) = (copy(1), copy(2));
        let (called, answered) = shake(caller.clone(), 2, other(2, 1)).await;
        assert_eq!((called.is_err(), answered.is_err()), (old, old), "calls: {remembered:?}");
        let (called, answered) = shake(other(1, 2), 2, callee.clone()).await;
        assert_eq!((called.is_err(), answered.is_err()), (old, old), "answers: {remembered:?}");
        for (replica, copy) in [(1, caller), (2, callee)] {
            let verdict = copy.openings().verdict();
            assert_eq!(verdict.is_err(), old, "{replica}: {remembered:?}");
            let corrupted = |error: Error| error.code == ErrorCode::Corrupted;
            assert!(verdict.err().is_none_or(corrupted));
            copy.openings().begin_anew();
            assert_eq!(copy.openings().verdict(), Ok(()));
        }
    }
}

#[tokio::test]
async fn a_recorded_handshake_is_worth_nothing() {
    let (host, key) = (Host::real(), ClusterKey::new([1; 32]));
    let callee = Credentials::new(key.clone(), introduction(2, Some(9)));
    let hello = PeerHello {
        ftchat: PROTOCOL_VERSION,
        role: Role::Peer,
        nonce: Digest([5; 32]),
        key: None,
        from: introduction(1, Some(9)),
    };
    // The proof that once convinced the callee, for another callee nonce.
    let old = key.prove(
        "caller",
        &parts(
            &canonical(&hello.from),
            &hello.nonce,
            &canonical(&callee.introduction()),
            &Digest([6; 32]),
        ),
    );
    let mut replay = Vec::new();
    let proof = PeerProof {
        proof: old,
        remembers: None,
        location: None,
        window: None,
        level: 0,
        clock: None,
        address: None,
    };
    push_line(&mut replay, &proof);
    let first = serde_json::to_vec(&hello).expect("plain data");
    let mut sink = Vec::new();
    let error = answer(&host, &callee, &first, &mut replay.as_slice(), &mut sink)
        .await
        .expect_err("a replay");
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    assert!(!String::from_utf8_lossy(&sink).contains("welcome"));
}

/// The keys of a server at each stage of a change of key: 1 is the old one, 2 the new one.
fn keys_at(stage: Option<KeyStage>) -> Keys {
    let key = |byte| ClusterKey::new([byte; 32]);
    let print = |byte| key(byte).identity().fingerprint();
    let Some(stage) = stage else { return key(1).into() };
    let keys = Keys::of(key(2), Some(key(1)));
    keys.follow(&KeyChange { old: print(1), new: print(2), stage, successions: Vec::new() });
    keys
}

#[tokio::test]
async fn servers_in_neighbouring_stages_of_a_change_of_key_understand_each_other() {
    use KeyStage::{Announced, Done, Used};
    let stages = [None, Some(Announced), Some(Used), Some(Done)];
    for (at, caller) in stages.into_iter().enumerate() {
        for (other, callee) in stages.into_iter().enumerate() {
            let credentials =
                |replica, stage| Credentials::new(keys_at(stage), introduction(replica, Some(9)));
            let both = shake(credentials(1, caller), 2, credentials(2, callee)).await;
            // Who has only the old key, and who has only the new one.
            let strangers = at.min(other) == 0 && at.max(other) == 3;
            let good = (both.0.is_ok(), both.1.is_ok());
            assert_eq!(good, (!strangers, !strangers), "{caller:?} {callee:?}");
        }
    }
}

#[tokio::test]
async fn a_server_without_the_new_key_is_told_which_file_to_replace() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("cluster.key");
    key_file::write_new(&file, &[1; 32]).expect("own folder");
    let old = Keys::read(&file).expect("a key");
    let caller = Credentials::new(old, introduction(1, Some(9)));
    let callee = Credentials::new(keys_at(Some(KeyStage::Done)), introduction(2, Some(9)));
    let (caller, _) = shake(caller, 2, callee).await;
    let error = caller.expect_err("it has only the old key");
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    assert!(error.message.contains(&file.display().to_string()), "{error}");
}

/// Whoever sits in the middle of two encrypted connections and passes on what is said
/// in them proves nothing by it: what only the ends of each know differs.
#[tokio::test]
async fn a_handshake_that_is_passed_on_is_worth_nothing() {
    let credentials = |replica, binding| {
        let key = ClusterKey::new([1; 32]);
        Credentials::new(key, introduction(replica, Some(9))).bound_to(binding)
    };
    let (one, other) = (Some([7; 32]), Some([8; 32]));
    for (of_caller, of_callee, good) in [
        (None, None, true),
        (one, one, true),
        (one, other, false),
        (one, None, false),
        (None, one, false),
    ] {
        let (caller, callee) = shake(credentials(1, of_caller), 2, credentials(2, of_callee)).await;
        assert_eq!((caller.is_ok(), callee.is_ok()), (good, good), "{of_caller:?} {of_callee:?}");
        if let Err(error) = caller {
            assert_eq!(error.code, ErrorCode::PermissionDenied);
        }
    }
}

/// What a caller makes of somebody who answers with these lines.
async fn call_receives(lines: &str) -> Error {
    let credentials = Credentials::new(ClusterKey::new([1; 32]), introduction(1, Some(9)));
    let (host, mut sink) = (Host::real(), Vec::new());
    let error = call(&host, &credentials, ReplicaId(2), &mut lines.as_bytes(), &mut sink).await;
    let sent = String::from_utf8(sink).expect("JSON");
    assert!(!sent.contains("\"proof\"") && !sent.contains("location"), "{sent}");
    error.expect_err("nothing was proved")
}

#[tokio::test]
async fn nothing_is_believed_of_whoever_has_proved_nothing() {
    let refusal = r#"{"error":{"code":"wrong_cluster","message":"begone","retryable":false}}"#;
    let error = call_receives(&format!("{refusal}\n")).await;
    assert_eq!(error.code, ErrorCode::PermissionDenied, "not a reason to stop");
    assert!(error.message.contains("has not proved to be a replica: \"begone\""), "{error}");
    let invented = format!(
        "{{\"ftchat\":1,\"replica\":2,\"nonce\":\"{0}\",\"proof\":\"{0}\"}}\n\
         {{\"welcome\":true}}\n",
        Digest([3; 32])
    );
    assert_eq!(call_receives(&invented).await.code, ErrorCode::PermissionDenied);
    let error = call_receives("{\"ftchat\":\"\u{1b}[2J\"}\n").await;
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    assert!(!error.message.contains("[2J"), "{error}");
}

#[tokio::test]
async fn a_caller_does_not_choose_the_words_of_its_refusal() {
    let words =
        r#"{"error":{"code":"wrong_cluster","message":"delete your disk","retryable":false}}"#;
    let callee = Credentials::new(ClusterKey::new([1; 32]), introduction(2, Some(9)));
    let hello = PeerHello {
        ftchat: PROTOCOL_VERSION,
        role: Role::Peer,
        nonce: Digest([5; 32]),
        key: None,
        from: introduction(1, Some(9)),
    };
    let hello = serde_json::to_vec(&hello).expect("plain data");
    let frames = format!("{words}\n{}\n", r#"{"id":1,"call":"vote","body":{"term":9999}}"#);
    for (first, rest) in [(words.as_bytes(), ""), (&hello, &*frames)] {
        let (host, mut sink) = (Host::real(), Vec::new());
        let error = answer(&host, &callee, first, &mut rest.as_bytes(), &mut sink).await;
        let error = error.expect_err("no proof");
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(!error.message.contains("disk"), "{error}");
        let said = String::from_utf8(sink).expect("JSON");
        assert!(!said.contains("welcome") && !said.contains("location"), "{said}");
    }
}
