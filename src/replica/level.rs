//! The feature level: how a cluster gets new features while its servers are updated
//! one after the other.
//!
//! Servers of two versions work side by side while a cluster is updated, and an
//! operator who finds a fault in the new one may want to go back. So what an older
//! program does not know must not happen before the last server is updated.
//!
//! # What a level is
//! It is a number in the replicated state, from 0. Whatever an older program does not
//! know belongs to a level: an operation, another meaning of an old one, another
//! form of a file. What entries mean follows the level **in the state**
//! ([`State::level`](crate::chat::State::level)), never the version of the program
//! that applies them: replicas that have applied the same entries are equal,
//! whatever programs they run. The hash of the state at level 0 is that of
//! programs which know no levels, so `status` can compare them.
//!
//! # Who knows what
//! Each replica says in the handshake which level it knows. One that says none knows
//! level 0, as the first released program. Replicas write down what the others say
//! (`neighbours.json`), so that one which is away counts by what it said last. An
//! adopted replica says what its owner's program knows, as its `identity.json` tells:
//! an older owner may come back any time. Programs that know no levels drop what they
//! do not know when they write these files, so going back to one takes back what a
//! newer one has said.
//!
//! # How it is raised
//! 1. The leader sees that every voter and learner, itself included, knows the next
//!    level. It looks a few times a second; nobody has to ask for it.
//! 2. It makes its directory ready: it raises the format in `identity.json`, durably,
//!    and speaks from then on with none that does not know the level.
//! 3. It writes an entry that raises the level. Each follower makes its own directory
//!    ready before it writes that entry, or a snapshot of a leader whose directory is
//!    ready; so does the process that runs an adopted replica. A replica that was away,
//!    or comes back with an empty disk, does so when it gets there.
//! 4. Whoever applies the entry is at the new level, and what belongs to it may happen.
//!
//! So a log or a snapshot with something new in it is always in a directory whose
//! format says so, and an older program that is started on it answers "newer
//! format" and runs nothing. One that is started on an older directory, or an
//! empty one, is turned away by the others until it is updated.
//!
//! # Going back
//! While one voter or learner does not know the level, nothing of it has happened
//! anywhere, and every server can go back to the older program. Afterwards none can.
//!
//! # How it fails
//! A server that goes back to an older program may be counted wrongly, if it has said
//! to a replica that it knows the level and that one has not met it since. Then all
//! that are ready turn it away until it is updated. It never gets an entry that it does
//! not know. A level whose entry got no majority stays as it is,
//! and the next leader tries again. A full disk delays it.
//!
//! # Backups
//! A backup says at which level it was taken, and is restored by clusters of this
//! level or a higher one. The level of the new cluster stays as it is.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use super::{Inner, Phase, Replica};
use crate::consensus::Consensus;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::FEATURE_LEVEL_LOOK_INTERVAL;
use crate::storage::Identity;
use crate::types::{NodeId, ReplicaId};

/// Raises the level when this replica leads and all know the next one. Ends with the
/// replica.
pub async fn watch(replica: Weak<Inner>) {
    loop {
        tokio::time::sleep(FEATURE_LEVEL_LOOK_INTERVAL).await;
        let Some(inner) = replica.upgrade() else { return };
        if matches!(*inner.phase.borrow(), Phase::Stopped) {
            return;
        }
        // Nothing to raise, and nobody to raise it to: until the program is updated.
        if inner.machine.level() >= inner.config.feature_level_known {
            return;
        }
        if let Err(error) = inner.raise_if_all_know().await {
            tracing::debug!(%error, "the feature level was not raised yet");
        }
    }
}

/// The level that an adopted replica of this directory says it knows: that of its
/// owner's program, as far as the program that runs it knows it too.
pub fn of_owner(identity: &Identity, known_here: u32, ready: u32) -> u32 {
    // A directory that is ready for a level has an owner that knew it.
    identity.knows_level.max(ready).min(known_here)
}

impl Replica {
    /// Whether the cluster is at a feature level that something needs.
    ///
    /// # Errors
    /// [`ErrorCode::UnsupportedVersion`] names the servers whose programs are too old;
    /// [`ErrorCode::Unavailable`] where none is, and it is only not raised yet.
    pub async fn require_level(&self, level: u32) -> Result<()> {
        self.0.require_level(level).await
    }
}

impl Inner {
    /// The feature level of the state; that of the host's if this replica has none.
    pub(super) fn feature_level(&self) -> u32 {
        match &self.host_replica {
            Some(host) => host.0.feature_level(),
            None => self.machine.level(),
        }
    }

    /// See [`Replica::require_level`].
    pub(super) async fn require_level(&self, level: u32) -> Result<()> {
        let own = self.feature_level();
        if own >= level {
            return Ok(());
        }
        let names = match self.consensus() {
            Ok(consensus) => sentence(&self.older_than(&consensus, level).await),
            Err(_) => None,
        };
        let needs = format!("this needs feature level {level}, and the cluster is at level {own}");
        Err(match names {
            Some(why) => Error::new(ErrorCode::UnsupportedVersion, format!("{needs}: {why}")),
            None => Error::unavailable(format!("{needs}, which is about to be raised; try again")),
        })
    }

    async fn raise_if_all_know(&self) -> Result<()> {
        let consensus = self.consensus()?;
        if !consensus.leads() {
            return Ok(());
        }
        let next = self.feature_level() + 1;
        let older = self.older_than(&consensus, next).await;
        self.older.send_if_modified(|known| {
            let changed = *known != older;
            known.clone_from(&older);
            changed
        });
        if !older.is_empty() {
            return Ok(());
        }
        consensus.raise_level(next).await?;
        tracing::info!(level = next, "raised the feature level");
        Ok(())
    }

    /// Replicas of the membership that do not know a level, or never said so.
    async fn older_than(&self, consensus: &Consensus, level: u32) -> BTreeSet<ReplicaId> {
        let mut older = BTreeSet::new();
        for node in consensus.nodes() {
            if self.level_known_by(consensus, node).await < level {
                older.insert(node.replica());
            }
        }
        older
    }

    /// What a node says it knows, or said when it was here last.
    async fn level_known_by(&self, consensus: &Consensus, node: NodeId) -> u32 {
        if node == consensus.node() {
            return self.config.feature_level_known;
        }
        let met = self.links.get(node.replica()).and_then(|pair| pair.consensus.met());
        if let Some(met) = met.filter(|met| met.who.node() == Some(node)) {
            return met.level;
        }
        let neighbours = self.neighbours.lock().await;
        let remembered = neighbours.as_ref().and_then(|neighbours| neighbours.get(node.replica()));
        let same = remembered.filter(|neighbour| neighbour.node() == node);
        same.map_or(0, |neighbour| neighbour.knows_level)
    }

    /// On a leader: what keeps the feature level from being raised, for users.
    pub(super) fn level_notice(self: &Arc<Inner>) -> Option<String> {
        let own = self.feature_level();
        if own >= self.config.feature_level_known {
            return None;
        }
        let why = sentence(&self.older.borrow())?;
        Some(format!("feature level {own}, as before; level {} waits: {why}", own + 1))
    }
}

/// Which servers are to be updated; `None` when none is.
fn sentence(older: &BTreeSet<ReplicaId>) -> Option<String> {
    let names: Vec<String> = older.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("server {one} runs an older program; update it")),
        [first @ .., last] => Some(format!(
            "servers {} and {last} run an older program; update them",
            first.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DATA_FORMAT_FIRST;
    use crate::types::Uuid;

    #[test]
    fn servers_that_are_too_old_are_named() {
        let named = |ids: &[u32]| sentence(&ids.iter().map(|id| ReplicaId(*id)).collect());
        assert_eq!(named(&[]), None);
        assert_eq!(named(&[2]).expect("one"), "server 2 runs an older program; update it");
        assert_eq!(
            named(&[3, 1, 2]).expect("three"),
            "servers 1, 2 and 3 run an older program; update them"
        );
    }

    #[test]
    fn an_adopted_replica_says_what_its_owner_knows() {
        let identity = |knows_level| Identity {
            format: DATA_FORMAT_FIRST,
            cluster: Uuid::from_u128(1),
            lineage: Uuid::from_u128(2),
            replica: ReplicaId(1),
            incarnation: 1,
            opens: 1,
            openings: Vec::new(),
            knows_level,
        };
        // Knows owner, program here, directory; says.
        for (owner, here, ready, says) in
            [(0, 1, 0, 0), (1, 1, 0, 1), (2, 1, 0, 1), (1, 2, 0, 1), (0, 2, 1, 1)]
        {
            assert_eq!(of_owner(&identity(owner), here, ready), says, "{owner} {here} {ready}");
        }
    }
}
