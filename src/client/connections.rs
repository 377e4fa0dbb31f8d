//! Connections of one session, one after the other, for a caller that keeps many
//! requests of its own under way.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use super::dial::Redialer;
use super::failover::Client;
use super::pacing::Reasons;
use crate::error::{Error, Result};

/// See the head of this file. Made by [`Client::connections`].
pub struct Connections {
    redialer: Redialer,
    timeout: Duration,
}

impl Client {
    /// Connections with the client's session, the first of them to server
    /// number `first` of the list, counted from 0 and round and round.
    pub fn connections(&self, first: usize) -> Connections {
        Connections { redialer: self.redialer_from(first), timeout: self.timeout() }
    }
}

impl Connections {
    /// The same, but on to the leader where the first server names another, as
    /// suits many changes. Reads are every server's work.
    pub fn toward_leader(self) -> Connections {
        Connections { redialer: self.redialer.toward_leader(), ..self }
    }

    /// The next one: greeted, and authenticated.
    ///
    /// # Errors
    /// A refusal that no other server would lift, such as an expired session;
    /// [`ErrorCode::Unavailable`](crate::error::ErrorCode::Unavailable) when no
    /// server serves within the client's timeout.
    pub async fn next(&mut self) -> Result<Connection> {
        let mut reasons = Reasons::default();
        let deadline = Instant::now() + self.timeout;
        let connected = self.redialer.connect(deadline, &mut reasons).await;
        connected.map_err(|refused: Option<Error>| {
            refused.unwrap_or_else(|| reasons.unavailable(self.timeout))
        })
    }

    /// The last one has served: its failure would be news again.
    pub fn served(&mut self) {
        self.redialer.served();
    }

    /// The last one did not serve: the next is to another server.
    pub fn failed(&mut self) {
        self.redialer.failed();
    }
}
