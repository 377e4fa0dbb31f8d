//! One request at a time, at whichever server answers first.
//!
//! A request goes to one server. If that one refuses the connection, breaks it
//! or says "not now", the next is asked at once, and after a round in which all
//! failed there is a short pause. A server that does not answer may be frozen, which
//! a ping shows soon ([`Attempt::silent`]), or may be waiting for an election, for which it has
//! a while. In either case it is left to work, and the next server is asked *beside*
//! it, with the same operation id. The first answer that decides the matter counts.
//!
//! # When time is up
//! An attempt may have entered a log if its line was handed to a connection and
//! the server has not said what became of it, or said that it does not know.
//! With one such attempt the error is [`ErrorCode::OutcomeUnknown`]. Without any,
//! nothing was done and it is [`ErrorCode::Unavailable`]. Nothing is handed over
//! before the server's greeting, so servers that are dead or were frozen all
//! along leave no doubt.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use secrecy::SecretString;
use tokio::time::{Instant, sleep_until};

use super::attempt::{Attempt, Ended, Kept, Race, Stage};
use super::connection::Failure;
use super::dial::{Dialer, Members, Redialer};
use super::pacing::{Backoff, CLUSTER_LIMIT, GREETING_LIMIT, Reasons, answer_limit};
use super::verdict::{decides, is_final, unknown};
use crate::config::duration;
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::protocol::client::{Answer, Confirm, Request};
use crate::types::{Address, ReplicaId, Uuid};

/// So long before the time is up no other attempt at a change is begun, or a tenth of the time.
const LEAST_TIME: Duration = Duration::from_millis(100);

/// See the head of this file.
pub struct Client {
    dialer: Dialer,
    timeout: Duration,
    /// The connection that answered last.
    current: Option<Kept>,
    /// The server to ask next, when there is no such connection.
    next: usize,
}

/// One request while it has no result.
struct Asking {
    /// Attempts that have not ended, each with its future in `running`.
    attempts: Vec<Attempt>,
    running: FuturesUnordered<BoxFuture<'static, Ended>>,
    race: Race,
    /// The whole time.
    limit: Duration,
    /// How long a server may take to greet before another is asked beside it.
    greeting_limit: Duration,
    /// Whether any attempt was begun.
    begun: bool,
    /// Whether the request changes anything.
    changes: bool,
    /// Whether an attempt that has ended may have made the change: its server did not say.
    doubt: bool,
    reasons: Reasons,
    /// Attempts that failed since the last pause.
    failed: usize,
    backoff: Backoff,
    launch_at: Instant,
    /// Whether the next launch is because of a missing answer, not of a failure.
    hedging: bool,
}

impl Client {
    /// A client of a cluster whose servers are listed, in any order. Connects
    /// when it is first asked, starting with a random server. `timeout` is how
    /// long each request keeps trying.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] for an empty list.
    pub fn new(host: Host, servers: Vec<Address>, timeout: Duration) -> Result<Client> {
        if servers.is_empty() {
            return Err(Error::new(
                ErrorCode::InvalidConfig,
                "no servers are configured: name some with --servers HOST:PORT,…",
            ));
        }
        let next = (host.random_u64() % servers.len() as u64) as usize;
        let members = Members::default();
        let confirm = Confirm::Majority;
        let (token, cluster, even_alone) = (None, None, false);
        let dialer = Dialer { host, servers, token, cluster, confirm, even_alone, members };
        Ok(Client { dialer, timeout, current: None, next })
    }

    /// The same, but begins with one of the first `count` servers.
    pub fn beginning_among(mut self, count: usize) -> Client {
        self.next %= count.max(1);
        self
    }

    /// The same, but notes there where the servers of its cluster are, as they say.
    pub fn noting(mut self, members: &Members) -> Client {
        self.dialer.members = members.clone();
        self
    }

    /// The same, but says who has to confirm what is asked. Without this it is a majority.
    pub fn confirming(mut self, confirm: Confirm) -> Client {
        self.dialer.confirm = confirm;
        self
    }

    /// The seams that this client uses.
    pub fn host(&self) -> &Host {
        &self.dialer.host
    }

    /// The server that answered last, if it is still connected.
    pub fn server(&self) -> Option<(ReplicaId, &Address)> {
        let connection = &self.current.as_ref()?.connection;
        Some((connection.hello().replica, connection.address()))
    }

    /// How long a request keeps trying.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Speaks for a session of `cluster` from now on; the token goes to no
    /// server that names another one.
    pub fn set_session(&mut self, token: SecretString, cluster: Uuid) {
        // A connection without a session can be authenticated later. Every command begins
        // with one: it must ask for the cluster to find its stored session.
        let can_learn =
            |kept: &Kept| !kept.authenticated && kept.connection.hello().cluster == Some(cluster);
        if !self.current.as_ref().is_some_and(can_learn) {
            self.drop_connection();
        }
        self.dialer.token = Some(token);
        self.dialer.cluster = Some(cluster);
    }

    /// Speaks for nobody from now on.
    pub fn clear_session(&mut self) {
        self.drop_connection();
        self.dialer.token = None;
    }

    fn drop_connection(&mut self) {
        if let Some(kept) = self.current.take() {
            self.next = kept.server;
        }
    }

    /// The cluster that the servers belong to. Once known it stays: a server
    /// of another cluster in the list is passed over.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when no server answers in time.
    pub async fn cluster(&mut self) -> Result<Uuid> {
        if self.dialer.cluster.is_none() {
            self.request(Request::Ping {}).await?;
        }
        self.dialer.cluster.ok_or_else(|| Error::internal("a server answered without a cluster"))
    }

    /// Begins the next request with the server at this address, if it is one of the cluster's.
    pub fn begin_at(&mut self, address: &Address) {
        let Some(server) = self.dialer.servers.iter().position(|it| it == address) else { return };
        if self.current.as_ref().is_none_or(|kept| kept.server != server) {
            self.current = None;
            self.next = server;
        }
    }

    /// What long-lived connections of the same session start from.
    pub(super) fn redialer(&self) -> Redialer {
        self.redialer_from(self.current.as_ref().map_or(self.next, |kept| kept.server))
    }

    /// The same, beginning with another server.
    pub(super) fn redialer_from(&self, first: usize) -> Redialer {
        Redialer::new(self.dialer.clone(), first % self.dialer.servers.len())
    }

    /// Asks until somebody answers or the time is up; see the head of this file.
    ///
    /// # Errors
    /// The server's refusal when it is final; [`ErrorCode::Unavailable`] when
    /// nothing was done; [`ErrorCode::OutcomeUnknown`] when a change may or may
    /// not have been made, naming the operation id with which to repeat it.
    pub async fn request(&mut self, request: Request) -> Result<Answer> {
        self.request_within(self.timeout, request, false).await
    }

    /// The same, with another limit of time. `doubt`: whether it may have been done before, so
    /// that only an answer can say that it was not.
    pub(super) async fn request_within(
        &mut self,
        limit: Duration,
        request: Request,
        doubt: bool,
    ) -> Result<Answer> {
        let mut asking = Asking { doubt, ..Asking::new(&self.dialer, limit, request) };
        loop {
            let idle = self.idle(&asking.attempts);
            let ended = tokio::select! {
                biased;
                Some(ended) = asking.running.next(), if !asking.running.is_empty() => ended,
                () = sleep_until(asking.race.deadline) => break,
                () = asking.race.unresponsive.notified(), if idle.is_some() => {
                    asking.launch_at = Instant::now();
                    continue;
                }
                () = at(asking.launch_at), if idle.is_some() && !asking.is_late() => {
                    self.launch(&mut asking, idle.unwrap_or(self.next));
                    continue;
                }
            };
            if let Some(result) = self.judge(&mut asking, ended) {
                return result;
            }
        }
        Err(asking.out_of_time())
    }

    /// The next server that is not being asked.
    fn idle(&self, attempts: &[Attempt]) -> Option<usize> {
        (0..self.dialer.servers.len())
            .map(|step| (self.next + step) % self.dialer.servers.len())
            .find(|server| attempts.iter().all(|attempt| attempt.server != *server))
    }

    /// Begins an attempt on the connection that is kept, else at an idle server,
    /// unless the last attempt has a right to more time.
    fn launch(&mut self, asking: &mut Asking, idle: usize) {
        let limit = answer_limit(self.timeout);
        let working = asking.attempts.last().filter(|last| last.asked() && !last.silent());
        let may_answer =
            |last: &&Attempt| asking.hedging && last.started + limit > asking.launch_at;
        if let Some(last) = working.filter(may_answer) {
            // Greeted in time: an answer may take longer than a greeting.
            asking.launch_at = last.started + limit;
            return;
        }
        let kept = self.current.take();
        let server = kept.as_ref().map_or(idle, |kept| kept.server);
        let stage = Arc::new(Stage::default());
        asking.begun = true;
        asking.running.push(Box::pin(asking.race.clone().run(server, kept, stage.clone())));
        asking.attempts.push(Attempt { server, stage, started: Instant::now() });
        self.next = (server + 1) % self.dialer.servers.len();
        asking.launch_at = Instant::now() + asking.greeting_limit;
        asking.hedging = true;
    }

    /// What an attempt that has ended means for the request: its result, or
    /// `None` when another server is to be asked.
    fn judge(&mut self, asking: &mut Asking, ended: Ended) -> Option<Result<Answer>> {
        let changes = asking.changes;
        let asked = asking.attempts.iter().any(|a| a.server == ended.server && a.asked());
        asking.attempts.retain(|attempt| attempt.server != ended.server);
        let address = &self.dialer.servers[ended.asked];
        let error = match ended.result {
            Ok(answer) => {
                self.keep(ended.kept);
                return Some(Ok(answer));
            }
            Err(Failure::Refused(error)) if is_final(&error) => {
                self.keep(ended.kept);
                asking.doubt |= changes && asking.attempts.iter().any(Attempt::asked);
                return Some(Err(match asking.doubt && !decides(error.code) {
                    true => unknown(&asking.race.request, &error.message),
                    false => error,
                }));
            }
            Err(Failure::Refused(error)) => {
                asking.doubt |= error.code == ErrorCode::OutcomeUnknown;
                asking.reasons.note_word(address, error.message.as_str());
                error
            }
            Err(Failure::Broken(error)) => {
                asking.doubt |= asked && changes;
                asking.reasons.note_failure(address, &error);
                error
            }
        };
        tracing::debug!(server = %address, reason = ?error.message);
        let servers = self.dialer.servers.len();
        let asked = asking.attempts.iter().any(Attempt::asked);
        if !asking.doubt && !asked && asking.reasons.are_final(servers) {
            return Some(Err(asking.reasons.unavailable(asking.limit)));
        }
        asking.failed += 1;
        asking.hedging = false;
        asking.launch_at = Instant::now();
        if asking.failed >= servers {
            asking.failed = 0;
            asking.launch_at += asking.backoff.wait(&self.dialer.host);
        }
        None
    }

    fn keep(&mut self, kept: Option<Kept>) {
        if let Some(kept) = kept {
            self.dialer.cluster = self.dialer.cluster.or(kept.connection.hello().cluster);
            self.next = kept.server;
            self.current = Some(kept);
        }
    }
}

impl Asking {
    /// Whether what begins now would hardly be answered in time, and only leave a doubt. A
    /// first attempt is worth it all the same.
    fn is_late(&self) -> bool {
        let least = LEAST_TIME.min(self.limit / 10);
        self.changes && self.begun && self.launch_at + least > self.race.deadline
    }

    fn new(dialer: &Dialer, timeout: Duration, request: Request) -> Asking {
        let changes = request.operation().is_some();
        let any_server = matches!(request, Request::Ping {});
        let even_alone = any_server || request.is_behind_another();
        let race = Race {
            deadline: Instant::now() + timeout,
            dialer: Dialer { even_alone, ..dialer.clone() },
            request: Arc::new(request),
            unresponsive: Arc::default(),
            taken: Arc::default(),
        };
        Asking {
            attempts: Vec::new(),
            running: FuturesUnordered::new(),
            race,
            limit: timeout,
            greeting_limit: if any_server { CLUSTER_LIMIT } else { GREETING_LIMIT },
            begun: false,
            changes,
            doubt: false,
            reasons: Reasons::default(),
            failed: 0,
            backoff: Backoff::new(),
            launch_at: Instant::now(),
            hedging: false,
        }
    }

    /// Why there is no answer when time is up; see the head of this file.
    fn out_of_time(&mut self) -> Error {
        for attempt in &self.attempts {
            self.doubt |= self.changes && attempt.asked();
            self.reasons.note_no_answer(&self.race.dialer.servers[attempt.server]);
        }
        match self.doubt {
            true => {
                let within = duration::format(self.limit);
                let why = format!("no answer within {within}: {}", self.reasons.list());
                unknown(&self.race.request, &why)
            }
            false => self.reasons.unavailable(self.limit),
        }
    }
}

/// Waits until `instant`, and not at all if that is now: the runtime's timers round up
/// to the next millisecond, a sixth of what `ftchat send` takes.
async fn at(instant: Instant) {
    if instant > Instant::now() {
        sleep_until(instant).await;
    }
}
