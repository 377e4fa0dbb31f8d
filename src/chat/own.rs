//! What people change about their own accounts, as it stands in the log. Plain data;
//! `affairs.rs` decides what becomes of it.

use serde::{Deserialize, Serialize};

use super::delivery::SessionNumber;
use super::hash::Encoder;
use crate::limits::BLOCKED_MAX;
use crate::types::{AccountName, Digest};

/// What somebody changes about their own account, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnChange {
    /// Set another password, and end all other sessions. The server has verified the old one.
    ChangePassword {
        /// What the old password was verified against, as of [`verified_against`].
        verified: Digest,
        /// Of the new one: Argon2id in PHC form.
        password_hash: String,
    },
    /// End sessions of the account, all or none.
    EndSessions {
        /// Which.
        sessions: Vec<SessionNumber>,
    },
    /// End all sessions of the account but the one that asks.
    EndOtherSessions {},
    /// Let nothing come into the inbox any more that an account sends.
    Block {
        /// Its name.
        name: AccountName,
    },
    /// Let it come again.
    Unblock {
        /// Its name.
        name: AccountName,
    },
    /// Say whether senders are told what was read.
    SetReceipts {
        /// Whether they are.
        on: bool,
    },
}

/// By what the log knows which password a server has verified: the SHA-256 of its hash.
pub fn verified_against(password_hash: &str) -> Digest {
    Digest::of(password_hash.as_bytes())
}

impl OwnChange {
    /// About how many steps it takes, as of [`Action::steps`](super::Action::steps).
    pub(super) fn steps(&self) -> usize {
        match self {
            // Up to sixty-four sessions.
            OwnChange::ChangePassword { .. } | OwnChange::EndOtherSessions {} => 512,
            OwnChange::EndSessions { sessions } => 8 * sessions.len(),
            OwnChange::SetReceipts { .. } | OwnChange::Unblock { .. } => 8,
            // Looks for those that are gone.
            OwnChange::Block { .. } => BLOCKED_MAX + 8,
        }
    }

    /// About how many bytes it takes in a log entry.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            OwnChange::ChangePassword { .. } => 512,
            OwnChange::EndSessions { sessions } => 64 + 21 * sessions.len(),
            OwnChange::Block { .. } | OwnChange::Unblock { .. } => 96,
            OwnChange::EndOtherSessions {} | OwnChange::SetReceipts { .. } => 64,
        }
    }

    /// Adds what is asked for to its fingerprint. Without a salted hash and what it follows,
    /// which a server makes anew when a request is repeated.
    pub(super) fn encode(&self, encoder: Encoder) -> Encoder {
        match self {
            OwnChange::ChangePassword { verified: _, password_hash: _ } => encoder.number(1),
            OwnChange::EndSessions { sessions } => {
                let encoder = encoder.number(2);
                sessions.iter().fold(encoder, |encoder, session| encoder.number(*session))
            }
            OwnChange::EndOtherSessions {} => encoder.number(3),
            OwnChange::Block { name } => encoder.number(5).text(&name.folded()),
            OwnChange::Unblock { name } => encoder.number(6).text(&name.folded()),
            OwnChange::SetReceipts { on } => encoder.number(4).number(u64::from(*on)),
        }
    }
}
