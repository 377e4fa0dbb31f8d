//! What a server that is alone has taken, and what it answers.

use serde::{Deserialize, Serialize};

use crate::chat::delivery::{Act, Delivery, Party, SessionNumber, SessionUsed};
use crate::chat::operation::{Action, Operation, Outcome};
use crate::types::{Names, Place, Timestamp, Uuid};

/// An entry as it stands on the disk: all that the log needs to settle it, but its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The operation's, which its client made.
    pub id: Uuid,
    /// Whether the id may have been tried at another server, before or meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// The log index up to which the state was applied that did not know the id.
    pub since: u64,
    /// The last place in the total order that this state had.
    pub seen_to: u64,
    /// When it was taken, by the server's clock.
    #[serde(rename = "at")]
    pub accepted_at: Timestamp,
    /// Who asked.
    pub author: Party,
    /// With which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionUsed>,
    /// For what.
    pub act: Act,
}

impl Taken {
    /// What hands the entry at a place over to the log.
    pub fn delivery(&self, place: Place) -> Operation {
        let Taken { id, again, since, seen_to: _, accepted_at, .. } = *self;
        let (author, session, act) = (self.author.clone(), self.session.clone(), self.act.clone());
        let delivery = Delivery { place, again, since, accepted_at, author, session, act };
        Operation { id, action: Action::Deliver(Box::new(delivery)) }
    }

    /// The accounts whose lists it changes: its author's, and its recipients'.
    pub fn accounts(&self) -> impl Iterator<Item = Uuid> {
        let to = match &self.act {
            Act::Send { to, .. } => to.as_slice(),
            Act::Mark { .. } | Act::Delete { .. } | Act::Close {} => &[],
        };
        to.iter().chain([&self.author]).map(|party| party.account)
    }

    /// About how many bytes it takes on the disk, or in a log entry.
    pub fn bytes(&self) -> usize {
        /// Of all but the act.
        const FRAME: usize = 512;
        FRAME + self.act.bytes()
    }
}

/// What becomes of a request at a server that is alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// The applied state knows it. A refusal among these is one that a majority has made.
    Known(Outcome),
    /// It was taken before.
    Held {
        /// Its number in the overlay.
        order: u64,
        /// Where it stands; none while it is on its way to the disk.
        place: Option<Place>,
        /// What its client is told, as the first time.
        answer: Given,
    },
    /// It is to be taken: into the overlay at once, before anybody else looks; then to the
    /// disk; then it is answered.
    New {
        /// What is to be written.
        taken: Box<Taken>,
        /// What its client is told then.
        answer: Given,
    },
}

/// What a client is told of a request that was taken. Nothing of it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// Of a message.
    Sent {
        /// When it was taken.
        at: Timestamp,
        /// Recipients as they write themselves, each once.
        to: Names,
    },
    /// Of a mark.
    Marked {
        /// How many were unread, by what is confirmed, and are to be marked.
        count: u64,
    },
    /// Of a deletion.
    Deleted {
        /// How many.
        count: u64,
    },
    /// Of the end of a session.
    Done,
}

/// Messages that a client wants to be marked as read, by their places or ids.
/// [`Action::MarkRead`] has places only.
#[derive(Clone, Copy, Debug)]
pub struct MarkAsked<'a> {
    /// The operation's id.
    pub id: Uuid,
    /// Whose inbox.
    pub session: SessionNumber,
    /// Places in the total order. Of messages that are gone they are passed over.
    pub seqs: &'a [u64],
    /// Ids, also of unconfirmed messages. All must be known.
    pub ids: &'a [Uuid],
}
