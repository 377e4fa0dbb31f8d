//! What the replicated log contains: operations. And their outcomes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::delivery::{Delivery, SessionNumber};
use super::own::OwnChange;
use crate::error::{Error, ErrorBody};
use crate::limits::{EXPIRED_LISTS_PER_ENTRY, RECIPIENTS_MAX};
use crate::types::{
    AccountName, Digest, MemberChange, MemberEntry, Names, Place, ReplicaId, Timestamp, Uuid,
};

/// The payload of a log entry: operations that share one entry, one fdatasync
/// and one time-stamp, and are applied in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// When the leader took them. The state machine has no clock of its own.
    pub at: Timestamp,
    /// In the order in which they are applied.
    pub operations: Vec<Operation>,
}

/// One change, as a client asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Made by the client. The same id again is the same operation.
    pub id: Uuid,
    /// What to change.
    pub action: Action,
}

/// What to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Make an account and a first session.
    Register {
        /// The new account's identity, made by the server that took the request.
        account: Uuid,
        /// Its name.
        name: AccountName,
        /// Argon2id in PHC form.
        password_hash: String,
        /// SHA-256 of the session's token.
        token_hash: Digest,
        /// When the session ends.
        expires: Timestamp,
        /// What the code of an invitation is known by. From feature level
        /// [`LEVEL_OF_ADMISSION`](crate::limits::LEVEL_OF_ADMISSION) on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invitation: Option<Digest>,
        /// From where, as the server saw it. From feature level
        /// [`LEVEL_OF_CONVERSATIONS`](crate::limits::LEVEL_OF_CONVERSATIONS) on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<IpAddr>,
    },
    /// Make a session. The server has verified the password.
    OpenSession {
        /// Whose.
        account: Uuid,
        /// SHA-256 of the session's token.
        token_hash: Digest,
        /// When the session ends.
        expires: Timestamp,
        /// What the password was verified against, as of
        /// [`verified_against`](super::verified_against): if it is another by now, nothing
        /// happens. From feature level
        /// [`LEVEL_OF_CONVERSATIONS`](crate::limits::LEVEL_OF_CONVERSATIONS) on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verified: Option<Digest>,
        /// From where, as the server saw it. From feature level
        /// [`LEVEL_OF_CONVERSATIONS`](crate::limits::LEVEL_OF_CONVERSATIONS) on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<IpAddr>,
    },
    /// End a session.
    CloseSession {
        /// Which.
        session: SessionNumber,
    },
    /// Deliver a message, whose id is the operation's.
    Send {
        /// The sender's session.
        session: SessionNumber,
        /// Recipients, one or more; the same twice counts once.
        to: Vec<AccountName>,
        /// 1 to 8192 bytes.
        text: String,
        /// Whether the id may have been tried before, at this server or another. From
        /// feature level [`LEVEL_OF_SETTLING`](crate::limits::LEVEL_OF_SETTLING) on.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
        /// What must be settled before: the last message of the same stream that a server
        /// took without a majority. From that level on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Place>,
        /// The message that this one answers. From feature level
        /// [`LEVEL_OF_CONVERSATIONS`](crate::limits::LEVEL_OF_CONVERSATIONS) on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<Uuid>,
    },
    /// Take an entry of a list that a server kept while it had no majority. The operation's
    /// id is that of the entry. From feature level
    /// [`LEVEL_OF_SETTLING`](crate::limits::LEVEL_OF_SETTLING) on.
    Deliver(Box<Delivery>),
    /// Mark messages as read.
    MarkRead {
        /// Whose inbox.
        session: SessionNumber,
        /// `seq` of each; unknown ones are passed over.
        seqs: Vec<u64>,
    },
    /// Remove messages from the session's inbox, all or none.
    Delete {
        /// Whose inbox.
        session: SessionNumber,
        /// Their ids.
        ids: Vec<Uuid>,
    },
    /// Remove an account with its inbox and sessions. The server has verified
    /// the password.
    DeleteAccount {
        /// A session of the account.
        session: SessionNumber,
        /// What the password was verified against, as of [`Action::OpenSession`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verified: Option<Digest>,
    },
    /// Change what is somebody's own. From feature level
    /// [`LEVEL_OF_CONVERSATIONS`](crate::limits::LEVEL_OF_CONVERSATIONS) on.
    Own {
        /// A session of the account.
        session: SessionNumber,
        /// What is to change.
        change: OwnChange,
    },
    /// Hand out the next incarnation of a replica that lost its disk.
    AllocateIncarnation {
        /// Which replica.
        replica: ReplicaId,
    },
    /// Put a backup in the place of an empty state, step by step.
    Restore(RestoreStep),
    /// Change which replicas the cluster has. Only a leader makes it, after it has seen
    /// that the cluster can bear it.
    ChangeMembers {
        /// The version of the membership that the leader has looked at: nothing happens
        /// if it is another by now.
        expects: u64,
        /// What to change.
        change: MemberChange,
        /// The members that the cluster was founded with, as the leader was configured.
        /// They count if there was no change before.
        founders: Vec<MemberEntry>,
    },
    /// Set a new password in the place of one that an administrator has taken away, and
    /// make a session. The code is its authority. From feature level
    /// [`LEVEL_OF_ADMISSION`](crate::limits::LEVEL_OF_ADMISSION) on.
    ResetPassword {
        /// Whose.
        account: Uuid,
        /// What the code is known by.
        code_hash: Digest,
        /// Argon2id in PHC form.
        password_hash: String,
        /// SHA-256 of the session's token.
        token_hash: Digest,
        /// When the session ends.
        expires: Timestamp,
        /// From where, as the server saw it. From feature level
        /// [`LEVEL_OF_CONVERSATIONS`](crate::limits::LEVEL_OF_CONVERSATIONS) on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<IpAddr>,
    },
    /// Change who may come in, for an administrator. From feature level
    /// [`LEVEL_OF_ADMISSION`](crate::limits::LEVEL_OF_ADMISSION) on.
    Administer {
        /// Who asks, as their machine calls them.
        by: String,
        /// What is to change.
        change: Change,
    },
    /// Say what time it is at least, of which the age of messages follows. Only a leader
    /// makes it, after the clocks of a majority have said so. From feature level
    /// [`LEVEL_OF_KEEPING`](crate::limits::LEVEL_OF_KEEPING) on.
    NoteTime {
        /// A message that was stored before.
        seq: u64,
        /// What the clocks of a majority confirm.
        at: Timestamp,
    },
    /// Raise the feature level: from here on entries mean what the level defines.
    /// Only a leader makes it, after all replicas have said that they know it.
    RaiseLevel {
        /// The new level.
        level: u32,
    },
}

impl Batch {
    /// The feature level that this entry raises the state to; 0 when it raises none.
    pub fn raises_level_to(&self) -> u32 {
        let levels = self.operations.iter().map(|operation| match operation.action {
            Action::RaiseLevel { level } => level,
            _ => 0,
        });
        levels.max().unwrap_or(0)
    }

    /// About how many steps applying it takes; see [`Action::steps`].
    pub fn steps(&self) -> usize {
        self.operations.iter().map(|operation| operation.action.steps()).sum()
    }
}

impl Action {
    /// About how many steps applying it takes at most, in the unit of
    /// [`QUERY_STEPS_MAX`](crate::limits::QUERY_STEPS_MAX): it is applied in one
    /// piece, under the lock that all readers wait for. Bounded for every action,
    /// as the numbers of recipients, of ids and of bytes are.
    ///
    /// Not counted is that the last copy of a message takes its recipients along
    /// into what is remembered: about two steps for three of them, which nobody
    /// can tell who only has the action.
    pub fn steps(&self) -> usize {
        /// Of every action: who asks, whether it was done before, remembering it.
        const BASE: usize = 16;
        BASE + match self {
            Action::Send { to, text, .. } => 8 * to.len() + text.len() / 64,
            Action::Deliver(delivery) => delivery.act.steps(),
            Action::MarkRead { seqs, .. } => 6 * seqs.len(),
            Action::Delete { ids, .. } => 24 * ids.len(),
            // Each may hold hundreds of items.
            Action::Restore(RestoreStep::Lines { lines, .. }) => {
                lines.iter().map(|line| 8 + line.len() / 16).sum()
            }
            // Up to sixty-four sessions.
            Action::DeleteAccount { .. } => 512,
            // Each list with what leads to it, those of the last message besides.
            Action::NoteTime { .. } => 16 * (EXPIRED_LISTS_PER_ENTRY + RECIPIENTS_MAX),
            // A handful of replicas, each with an address.
            Action::ChangeMembers { founders, .. } => 16 + 8 * founders.len(),
            Action::Administer { change, .. } => change.steps(),
            Action::Own { change, .. } => change.steps(),
            Action::ResetPassword { .. }
            | Action::Register { .. }
            | Action::OpenSession { .. }
            | Action::CloseSession { .. }
            | Action::AllocateIncarnation { .. }
            | Action::RaiseLevel { .. }
            | Action::Restore(_) => 8,
        }
    }
}

/// What to do about a backup. `backup` is its identity, made from its content,
/// so that steps of two backups are never mixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreStep {
    /// Begin, or tell how far it has come. Another backup that was begun and
    /// not ended is dropped.
    Begin {
        /// Which.
        backup: Uuid,
    },
    /// Take lines.
    Lines {
        /// Which.
        backup: Uuid,
        /// The number of the first line, from 1.
        first: u64,
        /// JSON, without newlines.
        lines: Vec<String>,
    },
    /// All lines are there: become what they say.
    End {
        /// Which.
        backup: Uuid,
        /// How many there are.
        lines: u64,
    },
    /// Drop what was begun; be an empty cluster for everybody again.
    Abandon {},
}

/// What became of an operation. Kept with its id, so that the same id gets the
/// same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Of `Register`, `OpenSession` and `ResetPassword`.
    SessionOpened {
        /// The new session.
        session: SessionNumber,
        /// Its account.
        account: Uuid,
    },
    /// Of `CloseSession`, `DeleteAccount`, `Own`, `RaiseLevel`, `NoteTime`, `Administer`, and
    /// `Restore` that abandons.
    Done,
    /// Of `Send`.
    Sent {
        /// The message's place in the total order.
        seq: u64,
        /// When it was taken.
        at: Timestamp,
        /// Recipients as they write themselves, each once.
        to: Names,
    },
    /// Of `Deliver`.
    Settled {
        /// The number of the list's last entry that is settled by now.
        settled: u64,
    },
    /// Of `MarkRead`.
    Marked {
        /// How many were unread before.
        count: u64,
    },
    /// Of `Delete`.
    Deleted {
        /// How many.
        count: u64,
    },
    /// Of `AllocateIncarnation`.
    Incarnation {
        /// A number that no other call ever returns for this replica.
        incarnation: u32,
    },
    /// Of `ChangeMembers`.
    MembersChanged {
        /// How often the membership was changed by now.
        version: u64,
    },
    /// Of `Restore`.
    Restoring {
        /// How many lines of the backup are there.
        lines: u64,
        /// Whether the backup is restored.
        done: bool,
    },
    /// Of `Administer` that invites.
    Invited {
        /// The invitation's number.
        invitation: u64,
        /// When it was made.
        created: Timestamp,
        /// When it ends.
        expires: Timestamp,
    },
    /// The state did not allow it; nothing changed.
    Refused(ErrorBody),
}

impl Outcome {
    /// A refusal as an outcome.
    pub fn refused(error: Error) -> Outcome {
        Outcome::Refused(error.into())
    }
}
