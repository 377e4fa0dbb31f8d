//! From a list of servers to a connection that is greeted and authenticated.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connection::{Connection, Failure, Pending};
use super::pacing::{Backoff, Reasons, answer_limit};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Host, Stream};
use crate::protocol::client::{Confirm, Request};
use crate::sync::Mutex;
use crate::types::{Address, Uuid};

/// How long a server may look for the session of a long-lived connection.
const AUTHENTICATE_LIMIT: Duration = Duration::from_secs(5);

/// Most members of a cluster that a server's word is taken for.
const MEMBERS_MAX: usize = 64;

/// Where the servers of a cluster are found, by the word of the one that greeted last.
/// Clones are one and the same.
#[derive(Clone, Default)]
pub struct Members(Arc<Mutex<Vec<Address>>>);

impl Members {
    /// Notes what a server has said. One that said nothing is an older program.
    pub fn note(&self, mut members: Vec<Address>) {
        members.truncate(MEMBERS_MAX);
        if !members.is_empty() {
            *self.0.lock() = members;
        }
    }

    /// Empty while no server has said.
    pub fn get(&self) -> Vec<Address> {
        self.0.lock().clone()
    }
}

/// What every connection of a client has in common.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) host: Host,
    pub(super) servers: Vec<Address>,
    /// Sent first on every connection.
    pub(super) token: Option<SecretString>,
    /// The only cluster that is spoken to, once it is known.
    pub(super) cluster: Option<Uuid>,
    /// Who has to confirm what is asked.
    pub(super) confirm: Confirm,
    /// Whether being alone is no reason to leave a server: where what is asked comes behind
    /// something that was taken alone, the server that has that may be the only one to take
    /// this; and of which cluster it is every server may say.
    pub(super) even_alone: bool,
    /// What the servers say of each other.
    pub(super) members: Members,
}

/// A connection that may be asked, and at which server: another one than was meant, if that
/// one is alone.
pub(super) struct Dialed {
    pub(super) server: usize,
    pub(super) connection: Connection,
    /// The answer to the session's token.
    pub(super) authenticated: Option<Pending>,
}

impl Dialer {
    /// Looks from now on at the first `named` servers, and behind them at those that the
    /// servers have named last.
    pub(super) fn learn(&mut self, named: usize) {
        self.servers.truncate(named);
        for member in self.members.get() {
            if !self.servers.contains(&member) {
                self.servers.push(member);
            }
        }
    }

    /// Connects to one server and sends the token without waiting for the answer, so
    /// that the first request travels along. A server that does not know the session
    /// must ask a majority about it, and gives up after `timeout`.
    pub(super) async fn dial(&self, server: usize, timeout: Duration) -> Result<Dialed, Failure> {
        let stream = Connection::reach(&self.host, &self.servers[server]).await?;
        let connection = self.greeted(stream, server).await?;
        self.chosen(server, connection, timeout).await
    }

    /// Waits for a server's greeting on a connection that is made.
    pub(super) async fn greeted(
        &self,
        stream: Stream,
        server: usize,
    ) -> Result<Connection, Failure> {
        let connection = Connection::greet(stream, &self.servers[server]).await?;
        let Some(cluster) = connection.hello().cluster else {
            return Err(Failure::Broken(Error::unavailable("has not joined its cluster yet")));
        };
        // The token of one cluster's session must not be shown to another's
        // servers: whoever listens at an old address could use it.
        if self.cluster.is_some_and(|ours| ours != cluster) {
            return Err(Failure::Broken(Error::new(
                ErrorCode::WrongCluster,
                format!("belongs to another cluster, {cluster}"),
            )));
        }
        self.members.note(connection.hello().members.clone());
        Ok(connection.confirming(self.confirm))
    }

    /// Goes on with a server that has greeted, or with one that has a majority.
    async fn chosen(
        &self,
        server: usize,
        connection: Connection,
        timeout: Duration,
    ) -> Result<Dialed, Failure> {
        let (server, connection) = self.prefer_majority(server, connection).await;
        let (connection, authenticated) = self.authenticate(connection, timeout)?;
        Ok(Dialed { server, connection, authenticated })
    }

    /// The same as [`Dialer::dial`] within a time limit for each half: to be connected,
    /// which takes two ways there and back, and to be greeted. One for both would be too
    /// short for servers that are far away.
    async fn dial_within(&self, limit: Duration, server: usize) -> Result<Dialed, Failure> {
        let slow = |_| Failure::Broken(Error::new(ErrorCode::Io, "did not answer"));
        let reaching = Connection::reach(&self.host, &self.servers[server]);
        let stream = timeout(limit, reaching).await.map_err(slow)??;
        let greeted = timeout(limit, self.greeted(stream, server)).await.map_err(slow)??;
        self.chosen(server, greeted, AUTHENTICATE_LIMIT).await
    }

    /// Lets a connection that speaks for nobody yet speak for the session, if there is
    /// one. The answer is waited for later.
    pub(super) fn authenticate(
        &self,
        connection: Connection,
        timeout: Duration,
    ) -> Result<(Connection, Option<Pending>), Failure> {
        let authenticated = match &self.token {
            None => None,
            Some(token) => {
                let token = token.expose_secret().to_owned();
                Some(connection.submit(&Request::Authenticate { token }, Some(timeout))?)
            }
        };
        Ok((connection, authenticated))
    }
}

/// Finds a server again and again, for what outlives single connections.
pub(super) struct Redialer {
    pub(super) dialer: Dialer,
    /// How many of its servers the user has named.
    named: usize,
    next: usize,
    /// Whether to go on to the leader; see [`Redialer::toward_leader`].
    toward_leader: bool,
    /// Servers that failed since the last wait.
    failed: usize,
    backoff: Backoff,
}

impl Redialer {
    /// Starts with server number `first`.
    pub(super) fn new(dialer: Dialer, first: usize) -> Redialer {
        let (failed, backoff, named) = (0, Backoff::new(), dialer.servers.len());
        Redialer { dialer, named, next: first, toward_leader: false, failed, backoff }
    }

    /// From now on, a first server that names another as the leader is left for
    /// that one. This is for callers with many changes: a follower forwards each to the
    /// leader and waits, which is one more round trip. After a failure any server that
    /// serves is good enough, so servers that name each other cannot send a client
    /// round.
    pub(super) fn toward_leader(mut self) -> Redialer {
        self.toward_leader = true;
        self
    }

    /// Whether what is asked from now on comes behind something that was taken alone.
    pub(super) fn follow(&mut self, follows: bool) {
        self.dialer.even_alone = follows;
    }

    /// The server that is tried next.
    pub(super) fn server(&self) -> &Address {
        &self.dialer.servers[self.next]
    }

    /// The current connection is to this server.
    pub(super) fn go_to(&mut self, server: usize) {
        self.next = server;
    }

    /// Waits for `pause`, then looks once for another server that has a majority and takes
    /// the session.
    pub(super) fn look_for_majority_after(
        &self,
        pause: Duration,
    ) -> BoxFuture<'static, Option<(usize, Connection)>> {
        let (dialer, but) = (self.dialer.clone(), self.next);
        Box::pin(async move {
            sleep(pause).await;
            let (server, connection) = dialer.look_for_majority(but).await?;
            let (connection, authenticated) =
                dialer.authenticate(connection, AUTHENTICATE_LIMIT).ok()?;
            if let Some(pending) = authenticated {
                timeout(AUTHENTICATE_LIMIT, pending.answer()).await.ok()?.ok()?;
            }
            Some((server, connection))
        })
    }

    /// The server of the current connection did not serve: another is next.
    pub(super) fn failed(&mut self) {
        self.next = (self.next + 1) % self.dialer.servers.len();
        self.failed += 1;
    }

    /// The current connection serves: the next failure is news again.
    pub(super) fn served(&mut self) {
        self.failed = 0;
        self.backoff = Backoff::new();
    }

    /// Waits if all servers failed since the last wait, then tries one.
    ///
    /// # Errors
    /// [`Failure::Broken`] or a retryable [`Failure::Refused`]: try again.
    /// Any other refusal, such as an expired session, is final.
    pub(super) async fn attempt(&mut self) -> Result<Connection, Failure> {
        if self.failed >= self.dialer.servers.len() {
            sleep(self.backoff.wait(&self.dialer.host)).await;
            self.failed = 0;
            // Those that it knew may all have been replaced meanwhile.
            self.dialer.learn(self.named);
            self.next %= self.dialer.servers.len();
        }
        let slow = || Failure::Broken(Error::new(ErrorCode::Io, "did not answer"));
        let limit = self.backoff.greeting_limit();
        let mut dialed = self.dialer.dial_within(limit, self.next).await?;
        self.next = dialed.server;
        if let Some(leader) = self.leader_elsewhere(&dialed.connection) {
            // A leader that cannot be reached from here is no reason to fail.
            if let Ok(leading) = self.dialer.dial_within(limit, leader).await
                && leading.connection.hello().cluster == dialed.connection.hello().cluster
            {
                self.next = leading.server;
                dialed = leading;
            }
        }
        if let Some(pending) = dialed.authenticated {
            let limit = answer_limit(Duration::from_secs(10));
            timeout(limit, pending.answer()).await.unwrap_or_else(|_| Err(slow()))?;
        }
        Ok(dialed.connection)
    }

    /// Which server to go on to from the one that has just greeted, if any.
    fn leader_elsewhere(&self, connection: &Connection) -> Option<usize> {
        if !self.toward_leader || self.failed > 0 {
            return None;
        }
        let leader = connection.hello().leader.as_ref()?;
        // Only a server that the user named: a greeting proves nothing, and the token goes
        // where we go. That is different when nobody is left of those.
        let server =
            self.dialer.servers[..self.named].iter().position(|server| server == leader)?;
        (server != self.next).then_some(server)
    }

    /// Tries servers until one serves or `deadline` passes.
    ///
    /// # Errors
    /// A final refusal, or `None` when the time is up; `reasons` tells why.
    pub(super) async fn connect(
        &mut self,
        deadline: Instant,
        reasons: &mut Reasons,
    ) -> Result<Connection, Option<Error>> {
        loop {
            let failure = match timeout_at(deadline, self.attempt()).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(failure)) => failure,
                Err(_) => {
                    reasons.note(self.server(), "did not answer");
                    return Err(None);
                }
            };
            let error = match failure {
                Failure::Refused(error) if !error.retryable() => return Err(Some(error)),
                Failure::Refused(error) => {
                    reasons.note_word(self.server(), error.message.as_str());
                    error
                }
                Failure::Broken(error) => {
                    reasons.note_failure(self.server(), &error);
                    error
                }
            };
            tracing::debug!(server = %self.server(), reason = ?error.message);
            self.failed();
        }
    }
}
