//! Whoever holds the cluster's key, and the servers to ask.

use std::cmp::Reverse;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::client::survey::{SERVER_LIMIT, ask, survey};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::peer::{CallError, Conversation, Keys};
use crate::protocol::client::Member;
use crate::protocol::peer::{ADMINISTRATOR, Call, Introduction};
use crate::types::{Address, Uuid};

/// How long a server may take for one call.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long it may take where it has to make a second state of all that it holds.
pub(crate) const LONG_ANSWER_MAX: Duration = Duration::from_secs(300);

/// Pause before the next server is asked after one failed.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Asks the servers of a cluster, one after the other, as an administrator.
pub struct Administrator {
    /// The seams.
    pub host: Host,
    /// The cluster's key, or both while it gets a new one.
    pub keys: Keys,
    /// The servers.
    pub servers: Vec<Address>,
    /// How long to go on without getting any further.
    pub timeout: Duration,
}

/// A connection to one server.
pub(crate) struct Server {
    pub(crate) cluster: Uuid,
    conversation: Conversation,
}

/// Why something was not done.
pub(crate) enum Failed {
    /// Another server, or the same one later, may do it.
    Passing(Error),
    /// Asking again is of no use.
    Final(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        if error.retryable() { Failed::Passing(error) } else { Failed::Final(error) }
    }
}

/// How many servers were tried, and since when nothing has gone on.
pub(crate) struct Attempts {
    round: usize,
    since: Instant,
}

impl Attempts {
    pub(crate) fn new() -> Attempts {
        Attempts { round: 0, since: Instant::now() }
    }

    /// Something was done.
    pub(crate) fn went_on(&mut self) {
        self.since = Instant::now();
    }
}

impl Administrator {
    /// Connects to one of the servers that run their own replica: another one
    /// with every attempt, the leader last, which has enough to do.
    pub(crate) async fn connect(&self, attempts: &mut Attempts) -> Result<Server, Failed> {
        self.connect_for(ANSWER_MAX, attempts).await
    }

    /// The same, to a server that may take that long for one call.
    pub(crate) async fn connect_for(
        &self,
        answer_max: Duration,
        attempts: &mut Attempts,
    ) -> Result<Server, Failed> {
        let status = survey(&self.host, &self.servers, SERVER_LIMIT).await;
        let mut able: Vec<_> = status
            .replicas
            .iter()
            .filter(|replica| replica.hosted_by == Some(replica.id))
            .collect();
        // Without a majority the one that knows most counts.
        able.sort_by_key(|it| (Some(it.id) == status.leader, Reverse(it.applied)));
        let Some(cluster) = status.cluster.filter(|_| !able.is_empty()) else {
            return Err(self.nobody().await);
        };
        let chosen = able[attempts.round % able.len()];
        attempts.round += 1;
        let from = Introduction {
            replica: ADMINISTRATOR,
            cluster: Some(cluster),
            lineage: None,
            incarnation: None,
        };
        let member = Member { id: chosen.id, address: chosen.address.clone() };
        let spawn = |task| drop(crate::host::spawn(task));
        let conversation =
            Conversation::open(&self.host, &self.keys, from, &member, answer_max, spawn);
        Ok(Server { cluster, conversation })
    }

    /// Why nobody can be asked. If all servers are of other clusters, it never will be
    /// otherwise.
    async fn nobody(&self) -> Failed {
        let asking = self.servers.iter().map(async |address| {
            let asked = ask(&self.host, address, SERVER_LIMIT).await;
            Some((address, asked.err()?))
        });
        let errors: Vec<_> = join_all(asking).await.into_iter().flatten().collect();
        let reasons: Vec<String> =
            errors.iter().map(|(address, error)| format!("{address}: {}", error.message)).collect();
        let why = match reasons.is_empty() {
            true => "no server of the cluster runs its own replica yet".to_string(),
            false => format!("no server of the cluster answers: {}", reasons.join("; ")),
        };
        let strangers = errors.iter().filter(|(_, error)| error.code == ErrorCode::WrongCluster);
        match strangers.count() == self.servers.len() {
            true => Failed::Final(Error::new(ErrorCode::WrongCluster, why)),
            false => Failed::Passing(Error::unavailable(why)),
        }
    }

    /// Waits a little before the next attempt.
    ///
    /// # Errors
    /// `why`, once nothing has gone on for too long.
    pub(crate) async fn pause(&self, attempts: &Attempts, why: Error) -> Result<()> {
        if attempts.since.elapsed() >= self.timeout {
            return Err(why);
        }
        sleep(RETRY_PAUSE).await;
        Ok(())
    }
}

impl Server {
    /// Makes a call.
    pub(crate) async fn call(
        &mut self,
        call: Call,
        body: &impl Serialize,
    ) -> Result<Bytes, Failed> {
        self.ask(call, body).await.map_err(|error| match error {
            CallError::Refused(error) => error.into(),
            // Also with the wrong key, which the next server may not have:
            // keys are replaced one server after the other.
            CallError::NotSent(why) | CallError::Lost(why) => {
                Failed::Passing(Error::unavailable(why))
            }
        })
    }

    /// The same for a call that changes something: whether it may have done so without an
    /// answer stays to be seen.
    ///
    /// # Errors
    /// [`ErrorCode::OutcomeUnknown`] when it may have.
    pub(crate) async fn change(
        &mut self,
        call: Call,
        body: &impl Serialize,
    ) -> Result<Bytes, Failed> {
        self.ask(call, body).await.map_err(|error| match error {
            CallError::Refused(error) => error.into(),
            CallError::NotSent(why) => Failed::Passing(Error::unavailable(why)),
            CallError::Lost(why) => Failed::Passing(Error::outcome_unknown(why)),
        })
    }

    async fn ask(&mut self, call: Call, body: &impl Serialize) -> Result<Bytes, CallError> {
        let body = serde_json::to_vec(body).expect("plain data serializes");
        self.conversation.call(call, body.into()).await
    }
}

/// Reads an answer.
pub(crate) fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(answer).map_err(|error| {
        Failed::Final(Error::new(
            ErrorCode::UnsupportedVersion,
            format!("a server gave an answer that this program does not understand: {error}"),
        ))
    })
}
