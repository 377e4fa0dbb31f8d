//! Two replicas prove to each other that they hold the cluster's key.
//!
//! Both sides send a fresh nonce and who they are; each then sends an HMAC
//! under the cluster's key over its role's label, both nonces and both
//! introductions. A recorded handshake is worth nothing on another connection,
//! because the other side's nonce differs; a proof cannot be reflected, because
//! the labels differ; an introduction cannot be altered on the way.
//!
//! On an encrypted connection the proofs are also over what only its two ends know (RFC
//! 9266), under labels of their own. So nobody in the middle can pass a handshake on, not
//! even who holds an older proof, and a proof in plain text is none in TLS.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::clocks::Clocks;
use super::key::ClusterKey;
use super::openings::Openings;
use crate::error::{Error, ErrorBody, ErrorCode, Result};
use crate::host::{Binding, Host};
use crate::limits::{FEATURE_LEVEL_KNOWN, PROTOCOL_VERSION};
use crate::protocol::client::Role;
use crate::protocol::codec::{check_depth, push_line, read_line};
use crate::protocol::peer::{
    ADMINISTRATOR, Introduction, Location, PeerChallenge, PeerHello, PeerProof, PeerWelcome,
};
use crate::sync::Mutex;
use crate::types::{Digest, Fingerprint, ReplicaId};

/// Longest line of a handshake. Nobody has proved anything yet; the longest one
/// names a path, which systems bound at 4 KiB.
const HANDSHAKE_LINE_MAX_BYTES: usize = 8192;

/// How much is passed on of what an unproved peer says.
const QUOTED_MAX_CHARS: usize = 200;

/// What a replica needs to introduce itself. Shared by all its links and
/// served connections.
#[derive(Clone)]
pub struct Credentials {
    key: ClusterKey,
    own: Arc<watch::Sender<Introduction>>,
    location: Arc<Mutex<Option<Location>>>,
    window: Option<u64>,
    openings: Openings,
    clocks: Clocks,
    /// The highest feature level that this replica knows.
    level: u32,
    /// The one that its peers must know.
    required: Arc<watch::Sender<u32>>,
    /// Of the encrypted connection that they are for.
    binding: Option<Binding>,
}

/// A peer, as it has introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// Who it is.
    pub who: Introduction,
    /// Where its data is.
    pub location: Option<Location>,
    /// The highest feature level that it knows.
    pub level: u32,
}

impl Credentials {
    /// Credentials of a replica with the given key.
    pub fn new(key: ClusterKey, own: Introduction) -> Self {
        Credentials {
            key,
            own: Arc::new(watch::Sender::new(own)),
            location: Arc::default(),
            window: None,
            openings: Openings::default(),
            clocks: Clocks::default(),
            level: FEATURE_LEVEL_KNOWN,
            required: Arc::new(watch::Sender::new(0)),
            binding: None,
        }
    }

    /// The same of a replica that knows another feature level than this program.
    pub fn with_level(self, level: u32) -> Self {
        Credentials { level, ..self }
    }

    /// The same for one connection: what only its two ends know, if it is encrypted.
    pub fn bound_to(&self, binding: Option<Binding>) -> Self {
        Credentials { binding, ..self.clone() }
    }

    /// By which other servers of the cluster are known in TLS.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.key.identity().fingerprint()
    }

    fn prove(&self, role: &str, parts: &[&[u8]]) -> Digest {
        self.with_binding(role, parts, |label, parts| self.key.prove(label, parts))
    }

    fn verify(&self, role: &str, parts: &[&[u8]], proof: &Digest) -> bool {
        self.with_binding(role, parts, |label, parts| self.key.verify(label, parts, proof))
    }

    fn with_binding<T>(
        &self,
        role: &str,
        parts: &[&[u8]],
        then: impl FnOnce(&str, &[&[u8]]) -> T,
    ) -> T {
        match &self.binding {
            None => then(role, parts),
            Some(binding) => then(&format!("{role} in tls"), &[parts, &[binding]].concat()),
        }
    }

    /// Speaks from now on only with replicas that know this feature level;
    /// connections to others end.
    pub fn require_level(&self, level: u32) {
        self.required.send_if_modified(|required| {
            let higher = level > *required;
            *required = level.max(*required);
            higher
        });
    }

    /// Whether a peer knows the feature level that is required.
    fn check_level(&self, replica: ReplicaId, level: u32) -> Result<()> {
        let required = *self.required.borrow();
        if level >= required || replica == ADMINISTRATOR {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::NewerFormat,
            format!(
                "this cluster is at feature level {required}, and the program of server {replica} \
                 knows levels up to {level}: update server {replica}"
            ),
        ))
    }

    /// Resolves when a feature level is required that a peer does not know.
    pub(super) async fn outgrown(&self, met: &Met) {
        let mut required = self.required.subscribe();
        let known = |required: &u32| *required <= met.level || met.who.replica == ADMINISTRATOR;
        // The sender is part of `self`, so this cannot fail.
        let _ = required.wait_for(|required| !known(required)).await;
    }

    /// The same of a replica that remembers operation ids for so many log
    /// entries. It speaks with none that remembers them for another number.
    pub fn with_window(self, entries: u64) -> Self {
        Credentials { window: Some(entries), ..self }
    }

    /// Where this replica's data is, as callers are told from now on.
    pub fn locate_at(&self, location: Option<Location>) {
        *self.location.lock() = location;
    }

    /// What this replica and its peers remember of each other's directories.
    pub fn openings(&self) -> &Openings {
        &self.openings
    }

    /// What the peers have said of their clocks.
    pub fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// Who this replica is at the moment.
    pub fn introduction(&self) -> Introduction {
        self.own.borrow().clone()
    }

    /// What a peer is told once both sides have proved themselves: where the data
    /// is, for how long operation ids are remembered, which level is known.
    fn disclosed(&self) -> (Option<Location>, Option<u64>, u32) {
        let location = self.location.lock().clone();
        (location, self.window, self.level)
    }

    /// Replaces who this replica is, as when an empty one joins a cluster.
    /// Connections that were told otherwise end: what a peer was told decides
    /// what it says to this replica, and whether it should at all.
    pub fn introduce_as(&self, own: Introduction) {
        self.own.send_replace(own);
    }

    /// Resolves when this replica is no longer who it was.
    pub(super) async fn changed_from(&self, sent: &Introduction) {
        let mut own = self.own.subscribe();
        // The sender is part of `self`, so this cannot fail.
        let _ = own.wait_for(|own| own != sent).await;
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
    if !credentials.verify("callee", &parts, &challenge.proof) {
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
    credentials.openings.check(challenge.remembers, expected)?;
    let proof = credentials.prove("caller", &parts);
    let remembers = credentials.openings.of(expected);
    let (location, window, level) = credentials.disclosed();
    let clock = Some(host.clock.now());
    send(writer, &PeerProof { proof, remembers, location, window, level, clock }).await?;
    match receive(reader).await? {
        Answered::With(PeerWelcome { location, window, level, clock, .. }) => {
            same_window((own.replica, credentials.window), (challenge.from.replica, window))?;
            credentials.check_level(challenge.from.replica, level)?;
            credentials.clocks.record(challenge.from.replica, clock);
            Ok(Met { who: challenge.from, location, level })
        }
        // It has proved itself, so this is to be believed.
        Answered::Refused(refusal) => Err(refusal),
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
    let proof = credentials.prove("callee", &parts);
    let remembers = credentials.openings.of(hello.from.replica);
    let from = own.clone();
    send(writer, &PeerChallenge { ftchat: PROTOCOL_VERSION, nonce, proof, remembers, from })
        .await?;
    let line = receive_line(reader).await?;
    let answer: PeerProof = parse(&line)?;
    if !credentials.verify("caller", &parts, &answer.proof) {
        return Err(Error::new(
            ErrorCode::PermissionDenied,
            "the caller does not hold this cluster's key: compare the files named by --cluster-key-file",
        ));
    }
    same_history(&own, &hello.from)?;
    credentials.openings.check(answer.remembers, hello.from.replica)?;
    same_window((hello.from.replica, answer.window), (own.replica, credentials.window))?;
    credentials.check_level(hello.from.replica, answer.level)?;
    let (location, window, level) = credentials.disclosed();
    credentials.clocks.record(hello.from.replica, answer.clock);
    let clock = Some(host.clock.now());
    send(writer, &PeerWelcome { welcome: true, location, window, level, clock }).await?;
    Ok(Met { who: hello.from, location: answer.location, level: answer.level })
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
