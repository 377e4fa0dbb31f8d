//! Which messages a client asks for.

use serde::{Deserialize, Serialize};

use crate::types::{Place, Timestamp, Uuid};

/// Which messages of mine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InboxQuery {
    /// Which of my messages.
    pub which: Which,
    /// Only those with a greater `seq`: where the last page or follow ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Of those that are not confirmed, only those behind this one: where the last page ended,
    /// if it ended with one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_place: Option<Place>,
    /// Only from this account name, as it was when the message was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only those sent at or after this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Of those that I sent: also who has read them. Older servers pass over it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_by: bool,
    /// At most so many in this page. Ignored by follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Only those that mention me.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mentions: bool,
}

/// Which of the messages that I may see: those of my inbox and those that I have sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PastQuery {
    /// Only the conversation with this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// Only those that have all of these words, whatever their case and accents; `*` at the
    /// end of one stands for the rest of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// Only from this account name, as it was when the message was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only those sent at or after this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Only those before this message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_id: Option<Uuid>,
    /// Only those with a lower `seq`: where the last page ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Where the last page ended, if it ended with an unconfirmed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_place: Option<Place>,
    /// At most so many in this page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// See [`InboxQuery::which`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Received and not yet read.
    #[default]
    Unread,
    /// Received.
    All,
    /// Sent by me.
    Sent,
}
