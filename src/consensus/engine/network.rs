//! How consensus talks to the other replicas: calls on [`Link`](crate::peer::Link)s.
//!
//! Replication is pipelined: append requests leave one after the other without
//! waiting for answers, on a connection that keeps their order, and answers
//! are handed back in that order.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use openraft::OptionalSend;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use crate::consensus::engine::links::Links;
use crate::consensus::engine::state_machine::SnapshotData;
use crate::consensus::level::LevelGuard;
use crate::consensus::runs::Runs;
use crate::consensus::types::{TypeConfig, Vote};
use crate::consensus::wire::calls::{Addressed, SnapshotBegin, SnapshotPart};
use crate::consensus::wire::{append, records};
use crate::limits::SNAPSHOT_PART_BYTES;
use crate::peer::CallError;
use crate::planted::{self, Bug};
use crate::protocol::peer::Call;
use crate::types::{NodeId, Uuid};

/// Append requests on their way to one follower at once.
const APPENDS_IN_FLIGHT_MAX: usize = 32;

/// How long a candidate waits for a voter that cannot be reached: as long as it takes
/// to connect, apart from the ways of the handshake, and much shorter than an election.
const VOTER_CONNECT_TIMEOUT: Duration = Duration::from_millis(100);

/// Makes a [`Network`] for each target.
pub struct Factory {
    /// Ways to the peers.
    pub links: Links,
    /// How long one answer may take before the follower counts as unreachable.
    pub answer_timeout: Duration,
    /// Which processes run the targets.
    pub runs: Runs,
    /// What stands before snapshots of a new feature level.
    pub level: LevelGuard,
}

impl RaftNetworkFactory<TypeConfig> for Factory {
    type Network = Network;

    async fn new_client(&mut self, target: NodeId, _node: &openraft::BasicNode) -> Network {
        let (links, runs, level) = (self.links.clone(), self.runs.clone(), self.level.clone());
        Network { links, target, answer_timeout: self.answer_timeout, runs, level }
    }
}

/// The way to one node, that is, to one incarnation of a replica.
pub struct Network {
    links: Links,
    target: NodeId,
    answer_timeout: Duration,
    runs: Runs,
    level: LevelGuard,
}

type Fault = RPCError<TypeConfig>;

fn unreachable(why: impl std::fmt::Display) -> Fault {
    RPCError::Unreachable(Unreachable::from_string(why))
}

impl Network {
    fn try_call(
        &self,
        call: Call,
        body: Bytes,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send + use<> {
        let answer = match self.links.get(self.target.replica()) {
            None => futures::future::ready(Err(CallError::NotSent(format!(
                "replica {} is not configured here",
                self.target.replica()
            ))))
            .left_future(),
            Some(pair) => match call {
                Call::SnapshotBegin | Call::SnapshotLines | Call::SnapshotEnd => {
                    pair.service.call(call, body).right_future()
                }
                _ => pair.consensus.call(call, body).right_future(),
            },
        };
        let (answer_timeout, target) = (self.answer_timeout, self.target);
        async move {
            let late = |_| {
                Err(CallError::Lost(format!(
                    "replica {} did not answer within {} ms",
                    target.replica(),
                    answer_timeout.as_millis()
                )))
            };
            timeout(answer_timeout, answer).await.unwrap_or_else(late)
        }
    }

    fn call(
        &self,
        call: Call,
        body: Bytes,
    ) -> impl Future<Output = Result<Bytes, Fault>> + Send + use<> {
        self.try_call(call, body).map(|answer| answer.map_err(unreachable))
    }

    /// Sends an append to a run of the target. It is in line when this returns.
    fn append(
        &self,
        run: Option<Uuid>,
        request: &AppendEntriesRequest<TypeConfig>,
    ) -> impl Future<Output = Result<Bytes, Fault>> + Send + use<> {
        let answer = self.try_call(Call::Append, append::encode(self.target, run, request));
        let (runs, target) = (self.runs.clone(), self.target);
        async move {
            answer.await.map_err(|error| {
                // Perhaps because that run is over.
                if let CallError::Refused(_) = error {
                    runs.forget(target, run);
                }
                unreachable(error)
            })
        }
    }

    fn addressed(&self, message: &impl Serialize) -> Bytes {
        let body = Addressed { to: self.target, message };
        serde_json::to_vec(&body).expect("plain data serializes").into()
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        call: Call,
        message: &Q,
    ) -> Result<A, Fault> {
        parse(&self.call(call, self.addressed(message)).await?)
    }

    /// A candidate asks each voter once. A voter that has just started, or whose connection
    /// has just broken, may be reached a little later. So it is waited for, or the campaign
    /// would be in vain.
    async fn ask_voter(
        &self,
        call: Call,
        request: &VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, Fault> {
        let body = self.addressed(request);
        let mut link = self.links.get(self.target.replica()).map(|pair| pair.consensus.watch());
        let ways = 4 * self.links.longest_round_trip();
        let until = Instant::now() + VOTER_CONNECT_TIMEOUT + ways;
        loop {
            match (self.try_call(call, body.clone()).await, &mut link) {
                (Err(CallError::NotSent(why)), Some(link)) => {
                    if timeout_at(until, link.changed()).await.is_err() {
                        return Err(unreachable(why));
                    }
                }
                (answer, _) => return parse(&answer.map_err(unreachable)?),
            }
        }
    }

    /// Sends requests as they come, and hands the answers back in that order.
    fn stream<'s, S>(
        &'s self,
        run: Option<Uuid>,
        input: S,
    ) -> futures::stream::BoxStream<'s, Result<StreamAppendResult<TypeConfig>, Fault>>
    where
        S: futures::Stream<Item = AppendEntriesRequest<TypeConfig>>
            + OptionalSend
            + Unpin
            + 'static,
    {
        let answers = input
            .map(move |request| {
                let previous = request.prev_log_id;
                let last = request.entries.last().map(|entry| entry.log_id).or(previous);
                // The call is in line as soon as this closure has run.
                let reply = self.append(run, &request);
                async move {
                    let response: AppendEntriesResponse<TypeConfig> =
                        match planted::is(Bug::AcknowledgeBeforeMajority) {
                            true => AppendEntriesResponse::Success,
                            false => parse(&reply.await?)?,
                        };
                    let whole = match &response {
                        AppendEntriesResponse::PartialSuccess(partial) => *partial == last,
                        _ => true,
                    };
                    Ok((response.into_stream_result(previous, last), whole))
                }
            })
            .buffered(APPENDS_IN_FLIGHT_MAX)
            // After a conflict, a higher vote, a partial success or a failure
            // what follows would answer a question that no longer stands.
            .scan(true, |going_on, answer: Result<_, Fault>| {
                if !std::mem::take(going_on) {
                    return futures::future::ready(None);
                }
                futures::future::ready(Some(match answer {
                    Ok((result, whole)) => {
                        *going_on = whole && result.is_ok();
                        Ok(result)
                    }
                    Err(fault) => Err(fault),
                }))
            });
        Box::pin(answers)
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: SnapshotOf,
    ) -> Result<SnapshotResponse<TypeConfig>, Fault> {
        let mut reader = match snapshot.snapshot {
            SnapshotData::Stored(reader) => reader,
            SnapshotData::Unopened(error) => return Err(unreachable(error)),
            SnapshotData::Received(_) => {
                return Err(unreachable("a snapshot that is not yet in place cannot be sent"));
            }
        };
        let level = self.level.ready();
        let begin = SnapshotBegin { vote, meta: snapshot.meta, level };
        let () = self.ask(Call::SnapshotBegin, &begin).await?;
        while let Some(lines) = reader.next_raw(SNAPSHOT_PART_BYTES).await.map_err(unreachable)? {
            let body = records::encode(&SnapshotPart { to: self.target }, &lines);
            let () = parse(&self.call(Call::SnapshotLines, body).await?)?;
        }
        // Installing takes as long as loading the state, so the follower reports
        // every now and then that it is still at it.
        loop {
            if let Some(response) = self.ask(Call::SnapshotEnd, &()).await? {
                return Ok(response);
            }
        }
    }
}

type SnapshotOf = openraft::alias::SnapshotOf<TypeConfig, SnapshotData>;

fn parse<A: DeserializeOwned>(reply: &[u8]) -> Result<A, Fault> {
    serde_json::from_slice(reply)
        .map_err(|error| unreachable(format!("a malformed reply: {error}")))
}

impl RaftNetworkV2<TypeConfig> for Network {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Fault> {
        let run = self.runs.of(self.target).await.map_err(unreachable)?;
        parse(&self.append(run, &rpc).await?)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> futures::future::BoxFuture<
        's,
        Result<
            futures::stream::BoxStream<'s, Result<StreamAppendResult<TypeConfig>, Fault>>,
            Fault,
        >,
    >
    where
        S: futures::Stream<Item = AppendEntriesRequest<TypeConfig>>
            + OptionalSend
            + Unpin
            + 'static,
    {
        let network: &'s Network = self;
        Box::pin(async move {
            let run = network.runs.of(network.target).await.map_err(unreachable)?;
            Ok(network.stream(run, input))
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Fault> {
        self.ask_voter(Call::Vote, &rpc).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Fault> {
        self.ask_voter(Call::PreVote, &rpc).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, snapshot) => sent.map_err(|fault| {
                tracing::debug!(to = %self.target, %fault, "a snapshot was not sent");
                match fault {
                    RPCError::Unreachable(unreachable) => StreamingError::Unreachable(unreachable),
                    other => StreamingError::Unreachable(Unreachable::from_string(other)),
                }
            }),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Fault> {
        self.ask(Call::TransferLeader, &req).await
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(Duration::from_millis(20))))
    }
}
