//! Who waits for an answer, in the order in which they asked.
//!
//! While a majority is there a change goes to the log at once, and a note of it stays here
//! until it is answered. When the server finds itself alone, all of them are taken from here,
//! in this order, and put into its list first (R4). What is to follow an entry that is not
//! settled yet is held back, and so is everything that comes while a server goes back to its
//! majority.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::stream::ChangeStream;
use super::{Accepted, Alone, Answer};
use crate::chat::{Action, Operation};
use crate::error::Result;
use crate::planted::{self, Bug};
use crate::protocol::client::Confirm;
use crate::types::{Place, Uuid};

/// A change as somebody wants it.
pub(super) struct Wanted {
    pub(super) operation: Operation,
    /// Messages that a mark names by their ids.
    pub(super) mark_ids: Vec<Uuid>,
    /// The message that this one comes behind, if that is known.
    pub(super) after_id: Option<Uuid>,
    pub(super) deadline: Instant,
    pub(super) stream: ChangeStream,
    pub(super) confirm: Confirm,
}

/// A change that the acceptor is to take.
pub(super) struct Asked {
    pub(super) wanted: Wanted,
    /// Whether it has waited for a majority, and may have come into a log.
    pub(super) waited: bool,
    /// Whether it was found there, and nobody waits for an answer.
    pub(super) in_log: bool,
    pub(super) reply: oneshot::Sender<Result<Accepted>>,
}

/// A change on its way into the log.
struct Waiting {
    wanted: Wanted,
    /// Gets what will bring the answer, if the server takes it alone.
    taken: oneshot::Sender<oneshot::Receiver<Result<Accepted>>>,
}

/// A change that is held back.
pub(super) struct HeldBack {
    pub(super) wanted: Wanted,
    /// What must be settled before, as its client says.
    pub(super) after: Option<Place>,
    /// Gets what will bring the answer.
    pub(super) released: oneshot::Sender<Released>,
}

/// What becomes of one that was held back.
pub(super) enum Released {
    /// It is on its way into the log.
    Proposed(Answer),
    /// The server is alone, and takes it.
    Taken(oneshot::Receiver<Result<Accepted>>),
}

/// Where changes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Into the log.
    Log,
    /// To the acceptor, since the server is alone.
    Acceptor,
    /// Nowhere yet: a majority is back, and the acceptor takes what is in its queue.
    Back,
}

/// See the head of this file.
pub(super) struct Line {
    pub(super) way: Way,
    /// How often the server has gone alone.
    pub(super) times_alone: u64,
    /// Of the first in `waiting`; the others follow.
    first: u64,
    /// `None` where one was answered.
    waiting: VecDeque<Option<Waiting>>,
    pub(super) held: VecDeque<HeldBack>,
    /// How many were answered by the log.
    pub(super) answered: u64,
    acceptor: mpsc::UnboundedSender<Asked>,
}

impl Line {
    pub(super) fn new(acceptor: mpsc::UnboundedSender<Asked>) -> Line {
        Line {
            way: Way::Log,
            times_alone: 0,
            first: 0,
            waiting: VecDeque::new(),
            held: VecDeque::new(),
            answered: 0,
            acceptor,
        }
    }

    /// Notes a change that is put into the log now. Returns its number, and what will come if
    /// the server takes it alone.
    pub(super) fn note(
        &mut self,
        wanted: Wanted,
    ) -> (u64, oneshot::Receiver<oneshot::Receiver<Result<Accepted>>>) {
        let (taken, taking) = oneshot::channel();
        self.waiting.push_back(Some(Waiting { wanted, taken }));
        (self.first + self.waiting.len() as u64 - 1, taking)
    }

    /// Holds a change back, behind all others that are.
    pub(super) fn hold(&mut self, held: HeldBack) {
        held.wanted.stream.hold();
        self.held.push_back(held);
    }

    /// Whether any change waits for the log: itself, or for an entry of this server's own.
    pub(super) fn any_waits(&self) -> bool {
        !self.waiting.is_empty() || self.held.iter().any(|it| it.wanted.stream.place().is_some())
    }

    fn strike_out(&mut self, number: u64) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(place) = index.and_then(|index| self.waiting.get_mut(index)) {
            *place = None;
        }
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
    }

    /// Gives everything that waits to the acceptor, in order, and everything that comes
    /// from now on.
    pub(super) fn go_alone(&mut self) {
        (self.way, self.times_alone) = (Way::Acceptor, self.times_alone + 1);
        if planted::is(Bug::LeaveBehindWhatWaits) {
            return;
        }
        self.first += self.waiting.len() as u64;
        for Waiting { wanted, taken } in std::mem::take(&mut self.waiting).into_iter().flatten() {
            let (reply, answer) = oneshot::channel();
            wanted.stream.turn();
            // Who does not wait any more is not served.
            if taken.send(answer).is_ok() {
                self.ask(Asked { wanted, waited: true, in_log: false, reply });
            }
        }
        for HeldBack { mut wanted, after, released } in std::mem::take(&mut self.held) {
            wanted.stream.let_go();
            if let Action::Send { after: asked, .. } = &mut wanted.operation.action {
                *asked = after;
            }
            let (reply, answer) = oneshot::channel();
            if released.send(Released::Taken(answer)).is_ok() {
                self.ask(Asked { wanted, waited: false, in_log: false, reply });
            }
        }
    }

    /// Puts a change into the acceptor's queue.
    pub(super) fn ask(&self, asked: Asked) {
        // When it has ended the reply is dropped, and whoever waits learns that.
        let _ = self.acceptor.send(asked);
    }
}

/// Takes a change out of the line when it is answered, or nobody waits for it any more.
pub(super) struct InLine {
    alone: Alone,
    number: u64,
}

impl InLine {
    pub(super) fn new(alone: Alone, number: u64) -> InLine {
        InLine { alone, number }
    }

    /// The log has answered.
    pub(super) fn answered(self) {
        self.alone.line().answered += 1;
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.alone.line().strike_out(self.number);
    }
}
