//! Messages as they come, from one server after the other.
//!
//! Messages carry their place in the cluster's total order, and a follow asks
//! for those after the last one it has handed out. So a server that dies in the
//! middle of a page, or one that repeats itself, makes no gap and no double:
//! whatever the new server sends begins exactly where the old one ended.
//!
//! A server that is cut off from the others still holds the connection, and never has
//! anything new. So servers confirm every few seconds that they are up to date, and the
//! client leaves one that does not.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::alive::Alive;
use super::connection::{Connection, Failure};
use super::dial::Redialer;
use super::failover::Client;
use crate::error::Result;
use crate::protocol::client::{Event, InboxQuery, Message};
use crate::types::Address;

/// A server that does not confirm for so long that it is up to date is left. Servers
/// confirm every two seconds, so two confirmations may be late or lost in an election.
const SILENCE_LIMIT: Duration = Duration::from_secs(6);

/// After which a server that has not confirmed it is asked whether it is still there: one
/// whose machine is gone need not be waited for any longer.
const CONFIRMATION_DUE: Duration = Duration::from_millis(2_500);

/// What a user may want to know of a running follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowNotice {
    /// The server is lost, and another is looked for. Said once for each outage.
    Reconnecting {
        /// The server that was lost.
        server: Address,
        /// What happened to it.
        reason: String,
    },
    /// Messages flow again.
    Reconnected {
        /// From here.
        server: Address,
    },
}

/// A running follow. It has a connection of its own, because a slow consumer
/// pauses everything on it.
pub struct Follow {
    query: InboxQuery,
    redialer: Redialer,
    live: Option<Live>,
    /// Whether the last word to the user was [`FollowNotice::Reconnecting`].
    outage: bool,
}

struct Live {
    events: mpsc::Receiver<Result<Event, Failure>>,
    connection: Connection,
}

impl Follow {
    /// Follows what matches `query` with the client's session, first what is
    /// there already. Connects when first asked for messages.
    pub fn new(client: &Client, query: InboxQuery) -> Follow {
        Follow { query, redialer: client.redialer(), live: None, outage: false }
    }

    /// The next messages, one or more, in order. Waits for ever and reconnects
    /// for ever. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What no other server and no later time can change, such as an expired
    /// session; the follow is over then.
    pub async fn next<N>(&mut self, notice: &mut N) -> Result<Vec<Message>>
    where
        N: FnMut(FollowNotice) + ?Sized,
    {
        loop {
            let failure = match self.event().await {
                Ok(event) => {
                    self.redialer.served();
                    if std::mem::take(&mut self.outage) {
                        let server = self.redialer.server().clone();
                        notice(FollowNotice::Reconnected { server });
                    }
                    let messages = self.take(event);
                    if !messages.is_empty() {
                        return Ok(messages);
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            self.live = None;
            let error = match failure {
                Failure::Refused(error) if !error.retryable() => return Err(error),
                Failure::Refused(error) | Failure::Broken(error) => error,
            };
            if !std::mem::replace(&mut self.outage, true) {
                let server = self.redialer.server().clone();
                notice(FollowNotice::Reconnecting { server, reason: error.message });
            }
            self.redialer.failed();
        }
    }

    async fn event(&mut self) -> Result<Event, Failure> {
        let live = match &mut self.live {
            Some(live) => live,
            None => {
                let connection = self.redialer.attempt().await?;
                let events = connection.follow(&self.query)?;
                self.live.insert(Live { events, connection })
            }
        };
        let gone = |reason: &str| {
            Failure::Broken(crate::error::Error::new(crate::error::ErrorCode::Io, reason))
        };
        // Only waiting counts: the consumer may take its time.
        let mut alive = Alive::new(&live.connection).after(CONFIRMATION_DUE);
        tokio::select! {
            biased;
            event = timeout(SILENCE_LIMIT, live.events.recv()) => match event {
                Ok(Some(event)) => event,
                Ok(None) => Err(gone("closed the connection")),
                Err(_) => Err(gone("showed no sign of being up to date")),
            },
            () = alive.lost(&live.connection) => Err(gone("does not answer")),
        }
    }

    /// The event's messages that were not handed out before.
    fn take(&mut self, event: Event) -> Vec<Message> {
        let mut messages = match event {
            Event::Messages(messages) => messages,
            // Resuming after the last message that was handed out is always
            // right; resuming here would only save the server a look.
            Event::CaughtUp { .. } | Event::Alone { .. } | Event::Refused { .. } => {
                return Vec::new();
            }
        };
        messages.retain(|message| {
            let new = self.query.after.is_none_or(|after| message.seq > Some(after));
            if new {
                self.query.after = message.seq;
            }
            new
        });
        messages
    }
}
