//! The lines of a snapshot: JSON that `jq` reads.
//!
//! Each line is an object with one key, the kind, and an array of items of that
//! kind: `{"messages":[{…},{…}]}`. In this order: `header`, `incarnations`,
//! `membership` (if it was ever changed), `settings`, `invitations`, `actions`, `marks`,
//! `accounts`, `sessions`, `labels` and `messages` (interleaved: a label comes
//! before the first message that names it), `origins`, `replies`, `inboxes`, `sent`, `remembered`,
//! `lists`, `repeats`, `floors`, `restoring`, `staged`, `end`. Equal states have equal lines.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::chat::delivery::SessionNumber;
use crate::chat::hash::StateHash;
use crate::chat::items::AccountNumber;
use crate::chat::operation::Outcome;
use crate::chat::remembered::Fate;
use crate::protocol::administration::{AdministrativeAction, Bounds, Registration};
use crate::types::{AccountName, Digest, Membership, ReplicaId, Timestamp, Uuid};

/// Version of these lines at feature level 0; each level has the next one, so
/// that the header has the level as well.
pub(super) const FORMAT_FIRST: u32 = 1;

/// Entries of a list in one item of a line: at most 20 digits each.
pub(super) const ENTRIES_PER_ITEM: usize = 1_024;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Header(Vec<Header>),
    Incarnations(Vec<(ReplicaId, u32)>),
    Membership(Vec<Membership>),
    Settings(Vec<SettingsLine>),
    Invitations(Vec<InvitationLine>),
    Actions(Vec<AdministrativeAction>),
    Marks(Vec<MarkLine>),
    Accounts(Vec<AccountLine<'static>>),
    Sessions(Vec<SessionLine>),
    Labels(Vec<LabelLine>),
    Messages(Vec<MessageLine<'static>>),
    Origins(Vec<OriginLine>),
    Replies(Vec<ReplyLine>),
    Inboxes(Vec<InboxLine>),
    Sent(Vec<SentLine>),
    Remembered(Vec<RememberedLine>),
    Lists(Vec<ListLine>),
    Repeats(Vec<RepeatLine>),
    Floors(Vec<FloorsLine>),
    Restoring(Vec<Uuid>),
    Staged(Vec<StagedLine<'static>>),
    End(Vec<End>),
}

/// The first line's only item.
#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: u32,
    pub(super) last_seq: u64,
    pub(super) last_session: SessionNumber,
    pub(super) last_account: AccountNumber,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) restored: Option<Uuid>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct AccountLine<'a> {
    pub(super) number: AccountNumber,
    pub(super) account: Uuid,
    pub(super) name: AccountName,
    pub(super) password_hash: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) gone: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) disabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reset: Option<ResetLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_login: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) blocked: Vec<AccountNumber>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) receipts_off: bool,
    /// Nothing of a backup, which has no sessions.
    #[serde(default, skip_serializing_if = "is_none_ended")]
    pub(super) ended: (SessionNumber, SessionNumber),
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) repeats_floor: u64,
}

fn is_none_ended(ended: &(SessionNumber, SessionNumber)) -> bool {
    ended.0 == 0
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The way back into an account without a password.
#[derive(Serialize, Deserialize)]
pub(super) struct ResetLine {
    pub(super) code_hash: Digest,
    pub(super) expires: Timestamp,
}

/// What administrators have set.
#[derive(Serialize, Deserialize)]
pub(super) struct SettingsLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) registration: Option<Registration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bounds: Option<Bounds>,
    pub(super) last_invitation: u64,
    pub(super) last_action: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct InvitationLine {
    pub(super) number: u64,
    pub(super) code_hash: Digest,
    pub(super) uses: u32,
    pub(super) used: u32,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
}

/// How old messages are at least.
#[derive(Serialize, Deserialize)]
pub(super) struct MarkLine {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) index: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SessionLine {
    pub(super) number: SessionNumber,
    pub(super) account: AccountNumber,
    pub(super) token_hash: Digest,
    pub(super) expires: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) started: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<IpAddr>,
}

/// An account that is no more, but is named by a message.
#[derive(Serialize, Deserialize)]
pub(super) struct LabelLine {
    pub(super) number: AccountNumber,
    pub(super) account: Uuid,
    pub(super) name: AccountName,
}

#[derive(Serialize, Deserialize)]
pub(super) struct MessageLine<'a> {
    pub(super) seq: u64,
    pub(super) id: Uuid,
    pub(super) at: Timestamp,
    pub(super) from: AccountNumber,
    pub(super) to: Vec<AccountNumber>,
    pub(super) text: Cow<'a, str>,
}

/// A part of an inbox: every entry is in one of the lists, both ascending.
#[derive(Serialize, Deserialize)]
pub(super) struct InboxLine {
    pub(super) account: AccountNumber,
    pub(super) read: Vec<u64>,
    pub(super) unread: Vec<u64>,
}

/// A part of a sent list.
#[derive(Serialize, Deserialize)]
pub(super) struct SentLine {
    pub(super) account: AccountNumber,
    pub(super) seqs: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RememberedLine {
    pub(super) id: Uuid,
    pub(super) index: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) actor: Option<Uuid>,
    /// 128 bits as a state hash has them.
    pub(super) fingerprint: StateHash,
    pub(super) outcome: Outcome,
}

/// A message that no majority took at first, or a notice.
#[derive(Serialize, Deserialize)]
pub(super) struct OriginLine {
    pub(super) seq: u64,
    pub(super) accepted_at: Timestamp,
    /// 128 bits as a state hash has them; nothing of a notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<StateHash>,
}

/// A message that answers another.
#[derive(Serialize, Deserialize)]
pub(super) struct ReplyLine {
    pub(super) seq: u64,
    pub(super) to: Uuid,
}

/// A list that a server kept while it had no majority.
#[derive(Serialize, Deserialize)]
pub(super) struct ListLine {
    pub(super) list: Uuid,
    pub(super) settled: u64,
}

/// An operation id that was tried more than once.
#[derive(Serialize, Deserialize)]
pub(super) struct RepeatLine {
    pub(super) key: Uuid,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) account: AccountNumber,
    pub(super) index: u64,
    pub(super) fate: Fate,
}

/// Below which log indexes ids may be forgotten.
#[derive(Serialize, Deserialize)]
pub(super) struct FloorsLine {
    pub(super) window: u64,
    pub(super) level: u64,
    pub(super) before: u64,
}

/// A line of a backup that is being restored.
#[derive(Serialize, Deserialize)]
pub(super) struct StagedLine<'a> {
    pub(super) number: u64,
    pub(super) line: Cow<'a, str>,
}

/// The last line's only item.
#[derive(Serialize, Deserialize)]
pub(super) struct End {
    pub(super) hash: StateHash,
}
