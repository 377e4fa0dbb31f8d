//! What was found, for whoever decides whether that is enough.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::types::{NodeId, ReplicaId, Timestamp, Uuid, is_majority};

/// What was found in all directories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The old cluster.
    pub cluster: Uuid,
    /// Each directory, in the order in which they were named.
    pub directories: Vec<DirectoryFound>,
    /// Accounts that come over.
    pub accounts: u64,
    /// Messages that come over.
    pub messages: u64,
    /// The newest message that the old cluster's log has.
    pub newest_message_at: Option<Timestamp>,
    /// Log entries that are taken, and that no directory here knows to be committed.
    pub not_known_committed: u64,
    /// Changes that servers took alone and no log had.
    pub taken_alone: u64,
    /// Changes in logs that the most advanced one does not have: taken as well.
    pub adopted: u64,
    /// Changes of that kind that cannot be taken: of accounts, and by administrators.
    pub left_out: u64,
    /// How many replicas the old cluster had.
    pub replicas: usize,
    /// Those of which nothing usable was named.
    pub missing_replicas: Vec<ReplicaId>,
    /// Whether something that a majority of the old cluster had confirmed may be missing.
    pub confirmed_may_be_missing: bool,
}

/// What was found in one directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DirectoryFound {
    /// Where.
    #[serde(serialize_with = "path_as_text")]
    pub dir: PathBuf,
    /// Whose it was, as far as it says so.
    pub replica: Option<ReplicaId>,
    /// The last entry in its snapshot.
    pub snapshot: Option<u64>,
    /// The last sound entry of log or snapshot.
    pub last_log: Option<u64>,
    /// The term of that entry.
    pub term: Option<u64>,
    /// Sound entries in its outbox.
    pub outbox: u64,
    /// Whether the new cluster's state begins with that of this one.
    pub is_base: bool,
    /// Whether anything in it could be used.
    pub usable: bool,
    /// What is wrong with it, in sentences.
    pub problems: Vec<String>,
}

/// A path may be no text, as JSON must.
fn path_as_text<S: serde::Serializer>(
    path: &std::path::Path,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl Found {
    /// Of a cluster of which nothing was looked at yet.
    pub(super) fn nothing(cluster: Uuid) -> Found {
        Found {
            cluster,
            directories: Vec::new(),
            accounts: 0,
            messages: 0,
            newest_message_at: None,
            not_known_committed: 0,
            taken_alone: 0,
            adopted: 0,
            left_out: 0,
            replicas: 0,
            missing_replicas: Vec::new(),
            confirmed_may_be_missing: true,
        }
    }

    /// Decides what may be missing. `voters` are those whose votes counted in the state;
    /// `here` the nodes of which something is here, and whether nothing is wrong with it.
    pub(super) fn conclude(&mut self, voters: &BTreeSet<NodeId>, here: &[(NodeId, bool)]) {
        // One that had begun anew, and did not vote yet, has promised nothing.
        let sound = here.iter().filter(|(node, is_sound)| *is_sound && voters.contains(node));
        let sound: BTreeSet<NodeId> = sound.map(|(node, _)| *node).collect();
        let replicas: BTreeSet<ReplicaId> = voters.iter().map(|node| node.replica()).collect();
        let is_here = |id: &ReplicaId| here.iter().any(|(node, _)| node.replica() == *id);
        self.replicas = replicas.len();
        self.confirmed_may_be_missing = !is_majority(sound.len(), voters.len());
        self.missing_replicas = replicas.into_iter().filter(|id| !is_here(id)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(replica: u32, incarnation: u32) -> NodeId {
        NodeId::new(ReplicaId(replica), incarnation)
    }

    #[test]
    fn only_a_sound_majority_of_those_who_voted_has_all_that_was_confirmed() {
        let voters: BTreeSet<NodeId> = (1..=3).map(|id| node(id, 1)).collect();
        let of = |here: &[(NodeId, bool)]| {
            let mut found = Found::nothing(Uuid::from_u128(7));
            found.conclude(&voters, here);
            let missing: Vec<u32> = found.missing_replicas.iter().map(|id| id.0).collect();
            (missing, found.confirmed_may_be_missing)
        };
        let third = (node(3, 1), true);
        assert_eq!(of(&[third]), (vec![1, 2], true));
        assert_eq!(of(&[third, (node(1, 1), true)]), (vec![2], false));
        assert_eq!(of(&[third, (node(1, 1), false)]), (vec![2], true));
        // Two copies of one directory are one replica.
        assert_eq!(of(&[third, third]), (vec![1, 2], true));
        // One that was removed before counts for nothing.
        assert_eq!(of(&[third, (node(4, 1), true)]), (vec![1, 2], true));
        // One that had lost its disk and was catching up may lack what it had before.
        assert_eq!(of(&[third, (node(1, 2), true)]), (vec![2], true));
        assert_eq!(of(&[]), (vec![1, 2, 3], true));
    }
}
