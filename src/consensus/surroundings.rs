//! What the proposer and the reader see of the engine and of the other replicas: a
//! seam. Their tests put their own surroundings here, and decide what is accepted, what
//! is answered and what is lost.

#[cfg(test)]
pub mod fake;

use std::future::Future;

use bytes::Bytes;
use futures::FutureExt;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use openraft::impls::ProgressResponder;

use super::Raft;
use super::leadership::route::{Route, Router};
use super::types::{CommittedLeaderId, Outcomes, Proposal, TypeConfig};
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::{Error, Result};
use crate::peer::CallError;
use crate::planted::{self, Bug};
use crate::protocol::peer::Call;
use crate::types::{ReplicaId, Timestamp};

/// What became of a proposal that the engine had in its queue.
pub enum Written {
    /// It is committed and applied.
    Applied {
        /// Its place in the log.
        index: u64,
        /// What became of its operations, in their order.
        outcomes: Outcomes,
    },
    /// This node does not lead, or no longer.
    Failed,
}

/// See the head of this file.
pub trait Surroundings: Clone + Send + Sync + 'static {
    /// See [`Router::route`].
    fn route(&self) -> Option<Route>;

    /// See [`Router::is_confirmed`].
    fn is_confirmed(&self) -> bool;

    /// See [`Router::changed`].
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// See [`Router::superseded`].
    fn superseded(&self, term: u64) -> impl Future<Output = ()> + Send;

    /// The sentence of [`Router::absence`].
    fn absence(&self) -> String;

    /// See [`Time::now`](super::time::Time::now).
    fn now(&self) -> Timestamp;

    /// See [`Router::replicas`].
    fn replicas(&self) -> u32;

    /// See [`Router::copies`].
    fn copies(&self, index: u64) -> u32;

    /// Puts a proposal in the engine's queue, to be taken under this leadership
    /// only. The future resolves to what became of it. `None` of either: the engine has
    /// stopped.
    fn write(
        &self,
        proposal: Proposal,
        leader: CommittedLeaderId,
    ) -> impl Future<Output = Option<impl Future<Output = Option<Written>> + Send + 'static>> + Send;

    /// See [`read_index`].
    fn read_index(&self) -> impl Future<Output = Result<u64>> + Send;

    /// Calls a peer, at once; `None` when there is no way to it.
    fn call(
        &self,
        peer: ReplicaId,
        call: Call,
        body: Bytes,
    ) -> Option<impl Future<Output = Result<Bytes, CallError>> + Send + 'static>;
}

impl Surroundings for Router {
    fn route(&self) -> Option<Route> {
        Router::route(self)
    }

    fn is_confirmed(&self) -> bool {
        Router::is_confirmed(self)
    }

    fn changed(&self) -> impl Future<Output = ()> + Send {
        Router::changed(self)
    }

    fn superseded(&self, term: u64) -> impl Future<Output = ()> + Send {
        Router::superseded(self, term)
    }

    fn absence(&self) -> String {
        Router::absence(self).sentence
    }

    fn now(&self) -> Timestamp {
        self.time().now()
    }

    fn replicas(&self) -> u32 {
        Router::replicas(self)
    }

    fn copies(&self, index: u64) -> u32 {
        Router::copies(self, index)
    }

    async fn write(
        &self,
        proposal: Proposal,
        leader: CommittedLeaderId,
    ) -> Option<impl Future<Output = Option<Written>> + Send + 'static> {
        let (responder, answer) = ProgressResponder::<TypeConfig, _>::complete_only();
        self.raft().write(proposal).responder(responder).with_leader(leader).await.ok()?;
        Some(answer.map(|answer| {
            let answer: openraft::raft::ClientWriteResult<TypeConfig> = answer.ok()?;
            Some(match answer {
                Ok(response) => {
                    Written::Applied { index: response.log_id.index(), outcomes: response.data }
                }
                Err(_) => Written::Failed,
            })
        }))
    }

    async fn read_index(&self) -> Result<u64> {
        read_index(self.raft()).await
    }

    fn call(
        &self,
        peer: ReplicaId,
        call: Call,
        body: Bytes,
    ) -> Option<impl Future<Output = Result<Bytes, CallError>> + Send + 'static> {
        Some(self.links().get(peer)?.service.call(call, body))
    }
}

/// The leader's part: an index that contains every acknowledged write.
///
/// # Errors
/// [`ErrorCode::Unavailable`] when this node does not lead or no majority confirms.
pub async fn read_index(raft: &Raft) -> Result<u64> {
    if planted::is(Bug::ReadFromDeposedLeader) {
        let applied = raft.metrics().borrow_watched().last_applied;
        return Ok(applied.map_or(0, |log_id| log_id.index()));
    }
    match raft.get_read_log_id(ReadPolicy::ReadIndex).await {
        Ok((read_log_id, _)) => Ok(read_log_id.index()),
        Err(error) => Err(Error::unavailable(error.to_string())),
    }
}
