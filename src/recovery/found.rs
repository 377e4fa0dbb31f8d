//! The new cluster: its first state, and the directories that begin with it.

use std::path::Path;

use crate::chat::{Action, Batch, Effects, Operation, Outcome, RestoreStep, State, View};
use crate::consensus::remains::found_with;
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::limits::{FEATURE_LEVEL_KNOWN, data_format};
use crate::protocol::client::Member;
use crate::storage::{DataDirectory, Holder, Identity};
use crate::types::{ReplicaId, Timestamp, Uuid};

use super::Left;

/// Bytes of lines that are restored in one step.
const STEP_BYTES: usize = 256 * 1024;

/// A cluster that is to be founded with a state.
pub struct Founding {
    /// Its id.
    pub cluster: Uuid,
    pub(super) lineage: Uuid,
    pub(super) carried: Carried,
    /// The locks of what it is made from.
    pub(super) _left: Left,
}

/// A state, and the log entry up to which it is one.
pub(super) struct Carried {
    view: View,
    index: u64,
    level: u32,
}

/// What a cluster has that was founded and then given a state as a backup, entry by entry.
///
/// # Errors
/// The state contradicts itself.
pub(super) fn carried_over(
    old: &State,
    backup: Uuid,
    at: Timestamp,
    window: u64,
) -> Result<Carried> {
    let level = old.level();
    let mut new = New { state: State::new(window), index: 0, at };
    for level in 1..=level {
        new.apply(Action::RaiseLevel { level })?;
    }
    new.restore(RestoreStep::Begin { backup })?;
    let (mut lines, mut bytes, mut count) = (Vec::new(), 0, 0);
    let view = old.view().for_backup();
    for line in view.lines() {
        bytes += line.len();
        let text = String::from_utf8(line);
        lines.push(text.map_err(|_| Error::internal("a line of a state is no text"))?);
        if bytes >= STEP_BYTES {
            count = new.lines(backup, count, std::mem::take(&mut lines))?;
            bytes = 0;
        }
    }
    let lines = new.lines(backup, count, lines)?;
    new.restore(RestoreStep::End { backup, lines })?;
    Ok(Carried { view: new.state.view(), index: new.index, level })
}

#[cfg(test)]
impl Carried {
    /// The lines of its snapshot, and the log entry that this is of.
    pub(super) fn into_lines(self) -> (Vec<Vec<u8>>, u64) {
        (self.view.lines().collect(), self.index)
    }
}

/// The state of a new cluster, and how far its log would be.
struct New {
    state: State,
    index: u64,
    at: Timestamp,
}

impl New {
    fn apply(&mut self, action: Action) -> Result<()> {
        self.index += 1;
        let id = Uuid::from_u128(u128::from(self.index));
        let batch = Batch { at: self.at, operations: vec![Operation { id, action }] };
        let outcomes = self.state.apply(self.index, &batch, &mut Effects::default());
        match outcomes.into_iter().next() {
            Some(Outcome::Refused(body)) => Err(Error::new(
                ErrorCode::Corrupted,
                format!("what is left makes no state: {}", Error::from(body).message),
            )),
            _ => Ok(()),
        }
    }

    fn restore(&mut self, step: RestoreStep) -> Result<()> {
        self.apply(Action::Restore(step))
    }

    /// Gives it lines behind `count` others; how many there are then.
    fn lines(&mut self, backup: Uuid, count: u64, lines: Vec<String>) -> Result<u64> {
        let there = count + lines.len() as u64;
        if !lines.is_empty() {
            self.restore(RestoreStep::Lines { backup, first: count + 1, lines })?;
        }
        Ok(there)
    }
}

impl Founding {
    /// Writes the data directory of one of the members, which must be empty or not there. What
    /// is written is durable when this returns.
    ///
    /// # Errors
    /// [`ErrorCode::Io`], [`ErrorCode::DiskFull`].
    pub async fn write(
        &self,
        host: &Host,
        path: &Path,
        replica: ReplicaId,
        members: &[Member],
    ) -> Result<()> {
        let member = members.iter().find(|member| member.id == replica);
        let address = member.map(|member| member.address.clone());
        let holder = Holder {
            pid: std::process::id(),
            started_at: host.clock.now(),
            address: address.ok_or_else(|| Error::internal("a replica that is no member"))?,
            server: replica,
        };
        let mut directory = DataDirectory::open(host, path, holder).await?;
        let identity = Identity {
            format: data_format(self.carried.level),
            cluster: self.cluster,
            lineage: self.lineage,
            replica,
            incarnation: 1,
            opens: 1,
            openings: vec![host.uuid()],
            knows_level: FEATURE_LEVEL_KNOWN,
        };
        directory.write_identity(identity).await?;
        let Carried { view, index, .. } = &self.carried;
        found_with(&directory, members, view, *index).await
    }
}
