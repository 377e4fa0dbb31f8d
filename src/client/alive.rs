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
use crate::host::unacknowledged_max;
use crate::protocol::client::{Answer, Request};

/// How long a server may be silent before it is pinged. With [`PING_LIMIT`] it is
/// less than an election by timeout takes with the default times, so a client has left
/// a frozen leader before the next one is there.
pub(super) const QUIET: Duration = Duration::from_millis(300);

/// How long the answer to that may take. On a machine whose processors are all busy it
/// takes some ten milliseconds. Leaving a server that lives costs no more than sending
/// again what is under way there.
pub(super) const PING_LIMIT: Duration = Duration::from_millis(400);

/// The same of a server on another machine, which may be gone without a word: the others
/// find that out, and elect, within [`unacknowledged_max`] and a twentieth of a second.
const QUIET_ELSEWHERE: Duration = Duration::from_millis(50);

/// What is known of the life of one connection's server.
pub(super) struct Alive {
    received_at: Instant,
    quiet: Duration,
    ping_limit: Duration,
    asked: Option<(Instant, BoxFuture<'static, Result<Answer, Failure>>)>,
}

impl Alive {
    /// Something was received just now.
    pub(super) fn new(connection: &Connection) -> Alive {
        let (quiet, ping_limit) = match connection.round_trip() {
            None => (QUIET, PING_LIMIT),
            Some(round_trip) => (QUIET_ELSEWHERE, unacknowledged_max(round_trip)),
        };
        Alive { received_at: Instant::now(), quiet, ping_limit, asked: None }
    }

    /// The same for a server that says something every so often by itself, and is only
    /// pinged when it has not.
    pub(super) fn after(self, quiet: Duration) -> Alive {
        Alive { quiet, ..self }
    }

    /// Notes a sign of life.
    pub(super) fn received(&mut self) {
        self.received_at = Instant::now();
    }

    /// Returns once the server was silent for a while and then left a ping unanswered, or
    /// the connection takes no ping. May be dropped and called again; it goes on where it
    /// was.
    pub(super) async fn lost(&mut self, connection: &Connection) {
        loop {
            if let Some((asked_at, answer)) = &mut self.asked {
                // A refusal is a sign of life as well.
                match timeout_at(*asked_at + self.ping_limit, answer).await {
                    Ok(Ok(_) | Err(Failure::Refused(_))) => self.received(),
                    Ok(Err(Failure::Broken(_))) | Err(_) => return,
                }
                self.asked = None;
            }
            sleep_until(self.received_at + self.quiet).await;
            match connection.submit(&Request::Ping {}, None) {
                Ok(pending) => self.asked = Some((Instant::now(), pending.answer().boxed())),
                Err(_) => return,
            }
        }
    }
}
