//! One request at one server, which may be one of several that are asked beside each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::alive::Alive;
use super::connection::{Connection, Failure, Pending};
use super::dial::{Dialed, Dialer};
use super::pacing::server_timeout;
use crate::error::{ErrorCode, Result};
use crate::protocol::client::{Answer, Request};

/// A connection that may serve the next request as well.
pub(super) struct Kept {
    pub(super) server: usize,
    pub(super) connection: Connection,
    /// Whether it speaks for the session; else it speaks for nobody.
    pub(super) authenticated: bool,
    /// Whether it was taken without looking for a better one, should it be alone.
    pub(super) even_alone: bool,
}

/// One request at one server.
pub(super) struct Attempt {
    pub(super) server: usize,
    pub(super) stage: Arc<Stage>,
    pub(super) started: Instant,
}

/// What became of an [`Attempt`].
pub(super) struct Ended {
    pub(super) server: usize,
    /// The server that was asked: another one if that was alone.
    pub(super) asked: usize,
    /// What the next request may be asked on.
    pub(super) kept: Option<Kept>,
    pub(super) result: Result<Answer, Failure>,
}

impl Attempt {
    pub(super) fn asked(&self) -> bool {
        self.stage.asked.load(Ordering::Relaxed)
    }

    pub(super) fn silent(&self) -> bool {
        self.stage.silent.load(Ordering::Relaxed)
    }
}

/// How far an attempt has come.
#[derive(Default)]
pub(super) struct Stage {
    /// The request was handed to the connection.
    pub(super) asked: AtomicBool,
    /// And the server shows no sign of life any more.
    pub(super) silent: AtomicBool,
}

/// What all attempts of one request share.
#[derive(Clone)]
pub(super) struct Race {
    pub(super) deadline: Instant,
    pub(super) request: Arc<Request>,
    pub(super) dialer: Dialer,
    /// Notified when a server turns out to be unresponsive.
    pub(super) unresponsive: Arc<Notify>,
    /// Attempts that a server may have taken: whoever is asked beside them is told so.
    pub(super) taken: Arc<AtomicUsize>,
}

impl Race {
    /// What a server is told of the time that is left.
    fn left(&self) -> Duration {
        server_timeout(self.deadline.saturating_duration_since(Instant::now()))
    }

    /// Asks one server, over the connection that is kept if there is one. Ends when that server
    /// has answered or cannot any more, however long that takes.
    pub(super) async fn run(self, server: usize, kept: Option<Kept>, stage: Arc<Stage>) -> Ended {
        // A connection that broke while nobody looked is no attempt at all.
        let dialed = match kept.filter(|kept| kept.connection.broken().is_none()) {
            Some(kept) => self.go_on(kept).await,
            None => self.dialer.dial(server, self.left()).await,
        };
        let Dialed { server: asked, connection, authenticated } = match dialed {
            Ok(dialed) => dialed,
            Err(failure) => {
                return Ended { server, asked: server, kept: None, result: Err(failure) };
            }
        };
        let submitted = match self.taken.fetch_add(1, Ordering::Relaxed) {
            0 => connection.submit(&self.request, Some(self.left())),
            _ => {
                let repeated = Request::clone(&self.request).repeated();
                connection.submit(&repeated, Some(self.left()))
            }
        };
        let result = match submitted {
            Err(failure) => {
                // Nothing was sent.
                self.taken.fetch_sub(1, Ordering::Relaxed);
                let kept = Some(self.keep(asked, connection));
                return Ended { server, asked, kept, result: Err(failure) };
            }
            Ok(pending) => {
                stage.asked.store(true, Ordering::Relaxed);
                let mut answer = std::pin::pin!(answer(authenticated, pending, &stage));
                let mut alive = Alive::new(&connection);
                tokio::select! {
                    biased;
                    result = &mut answer => result,
                    () = alive.lost(&connection) => {
                        stage.silent.store(true, Ordering::Relaxed);
                        self.unresponsive.notify_one();
                        // It may go on one day, and the first answer counts.
                        answer.await
                    }
                }
            }
        };
        if let Err(Failure::Refused(error)) = &result
            && error.code != ErrorCode::OutcomeUnknown
        {
            // This server has done nothing.
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
        Ended { server, asked, kept: Some(self.keep(asked, connection)), result }
    }

    fn keep(&self, server: usize, connection: Connection) -> Kept {
        let Dialer { token, even_alone, .. } = &self.dialer;
        Kept { server, connection, authenticated: token.is_some(), even_alone: *even_alone }
    }

    /// The same connection again, or one to a better server if nobody has looked for that yet.
    async fn go_on(&self, kept: Kept) -> Result<Dialed, Failure> {
        let Kept { mut server, mut connection, mut authenticated, even_alone } = kept;
        if even_alone {
            let meant = server;
            (server, connection) = self.dialer.prefer_majority(meant, connection).await;
            authenticated &= server == meant;
        }
        let (connection, authenticated) = match authenticated {
            true => (connection, None),
            false => self.dialer.authenticate(connection, self.left())?,
        };
        Ok(Dialed { server, connection, authenticated })
    }
}

/// The answer to a request, or to the authentication that was sent before it.
async fn answer(
    authenticated: Option<Pending>,
    pending: Pending,
    stage: &Stage,
) -> Result<Answer, Failure> {
    if let Some(authenticated) = authenticated
        && let Err(failure) = authenticated.answer().await
    {
        // Without a session the request itself went nowhere: its own answer
        // would only say "not logged in".
        if let Failure::Refused(_) = failure {
            stage.asked.store(false, Ordering::Relaxed);
        }
        return Err(failure);
    }
    pending.answer().await
}
