//! What a server took while it had no majority, as the log gets it later.
//!
//! Such a server keeps numbered lists of entries on its own disk. When a majority is back
//! each entry is put into the log as a [`Delivery`]; `settling.rs` says what becomes of it
//! there.

use serde::{Deserialize, Serialize};

use crate::types::{AccountName, Digest, Place, Timestamp, Uuid};

/// A session's number within the state; counts from 1, never reused.
pub type SessionNumber = u64;

/// An entry of a list. The id is that of its operation, which is the client's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Which entry.
    pub place: Place,
    /// Whether its id may have been tried at another server, before or meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// The log index up to which the server had applied the log when it took the entry, and
    /// did not know the id.
    pub since: u64,
    /// When the server took it, by its clock.
    pub accepted_at: Timestamp,
    /// Who asked, found in the state that the server had.
    pub author: Party,
    /// With which session. None where sessions cannot be compared, as the list comes from
    /// another cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionUsed>,
    /// For what.
    pub act: Act,
}

/// The session that an entry was asked for with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionUsed {
    /// Which.
    pub number: SessionNumber,
    /// SHA-256 of its token.
    pub token_hash: Digest,
    /// When it ends by itself.
    pub expires: Timestamp,
}

/// An account and its name as they were when an entry was taken. The account counts: its
/// name may belong to somebody else by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The account.
    pub account: Uuid,
    /// A label on it.
    pub name: AccountName,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Deliver a message.
    Send {
        /// Recipients, each once, in the order in which they were named.
        to: Vec<Party>,
        /// 1 to 8192 bytes.
        text: String,
        /// The message that this one answers. From feature level
        /// [`LEVEL_OF_CONVERSATIONS`](crate::limits::LEVEL_OF_CONVERSATIONS) on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<Uuid>,
    },
    /// Mark messages as read.
    Mark {
        /// Their ids: a place in the total order would be another message in a cluster that
        /// was restored from a backup.
        ids: Vec<Uuid>,
    },
    /// Remove messages from the author's inbox.
    Delete {
        /// Their ids.
        ids: Vec<Uuid>,
    },
    /// End the session.
    Close {},
}

impl Act {
    /// About how many steps applying it takes, as of
    /// [`Action::steps`](super::Action::steps).
    pub(super) fn steps(&self) -> usize {
        /// A message to the author that says what could not be done.
        const NOTICE: usize = 64;
        match self {
            Act::Send { to, text, .. } => NOTICE + 12 * to.len() + text.len() / 32,
            Act::Mark { ids } => 8 * ids.len(),
            Act::Delete { ids } => 24 * ids.len(),
            Act::Close {} => 8,
        }
    }

    /// About how many bytes it takes in a log entry.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Act::Send { to, text, .. } => 64 + text.len() + 100 * to.len(),
            Act::Mark { ids } | Act::Delete { ids } => 39 * ids.len(),
            Act::Close {} => 0,
        }
    }
}
