//! What administrators change: as it stands in the log, and what is kept of it in the
//! state. Plain data with digests; `admission.rs` decides what becomes of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunks::Item;
use super::hash::{Encoder, Kind};
use crate::limits::INVITATIONS_MAX;
use crate::protocol::administration::{AdministrativeAction, Bounds, Recorded, Registration};
use crate::types::{AccountName, Digest, Timestamp};

/// What an administrator changes, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Say who may register.
    SetRegistration {
        /// Who.
        registration: Registration,
        /// Only if nobody has said so before: what a configuration proposes.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unless_set: bool,
    },
    /// Make an invitation.
    Invite {
        /// What its code is known by.
        code_hash: Digest,
        /// How many accounts may be made with it.
        uses: u32,
        /// When it ends.
        expires: Timestamp,
    },
    /// Take an invitation back.
    RevokeInvitation {
        /// Its number.
        invitation: u64,
    },
    /// Take an account's password away and end its sessions.
    ResetAccount {
        /// The account's name.
        name: AccountName,
        /// What the code is known by with which its owner sets a new password.
        code_hash: Digest,
        /// When the code ends.
        expires: Timestamp,
    },
    /// Shut an account out, or let it in again.
    SetDisabled {
        /// The account's name.
        name: AccountName,
        /// Which of both.
        disabled: bool,
    },
    /// Say how much may be stored. From feature level
    /// [`LEVEL_OF_BOUNDS`](crate::limits::LEVEL_OF_BOUNDS) on.
    SetBounds {
        /// See [`Bounds::account_bytes`]; absent: as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account_bytes: Option<u64>,
        /// See [`Bounds::total_bytes`]; absent: as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total_bytes: Option<u64>,
        /// See [`Bounds::keep_messages_days`]; absent: as before. From feature level
        /// [`LEVEL_OF_KEEPING`](crate::limits::LEVEL_OF_KEEPING) on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep_messages_days: Option<u32>,
        /// What a configuration proposes: it counts while no administrator has set any.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        proposed: bool,
    },
    /// Remove an account with its inbox and sessions.
    DeleteAccount {
        /// The account's name.
        name: AccountName,
    },
}

impl Change {
    /// About how many steps it takes, as of [`Action::steps`](super::Action::steps).
    pub(super) fn steps(&self) -> usize {
        match self {
            // Looks for one that is of no use any more.
            Change::Invite { .. } => INVITATIONS_MAX + 16,
            // Up to sixty-four sessions.
            Change::ResetAccount { .. }
            | Change::SetDisabled { .. }
            | Change::DeleteAccount { .. } => 512,
            Change::SetRegistration { .. }
            | Change::SetBounds { .. }
            | Change::RevokeInvitation { .. } => 16,
        }
    }

    /// Adds what is asked for to its fingerprint. Without times, which a server makes anew
    /// when a request is repeated.
    pub(super) fn encode(&self, encoder: Encoder) -> Encoder {
        match self {
            Change::SetRegistration { registration, unless_set } => {
                encoder.number(1).text(registration.as_str()).number(u64::from(*unless_set))
            }
            Change::Invite { code_hash, uses, expires: _ } => {
                encoder.number(2).fixed(&code_hash.0).number(u64::from(*uses))
            }
            Change::RevokeInvitation { invitation } => encoder.number(3).number(*invitation),
            Change::ResetAccount { name, code_hash, expires: _ } => {
                encoder.number(4).text(name.as_str()).fixed(&code_hash.0)
            }
            Change::SetDisabled { name, disabled } => {
                encoder.number(5).text(name.as_str()).number(u64::from(*disabled))
            }
            Change::DeleteAccount { name } => encoder.number(6).text(name.as_str()),
            Change::SetBounds { account_bytes, total_bytes, keep_messages_days, proposed } => {
                let encoder = encoder.number(7).number(u64::from(*proposed));
                let encoder =
                    [account_bytes, total_bytes].into_iter().fold(encoder, |encoder, bytes| {
                        encoder.number(u64::from(bytes.is_some())).number(bytes.unwrap_or_default())
                    });
                // Nothing of what a lower feature level does not have.
                let days = keep_messages_days.iter();
                days.fold(encoder, |encoder, days| encoder.text("keep").number(u64::from(*days)))
            }
        }
    }
}

/// What administrators have set, and numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Who may register; `None` until somebody has said so.
    pub(super) registration: Option<Registration>,
    /// How much may be stored; `None` until somebody has said so.
    pub(super) bounds: Option<Bounds>,
    pub(super) last_invitation: u64,
    pub(super) last_action: u64,
}

impl Settings {
    /// Zero while nothing was set, as in states of a lower feature level.
    pub(super) fn digest(&self) -> u128 {
        if *self == Settings::default() {
            return 0;
        }
        let registration = self.registration.map_or("", Registration::as_str);
        let encoder = Encoder::new(Kind::Settings).text(registration);
        let mut encoder = encoder.number(self.last_invitation).number(self.last_action);
        if let Some(bounds) = self.bounds {
            let Bounds { account_bytes, total_bytes, .. } = bounds;
            encoder = encoder.text("bounds").number(account_bytes).number(total_bytes);
            encoder = encoder.number(u64::from(bounds.account_proposed));
            encoder = encoder.number(u64::from(bounds.total_proposed));
            if bounds.keep_messages_days > 0 {
                encoder = encoder.text("keep").number(u64::from(bounds.keep_messages_days));
            }
        }
        encoder.finish()
    }
}

/// An invitation.
#[derive(Clone)]
pub(super) struct StoredInvitation {
    pub(super) number: u64,
    pub(super) code_hash: Digest,
    pub(super) uses: u32,
    pub(super) used: u32,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
}

impl StoredInvitation {
    pub(super) fn digest(&self) -> u128 {
        Encoder::new(Kind::Invitation)
            .number(self.number)
            .fixed(&self.code_hash.0)
            .number(u64::from(self.uses))
            .number(u64::from(self.used))
            .number(self.created.0)
            .number(self.expires.0)
            .finish()
    }

    /// Whether it is of no use any more.
    pub(super) fn ended(&self, at: Timestamp) -> bool {
        self.used >= self.uses || self.expires <= at
    }
}

impl Item for StoredInvitation {
    fn key(&self) -> u64 {
        self.number
    }
}

/// Something that an administrator has done.
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) by: Box<str>,
    pub(super) what: Recorded,
}

impl Record {
    pub(super) fn digest(&self) -> u128 {
        let what = serde_json::to_string(&self.what).expect("plain data serializes");
        let encoder = Encoder::new(Kind::AdministrativeAction).number(self.number);
        encoder.number(self.at.0).text(&self.by).text(&what).finish()
    }

    pub(super) fn shown(&self) -> AdministrativeAction {
        let (by, what) = (self.by.to_string(), self.what.clone());
        AdministrativeAction { id: self.number, at: self.at, by, what }
    }
}

impl Item for Arc<Record> {
    fn key(&self) -> u64 {
        self.number
    }
}
