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

/// The same of a server on another machine, which may be gone without a word: the others
/// find that out, and elect, within about as long. At least two ways there and back.
const QUIET_ELSEWHERE: Duration = Duration::from_millis(50);

/// How long such a server may then send nothing at all, apart from two ways there and back
/// and from the time that one of our lines may take on a slow one.
const PING_LIMIT_ELSEWHERE: Duration = Duration::from_millis(250);

/// What the slowest line carries in a second on which it is told whether a server is
/// there: a quarter of a megabit.
const SLOWEST_BYTES_PER_S: u64 = 32 * 1024;

/// What is known of the life of one connection's server.
pub(super) struct Alive {
    /// Since when something is waited for.
    since: Instant,
    quiet: Duration,
    asked: Option<(Instant, BoxFuture<'static, Result<Answer, Failure>>)>,
}

impl Alive {
    /// Something is waited for from now on.
    pub(super) fn new(connection: &Connection) -> Alive {
        let elsewhere = |round_trip| QUIET_ELSEWHERE.max(2 * round_trip);
        let quiet = connection.round_trip().map_or(QUIET, elsewhere);
        Alive { since: Instant::now(), quiet, asked: None }
    }

    /// The same for a server that says something every so often by itself, and is only
    /// pinged when it has not.
    pub(super) fn after(self, quiet: Duration) -> Alive {
        Alive { quiet, ..self }
    }

    /// Nothing was waited for until now.
    pub(super) fn wait_from_now_on(&mut self) {
        self.since = Instant::now();
    }

    /// Returns once the server has sent nothing for a while and then left a ping
    /// unanswered, or the connection takes no ping. May be dropped and called again; it
    /// goes on where it was.
    pub(super) async fn lost(&mut self, connection: &Connection) {
        loop {
            let Some((asked_at, answer)) = &mut self.asked else {
                let pinged_at = connection.received_at().max(self.since) + self.quiet;
                if pinged_at > Instant::now() {
                    sleep_until(pinged_at).await;
                    continue;
                }
                match connection.submit(&Request::Ping {}, None) {
                    Ok(pending) => self.asked = Some((Instant::now(), pending.answer().boxed())),
                    Err(_) => return,
                }
                continue;
            };
            // The answer may be behind others, of which some comes all the time.
            let asked_at = *asked_at;
            let lost_at = || connection.received_at().max(asked_at) + ping_limit(connection);
            match timeout_at(lost_at(), answer).await {
                // A refusal is a sign of life as well.
                Ok(Ok(_) | Err(Failure::Refused(_))) => self.asked = None,
                Ok(Err(Failure::Broken(_))) => return,
                Err(_) if lost_at() > Instant::now() => {}
                Err(_) => return,
            }
        }
    }
}

/// How long a server that was pinged may send nothing.
fn ping_limit(connection: &Connection) -> Duration {
    match connection.round_trip() {
        None => PING_LIMIT,
        Some(round_trip) => {
            let line_ms = connection.longest_line() as u64 * 1_000 / SLOWEST_BYTES_PER_S;
            PING_LIMIT_ELSEWHERE + 2 * round_trip + Duration::from_millis(line_ms)
        }
    }
}
