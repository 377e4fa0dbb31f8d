//! Who a data directory belongs to.

use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::errors::corrupted;
use super::record;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::DATA_FORMAT_VERSION;
use crate::protocol::peer::Opening;
use crate::types::{NodeId, ReplicaId, Uuid};

/// So many ids of openings are kept. A peer that has not been met for longer cannot
/// tell a copy from the original.
const OPENINGS_KEPT_MAX: usize = 256;

/// The content of `identity.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Version of the directory's format, at most [`DATA_FORMAT_VERSION`]. A
    /// newer program that runs another's directory keeps the format it found.
    pub format: u32,
    /// Which cluster.
    pub cluster: Uuid,
    /// Which history of that cluster. Two lineages never speak Raft together.
    pub lineage: Uuid,
    /// Which replica, as users and operators know it.
    pub replica: ReplicaId,
    /// How often this replica has started from nothing, from 1.
    pub incarnation: u32,
    /// How often the directory was opened to run it. A copy of an old state
    /// shows by a smaller number than its peers remember.
    pub opens: u64,
    /// Random ids of the latest openings, at most [`OPENINGS_KEPT_MAX`], the last one
    /// last. A copy that was opened as often as the original shows by another id
    /// than its peers remember. Programs that know no such ids drop them; then it
    /// begins anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub openings: Vec<Uuid>,
    /// The feature level that the program knows whose replica this is, as it said
    /// when it opened the directory last. A program that knows no levels leaves
    /// it out, also where a newer one had written it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub knows_level: u32,
}

pub(super) fn is_zero(level: &u32) -> bool {
    *level == 0
}

impl Identity {
    /// The number by which consensus knows this replica.
    pub fn node(&self) -> NodeId {
        NodeId::new(self.replica, self.incarnation)
    }

    /// Counts an opening, whose id is `id`.
    pub(super) fn count_opening(&mut self, id: Uuid) {
        self.opens += 1;
        self.openings.push(id);
        let surplus = self.openings.len().saturating_sub(OPENINGS_KEPT_MAX);
        self.openings.drain(..surplus);
    }

    /// The opening that goes on, for others to remember.
    pub fn opening(&self) -> Opening {
        Opening { number: self.opens, id: self.openings.last().copied() }
    }

    /// Whether the directory has gone through an opening that somebody remembers of
    /// this node. An old copy has not: what was written after it was made, votes
    /// among it, is gone.
    ///
    /// An opening that is further back than ids are kept cannot be compared, and
    /// counts as gone through.
    pub fn continues(&self, remembered: &Opening) -> bool {
        let Some(since) = self.opens.checked_sub(remembered.number) else { return false };
        let place = self.openings.len().checked_sub(1 + since as usize);
        match (remembered.id, place.map(|place| self.openings[place])) {
            (Some(theirs), Some(own)) => theirs == own,
            (None, _) | (_, None) => true,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        record::encode(&serde_json::to_vec(self).expect("plain data serializes"))
    }

    /// Reads a verified payload of `path`.
    pub(super) fn decode(path: &Path, payload: &[u8]) -> Result<Identity> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        // The format first: the rest may have another shape in a newer one.
        let wrong = |e: serde_json::Error| corrupted(path, 1, &format!("it is no identity: {e}"));
        let Format { format } = serde_json::from_slice(payload).map_err(wrong)?;
        if format > DATA_FORMAT_VERSION {
            return Err(Error::new(
                ErrorCode::NewerFormat,
                format!(
                    "{} is of format {format}, and this program knows formats up to \
                     {DATA_FORMAT_VERSION}; run the newer program that wrote it",
                    path.display()
                ),
            ));
        }
        serde_json::from_slice(payload).map_err(wrong)
    }

    /// Whether the directory may be run as what is configured.
    pub(super) fn expect(
        &self,
        path: &Path,
        cluster: Option<Uuid>,
        replica: ReplicaId,
    ) -> Result<()> {
        let path = path.display();
        let refusal = match cluster {
            Some(cluster) if cluster != self.cluster => format!(
                "{path} belongs to the cluster {}, not to {cluster}; name another data directory, \
                 or the servers of its own cluster",
                self.cluster
            ),
            _ if replica != self.replica => format!(
                "{path} belongs to replica {}, not to replica {replica}; name the data directory \
                 of replica {replica}, or start it with --id {}",
                self.replica, self.replica
            ),
            _ => return Ok(()),
        };
        Err(Error::new(ErrorCode::WrongCluster, refusal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            format: DATA_FORMAT_VERSION,
            cluster: Uuid::from_u128(7),
            lineage: Uuid::from_u128(8),
            replica: ReplicaId(2),
            incarnation: 3,
            opens: 4,
            openings: Vec::new(),
            knows_level: 0,
        }
    }

    #[test]
    fn a_copy_is_told_from_the_original_by_the_ids_of_its_openings() {
        let id = Uuid::from_u128;
        let open = |identity: &Identity, number| {
            let mut next = identity.clone();
            next.count_opening(id(number));
            next
        };
        let remembered = |identity: &Identity| identity.opening();
        let fifth = open(&identity(), 5);
        let sixth = open(&fifth, 6);
        let copy = fifth.clone();
        // The original goes on.
        let seventh = open(&sixth, 7);
        for opening in [remembered(&identity()), remembered(&fifth), remembered(&sixth)] {
            assert!(seventh.continues(&opening), "{opening:?}");
        }
        // The copy has been opened less often, as often, and more often than the
        // others remember of the original.
        let mut copy = copy;
        for number in [60, 70, 80] {
            assert!(!copy.continues(&remembered(&seventh)), "after {} opens", copy.opens);
            copy = open(&copy, number);
        }
        assert!(!copy.continues(&remembered(&seventh)));
        assert!(copy.continues(&remembered(&fifth)), "what it was made from");

        // Whoever does not know the ids goes by the numbers.
        let unnamed = |number| Opening { number, id: None };
        assert!(seventh.continues(&unnamed(7)) && !seventh.continues(&unnamed(8)));
        let dropped = Identity { openings: Vec::new(), ..sixth.clone() };
        assert!(open(&dropped, 7).continues(&remembered(&sixth)), "an older program ran it");
        // What is too far back cannot be compared.
        let far = (0..OPENINGS_KEPT_MAX as u128).fold(sixth.clone(), |it, n| open(&it, 100 + n));
        assert_eq!(far.openings.len(), OPENINGS_KEPT_MAX);
        assert!(far.continues(&Opening { number: 6, id: Some(id(9)) }));
        assert!(!far.continues(&Opening { number: 7, id: Some(id(9)) }));
    }

    #[test]
    fn an_identity_is_one_record_with_plain_names() {
        let line = identity().encode();
        let payload = record::decode(line.strip_suffix(b"\n").expect("a line")).expect("whole");
        assert_eq!(Identity::decode(Path::new("f"), payload), Ok(identity()));
        let value: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
        assert_eq!((&value["replica"], &value["opens"]), (&2.into(), &4.into()));
        assert_eq!(identity().node(), NodeId::new(ReplicaId(2), 3));
    }

    #[test]
    fn a_newer_format_is_refused_whatever_else_it_says() {
        let error = Identity::decode(Path::new("d/identity.json"), br#"{"format":99,"x":[]}"#);
        let error = error.expect_err("newer");
        assert_eq!(error.code, ErrorCode::NewerFormat);
        assert!(error.message.contains("d/identity.json is of format 99"), "{error}");
        let error = Identity::decode(Path::new("f"), br#"{"format":1}"#).expect_err("incomplete");
        assert_eq!(error.code, ErrorCode::Corrupted);
    }

    #[test]
    fn a_directory_of_another_cluster_or_replica_is_refused_with_both_names() {
        let expect = |cluster, replica| identity().expect(Path::new("d"), cluster, replica);
        assert_eq!(expect(None, ReplicaId(2)), Ok(()));
        assert_eq!(expect(Some(Uuid::from_u128(7)), ReplicaId(2)), Ok(()));
        let error = expect(Some(Uuid::from_u128(9)), ReplicaId(2)).expect_err("other cluster");
        assert_eq!(error.code, ErrorCode::WrongCluster);
        let names = [7, 9].map(|n| Uuid::from_u128(n).to_string());
        assert!(names.iter().all(|name| error.message.contains(name)), "{error}");
        let error = expect(None, ReplicaId(1)).expect_err("other replica");
        assert_eq!(error.code, ErrorCode::WrongCluster);
        assert!(error.message.contains("belongs to replica 2, not to replica 1"), "{error}");
    }
}
