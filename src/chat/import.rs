//! A backup on its way back into an empty state.
//!
//! A backup is the lines of a [`View`] without what belongs to one cluster
//! alone. It comes back through the log, a few lines an operation, so every
//! replica restores the same in the same order. Until the last operation the lines
//! are only *staged*: kept as they came, as part of the state, its hash and its
//! snapshots. A [`Restore`] beside the state reads them meanwhile. To everybody else
//! the state is empty all this time, and answers that it is being restored. The last
//! operation puts what was read in the place of the empty state, if the hash at the
//! end of the backup holds. So half a backup can never be taken for a whole one.
//!
//! Lines are numbered, and a step that comes again is passed over. So a client that
//! restores may repeat a step whose answer was lost, ask how far the restore has come,
//! and go on there: after a failover, or the next day.
//!
//! These do not come back: sessions (users log in again; a backup that lies around
//! opens nobody's account), the logins in the de-duplication window, the incarnations
//! of replicas, the membership and the feature level, which are those of the new cluster. A
//! backup of a higher level than the cluster's is refused. Who may register is what the
//! stricter of both clusters says; invitations and what administrators did are those of the
//! backup; how much may be stored and how long messages are kept is what the new cluster says,
//! also where the backup is more. Messages are as old as they were.
//!
//! What is settled of the lists that servers kept comes back, and so do ids that were tried
//! more than once. Log indexes of the old cluster mean nothing in the new one, but for the
//! highest below which ids may have been forgotten there: a server that brings an old list
//! compares with it.
//!
//! Operation ids in the backup's window count from the beginning of the new cluster's
//! log, so they are remembered for nearly a window more.
//!
//! The cost: until the end the staged lines need memory beside what is made from them.
//! Everything is made and looked up as the lines come, so that no operation takes
//! long, the last one included.

use std::sync::Arc;

use super::chunks::Chunks;
use super::hash::StateHash;
use super::items::{Counters, Data, Staged};
use super::mark::Mark;
use super::operation::{Outcome, RestoreStep};
use super::remembered::{DeduplicationEntry, Floors};
use super::snapshot::{Restore, View};
use super::state::{Import, State};
use crate::error::{Error, ErrorCode, Result};
use crate::types::Uuid;

impl View {
    /// The same without what belongs to this cluster alone; its lines are a
    /// backup. Costs as much as is remembered in the window: not for a
    /// runtime's thread.
    pub fn for_backup(&self) -> View {
        let mut data = self.data.clone();
        for session in std::mem::take(&mut data.sessions).iter() {
            data.sum.subtract(session.digest());
        }
        for mark in std::mem::take(&mut data.marks).iter() {
            data.sum.subtract(mark.digest());
            // As what is remembered: counted anew from where it is restored.
            let mark = Mark { index: 0, ..*mark };
            data.sum.add(mark.digest());
            data.marks.push(mark);
        }
        data.counters.incarnations.clear();
        data.membership = Arc::default();
        data.restored = None;
        data.floors = Floors { before: self.highest_floor(), ..Floors::default() };
        data.accounts.update_all(|account| {
            if account.repeats_floor > 0 || account.ended.0 > 0 {
                let account = Arc::make_mut(account);
                data.sum.subtract(account.digest());
                account.repeats_floor = 0;
                account.ended = (0, 0);
                data.sum.add(account.digest());
            }
        });
        let mut repeats = std::mem::take(&mut data.repeats);
        for repeat in repeats.iter() {
            data.sum.subtract(repeat.digest());
        }
        repeats.update_all(|repeat| repeat.index = 0);
        for repeat in repeats.iter() {
            data.sum.add(repeat.digest());
        }
        data.repeats = repeats;
        let window = std::mem::take(&mut data.window);
        let mut serial = 0;
        for remembered in window.iter() {
            data.sum.subtract(remembered.digest());
            if comes_back(&remembered.outcome) {
                serial += 1;
                // Counted anew from where it is restored.
                let remembered = DeduplicationEntry {
                    serial,
                    index: 0,
                    ..DeduplicationEntry::clone(remembered)
                };
                data.sum.add(remembered.digest());
                data.window.push(Arc::new(remembered));
            }
        }
        View::new(data)
    }

    /// The highest log index below which ids may be forgotten.
    fn highest_floor(&self) -> u64 {
        let Floors { window, level, before } = self.data.floors;
        let accounts = self.data.accounts.iter().map(|account| account.repeats_floor).max();
        window.max(level).max(before).max(accounts.unwrap_or(0))
    }

    /// Accounts that are not deleted, and messages.
    pub fn counts(&self) -> (u64, u64) {
        let accounts = self.data.accounts.iter().filter(|account| !account.deleted).count();
        (accounts as u64, self.data.messages.len() as u64)
    }
}

/// Whether an operation with this outcome is remembered beyond its cluster. A
/// session is not restored, so a repeated login gets a new one.
fn comes_back(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::SessionOpened { .. }
        | Outcome::Incarnation { .. }
        | Outcome::MembersChanged { .. }
        | Outcome::Settled { .. }
        | Outcome::Restoring { .. } => false,
        Outcome::Done
        | Outcome::Sent { .. }
        | Outcome::Marked { .. }
        | Outcome::Deleted { .. }
        | Outcome::Invited { .. }
        | Outcome::Refused(_) => true,
    }
}

impl Import for Restore {
    fn line(&mut self, line: &[u8]) -> Result<()> {
        Restore::line(self, line)
    }

    fn level(&self) -> u32 {
        Restore::level(self)
    }

    fn finish(self: Box<Self>) -> Result<State> {
        Restore::finish(*self)
    }
}

impl State {
    /// Whether users may use the state.
    ///
    /// # Errors
    /// [`ErrorCode::Restoring`] while a backup is being restored.
    pub fn usable(&self) -> Result<()> {
        match self.data.restoring {
            None => Ok(()),
            Some(_) => Err(Error::new(
                ErrorCode::Restoring,
                "a backup is being restored into this cluster; try again when that is done",
            )),
        }
    }

    /// How many lines of a backup have been staged; `None` when none is being
    /// restored.
    pub fn restored_lines(&self) -> Option<u64> {
        self.data.restoring.map(|_| self.data.staged.len() as u64)
    }

    pub(super) fn restore_step(&mut self, step: &RestoreStep) -> Result<Outcome> {
        match step {
            RestoreStep::Begin { backup } => self.begin_restoring(*backup),
            RestoreStep::Lines { backup, first, lines } => self.stage_lines(*backup, *first, lines),
            RestoreStep::End { backup, lines } => self.end_restoring(*backup, *lines),
            RestoreStep::Abandon {} => {
                self.drop_restoring();
                Ok(Outcome::Done)
            }
        }
    }

    fn begin_restoring(&mut self, backup: Uuid) -> Result<Outcome> {
        if self.data.restored == Some(backup) {
            return Ok(Outcome::Restoring { lines: 0, done: true });
        }
        let Counters { last_seq, last_session, last_account, .. } = self.data.counters;
        if last_seq.max(last_session).max(last_account) > 0 {
            return Err(Error::new(
                ErrorCode::NotEmpty,
                "this cluster has accounts, or had some; a backup is restored into a new cluster \
                 only. Nothing was changed",
            ));
        }
        if self.data.restoring != Some(backup) {
            self.drop_restoring();
            self.expect_lines_of(backup);
        }
        Ok(Outcome::Restoring { lines: self.data.staged.len() as u64, done: false })
    }

    /// Begins to stage a backup.
    pub(super) fn expect_lines_of(&mut self, backup: Uuid) {
        self.data.restoring = Some(backup);
        self.import = Some(Box::new(Restore::of_backup(self.deduplication_window_entries)));
    }

    fn drop_restoring(&mut self) {
        self.data.staged = Chunks::default();
        self.data.staged_sum = StateHash::default();
        self.data.restoring = None;
        self.import = None;
    }

    fn stage_lines(&mut self, backup: Uuid, first: u64, lines: &[String]) -> Result<Outcome> {
        if self.data.restored == Some(backup) {
            return Ok(Outcome::Restoring { lines: 0, done: true });
        }
        let there = self.check_restoring(backup)?;
        if first == 0 || first > there + 1 {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                format!("line {first} of a backup does not follow line {there}"),
            ));
        }
        let known = (there + 1 - first).min(lines.len() as u64) as usize;
        for line in &lines[known..] {
            if let Err(error) = self.stage(line.as_str().into()) {
                self.drop_restoring();
                return Err(error);
            }
        }
        Ok(Outcome::Restoring { lines: self.data.staged.len() as u64, done: false })
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`], [`ErrorCode::NewerFormat`].
    pub(super) fn stage(&mut self, line: Box<str>) -> Result<()> {
        let Some(import) = &mut self.import else {
            return Err(Error::new(ErrorCode::Corrupted, "a line of a backup that never began"));
        };
        import.line(line.as_bytes())?;
        let (theirs, own) = (import.level(), self.data.level);
        if theirs > own {
            return Err(Error::new(
                ErrorCode::NewerFormat,
                format!(
                    "the backup was taken at feature level {theirs}, and this cluster is at level \
                     {own}"
                ),
            ));
        }
        let staged = Staged { number: self.data.staged.len() as u64 + 1, line };
        self.data.staged_sum.add(staged.digest());
        self.data.staged.push(Arc::new(staged));
        Ok(())
    }

    fn end_restoring(&mut self, backup: Uuid, lines: u64) -> Result<Outcome> {
        let done = Ok(Outcome::Restoring { lines, done: true });
        if self.data.restored == Some(backup) {
            return done;
        }
        let there = self.check_restoring(backup)?;
        if there != lines {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                format!("a backup of {lines} lines does not end after line {there}"),
            ));
        }
        let import = self.import.take();
        self.drop_restoring();
        let Some(import) = import else {
            return Err(Error::new(ErrorCode::Corrupted, "a backup that never began has no end"));
        };
        let restored = import.finish()?;
        self.become_restored(backup, restored);
        done
    }

    /// Whether lines of this backup are expected; how many are there.
    fn check_restoring(&self, backup: Uuid) -> Result<u64> {
        if self.data.restoring == Some(backup) {
            return Ok(self.data.staged.len() as u64);
        }
        Err(Error::new(
            ErrorCode::InvalidRequest,
            "this backup is not being restored any more: another one is, or the restore was \
             abandoned",
        ))
    }

    fn become_restored(&mut self, backup: Uuid, mut restored: State) {
        let Data { window, counters, membership, level, settings, floors, .. } =
            std::mem::take(&mut self.data);
        restored.data.counters.incarnations = counters.incarnations;
        restored.data.membership = membership;
        // At least that of the backup: what it brings is known here.
        restored.data.level = level;
        #[cfg(debug_assertions)]
        restored.set_level_known(self.level_known);
        restored.data.restored = Some(backup);
        // The stricter of both: what was said of the old cluster holds, and one that
        // strangers reach does not open because it was brought back.
        let registration = settings.registration.max(restored.data.settings.registration);
        restored.data.settings.registration = registration;
        // How much may be stored is said of these machines, not of those it comes from.
        restored.data.settings.bounds = settings.bounds;
        let before = restored.data.floors.before.max(floors.before);
        restored.data.floors = Floors { before, ..floors };
        // The window is in the order of the log: theirs stands at its beginning.
        for remembered in window.iter() {
            let id = &remembered.id;
            if !restored.window_ids.contains(id) && !restored.message_ids.contains(id) {
                restored.remember(DeduplicationEntry::clone(remembered));
            }
        }
        *self = restored;
    }
}
