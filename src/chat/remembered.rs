//! What is remembered of operations that were done.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunks::Item;
use super::hash::{Encoder, Kind};
use super::operation::Outcome;
use crate::types::Uuid;

/// An operation of the de-duplication window: for a while its id must not mean
/// anything else.
#[derive(Clone)]
pub(super) struct DeduplicationEntry {
    /// Place in the window, in the order of arrival, given by
    /// [`State::remember`](super::state::State::remember). Only this process's
    /// numbering: not in the digest, not in a snapshot.
    pub(super) serial: u64,
    pub(super) id: Uuid,
    /// The log entry from which the window counts.
    pub(super) index: u64,
    /// The account that asked, of an action that takes a session.
    pub(super) actor: Option<Uuid>,
    /// See [`super::fingerprint::fingerprint`].
    pub(super) fingerprint: u128,
    pub(super) outcome: Outcome,
}

impl DeduplicationEntry {
    pub(super) fn digest(&self) -> u128 {
        let encoder = Encoder::new(Kind::Remembered)
            .fixed(self.id.as_bytes())
            .number(self.index)
            .number(u64::from(self.actor.is_some()))
            .fixed(self.actor.unwrap_or_default().as_bytes())
            .fixed(&self.fingerprint.to_le_bytes());
        match &self.outcome {
            Outcome::SessionOpened { session, account } => {
                encoder.number(1).number(*session).fixed(account.as_bytes())
            }
            Outcome::Done => encoder.number(2),
            Outcome::Sent { seq, at, to } => {
                let encoder = encoder.number(3).number(*seq).number(at.0).number(to.len() as u64);
                to.iter().fold(encoder, |encoder, name| encoder.text(name.as_str()))
            }
            Outcome::Marked { count } => encoder.number(4).number(*count),
            Outcome::Deleted { count } => encoder.number(5).number(*count),
            Outcome::Settled { settled } => encoder.number(11).number(*settled),
            Outcome::Incarnation { incarnation } => {
                encoder.number(6).number(u64::from(*incarnation))
            }
            Outcome::MembersChanged { version } => encoder.number(10).number(*version),
            // Not the sentence: see the head of `hash.rs`.
            Outcome::Refused(body) => encoder.number(7).text(body.code.as_str()),
            Outcome::Invited { invitation, created, expires } => {
                encoder.number(9).number(*invitation).number(created.0).number(expires.0)
            }
            Outcome::Restoring { lines, done } => {
                encoder.number(8).number(*lines).number(u64::from(*done))
            }
        }
        .finish()
    }
}

impl Item for Arc<DeduplicationEntry> {
    fn key(&self) -> u64 {
        self.serial
    }
}

/// An id that was tried more than once.
#[derive(Clone, Copy)]
pub(super) struct Repeat {
    /// Its place in the order of arrival. As of [`DeduplicationEntry::serial`].
    pub(super) serial: u64,
    /// The id together with its account, as a number.
    pub(super) key: Uuid,
    /// Whose it is; 0 of the id of a notice.
    pub(super) account: u64,
    /// The log entry that met it.
    pub(super) index: u64,
    pub(super) fate: Fate,
}

/// What became of a message of which only the id is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    /// It was delivered.
    Delivered,
    /// It was refused: nobody has it.
    Refused,
    /// That could not be told any more, and its author has a notice.
    Unclear,
}

impl Repeat {
    pub(super) fn digest(&self) -> u128 {
        let Repeat { serial: _, key, account, index, fate } = self;
        let encoder = Encoder::new(Kind::Repeat).fixed(key.as_bytes()).number(*account);
        encoder.number(*index).number(*fate as u64).finish()
    }
}

impl Item for Repeat {
    fn key(&self) -> u64 {
        self.serial
    }
}

/// What may be forgotten: operations of log entries below these. What is forgotten of ids
/// that were tried more than once is kept for each account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Floors {
    /// Of the window.
    pub(super) window: u64,
    /// Where the level was reached at which that is noted.
    pub(super) level: u64,
    /// The highest of all floors that the cluster had of which this one was restored, by the
    /// indexes of that one's log.
    pub(super) before: u64,
}

impl Floors {
    /// Zero while nothing was forgotten, as at lower levels.
    pub(super) fn digest(&self) -> u128 {
        let Floors { window, level, before } = *self;
        if *self == Floors::default() {
            return 0;
        }
        Encoder::new(Kind::Floors).number(window).number(level).number(before).finish()
    }
}
