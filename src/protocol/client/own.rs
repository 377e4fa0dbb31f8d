//! What a server tells of somebody's own account, and what can be set of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorCode, Result};
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

/// What somebody has set of their own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnSettings {
    /// Whether senders are told what was read.
    pub receipts: bool,
}

/// Something that can be set, and to what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// What.
    pub key: String,
    /// To what.
    pub value: String,
}

impl OwnSettings {
    /// Everything that can be set, in the order of the keys.
    pub fn listed(&self) -> Vec<Setting> {
        let value = if self.receipts { "on" } else { "off" };
        vec![Setting { key: "receipts".into(), value: value.into() }]
    }
}

/// Reads what is to be set.
///
/// # Errors
/// [`ErrorCode::WrongUsage`] lists what there is.
pub fn setting(key: &str, value: &str) -> Result<OwnSettings> {
    if key != "receipts" {
        return Err(Error::new(
            ErrorCode::WrongUsage,
            format!("there is no setting {key:?}; there is: receipts"),
        ));
    }
    match value {
        "on" => Ok(OwnSettings { receipts: true }),
        "off" => Ok(OwnSettings { receipts: false }),
        _ => Err(Error::new(
            ErrorCode::WrongUsage,
            format!("{key} cannot be {value:?}: it is on or off"),
        )),
    }
}
