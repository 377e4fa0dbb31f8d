//! Reading the log and the state of a server that does not run, and writing the directories
//! of a cluster that begins with a state.
//!
//! Who recovers has no majority to ask what is committed. So all of a log is taken, also what
//! its server did not know to be committed: whoever was told that a message is confirmed was
//! told so by servers that are gone, and the message may be in no other place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::Machine;
use super::types::{EntryPayload, LogId, Membership, SnapshotMeta, StoredMembership, Vote};
use super::wire::entry;
use crate::chat::{Batch, Effects, Reached, Restore, State, View};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::client::Member;
use crate::storage::{DataDirectory, Log, LogOptions, Remains, Snapshots};
use crate::types::{NodeId, Timestamp};

/// Place of an entry in a log. Of two logs the one that ends at the greater place is the one
/// that elections prefer: by term first, then by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPlace(LogId);

impl LogPlace {
    /// Its index.
    pub fn index(&self) -> u64 {
        self.0.index()
    }

    /// The term of the leader that wrote it.
    pub fn term(&self) -> u64 {
        self.0.committed_leader_id().term
    }
}

/// What a directory has, as far as it is sound.
#[derive(Debug, Default)]
pub struct LeftLog {
    /// Of the entries of its log, in their order.
    places: Vec<LogId>,
    /// The last entry of its snapshot.
    pub snapshot: Option<LogPlace>,
    /// Up to where its server knew the log to be committed.
    pub committed: Option<LogPlace>,
    /// What is wrong with them, in sentences.
    pub problems: Vec<String>,
}

impl LeftLog {
    /// Goes through log and snapshot of a directory.
    ///
    /// # Errors
    /// The folder of the log cannot be listed.
    pub async fn of(remains: &Remains) -> Result<LeftLog> {
        let mut left = LeftLog::default();
        match remains.snapshot().await.and_then(|it| {
            let meta = it.map(|reader| Machine::parse_meta(reader.meta())).transpose()?;
            Ok(meta.and_then(|meta| meta.last_log_id))
        }) {
            Ok(place) => left.snapshot = place.map(LogPlace),
            Err(error) => left.problems.push(what_is_wrong(&error)),
        }
        let places = &mut left.places;
        let mut each = |payload: &[u8]| {
            let place = entry::decode_log_id(payload)?;
            match places.last().map(|last| last.index() + 1) {
                Some(next) if next > place.index() => {
                    let what = "it is not the entry that follows";
                    return Err(Error::new(ErrorCode::Corrupted, what));
                }
                // What came before was broken, and nothing of it is needed.
                Some(next) if next < place.index() => places.clear(),
                _ => {}
            }
            places.push(place);
            Ok(())
        };
        // Another log may have what is broken here, and lead to what comes behind it.
        left.problems.extend(remains.read_log(u64::MAX, &mut each).await?);
        let committed = remains.committed().await;
        left.committed = committed.and_then(|it| serde_json::from_slice(&it).ok()).map(LogPlace);
        let known = left.committed.filter(|known| left.last() < Some(*known));
        if let Some(known) = known {
            let entry = known.index();
            left.problems
                .push(format!("its log ends before entry {entry}, which it had committed"));
        }
        Ok(left)
    }

    /// Whether its log reaches back to the founding of the cluster.
    pub fn is_from_the_beginning(&self) -> bool {
        self.places.first().is_some_and(|first| first.index() == 0)
    }

    /// Where it ends.
    pub fn last(&self) -> Option<LogPlace> {
        self.places.last().copied().map(LogPlace).max(self.snapshot)
    }

    /// Whether it has this very entry.
    pub fn has(&self, place: LogPlace) -> bool {
        let first = self.places.first().map_or(0, LogId::index);
        let at = place.index().checked_sub(first);
        at.and_then(|at| self.places.get(at as usize)) == Some(&place.0)
    }

    /// The last entry that both logs have, of those that are there. What comes before it is
    /// the same in both (Log Matching; Raft dissertation, section 3.5).
    pub fn common(&self, other: &LeftLog) -> Option<LogPlace> {
        self.places.iter().rev().map(|place| LogPlace(*place)).find(|place| other.has(*place))
    }
}

/// What an error about a file says, without what its server would have to do about it.
pub fn what_is_wrong(error: &Error) -> String {
    let advice = "; this replica cannot be run from it";
    error.message.split(advice).next().unwrap_or_default().to_string()
}

/// The state of a server that does not run.
pub struct LeftState {
    /// The state.
    pub state: State,
    /// The last entry in it.
    pub at: Option<LogPlace>,
    /// Whose votes counted there.
    pub voters: BTreeSet<NodeId>,
    /// The latest time of an entry that was replayed.
    pub latest_at: Timestamp,
    /// The index up to which the log is known to be committed, by whoever knows that.
    pub committed: u64,
    /// What the state had there.
    pub confirmed: Reached,
}

impl LeftState {
    /// That of a cluster which has only been founded. `window` is the de-duplication window in
    /// log entries; `committed` the index up to which the log is known to be committed.
    pub fn empty(window: u64, committed: u64) -> LeftState {
        LeftState {
            state: State::new(window),
            at: None,
            voters: BTreeSet::new(),
            latest_at: Timestamp(0),
            committed,
            confirmed: Reached::default(),
        }
    }

    /// Loads the snapshot of a directory; without one the state is empty. Otherwise as
    /// [`LeftState::empty`].
    ///
    /// # Errors
    /// What reading it found.
    pub async fn load(remains: &Remains, window: u64, committed: u64) -> Result<LeftState> {
        let empty = LeftState::empty(window, committed);
        let Some(mut reader) = remains.snapshot().await? else { return Ok(empty) };
        let meta = Machine::parse_meta(reader.meta())?;
        let mut restore = Restore::new(window);
        while let Some(line) = reader.next().await? {
            restore.line(&line)?;
        }
        let voters = voters(meta.last_membership.membership());
        let (state, at) = (restore.finish()?, meta.last_log_id.map(LogPlace));
        // Only what is committed is in a snapshot.
        let confirmed = state.reached();
        Ok(LeftState { state, at, voters, confirmed, ..empty })
    }

    /// Applies the entries of a log that follow, up to the index `through`, or to where it is
    /// broken. Returns what is wrong there, in sentences.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`]: the log begins behind the state. Those of reading.
    pub async fn replay(&mut self, remains: &Remains, through: u64) -> Result<Vec<String>> {
        let mut gap = None;
        let needed = self.at.map_or(0, |at| at.index() + 1);
        let mut each = |payload: &[u8]| {
            let next = self.at.map_or(0, |at| at.index() + 1);
            let place = entry::decode_log_id(payload)?;
            if place.index() > next && gap.is_none() {
                gap = Some((next, place.index()));
            }
            if place.index() == next && place.index() <= through {
                self.apply(&Bytes::copy_from_slice(payload))?;
            }
            Ok(())
        };
        let problems = remains.read_log(needed, &mut each).await?;
        if let Some((next, first)) = gap.filter(|(_, first)| *first <= through) {
            return Err(Error::new(
                ErrorCode::Corrupted,
                format!("the log begins at {first}, and what comes before ends before {next}"),
            ));
        }
        Ok(problems)
    }

    fn apply(&mut self, payload: &Bytes) -> Result<()> {
        let entry = entry::decode(payload)?;
        match &entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(membership) => self.voters = voters(membership),
            EntryPayload::Normal(proposal) => {
                let batch = proposal.batch()?;
                self.latest_at = self.latest_at.max(batch.at);
                self.state.apply(entry.log_id.index(), batch, &mut Effects::default());
            }
        }
        if entry.log_id.index() <= self.committed {
            self.confirmed = self.state.reached();
        }
        self.at = Some(LogPlace(entry.log_id));
        Ok(())
    }
}

/// What was asked for in the entries of a log behind an index, and what is wrong there, in
/// sentences.
///
/// # Errors
/// Those of reading.
pub async fn batches_behind(remains: &Remains, index: u64) -> Result<(Vec<Batch>, Vec<String>)> {
    let mut batches = Vec::new();
    let mut each = |payload: &[u8]| {
        if entry::decode_log_id(payload)?.index() > index
            && let EntryPayload::Normal(proposal) =
                entry::decode(&Bytes::copy_from_slice(payload))?.payload
        {
            batches.push(proposal.batch()?.clone());
        }
        Ok(())
    };
    let problems = remains.read_log(index + 1, &mut each).await?;
    Ok((batches, problems))
}

fn voters(membership: &Membership) -> BTreeSet<NodeId> {
    membership.voter_ids().collect()
}

/// Makes an empty directory one of a cluster whose state is this after its log entry `index`:
/// as if the first replica had led from the beginning and all had taken a snapshot there. The
/// directory has its identity, in which this is the first incarnation.
///
/// # Errors
/// [`ErrorCode::Io`], [`ErrorCode::DiskFull`].
pub async fn found_with(
    directory: &DataDirectory,
    members: &[Member],
    view: &View,
    index: u64,
) -> Result<()> {
    let nodes: BTreeMap<NodeId, openraft::BasicNode> = members
        .iter()
        .map(|member| (NodeId::new(member.id, 1), openraft::BasicNode::new(&member.address)))
        .collect();
    let voters: BTreeSet<NodeId> = nodes.keys().copied().collect();
    let Some(leader) = voters.first().copied() else {
        return Err(Error::internal("a cluster is founded without members"));
    };
    let wrong = |error| Error::internal(format!("the members make no cluster: {error}"));
    let membership = Membership::new(vec![voters], nodes).map_err(wrong)?;
    let founded = entry::log_id(0, leader, 0);
    let last = entry::log_id(1, leader, index);
    let meta = SnapshotMeta {
        last_log_id: Some(last),
        last_membership: StoredMembership::new(Some(founded), membership),
    };
    // Nothing is appended, and what cannot be written is reported by each call.
    let fatal = Arc::new(|error: Error| tracing::error!(%error, "a new log cannot be written"));
    let (log, _) = Log::open(directory, LogOptions::default(), fatal, None).await?;
    let written = async {
        let vote = Vote::new_committed(1, leader);
        log.write_vote(serde_json::to_vec(&vote).expect("plain data serializes").into()).await?;
        let snapshots = Snapshots::open(directory).await?;
        let meta = Bytes::from(serde_json::to_vec(&meta).expect("plain data serializes"));
        let mut writer = snapshots.begin(meta, index).await?;
        for line in view.lines() {
            writer.line(&line).await?;
        }
        writer.finish().await?;
        log.reset(index + 1).await
    };
    let written = written.await;
    written.and(log.close().await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ReplicaId;

    /// A log that begins at `first`, with the terms of its entries.
    fn log(first: u64, terms: &[u64]) -> LeftLog {
        let place = |(index, term): (u64, &u64)| {
            entry::log_id(*term, NodeId::new(ReplicaId(*term as u32), 1), index)
        };
        LeftLog { places: (first..).zip(terms).map(place).collect(), ..LeftLog::default() }
    }

    fn parts(place: Option<LogPlace>) -> Option<(u64, u64)> {
        place.map(|place| (place.term(), place.index()))
    }

    #[test]
    fn logs_have_in_common_what_comes_before_the_last_entry_that_both_have() {
        let one = log(3, &[1, 1, 2, 2]);
        for (other, common) in [
            (log(3, &[1, 1, 2, 2]), Some((2, 6))),
            (log(0, &[1, 1, 1, 1, 1]), Some((1, 4))),
            (log(4, &[1, 1, 1, 1]), Some((1, 4))),
            (log(5, &[2, 3]), Some((2, 5))),
            (log(7, &[3]), None),
            (log(0, &[1, 1]), None),
            (log(0, &[]), None),
        ] {
            assert_eq!(parts(one.common(&other)), common, "{other:?}");
            assert_eq!(parts(other.common(&one)), common, "{other:?}");
        }
    }

    #[test]
    fn a_later_term_is_more_advanced_than_a_longer_log() {
        let (short, long) = (log(0, &[1, 3]), log(0, &[1, 2, 2, 2]));
        assert!(short.last() > long.last());
        let snapshot = log(9, &[2]).last();
        assert_eq!(LeftLog { snapshot, ..long }.last(), snapshot);
        assert_eq!(LeftLog { snapshot, ..LeftLog::default() }.last(), snapshot);
        assert!(short.is_from_the_beginning() && !log(1, &[1]).is_from_the_beginning());
    }

    #[test]
    fn what_a_server_would_have_to_do_is_not_said() {
        let advice = "line 3 of x is broken: y; this replica cannot be run from it and must be z";
        let error = Error::new(ErrorCode::Corrupted, advice);
        assert_eq!(what_is_wrong(&error), "line 3 of x is broken: y");
        assert_eq!(what_is_wrong(&Error::unavailable("so it is")), "so it is");
    }
}
