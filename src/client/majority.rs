//! Servers that are alone, and where to go instead.
//!
//! A server without a majority says so in its greeting. What it takes is confirmed later, so
//! whoever can do without a majority asks it only when no other server has one. Whoever
//! cannot asks it like any other: it refuses at once, and says what is missing.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::timeout;

use super::connection::Connection;
use super::dial::Dialer;
use super::pacing::GREETING_LIMIT;
use crate::protocol::client::{Confirm, Mode};

/// How long all other servers have to greet before one that is alone is asked: as long as a
/// greeting may take before its server counts as frozen.
const LOOK_LIMIT: Duration = GREETING_LIMIT;

/// Whether the server had no majority when it greeted.
pub(super) fn is_alone(connection: &Connection) -> bool {
    connection.hello().mode == Mode::Alone
}

impl Dialer {
    /// Another server that has a majority, if this one is alone and there is one; else this
    /// one.
    pub(super) async fn prefer_majority(
        &self,
        server: usize,
        connection: Connection,
    ) -> (usize, Connection) {
        if !is_alone(&connection) || self.confirm != Confirm::Any || self.even_alone {
            return (server, connection);
        }
        // Nobody else's cluster is better, also where ours is not known yet.
        let ours = Dialer { cluster: connection.hello().cluster, ..self.clone() };
        match ours.look_for_majority(server).await {
            Some((elsewhere, better)) => {
                tracing::debug!(left = %connection.address(), server = %better.address(), "alone");
                (elsewhere, better)
            }
            None => (server, connection),
        }
    }

    /// The first of the servers but one that greets as having a majority. It is `None` as
    /// soon as all have refused or are alone as well, at the latest after [`LOOK_LIMIT`].
    pub(super) async fn look_for_majority(&self, but: usize) -> Option<(usize, Connection)> {
        let others = (0..self.servers.len()).filter(|server| *server != but);
        let greet = |server: usize| async move {
            let stream = Connection::reach(&self.host, &self.servers[server]).await.ok()?;
            let connection = self.greeted(stream, server).await.ok()?;
            (!is_alone(&connection)).then_some((server, connection))
        };
        let mut greeting: FuturesUnordered<_> = others.map(greet).collect();
        let first = async {
            while let Some(greeted) = greeting.next().await {
                if greeted.is_some() {
                    return greeted;
                }
            }
            None
        };
        timeout(LOOK_LIMIT, first).await.unwrap_or_default()
    }
}
