//! What a server tells of somebody's own account.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::types::Timestamp;

/// A session of the account that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnSession {
    /// Its number, which is never another session's. It is no secret, and opens nothing.
    pub id: u64,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When it began; null of one from before that was noted.
    pub started: Option<Timestamp>,
    /// When something was changed with it last, as a message sent or marked: noted at most
    /// once an hour. Null as before.
    pub last_used: Option<Timestamp>,
    /// The address from which it was opened, as the server saw it; null as before.
    pub from: Option<IpAddr>,
    /// When it ends by itself.
    pub expires: Timestamp,
}
