//! Whether a server that says nothing is still there.
//!
//! An answer may take seconds on a disk that stalls, and is worth waiting for. A
//! frozen server never answers. A ping tells them apart: it waits for no disk and no
//! majority, so a server that runs answers it at once, however much work is queued.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connection::{Connection, Failure};
use crate::protocol::client::{Answer, Request};

/// How long a server may be silent before it is pinged. With [`PING_LIMIT`] it is
/// less than an election by timeout takes with the default times, so a client has left
/// a frozen leader before the next one is there.
pub(super) const QUIET: Duration = Duration::from_millis(300);

/// How long the answer to that may take. On a machine whose processors are all busy it
/// takes some ten milliseconds. Leaving a server that lives costs no more than sending
/// again what is under way there.
pub(super) const PING_LIMIT: Duration = Duration::from_millis(400);

/// What is known of the life of one connection's server.
pub(super) struct Alive {
    received_at: Instant,
    asked: Option<(Instant, BoxFuture<'static, Result<Answer, Failure>>)>,
}

impl Alive {
    /// Something was received just now.
    pub(super) fn new() -> Alive {
        Alive { received_at: Instant::now(), asked: None }
    }

    /// Notes a sign of life.
    pub(super) fn received(&mut self) {
        self.received_at = Instant::now();
    }

    /// Returns once the server was silent for [`QUIET`] and then left a ping
    /// unanswered for [`PING_LIMIT`], or the connection takes no ping. May be
    /// dropped and called again; it goes on where it was.
    pub(super) async fn lost(&mut self, connection: &Connection) {
        loop {
            if let Some((asked_at, answer)) = &mut self.asked {
                // A refusal is a sign of life as well.
                match timeout_at(*asked_at + PING_LIMIT, answer).await {
                    Ok(Ok(_) | Err(Failure::Refused(_))) => self.received(),
                    Ok(Err(Failure::Broken(_))) | Err(_) => return,
                }
                self.asked = None;
            }
            sleep_until(self.received_at + QUIET).await;
            match connection.submit(&Request::Ping {}, None) {
                Ok(pending) => self.asked = Some((Instant::now(), pending.answer().boxed())),
                Err(_) => return,
            }
        }
    }
}
