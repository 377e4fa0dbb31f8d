//! Which messages answer which others.
//!
//! A message is answered by whoever may see it. The answer keeps its id, also when the
//! message is gone or hidden from a reader: only who may see it is shown what it said.

use super::chunks::Item;
use super::hash::{Encoder, Kind};
use super::items::{AccountNumber, Message};
use super::state::{State, session_expired};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::LEVEL_OF_CONVERSATIONS;
use crate::types::Uuid;

/// A message that answers another.
#[derive(Clone, Copy)]
pub(super) struct Reply {
    /// The answer.
    pub(super) seq: u64,
    /// What it answers.
    pub(super) to: Uuid,
}

impl Reply {
    pub(super) fn digest(&self) -> u128 {
        Encoder::new(Kind::Reply).number(self.seq).fixed(self.to.as_bytes()).finish()
    }
}

impl Item for Reply {
    fn key(&self) -> u64 {
        self.seq
    }
}

impl State {
    /// What a message of an account answers, if that may be answered.
    pub(super) fn reply_of(
        &self,
        author: AccountNumber,
        asked: Option<&Uuid>,
    ) -> Result<Option<Uuid>> {
        let Some(id) = asked.filter(|_| self.level() >= LEVEL_OF_CONVERSATIONS) else {
            return Ok(None);
        };
        let account = self.data.accounts.get(author).ok_or_else(session_expired)?;
        let is_there =
            |seq: &u64| account.inbox.get(*seq).is_some() || account.sent.get(*seq).is_some();
        match self.message_ids.get(id).filter(is_there) {
            Some(_) => Ok(Some(*id)),
            None => Err(Error::new(
                ErrorCode::UnknownMessage,
                format!("no message {id} is in the inbox or was sent; nothing was sent"),
            )),
        }
    }

    /// A message was stored, behind all others.
    pub(super) fn note_reply(&mut self, seq: u64, reply_to: Option<Uuid>) {
        if let Some(to) = reply_to {
            let reply = Reply { seq, to };
            self.data.sum.add(reply.digest());
            self.data.replies.push(reply);
        }
    }

    /// What a message answers.
    pub(super) fn reply_to(&self, seq: u64) -> Option<Uuid> {
        // Hardly any does.
        self.data.replies.last()?;
        self.data.replies.get(seq).map(|reply| reply.to)
    }

    /// A message is gone. Returns what it answered.
    pub(super) fn forget_reply(&mut self, message: &Message) -> Option<Uuid> {
        self.data.replies.last()?;
        let reply = self.data.replies.remove(message.seq)?;
        self.data.sum.subtract(reply.digest());
        Some(reply.to)
    }
}
