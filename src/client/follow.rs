//! Messages as they come, from one server after the other.
//!
//! Messages carry their place in the cluster's total order, and a follow asks
//! for those after the last one it has handed out. So a server that dies in the
//! middle of a page, or one that repeats itself, makes no gap and no double:
//! whatever the new server sends begins exactly where the old one ended. Of what no
//! majority has confirmed yet, and which has no place, [`Shown`] tells what is new.
//!
//! A server that is cut off from the others still holds the connection, and never has
//! anything new. So servers confirm every few seconds that they are up to date, and the
//! client leaves one that does not. One that goes on alone says so instead. The client
//! stays there, looks every few seconds for a server that has a majority, and changes to it.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::alive::Alive;
use super::connection::{Connection, Failure};
use super::dial::Redialer;
use super::failover::Client;
use super::shown::{Shown, Verdict};
use crate::error::Result;
use crate::protocol::client::{Event, InboxQuery, Message, UNKNOWN};
use crate::types::{Address, ReplicaId, Timestamp, Uuid};

/// A server that does not confirm for so long that it is up to date is left. Servers
/// confirm every two seconds, so two confirmations may be late or lost in an election.
const SILENCE_LIMIT: Duration = Duration::from_secs(6);

/// After which a server that has not confirmed it is asked whether it is still there: one
/// whose machine is gone need not be waited for any longer.
const CONFIRMATION_DUE: Duration = Duration::from_millis(2_500);

/// Between two looks for a server with a majority while the followed one has none.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

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
    /// Messages flow again, or they come from a server with a majority again.
    Reconnected {
        /// From here.
        server: Address,
    },
    /// The server has no majority: there may be messages that it does not know. Said once
    /// until one is followed that has.
    Alone {
        /// The server.
        server: Address,
        /// Its replica.
        replica: ReplicaId,
        /// Since when.
        since: Timestamp,
    },
    /// A message that was handed out as an unconfirmed one is confirmed now; it is not
    /// handed out again.
    Confirmed {
        /// The message.
        id: Uuid,
        /// Its place in the total order.
        seq: u64,
    },
    /// A message that was handed out as an unconfirmed one will not be delivered.
    Refused {
        /// The message.
        id: Uuid,
        /// Why, as a sentence.
        reason: String,
    },
}

/// A running follow. It has a connection of its own, because a slow consumer
/// pauses everything on it.
pub struct Follow {
    query: InboxQuery,
    shown: Shown,
    redialer: Redialer,
    live: Option<Live>,
    /// Whether the last word to the user was [`FollowNotice::Reconnecting`].
    outage: bool,
    /// Whether it was said that the server is alone.
    alone: bool,
}

struct Live {
    events: mpsc::Receiver<Result<Event, Failure>>,
    connection: Connection,
    /// While the server is alone: a look for another one.
    look: Option<BoxFuture<'static, Option<(usize, Connection)>>>,
}

impl Live {
    fn new(connection: Connection, query: &InboxQuery) -> Result<Live, Failure> {
        let events = connection.follow(query)?;
        Ok(Live { events, connection, look: None })
    }
}

/// What a running follow waits for.
enum Came {
    Event(Event),
    /// A connection to a server that has a majority.
    Majority(usize, Connection),
}

impl Follow {
    /// Follows what matches `query` with the client's session, first what is
    /// there already. Connects when first asked for messages.
    pub fn new(client: &Client, query: InboxQuery) -> Follow {
        let shown = Shown::behind(query.after);
        let redialer = client.redialer();
        Follow { query, shown, redialer, live: None, outage: false, alone: false }
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
            let failure = match self.came().await {
                Ok(Came::Event(event)) => {
                    self.redialer.served();
                    if std::mem::take(&mut self.outage) {
                        let server = self.redialer.server().clone();
                        notice(FollowNotice::Reconnected { server });
                    }
                    let messages = self.take(event, notice);
                    if !messages.is_empty() {
                        return Ok(messages);
                    }
                    continue;
                }
                Ok(Came::Majority(server, connection)) => {
                    self.redialer.go_to(server);
                    match Live::new(connection, &self.query) {
                        Ok(live) => {
                            (self.live, self.alone) = (Some(live), false);
                            let server = self.redialer.server().clone();
                            notice(FollowNotice::Reconnected { server });
                            continue;
                        }
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            (self.live, self.alone) = (None, false);
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

    async fn came(&mut self) -> Result<Came, Failure> {
        let live = match &mut self.live {
            Some(live) => live,
            None => {
                let connection = self.redialer.attempt().await?;
                self.live.insert(Live::new(connection, &self.query)?)
            }
        };
        if self.alone && live.look.is_none() {
            live.look = Some(self.redialer.look_for_majority_after(LOOK_PAUSE));
        }
        let gone = |reason: &str| {
            Failure::Broken(crate::error::Error::new(crate::error::ErrorCode::Io, reason))
        };
        // Only waiting counts: the consumer may take its time.
        let mut alive = Alive::new(&live.connection).after(CONFIRMATION_DUE);
        tokio::select! {
            biased;
            event = timeout(SILENCE_LIMIT, live.events.recv()) => match event {
                Ok(Some(event)) => event.map(Came::Event),
                Ok(None) => Err(gone("closed the connection")),
                Err(_) => Err(gone("showed no sign of being up to date")),
            },
            () = alive.lost(&live.connection) => Err(gone("does not answer")),
            (server, connection) = found(&mut live.look, &self.redialer) => {
                Ok(Came::Majority(server, connection))
            }
        }
    }

    /// The event's messages that were not handed out before.
    fn take<N>(&mut self, event: Event, notice: &mut N) -> Vec<Message>
    where
        N: FnMut(FollowNotice) + ?Sized,
    {
        let mut messages = match event {
            Event::Messages(messages) => messages,
            // Resuming after the last message that was handed out is always
            // right; resuming here would only save the server a look.
            Event::CaughtUp { .. } => {
                self.is_alone(false);
                return Vec::new();
            }
            Event::Alone { since, .. } => {
                if !self.is_alone(true) {
                    let server = self.redialer.server().clone();
                    let replica = self.live.as_ref().map(|live| live.connection.hello().replica);
                    let replica = replica.unwrap_or(UNKNOWN);
                    notice(FollowNotice::Alone { server, replica, since });
                }
                return Vec::new();
            }
            Event::Refused { id, reason } => {
                if self.shown.is_unconfirmed(id) {
                    notice(FollowNotice::Refused { id, reason });
                }
                return Vec::new();
            }
        };
        messages.retain(|message| match (self.shown.take(message), message.seq) {
            (Verdict::Show, _) => true,
            (Verdict::Confirmed, Some(seq)) => {
                notice(FollowNotice::Confirmed { id: message.id, seq });
                false
            }
            (Verdict::Confirmed | Verdict::PassOver, _) => false,
        });
        self.query.after = self.shown.after();
        messages
    }

    /// Notes whether the followed server is alone; whether it was before.
    fn is_alone(&mut self, alone: bool) -> bool {
        if !alone && let Some(live) = &mut self.live {
            live.look = None;
        }
        std::mem::replace(&mut self.alone, alone)
    }
}

/// Waits until a look has found a server with a majority; one that has not is begun anew.
async fn found(
    look: &mut Option<BoxFuture<'static, Option<(usize, Connection)>>>,
    redialer: &Redialer,
) -> (usize, Connection) {
    loop {
        let Some(looking) = look else { return std::future::pending().await };
        let found = looking.await;
        match found {
            Some(found) => {
                *look = None;
                return found;
            }
            None => *look = Some(redialer.look_for_majority_after(LOOK_PAUSE)),
        }
    }
}
