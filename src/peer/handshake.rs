//! Two replicas prove to each other that they hold the cluster's key.
//!
//! Both sides send a fresh nonce and who they are; each then sends an HMAC
//! under the cluster's key over its role's label, both nonces and both
//! introductions. A recorded handshake is worth nothing on another connection,
//! because the other side's nonce differs; a proof cannot be reflected, because
//! the labels differ; an introduction cannot be altered on the way.
//!
//! While the cluster gets a new key there are two, and the caller names the one that it
//! uses: see `keys.rs`.
//!
//! On an encrypted connection the proofs are also over what only its two ends know (RFC
//! 9266), under labels of their own. So nobody in the middle can pass a handshake on, not
//! even who holds an older proof, and a proof in plain text is none in TLS.

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt};

use super::credentials::{Credentials, Met};
use crate::error::{Error, ErrorBody, ErrorCode, Result};
use crate::host::Host;
use crate::limits::PROTOCOL_VERSION;
use crate::protocol::client::Role;
use crate::protocol::codec::{check_depth, push_line, read_line};
use crate::protocol::peer::{Introduction, PeerChallenge, PeerHello, PeerProof, PeerWelcome};
use crate::types::{Digest, ReplicaId};

/// Longest line of a handshake. Nobody has proved anything yet; the longest one
/// names a path, which systems bound at 4 KiB.
const HANDSHAKE_LINE_MAX_BYTES: usize = 8192;

/// How much is passed on of what an unproved peer says.
const QUOTED_MAX_CHARS: usize = 200;

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

/// The caller's side. Returns who answered.
///
/// # Errors
/// [`ErrorCode::PermissionDenied`] when the other side cannot prove that it
/// holds the key, or says that we cannot; [`ErrorCode::WrongCluster`] when it
/// is another replica than expected, or of another cluster or lineage;
/// [`ErrorCode::Corrupted`] when the other side remembers a later state of this
/// replica's directory;
/// [`ErrorCode::NewerFormat`] when one side does not know the other's feature level.
pub(super) async fn call<R, W>(
    host: &Host,
    credentials: &Credentials,
    expected: ReplicaId,
    reader: &mut R,
    writer: &mut W,
) -> Result<Met>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let own = credentials.introduction();
    let hello = PeerHello {
        ftchat: PROTOCOL_VERSION,
        role: Role::Peer,
        nonce: nonce(host),
        key: Some(credentials.keys().used()),
        from: own.clone(),
    };
    send(writer, &hello).await?;
    let challenge: PeerChallenge = match receive(reader).await? {
        Answered::With(challenge) => challenge,
        // That costs no more than a handshake, so anybody may say it.
        Answered::Refused(refusal) if refusal.code == ErrorCode::TlsRequired => {
            return Err(Error::new(ErrorCode::TlsRequired, "whoever answers speaks TLS only"));
        }
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
    let Some((fingerprint, key)) = credentials.proving("callee", &parts, &challenge.proof) else {
        return Err(Error::new(
            ErrorCode::PermissionDenied,
            format!(
                "whoever answers as replica {expected} does not hold this cluster's key{}",
                credentials.keys().hint()
            ),
        ));
    };
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
    credentials.openings().check(challenge.remembers, expected)?;
    let proof = credentials.prove(&key, "caller", &parts);
    let remembers = credentials.openings().of(expected);
    let (location, window, level) = credentials.disclosed();
    let (clock, address) = (Some(host.clock.now()), credentials.address());
    send(writer, &PeerProof { proof, remembers, location, window, level, clock, address }).await?;
    match receive(reader).await? {
        Answered::With(PeerWelcome { location, window, level, clock, address, .. }) => {
            same_window((own.replica, credentials.window), (challenge.from.replica, window))?;
            credentials.check_level(challenge.from.replica, level)?;
            credentials.clocks().record(challenge.from.replica, clock);
            Ok(Met { who: challenge.from, location, level, address, key: fingerprint })
        }
        // It has proved itself, so this is to be believed.
        Answered::Refused(refusal) => {
            if refusal.code == ErrorCode::ReplicaRemoved {
                credentials.note_removed(&refusal);
            }
            Err(refusal)
        }
    }
}

/// The callee's side, after the first line was read. Returns who called.
///
/// # Errors
/// As [`call`]. The caller has been told.
pub(super) async fn answer<R, W>(
    host: &Host,
    credentials: &Credentials,
    first_line: &[u8],
    reader: &mut R,
    writer: &mut W,
) -> Result<Met>
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
) -> Result<Met>
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
    let (fingerprint, key) = credentials.keys().chosen(hello.key.as_ref());
    let proof = credentials.prove(&key, "callee", &parts);
    let remembers = credentials.openings().of(hello.from.replica);
    let from = own.clone();
    send(writer, &PeerChallenge { ftchat: PROTOCOL_VERSION, nonce, proof, remembers, from })
        .await?;
    let line = receive_line(reader).await?;
    let answer: PeerProof = parse(&line)?;
    let forgotten = !credentials.keys().knows(&fingerprint);
    if forgotten || !credentials.verify(&key, "caller", &parts, &answer.proof) {
        return Err(Error::new(
            ErrorCode::PermissionDenied,
            "the caller does not hold this cluster's key: compare the files named by --cluster-key-file",
        ));
    }
    same_history(&own, &hello.from)?;
    credentials.check_member(hello.from.replica)?;
    credentials.openings().check(answer.remembers, hello.from.replica)?;
    same_window((hello.from.replica, answer.window), (own.replica, credentials.window))?;
    credentials.check_level(hello.from.replica, answer.level)?;
    let (location, window, level) = credentials.disclosed();
    credentials.clocks().record(hello.from.replica, answer.clock);
    let (clock, address) = (Some(host.clock.now()), credentials.address());
    send(writer, &PeerWelcome { welcome: true, location, window, level, clock, address }).await?;
    let PeerProof { location, level, address, .. } = answer;
    Ok(Met { who: hello.from, location, level, address, key: fingerprint })
}

/// Two histories that both committed must never meet inside consensus: if they were
/// joined without wiping one, release builds would diverge silently. So replicas of
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

/// The outcome of an operation depends on which operation ids a replica remembers. With
/// another window it would one day apply an operation that others take for a
/// repetition, and their states would diverge silently.
fn same_window(one: (ReplicaId, Option<u64>), other: (ReplicaId, Option<u64>)) -> Result<()> {
    let ((one, Some(ones)), (other, Some(others))) = (one, other) else { return Ok(()) };
    if ones == others {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::InvalidConfig,
        format!(
            "replica {one} remembers operation ids for {ones} log entries and replica {other} for \
             {others}: set limits.deduplication_window_entries to the same number on all servers"
        ),
    ))
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
    sent.await.map_err(|error| Error::failed("the connection broke", &error))
}

/// What a caller receives.
enum Answered<T> {
    With(T),
    Refused(Error),
}

/// A process that answers has proved nothing yet: it may have taken the address of a
/// dead server. Users are told what it says, as its words, and nothing is decided by
/// it: believing "you belong to another cluster" would end this server.
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

/// The error says where the line is wrong and quotes nothing of it: nothing of a peer
/// that is not authenticated gets into this server's log.
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
mod tests;
