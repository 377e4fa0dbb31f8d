//! What whoever holds the cluster's key may ask of it beside messages: who may come in,
//! and what becomes of accounts.
//!
//! A change is asked of any server with [`Call::Administer`] and goes through the log. It
//! names an operation id, so that it can be repeated until somebody answers. A question is
//! asked with [`Call::Inspect`] and answered once a majority has confirmed that the server
//! knows everything. Both need feature level
//! [`LEVEL_OF_ADMISSION`](crate::limits::LEVEL_OF_ADMISSION).
//!
//! [`Call::Administer`]: super::peer::Call::Administer
//! [`Call::Inspect`]: super::peer::Call::Inspect

use serde::{Deserialize, Serialize};

use crate::limits::REMEMBERED_PARTS;
use crate::types::{AccountName, Digest, Timestamp, Uuid};

/// Who may register. The later ones are the stricter ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Whoever reaches a server.
    #[default]
    Open,
    /// Whoever has the code of an invitation.
    Invited,
    /// Nobody.
    Closed,
}

impl Registration {
    /// All of them, by their names.
    pub const NAMES: [&'static str; 3] = ["open", "invited", "closed"];

    /// The one of a name.
    pub fn named(name: &str) -> Option<Registration> {
        let all = [Registration::Open, Registration::Invited, Registration::Closed];
        all.into_iter().find(|it| it.as_str() == name)
    }

    /// Its name in configurations and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Registration::Open => "open",
            Registration::Invited => "invited",
            Registration::Closed => "closed",
        }
    }
}

/// How much may be stored. Part of the replicated state, so a name here never changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// What the inbox of an account may hold, in bytes; 0: as much as there is.
    pub account_bytes: u64,
    /// What all accounts together may hold, in bytes; 0: as much as there is.
    pub total_bytes: u64,
    /// No administrator has set the first: configurations have proposed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub account_proposed: bool,
    /// No administrator has set the second: configurations have proposed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub total_proposed: bool,
    /// For how many days messages are kept; 0: for ever. From feature level
    /// [`LEVEL_OF_KEEPING`](crate::limits::LEVEL_OF_KEEPING) on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keep_messages_days: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Bounds {
    /// What messages, accounts and sessions may take of the bytes in all, 0 for as much as
    /// there is: the rest is for what is remembered of operations, so that what is deleted
    /// makes room although its deletion is remembered.
    pub fn room_bytes(&self) -> u64 {
        self.total_bytes - self.total_bytes / REMEMBERED_PARTS
    }

    /// These, as far as nobody but configurations has set them, or what another
    /// configuration proposes where that is lower.
    pub fn with_proposal(&self, proposal: &Bounds) -> Bounds {
        let lower = |is_open: bool, bytes: u64, other: u64| match (bytes, other) {
            (_, 0) => bytes,
            _ if !is_open => bytes,
            (0, _) => other,
            _ => bytes.min(other),
        };
        Bounds {
            account_bytes: lower(self.account_proposed, self.account_bytes, proposal.account_bytes),
            total_bytes: lower(self.total_proposed, self.total_bytes, proposal.total_bytes),
            ..*self
        }
    }
}

/// The body of [`Call::Administer`](super::peer::Call::Administer). → [`Changed`]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRequest {
    /// Made by the command: the same id again is the same change.
    pub operation: Uuid,
    /// Who asks, as their machine calls them. Nobody has checked it: whoever has the key
    /// may say what they like.
    pub by: String,
    /// What is to change.
    pub change: RequestedChange,
}

/// What an administrator wants to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestedChange {
    /// Say who may register.
    SetRegistration {
        /// Who.
        registration: Registration,
    },
    /// Make an invitation.
    Invite {
        /// What its code is known by.
        code_hash: Digest,
        /// How many accounts may be made with it.
        uses: u32,
        /// For how long it is good, in milliseconds from now.
        lifetime_ms: u64,
    },
    /// Take an invitation back.
    RevokeInvitation {
        /// Its number.
        invitation: u64,
    },
    /// Take an account's password away, end its sessions, and let its owner set a new one
    /// with a code.
    ResetAccount {
        /// The account's name.
        name: AccountName,
        /// What the code is known by.
        code_hash: Digest,
        /// For how long it is good, in milliseconds from now.
        lifetime_ms: u64,
    },
    /// Shut an account out: its sessions end, and it gets no new one.
    DisableAccount {
        /// The account's name.
        name: AccountName,
    },
    /// Let an account in again.
    EnableAccount {
        /// The account's name.
        name: AccountName,
    },
    /// Say how much may be stored. Needs feature level
    /// [`LEVEL_OF_BOUNDS`](crate::limits::LEVEL_OF_BOUNDS).
    SetBounds {
        /// See [`Bounds::account_bytes`]; absent: as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account_bytes: Option<u64>,
        /// See [`Bounds::total_bytes`]; absent: as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total_bytes: Option<u64>,
    },
    /// Say how much may be stored, and for how long messages are kept. A request of its own:
    /// a program that does not know the last would pass over it. Needs feature level
    /// [`LEVEL_OF_KEEPING`](crate::limits::LEVEL_OF_KEEPING).
    SetLimits {
        /// See [`Bounds::account_bytes`]; absent: as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account_bytes: Option<u64>,
        /// See [`Bounds::total_bytes`]; absent: as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total_bytes: Option<u64>,
        /// See [`Bounds::keep_messages_days`].
        keep_messages_days: u32,
    },
    /// Delete an account with its inbox.
    DeleteAccount {
        /// The account's name.
        name: AccountName,
    },
}

/// What has become of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// It is made.
    Done {},
    /// An invitation is made.
    Invited {
        /// Its number.
        invitation: u64,
        /// When it was made.
        created: Timestamp,
        /// When it ends.
        expires: Timestamp,
    },
}

/// The body of [`Call::Inspect`](super::peer::Call::Inspect). → [`Inspected`]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Who may register?
    Registration {},
    /// How much may be stored, and how much is? Needs feature level
    /// [`LEVEL_OF_BOUNDS`](crate::limits::LEVEL_OF_BOUNDS).
    Bounds {},
    /// Which invitations are there, from the oldest on?
    Invitations {
        /// Only those with a greater number.
        after: u64,
    },
    /// Which accounts are there, in the order of their names?
    Accounts {
        /// Only names that match, as of [`Request::Accounts`].
        ///
        /// [`Request::Accounts`]: super::client::Request::Accounts
        #[serde(default, skip_serializing_if = "Option::is_none")]
        glob: Option<String>,
        /// Only names after this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// What have administrators done, from the oldest on?
    Actions {
        /// Only those with a greater number.
        after: u64,
    },
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inspected {
    /// Who may register.
    Registration {
        /// Who.
        registration: Registration,
    },
    /// How much may be stored, and how much is.
    Bounds {
        /// The bounds.
        bounds: Bounds,
        /// What is stored in all, in bytes.
        stored_bytes: u64,
    },
    /// A page of invitations; after an empty one there are no more.
    Invitations(Vec<Invitation>),
    /// A page of accounts, which may be empty although others follow.
    Accounts {
        /// In the order of their names.
        accounts: Vec<AccountRow>,
        /// Where the next page begins; absent behind the last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
    /// A page of actions; after an empty one there are no more.
    Actions(Vec<AdministrativeAction>),
}

/// An invitation, without its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Its number; never that of another one.
    pub id: u64,
    /// How many accounts may be made with it.
    pub uses: u32,
    /// How many were.
    pub used: u32,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it is of no use any more: used up, or its time is over.
    pub ended: bool,
}

/// An account, as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Its name.
    pub name: AccountName,
    /// Messages in its inbox.
    pub messages: u64,
    /// Bytes that those take in memory of a server, about.
    pub bytes: u64,
    /// When it logged in or sent a message that it still has, whichever was last. Not known
    /// of accounts that did so last before the cluster's feature level had this.
    pub last_seen: Option<Timestamp>,
    /// Whether it is shut out. Scripts know that as `blocked`.
    #[serde(rename = "blocked")]
    pub disabled: bool,
    /// Whether its password was taken away and no new one is set yet.
    pub reset: bool,
}

/// Something that an administrator has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdministrativeAction {
    /// Its number, from 1.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// Who, as in [`ChangeRequest::by`].
    pub by: String,
    /// What.
    #[serde(flatten)]
    pub what: Recorded,
}

/// What is kept of a change: everything but secrets. Part of the replicated state, so a
/// name here never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Recorded {
    /// Who may register was set.
    SetRegistration {
        /// Who.
        registration: Registration,
    },
    /// An invitation was made.
    Invite {
        /// Its number.
        invitation: u64,
        /// How many accounts may be made with it.
        uses: u32,
        /// When it ends.
        expires: Timestamp,
    },
    /// An invitation was taken back.
    RevokeInvitation {
        /// Its number.
        invitation: u64,
    },
    /// An account's password was taken away and a code was given for a new one.
    ResetAccount {
        /// The account's name then.
        name: AccountName,
        /// When the code ends.
        expires: Timestamp,
    },
    /// An account was shut out.
    DisableAccount {
        /// The account's name then.
        name: AccountName,
    },
    /// An account was let in again.
    EnableAccount {
        /// The account's name then.
        name: AccountName,
    },
    /// How much may be stored was set: all bounds as they are from then on.
    SetBounds {
        /// See [`Bounds::account_bytes`].
        account_bytes: u64,
        /// See [`Bounds::total_bytes`].
        total_bytes: u64,
        /// See [`Bounds::keep_messages_days`].
        #[serde(default, skip_serializing_if = "is_zero")]
        keep_messages_days: u32,
    },
    /// An account was deleted.
    DeleteAccount {
        /// The account's name then.
        name: AccountName,
    },
}
