//! Two replicas prove to each other that they hold the cluster's key.
//!
//! Both sides send a fresh nonce and who they are; each then sends an HMAC
//! under the cluster's key over its role's label, both nonces and both
//! introductions. A recorded handshake is worth nothing on another connection,
//! because the other side's nonce differs; a proof cannot be reflected, because
//! the labels differ; an introduction cannot be altered on the way.

use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::key::ClusterKey;
use crate::error::{Error, ErrorBody, ErrorCode, Result};
use crate::host::Host;
use crate::limits::PROTOCOL_VERSION;
use crate::protocol::client::Role;
use crate::protocol::codec::{check_depth, push_line, read_line};
use crate::protocol::peer::{
    Introduction, Location, PeerChallenge, PeerHello, PeerProof, PeerWelcome,
};
use crate::types::{Digest, ReplicaId};

/// Longest line of a handshake. Nobody has proved anything yet; the longest one
/// names a path, which systems bound at 4 KiB.
const HANDSHAKE_LINE_MAX_BYTES: usize = 8192;

/// Of what an unproved peer says, so much is passed on.
const QUOTED_MAX_CHARS: usize = 200;

/// What a replica needs to introduce itself. Shared by all its links and
/// served connections.
#[derive(Clone)]
pub struct Credentials {
    key: ClusterKey,
    own: Arc<watch::Sender<Introduction>>,
    location: Arc<Mutex<Option<Location>>>,
}

impl Credentials {
    /// Credentials of a replica with the given key.
    pub fn new(key: ClusterKey, own: Introduction) -> Self {
        Credentials { key, own: Arc::new(watch::Sender::new(own)), location: Arc::default() }
    }

    /// Where this replica's data is, as callers are told from now on.
    pub fn locate_at(&self, location: Option<Location>) {
        *self.location.lock().expect("no panic while held") = location;
    }

    /// Who this replica is at the moment.
    pub fn introduction(&self) -> Introduction {
        self.own.borrow().clone()
    }

    fn location(&self) -> Option<Location> {
        self.location.lock().expect("no panic while held").clone()
    }

    /// Replaces who this replica is, as when an empty one joins a cluster.
    /// Connections that were told otherwise end: what a peer was told decides
    /// what it says to this replica, and whether it should at all.
    pub fn introduce_as(&self, own: Introduction) {
        self.own.send_replace(own);
    }

    /// Resolves when this replica is no longer who it was.
    pub(super) async fn changed_from(&self, told: &Introduction) {
        let mut own = self.own.subscribe();
        // The sender is part of `self`, so this cannot fail.
        let _ = own.wait_for(|own| own != told).await;
    }
}

fn parts<'a>(
    caller: &'a [u8],
    caller_nonce: &'a Digest,
    callee: &'a [u8],
    callee_nonce: &'a Digest,
) -> [&'a [u8]; 4] {
    [caller, &caller_nonce.0, callee, &callee_nonce.0]
}

fn nonce(host: &Host) -> Digest {
    let mut nonce = [0; 32];
    host.random.fill(&mut nonce);
    Digest(nonce)
}

fn canonical(introduction: &Introduction) -> Vec<u8> {
    serde_json::to_vec(introduction).expect("plain data serializes")
}

/// The caller's side. Returns who answered, and where its data is.
///
/// # Errors
/// [`ErrorCode::PermissionDenied`] when the other side cannot prove that it
/// holds the key, or says that we cannot; [`ErrorCode::WrongCluster`] when it
/// is another replica than expected, or of another cluster or lineage.
pub(super) async fn call<R, W>(
    host: &Host,
    credentials: &Credentials,
    expected: ReplicaId,
    reader: &mut R,
    writer: &mut W,
) -> Result<(Introduction, Option<Location>)>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let own = credentials.introduction();
    let hello = PeerHello {
        ftchat: PROTOCOL_VERSION,
        role: Role::Peer,
        nonce: nonce(host),
        from: own.clone(),
    };
    send(writer, &hello).await?;
    let challenge: PeerChallenge = match receive(reader).await? {
        Answered::With(challenge) => challenge,
        Answered::Refused(refusal) => return Err(unproved(&refusal)),
    };
    if challenge.ftchat != PROTOCOL_VERSION {
        return Err(Error::new(
            ErrorCode::UnsupportedVersion,
            format!(
                "replica {expected} speaks protocol {}, this program {PROTOCOL_VERSION}",
                challenge.ftchat
            ),
        ));
    }
    let (caller, callee) = (canonical(&own), canonical(&challenge.from));
    let parts = parts(&caller, &hello.nonce, &callee, &challenge.nonce);
    if !credentials.key.verify("callee", &parts, &challenge.proof) {
        return Err(Error::new(
            ErrorCode::PermissionDenied,
            format!("whoever answers as replica {expected} does not hold this cluster's key"),
        ));
    }
    if challenge.from.replica != expected {
        return Err(Error::new(
            ErrorCode::WrongCluster,
            format!(
                "replica {} answers at the address of replica {expected}: check --peers",
                challenge.from.replica
            ),
        ));
    }
    same_history(&own, &challenge.from)?;
    let proof = credentials.key.prove("caller", &parts);
    send(writer, &PeerProof { proof, location: credentials.location() }).await?;
    match receive(reader).await? {
        Answered::With(PeerWelcome { location, .. }) => Ok((challenge.from, location)),
        // It has proved itself, so this is to be believed.
        Answered::Refused(refusal) => Err(refusal),
    }
}

/// The callee's side, after the first line was read. Returns who called, and
/// where its data is.
///
/// # Errors
/// As [`call`]. The caller has been told.
pub(super) async fn answer<R, W>(
    host: &Host,
    credentials: &Credentials,
    first_line: &[u8],
    reader: &mut R,
    writer: &mut W,
) -> Result<(Introduction, Option<Location>)>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    match answer_inner(host, credentials, first_line, reader, writer).await {
        Ok(caller) => Ok(caller),
        Err(error) => {
            // The connection ends either way, so a failure to say why adds nothing.
            let _ = send(writer, &Refusal { error: error.clone().into() }).await;
            Err(error)
        }
    }
}

async fn answer_inner<R, W>(
    host: &Host,
    credentials: &Credentials,
    first_line: &[u8],
    reader: &mut R,
    writer: &mut W,
) -> Result<(Introduction, Option<Location>)>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let hello: PeerHello = parse(first_line)?;
    if hello.ftchat != PROTOCOL_VERSION {
        return Err(Error::new(
            ErrorCode::UnsupportedVersion,
            format!("this program speaks protocol {PROTOCOL_VERSION}, not {}", hello.ftchat),
        ));
    }
    let own = credentials.introduction();
    let nonce = nonce(host);
    let (caller, callee) = (canonical(&hello.from), canonical(&own));
    let parts = parts(&caller, &hello.nonce, &callee, &nonce);
    let proof = credentials.key.prove("callee", &parts);
    send(writer, &PeerChallenge { ftchat: PROTOCOL_VERSION, nonce, proof, from: own.clone() })
        .await?;
    let line = receive_line(reader).await?;
    let answer: PeerProof = parse(&line)?;
    if !credentials.key.verify("caller", &parts, &answer.proof) {
        return Err(Error::new(
            ErrorCode::PermissionDenied,
            "the caller does not hold this cluster's key: compare the files named by --cluster-key-file",
        ));
    }
    same_history(&own, &hello.from)?;
    send(writer, &PeerWelcome { welcome: true, location: credentials.location() }).await?;
    Ok((hello.from, answer.location))
}

/// Two histories that both committed must never meet inside consensus: joined
/// without wiping one, release builds diverge in silence. So replicas of
/// different clusters or lineages do not even shake hands.
fn same_history(own: &Introduction, other: &Introduction) -> Result<()> {
    let differ = |a: Option<_>, b: Option<_>| a.is_some() && b.is_some() && a != b;
    if differ(own.cluster, other.cluster) || differ(own.lineage, other.lineage) {
        return Err(Error::new(
            ErrorCode::WrongCluster,
            format!(
                "replicas {} and {} belong to different clusters, though they hold the same key: \
                 one of them was started with another cluster's data directory",
                own.replica, other.replica
            ),
        ));
    }
    Ok(())
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Refusal {
    error: ErrorBody,
}

async fn send<W: AsyncWrite + Unpin, T: serde::Serialize>(writer: &mut W, value: &T) -> Result<()> {
    let mut line = Vec::new();
    push_line(&mut line, value);
    let sent = async {
        writer.write_all(&line).await?;
        writer.flush().await
    };
    sent.await.map_err(|error| Error::new(ErrorCode::Io, format!("the connection broke: {error}")))
}

/// What a caller hears.
enum Answered<T> {
    With(T),
    Refused(Error),
}

/// Whoever answers has proved nothing yet: somebody else may have taken the
/// address of a dead server. What it says is passed on to people as its words
/// and is no reason for anything: "you belong to another cluster", believed,
/// would end this server.
fn unproved(refusal: &Error) -> Error {
    let words: String = refusal.message.chars().take(QUOTED_MAX_CHARS).collect();
    Error::new(
        ErrorCode::PermissionDenied,
        format!("whoever answers refuses, and has not proved to be a replica: {words:?}"),
    )
}

async fn receive<R, T>(reader: &mut R) -> Result<Answered<T>>
where
    R: AsyncBufRead + Unpin,
    T: DeserializeOwned,
{
    let line = receive_line(reader).await?;
    match parse(&line) {
        Ok(value) => Ok(Answered::With(value)),
        Err(error) => match serde_json::from_slice::<Refusal>(&line) {
            Ok(refusal) => Ok(Answered::Refused(refusal.error.into())),
            Err(_) => Err(error),
        },
    }
}

async fn receive_line<R: AsyncBufRead + Unpin>(reader: &mut R) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    if !read_line(reader, &mut line, HANDSHAKE_LINE_MAX_BYTES).await? {
        return Err(Error::new(ErrorCode::Io, "the connection was closed during the handshake"));
    }
    Ok(line)
}

/// The error says where the line is wrong and quotes nothing of it: strangers
/// do not write into this server's log.
fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T> {
    check_depth(line)?;
    serde_json::from_slice(line).map_err(|error| {
        Error::new(
            ErrorCode::InvalidRequest,
            format!("a handshake's line is malformed at its byte {}", error.column()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;
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
        let (mut left_read, mut right_read) =
            (BufReader::new(left_read), BufReader::new(right_read));
        let callee = async {
            let mut first = Vec::new();
            read_line(&mut right_read, &mut first, 4096).await?;
            let result = answer(&host, &callee, &first, &mut right_read, &mut right_write).await;
            let result = result.map(|(from, _)| from);
            right_write.shutdown().await.expect("a pipe shuts down");
            result
        };
        let caller = async {
            let result =
                call(&host, &caller, ReplicaId(expected), &mut left_read, &mut left_write).await;
            let result = result.map(|(from, _)| from);
            left_write.shutdown().await.expect("a pipe shuts down");
            result
        };
        tokio::join!(caller, callee)
    }

    #[tokio::test]
    async fn replicas_with_the_same_key_learn_who_the_other_is() {
        let key = ClusterKey::new([1; 32]);
        let (one, two) = (introduction(1, Some(9)), introduction(2, None));
        let (caller, callee) = shake(
            Credentials::new(key.clone(), one.clone()),
            2,
            Credentials::new(key, two.clone()),
        )
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
    async fn a_recorded_handshake_is_worth_nothing() {
        let (host, key) = (Host::real(), ClusterKey::new([1; 32]));
        let callee = Credentials::new(key.clone(), introduction(2, Some(9)));
        let hello = PeerHello {
            ftchat: PROTOCOL_VERSION,
            role: Role::Peer,
            nonce: Digest([5; 32]),
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
        push_line(&mut replay, &PeerProof { proof: old, location: None });
        let first = serde_json::to_vec(&hello).expect("plain data");
        let mut sink = Vec::new();
        let error = answer(&host, &callee, &first, &mut replay.as_slice(), &mut sink)
            .await
            .expect_err("a replay");
        assert_eq!(error.code, ErrorCode::PermissionDenied);
        assert!(!String::from_utf8_lossy(&sink).contains("welcome"));
    }

    /// What a caller makes of somebody who answers with these lines.
    async fn call_hears(lines: &str) -> Error {
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
        let error = call_hears(&format!("{refusal}\n")).await;
        assert_eq!(error.code, ErrorCode::PermissionDenied, "not a reason to stop");
        assert!(error.message.contains("has not proved to be a replica: \"begone\""), "{error}");
        let invented = format!(
            "{{\"ftchat\":1,\"replica\":2,\"nonce\":\"{0}\",\"proof\":\"{0}\"}}\n\
             {{\"welcome\":true}}\n",
            Digest([3; 32])
        );
        assert_eq!(call_hears(&invented).await.code, ErrorCode::PermissionDenied);
        let error = call_hears("{\"ftchat\":\"\u{1b}[2J\"}\n").await;
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
}
