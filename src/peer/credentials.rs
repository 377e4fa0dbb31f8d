//! What a replica is known by, and what it asks of its peers: shared by all of its links
//! and served connections.

use std::sync::Arc;

use tokio::sync::watch;

use super::clocks::Clocks;
use super::key::ClusterKey;
use super::keys::Keys;
use super::openings::Openings;
use crate::error::{Error, ErrorCode, Result};
use crate::host::Binding;
use crate::limits::FEATURE_LEVEL_KNOWN;
use crate::protocol::peer::{ADMINISTRATOR, Introduction, Location};
use crate::sync::Mutex;
use crate::types::{Address, Departed, Digest, Fingerprint, ReplicaId};

/// What a replica needs to introduce itself. Shared by all its links and
/// served connections.
#[derive(Clone)]
pub struct Credentials {
    keys: Keys,
    own: Arc<watch::Sender<Introduction>>,
    location: Arc<Mutex<Option<Location>>>,
    pub(super) window: Option<u64>,
    openings: Openings,
    clocks: Clocks,
    /// The highest feature level that this replica knows.
    level: u32,
    /// The one that its peers must know.
    required: Arc<watch::Sender<u32>>,
    /// Which replicas have left the cluster.
    departed: Arc<watch::Sender<Departed>>,
    /// What a peer has said that does not speak with this replica, which was removed.
    removed: Arc<watch::Sender<Option<Error>>>,
    /// Where this replica is to be looked for.
    address: Arc<Mutex<Option<Address>>>,
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
    /// Where it is to be looked for.
    pub address: Option<Address>,
    /// By which key it has proved to be of the cluster.
    pub key: Fingerprint,
}

impl Credentials {
    /// Credentials of a replica with the given keys.
    pub fn new(keys: impl Into<Keys>, own: Introduction) -> Self {
        Credentials {
            keys: keys.into(),
            own: Arc::new(watch::Sender::new(own)),
            location: Arc::default(),
            window: None,
            openings: Openings::default(),
            clocks: Clocks::default(),
            level: FEATURE_LEVEL_KNOWN,
            required: Arc::new(watch::Sender::new(0)),
            departed: Arc::default(),
            removed: Arc::default(),
            address: Arc::default(),
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

    /// The keys that are known.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn prove(&self, key: &ClusterKey, role: &str, parts: &[&[u8]]) -> Digest {
        self.with_binding(role, parts, |label, parts| key.prove(label, parts))
    }

    /// The key that a proof was made with, if it is known.
    pub(super) fn proving(
        &self,
        role: &str,
        parts: &[&[u8]],
        proof: &Digest,
    ) -> Option<(Fingerprint, ClusterKey)> {
        self.with_binding(role, parts, |label, parts| self.keys.proving(label, parts, proof))
    }

    /// Whether a proof was made with a key.
    pub(super) fn verify(
        &self,
        key: &ClusterKey,
        role: &str,
        parts: &[&[u8]],
        proof: &Digest,
    ) -> bool {
        self.with_binding(role, parts, |label, parts| key.verify(label, parts, proof))
    }

    /// Resolves when the key by which a peer has proved itself is worth nothing any more.
    pub(super) async fn forgotten(&self, met: &Met) {
        self.keys.gone(&met.key).await;
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
    pub(super) fn check_level(&self, replica: ReplicaId, level: u32) -> Result<()> {
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

    /// Speaks from now on with none of the replicas that have left the cluster;
    /// connections with them end.
    pub fn leave_out(&self, departed: Departed) {
        self.departed.send_if_modified(|known| {
            let modified = *known != departed;
            *known = departed;
            modified
        });
    }

    /// Whether a peer may belong to the cluster.
    pub(super) fn check_member(&self, replica: ReplicaId) -> Result<()> {
        if !self.departed.borrow().contains(replica) {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::ReplicaRemoved,
            format!(
                "replica {replica} was removed from the cluster, and its number is never used \
                 again; its data is where it was"
            ),
        ))
    }

    /// Resolves when a peer has left the cluster.
    pub(super) async fn parted_from(&self, met: &Met) {
        let mut departed = self.departed.subscribe();
        // The sender is part of `self`, so this cannot fail.
        let _ = departed.wait_for(|departed| departed.contains(met.who.replica)).await;
    }

    /// Resolves when it is known that this replica was removed.
    pub async fn removed(&self) -> Error {
        let mut removed = self.removed.subscribe();
        match removed.wait_for(Option::is_some).await.map(|removed| removed.clone()) {
            Ok(Some(error)) => error,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Notes that it was, as a peer of the cluster or the log has said.
    pub fn note_removed(&self, refusal: &Error) {
        self.removed.send_replace(Some(refusal.clone()));
    }

    /// Where this replica is to be looked for.
    pub(super) fn address(&self) -> Option<Address> {
        self.address.lock().clone()
    }

    /// Where this replica is to be looked for, as peers are told from now on.
    pub fn be_looked_for_at(&self, address: Address) {
        *self.address.lock() = Some(address);
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
    pub(super) fn disclosed(&self) -> (Option<Location>, Option<u64>, u32) {
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
