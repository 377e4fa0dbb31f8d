//! Changing which replicas a cluster has, on behalf of an administrator who holds its key.
//!
//! The leader does it, and goes on with it whatever becomes of the command: see
//! [`crate::replica`], `membership.rs`. The same request again asks how far it has come. So
//! a command that was cut off is repeated as it was, and goes on from there.
//!
//! For a local cluster the command also keeps its description, and starts and stops
//! servers: a new one after the leader knows of it, an old one after the leader does
//! without it.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::description::LocalReplica;
use super::launch::check_port;
use super::leader;
use super::limit::Limit;
use super::stopping::Ended;
use super::supervisor::Supervisor;
use crate::client::survey::{SERVER_LIMIT, survey};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::peer::{CallError, Keys};
use crate::protocol::peer::{Call, ChangeMembers, MembersChanged};
use crate::types::{Address, MemberChange, MemberEntry, ReplicaId};

/// Pause before the leader is asked again.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long a server that was removed may take to find out.
const REMOVED_MAX: Duration = Duration::from_secs(5);

/// Whoever asks the leader of a cluster for changes.
pub struct MembershipClient<'a> {
    /// Network, clock and randomness; beyond this machine it speaks only with the cluster.
    pub host: &'a Host,
    /// The cluster's key, or both while it gets a new one.
    pub keys: Keys,
    /// Some of its servers.
    pub servers: Vec<Address>,
    /// How long to look for a leader, and to wait for a change.
    pub limit: Limit,
    /// Takes a line of progress for users.
    pub progress: &'a dyn Fn(&str),
}

impl MembershipClient<'_> {
    /// Asks for a change, and returns when the leader has it in its log.
    ///
    /// # Errors
    /// The leader's refusal; [`ErrorCode::Unavailable`] when nobody leads in time, and
    /// [`ErrorCode::OutcomeUnknown`] when an answer was lost.
    pub async fn change(&self, change: &MemberChange, force: bool) -> Result<MembersChanged> {
        self.insist(Call::ChangeMembers, &ChangeMembers { change: change.clone(), force }).await
    }

    /// Asks whoever leads, until there is an answer.
    ///
    /// # Errors
    /// Those of [`MembershipClient::change`].
    pub(super) async fn insist<T: DeserializeOwned>(
        &self,
        call: Call,
        asked: &impl Serialize,
    ) -> Result<T> {
        let deadline = Instant::now() + self.limit.left();
        let mut why = "no server answers as the leader".to_string();
        let mut may_be_done = false;
        loop {
            match self.ask_leader(call, asked).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(CallError::Refused(error)) if !error.retryable() => return Err(error),
                Err(error) => {
                    may_be_done |= match &error {
                        CallError::Lost(_) => true,
                        CallError::Refused(refusal) => refusal.code == ErrorCode::OutcomeUnknown,
                        CallError::NotSent(_) => false,
                    };
                    why = error.to_string();
                }
            }
            if Instant::now() >= deadline {
                return Err(match may_be_done {
                    false => Error::unavailable(format!("nothing was changed: {why}")),
                    true => Error::outcome_unknown(format!(
                        "the change may be made or not: {why}. The same command again does no harm"
                    )),
                });
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// Waits until a change that the leader has in its log is done, as far as it is by itself.
    ///
    /// # Errors
    /// [`ErrorCode::OutcomeUnknown`] when it is not done in time, with what it waits for.
    pub async fn complete(&self, change: &MemberChange) -> Result<MembersChanged> {
        let deadline = Instant::now() + self.limit.left();
        let mut told = String::new();
        loop {
            let changed = self.change(change, true).await?;
            match changed.waits_for.clone().filter(|_| !changed.settled) {
                None => return Ok(changed),
                Some(waits) if Instant::now() >= deadline => {
                    return Err(Error::outcome_unknown(format!(
                        "the change is made and not done yet: {waits}. It goes on by itself; the \
                         same command again waits for it"
                    )));
                }
                Some(waits) if waits != told => {
                    (self.progress)(&waits);
                    told = waits;
                }
                Some(_) => {}
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// `None`: nobody leads.
    async fn ask_leader<T: DeserializeOwned>(
        &self,
        call: Call,
        asked: &impl Serialize,
    ) -> Result<Option<T>, CallError> {
        let status = survey(self.host, &self.servers, SERVER_LIMIT).await;
        let Some(leader) = status.leader else { return Ok(None) };
        let leader = (&status, leader);
        let answer = leader::ask_leader(self.host, &self.keys, leader, call, asked).await?;
        serde_json::from_slice(&answer).map(Some).map_err(|error| {
            CallError::Refused(Error::new(
                ErrorCode::UnsupportedVersion,
                format!("the leader answered as this program does not understand: {error}"),
            ))
        })
    }
}

impl Supervisor<'_> {
    /// Whoever asks the leader of this cluster.
    fn membership(&self) -> Result<MembershipClient<'_>> {
        Ok(MembershipClient {
            host: self.host,
            keys: Keys::read(&self.cluster.key_file())?,
            servers: self.cluster.addresses(),
            limit: self.limit,
            progress: self.progress,
        })
    }

    /// Adds a replica, in the place of another one if that is said, and returns when it
    /// votes, or when nothing more happens by itself. Without an address it listens beside
    /// the others; without a number it gets the next free one.
    ///
    /// # Errors
    /// Those of [`MembershipClient::change`] and [`Supervisor::start`].
    pub async fn add(
        &mut self,
        at: Option<(ReplicaId, Address)>,
        replaces: Option<ReplicaId>,
    ) -> Result<MembersChanged> {
        let entry = self.entry(at, replaces).await?;
        let asked = self.membership()?.change(&MemberChange::Add(entry.clone()), false).await?;
        let id = asked.replica;
        let entry = MemberEntry { id, ..entry };
        self.cluster = self.cluster.clone().with_adding(Some(entry.clone()))?;
        if self.cluster.replica(id).is_err() {
            self.cluster = self.cluster.clone().with_replica(id, &entry.address)?;
        }
        let started = self.start(id, false).await.map_err(|error| Error {
            message: format!(
                "{}. Replica {id} is added and does not run; take it back with: {}",
                error.message,
                self.cluster.line("remove", &[&id.to_string()])
            ),
            ..error
        })?;
        (self.progress)(&format!("replica {}: runs", started.id));
        let change = MemberChange::Add(entry);
        let changed = self.membership()?.complete(&change).await?;
        if let Some(replaced) = replaces {
            self.forget(replaced).await?;
        }
        self.cluster = self.cluster.clone().with_adding(None)?;
        Ok(changed)
    }

    /// Where one more replica may listen: beyond all others, on their host, where nobody
    /// listens now.
    fn free_address(&self) -> Option<Address> {
        let last = self.cluster.replicas.iter().max_by_key(|replica| replica.address.port())?;
        let at = |port| Address::with_default_port(last.address.host(), port).ok();
        let beyond = (last.address.port().checked_add(1)?..=u16::MAX).filter_map(at);
        let is_free = |address: &Address| {
            check_port(&LocalReplica { address: address.clone(), ..last.clone() }).is_ok()
        };
        beyond.into_iter().find(is_free)
    }

    /// What is to be added: what was begun by the same command, if one was cut off.
    async fn entry(
        &mut self,
        at: Option<(ReplicaId, Address)>,
        replaces: Option<ReplicaId>,
    ) -> Result<MemberEntry> {
        let same = |begun: &MemberEntry| {
            begun.replaces == replaces
                && at.as_ref().is_none_or(|(id, address)| {
                    *address == begun.address && (id.0 == 0 || *id == begun.id)
                })
        };
        if let Some(begun) = self.cluster.adding.clone().filter(same) {
            return Ok(begun);
        }
        let Some((id, address)) = at.or_else(|| Some((ReplicaId(0), self.free_address()?))) else {
            return Err(Error::new(ErrorCode::WrongUsage, "no port is left; name an address"));
        };
        let entry = MemberEntry { id, address, replaces };
        self.cluster = self.cluster.clone().with_adding(Some(entry.clone()))?;
        Ok(entry)
    }

    /// Removes a replica, and returns when the others do without it and its server has
    /// ended.
    ///
    /// # Errors
    /// Those of [`MembershipClient::change`] and [`Supervisor::stop`].
    pub async fn remove(&mut self, id: ReplicaId, force: bool) -> Result<MembersChanged> {
        let change = MemberChange::Remove { id };
        self.membership()?.change(&change, force).await?;
        let changed = self.membership()?.complete(&change).await?;
        self.forget(id).await?;
        if self.cluster.adding.as_ref().is_some_and(|begun| begun.id == id) {
            self.cluster = self.cluster.clone().with_adding(None)?;
        }
        Ok(changed)
    }

    /// Lets a replica that was removed end, and takes it out of the description.
    async fn forget(&mut self, id: ReplicaId) -> Result<()> {
        let Ok(replica) = self.cluster.replica(id) else { return Ok(()) };
        // It finds out by itself, unless nobody speaks with it.
        let deadline = Instant::now() + REMOVED_MAX.min(self.limit.left());
        while self.server(replica).await?.is_some() && Instant::now() < deadline {
            sleep(RETRY_PAUSE).await;
        }
        let stopped = self.stop(id).await?;
        if stopped.ended != Ended::NotRunning {
            (self.progress)(&format!("replica {id}: stopped"));
        }
        self.cluster = self.cluster.clone().without_replica(id)?;
        Ok(())
    }

    /// Lets a replica listen at another address, and returns when its server does.
    ///
    /// # Errors
    /// Those of [`MembershipClient::change`], [`Supervisor::stop`] and
    /// [`Supervisor::start`].
    pub async fn move_to(&mut self, id: ReplicaId, address: &Address) -> Result<MembersChanged> {
        let change = MemberChange::Move { id, address: address.clone() };
        let client = self.membership()?;
        let changed = client.change(&change, false).await?;
        let replica = self.cluster.replica(id)?;
        if replica.address != *address {
            let running = self.server(replica).await?.is_some();
            if running {
                self.stop(id).await?;
            }
            self.cluster = self.cluster.clone().with_replica(id, address)?;
        }
        self.start(id, false).await?;
        Ok(changed)
    }
}
