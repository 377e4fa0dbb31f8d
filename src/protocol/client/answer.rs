//! What a server answers, and what it says to who follows.

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::InboxQuery;
use super::{OwnSession, ServerStatus, Setting};
use crate::types::{AccountName, Names, Place, Timestamp, Uuid};

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Nothing more to say.
    Done {
        /// False: a majority does not know it yet.
        #[serde(default = "yes", skip_serializing_if = "is_true")]
        confirmed: bool,
    },
    /// The session bound to the connection.
    Session(SessionInfo),
    /// A page of account names.
    Accounts {
        /// Names in order.
        names: Vec<AccountName>,
        /// Whether names follow after the last.
        more: bool,
        /// Of a server that is alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alone: Option<Alone>,
    },
    /// A message is accepted.
    Sent(Sent),
    /// A page of messages.
    Messages {
        /// Oldest first.
        messages: Vec<Message>,
        /// Whether the query has more after the last `seq`.
        more: bool,
        /// Of a server that is alone: there may be more that it does not know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alone: Option<Alone>,
    },
    /// A page of messages.
    Past {
        /// The newest first; what is not confirmed comes before what is.
        messages: Vec<Message>,
        /// Whether there is more before the last.
        more: bool,
        /// Where to go on: everything from this `seq` on was looked at. None while what is not
        /// confirmed has not come to its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scanned_to: Option<u64>,
        /// Of a server that is alone: there may be more that it does not know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alone: Option<Alone>,
    },
    /// How much is unread.
    Unread {
        /// In the order of names; none without anything unread.
        unread: Vec<Unread>,
        /// Whether names follow after the last.
        more: bool,
        /// Of a server that is alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alone: Option<Alone>,
    },
    /// The number of messages newly marked.
    Marked {
        /// How many were unread before.
        count: u64,
        /// False: a majority does not know it yet.
        #[serde(default = "yes", skip_serializing_if = "is_true")]
        confirmed: bool,
    },
    /// One entry for each prefix asked.
    Found {
        /// At most two ids each: two mean "ambiguous".
        matches: Vec<Vec<Uuid>>,
        /// Of a server that is alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alone: Option<Alone>,
    },
    /// The number of messages removed.
    Deleted {
        /// How many.
        count: u64,
        /// False: a majority does not know it yet.
        #[serde(default = "yes", skip_serializing_if = "is_true")]
        confirmed: bool,
    },
    /// The account's sessions.
    Sessions {
        /// Those that have not ended, oldest first.
        sessions: Vec<OwnSession>,
    },
    /// Whom the account has blocked.
    Blocked {
        /// Their names, in order.
        names: Vec<AccountName>,
    },
    /// What the account has set.
    Settings {
        /// Everything that can be set.
        settings: Vec<Setting>,
    },
    /// One server's view.
    Status(Box<ServerStatus>),
}

impl Answer {
    /// Nothing more to say, and nothing to wait for.
    pub fn done() -> Answer {
        Answer::Done { confirmed: true }
    }
}

/// What older servers mean, which say nothing of it.
fn yes() -> bool {
    true
}

fn is_true(it: &bool) -> bool {
    *it
}

/// Who answers, if not a majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alone {
    /// Since when the server has no majority.
    pub since: Timestamp,
}

/// Who a connection speaks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The account's name.
    pub name: AccountName,
    /// The account; a name may later belong to another.
    pub account: Uuid,
    /// When the session ends.
    pub expires: Timestamp,
    /// Of a server that is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<Alone>,
}

/// An accepted message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The message's id.
    pub id: Uuid,
    /// Recipients as they write themselves.
    pub to: Names,
    /// When the leader took it; of an unconfirmed one when its server did.
    pub at: Timestamp,
    /// Its place in the cluster's total order; none while it is unconfirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Replicas known to have it on disk when the answer was made: a quorum or more, of an
    /// unconfirmed one fewer.
    pub copies: u32,
    /// How many replicas there are.
    pub replicas: u32,
    /// Whether a majority has it.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub confirmed: bool,
    /// Where an unconfirmed one stands. The next message of the same stream names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A message as its recipient or sender sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The message's id.
    pub id: Uuid,
    /// Who sent it, as named then.
    pub from: AccountName,
    /// To whom, as named then.
    pub to: Names,
    /// What.
    pub text: String,
    /// When the leader took it; of an unconfirmed one when its server did.
    pub at: Timestamp,
    /// Its place in the cluster's total order; none while it is unconfirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Whether I have marked it as read. True for sent ones.
    pub read: bool,
    /// Whether a majority has it. One that is unconfirmed may still be withdrawn.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub confirmed: bool,
    /// Where an unconfirmed one stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Of an unconfirmed one: the last place in the total order that its server knew when it
    /// took it. Up to there it may have been shown as a confirmed one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_to: Option<u64>,
    /// When a server took it that had no majority then, if that was so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// Whether the cluster itself says it to me, of a message of mine that could not be
    /// delivered. Nobody who sends a message can make it so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub notice: bool,
    /// Whether it mentions me: it has my name behind an `@`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention: bool,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Uuid>,
    /// What that one says, if I may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Quote>,
    /// Of one that I sent, if it was asked for: the recipients who have it marked as read, when
    /// it was looked at, but for those who tell nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_by: Option<Names>,
}

/// The beginning of a message that another one answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Who sent it, as named then.
    pub from: AccountName,
    /// At most [`QUOTED_CHARS_MAX`](crate::limits::QUOTED_CHARS_MAX) characters.
    pub text: String,
}

/// How much of what one account has sent me is unread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Who has sent it.
    pub name: AccountName,
    /// Whether that is a room.
    pub room: bool,
    /// How many messages.
    pub unread: u64,
    /// How many of them mention me.
    pub mentions: u64,
    /// Whether the account is gone: its name may be somebody else's by now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// Something for a running follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// New messages, in order, none twice.
    Messages(Vec<Message>),
    /// All messages up to `seq` have been shown. Comes when the first page is
    /// through and then every few seconds, each time confirmed with a
    /// majority, so that a client can tell "nothing new" from "cut off".
    CaughtUp {
        /// The last `seq` that is certain to be covered.
        seq: u64,
    },
    /// The server is alone, and all that it has was shown. Comes in the place of
    /// [`Event::CaughtUp`] while it is. A client looks for another server meanwhile.
    Alone {
        /// Since when.
        since: Timestamp,
        /// The last `seq` that it has.
        seq: u64,
    },
    /// An unconfirmed message that was shown will not be delivered.
    Refused {
        /// Which.
        id: Uuid,
        /// Why, as a sentence.
        reason: String,
    },
}
