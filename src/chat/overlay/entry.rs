//! An entry in memory. As a server may hold a million of them, an entry for one recipient
//! takes no more than the same message takes when it is confirmed: what entries have in
//! common they share.

use std::sync::Arc;

use crate::chat::chunks::Item;
use crate::chat::compact_timestamp::CompactTimestamp;
use crate::chat::delivery::{Party, SessionUsed};
use crate::types::Uuid;

/// An entry.
#[derive(Clone)]
pub(super) struct Entry {
    /// Its number among all that this overlay ever had, from 1: the order in which they came.
    pub(super) order: u64,
    pub(super) id: Uuid,
    pub(super) context: Arc<Context>,
    pub(super) deed: Deed,
    pub(super) accepted_at: CompactTimestamp,
    pub(super) again: bool,
}

const _: () = assert!(size_of::<Entry>() == 64, "256 entries fill a block of 16 KiB");

impl Item for Entry {
    fn key(&self) -> u64 {
        self.order
    }
}

/// What entries have in common that an author asked for while the state stood still.
#[derive(PartialEq)]
pub(super) struct Context {
    pub(super) author: Arc<Party>,
    pub(super) session: Option<SessionUsed>,
    pub(super) since: u64,
    pub(super) seen_to: u64,
}

/// The accounts that a message is for, each once.
pub(super) struct Addressees {
    pub(super) parties: Box<[Arc<Party>]>,
    /// The message that is answered. Here, as hardly any message has one.
    pub(super) reply_to: Option<Uuid>,
}

/// What an entry does.
#[derive(Clone)]
pub(super) enum Deed {
    Send { to: Arc<Addressees>, text: Box<str> },
    Other(Box<Other>),
}

/// What is asked for more rarely.
#[derive(Clone)]
pub(super) enum Other {
    Mark(Box<[Uuid]>),
    Delete(Box<[Uuid]>),
    Close,
}

impl Entry {
    /// Whether it ends its session.
    pub(super) fn closes(&self) -> bool {
        matches!(&self.deed, Deed::Other(other) if matches!(**other, Other::Close))
    }
}

/// An entry in one of an account's lists: its number.
#[derive(Clone, Copy)]
pub(super) struct Listed(pub(super) u64);

impl Item for Listed {
    fn key(&self) -> u64 {
        self.0
    }
}
