//! Which messages answer which others.
//!
//! An answer has the id of a message and nothing else of it, also when that is gone: whoever
//! reads the answer is shown what the message said if they may see it themselves.

use super::items::Message;
use super::reply::Reply;
use super::state::State;
use crate::limits::LEVEL_OF_CONVERSATIONS;
use crate::types::Uuid;

impl State {
    /// What a message answers, as far as the feature level knows answers. Whether its author may
    /// see that is no condition: it may not be known here yet, and a refusal would take the place
    /// of what another server has accepted. Nobody is shown by it what they may not see.
    pub(super) fn answered(&self, asked: Option<Uuid>) -> Option<Uuid> {
        asked.filter(|_| self.level() >= LEVEL_OF_CONVERSATIONS)
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
