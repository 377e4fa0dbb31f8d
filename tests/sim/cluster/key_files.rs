//! The file with the cluster's key that each server has, and that an administrator replaces.

use std::collections::{BTreeMap, BTreeSet};

use ftchat::replica::{ClusterKey, Keys};
use ftchat::types::ReplicaId;

/// The secret of all simulated clusters.
/// The key that every cluster is founded with.
pub const CLUSTER_KEY: [u8; 32] = [7; 32];

/// The key that takes the place of [`CLUSTER_KEY`].
pub const NEW_KEY: [u8; 32] = [0xee; 32];

/// The key files of all servers, and what those that run have read of them.
#[derive(Default)]
pub struct KeyFiles {
    /// Those to which the new one was carried.
    carried: BTreeSet<ReplicaId>,
    read: BTreeMap<ReplicaId, Keys>,
}

impl KeyFiles {
    /// What a server that starts finds in its file.
    pub fn read(&mut self, id: ReplicaId) -> Keys {
        let [old, new] = [CLUSTER_KEY, NEW_KEY].map(ClusterKey::new);
        let keys = match self.carried.contains(&id) {
            true => Keys::of(new, Some(old)),
            false => old.into(),
        };
        self.read.insert(id, keys.clone());
        keys
    }

    /// Carries the file with both keys to a server, which notices if it runs.
    pub fn carry(&mut self, id: ReplicaId) {
        self.carried.insert(id);
        if let Some(keys) = self.read.get(&id) {
            keys.learn([NEW_KEY, CLUSTER_KEY].map(ClusterKey::new).to_vec());
        }
    }

    /// Servers that know anything but the new key.
    pub fn behind(&self) -> Vec<ReplicaId> {
        let new = ClusterKey::new(NEW_KEY).identity().fingerprint();
        let is_behind = |keys: &Keys| keys.fingerprints() != [new];
        self.read.iter().filter(|(_, keys)| is_behind(keys)).map(|(id, _)| *id).collect()
    }
}
