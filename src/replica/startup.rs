//! From a directory to a running member: founding, joining, loading.
//!
//! # Founding
//! An empty replica asks every configured peer where it stands. Only when all
//! have answered and none has a log, the one with the lowest number founds the
//! cluster. It writes itself an identity and tells the others, which write theirs.
//! When all have done so it writes the first log entry, which names the voters. If the
//! founder dies on the way, a replica that finds all the others *named but not begun*
//! goes on: the first log entry is the same whoever writes it.
//!
//! # Joining
//! An empty replica that finds a peer with a log asks for an incarnation,
//! which is handed out through the log, so that no number is ever given twice.
//! It writes that down, starts as a node that nobody knows yet, and asks to be
//! admitted. First it is a learner, then it takes the place of its former self as a
//! voter.

mod founding;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::join;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::start_guard::StartGuard;
use super::{Inner, Phase};
use crate::consensus::{Consensus, LevelGuard, Stored};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::feature_level;
use crate::protocol::peer::{Admit, Call, Found, Introduction, Standing};
use crate::storage::{
    DataDirectory, FatalHandler, ForgottenKeys, Identity, Log, LogOptions, PreverifiedLog,
    Snapshots,
};
use crate::types::{ReplicaId, is_majority};

/// Between two attempts to open the outbox of an adopted directory.
const OUTBOX_RETRY: Duration = Duration::from_secs(5);

/// Pause between two looks at the peers.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Longest wait for one peer's answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long a start waits for peers that neither answer nor refuse. A server that is
/// there answers within milliseconds.
const OPENING_VERDICTS_MAX: Duration = Duration::from_millis(500);

/// A peer tells this replica which cluster it is part of.
pub struct FoundRequest {
    /// The cluster.
    pub found: Found,
    /// Told when it is written down, or why it is not.
    pub reply: oneshot::Sender<Result<()>>,
}

/// The replica's own task. Ends when the replica fails or stops.
pub async fn run(
    inner: Arc<Inner>,
    directory: DataDirectory,
    preverified_log: Option<PreverifiedLog>,
    requests: mpsc::UnboundedReceiver<FoundRequest>,
) {
    let mut stopped = inner.phase.subscribe();
    // The start that opened a directory with an identity has counted that.
    let counted = matches!(directory.identity(), Ok(Some(_)));
    let guard = StartGuard::default();
    let startup = Startup {
        inner: inner.clone(),
        directory,
        preverified_log,
        requests,
        counted,
        guard: guard.clone(),
    };
    let until_stopped =
        async { drop(stopped.wait_for(|phase| matches!(phase, Phase::Stopped)).await) };
    tokio::select! {
        biased;
        () = until_stopped => {}
        failure = until_failed(&inner, counted, startup) => if let Some(error) = failure {
            inner.fail(error);
        }
    }
    guard.abandon(&inner).await;
    inner.alone.close().await;
}

/// Why the replica cannot go on; `None` where it need not. `is_known`: its directory has an
/// identity.
async fn until_failed(inner: &Arc<Inner>, is_known: bool, startup: Startup) -> Option<Error> {
    let startup = startup.run();
    tokio::pin!(startup);
    tokio::select! {
        biased;
        // Whatever it waits for, it waits in vain, but for its own directory.
        removed = inner.credentials.removed(), if inner.host_replica.is_none() => {
            // A directory without an identity has no outbox that could be opened.
            let failed = tokio::select! {
                biased;
                () = inner.alone.until_open(), if is_known => None,
                ended = &mut startup, if is_known => ended.err(),
                else => None,
            };
            Some(inner.leave(removed, failed).await)
        }
        result = &mut startup => result.err(),
    }
}

struct Startup {
    inner: Arc<Inner>,
    directory: DataDirectory,
    /// What was read of its log before it was opened.
    preverified_log: Option<PreverifiedLog>,
    requests: mpsc::UnboundedReceiver<FoundRequest>,
    /// Whether this open of the directory is counted in its identity.
    counted: bool,
    /// What is open before the replica has it.
    guard: StartGuard,
}

impl Startup {
    async fn run(mut self) -> Result<()> {
        loop {
            match self.attempt().await {
                // Not ours to repair: its owner does.
                Err(error) if self.inner.host_replica.is_some() => return Err(error),
                Err(error) if error.code == ErrorCode::Corrupted => {
                    self.counted = false;
                    tracing::error!(%error, "the data directory is damaged");
                    // It has a share of the directory's lock.
                    self.inner.alone.close().await;
                    let folder = self.directory.set_aside().await?;
                    tracing::error!(
                        folder = %folder.display(),
                        "it was set aside, and this replica rejoins under a new incarnation"
                    );
                    self.inner.damaged.store(true, Ordering::Release);
                    self.inner.machine.reset();
                    self.inner.credentials.openings().begin_anew();
                    let replica = self.inner.config.id;
                    self.inner.credentials.introduce_as(Introduction {
                        replica,
                        cluster: None,
                        lineage: None,
                        incarnation: None,
                    });
                }
                result => return result,
            }
        }
    }

    async fn attempt(&mut self) -> Result<()> {
        let adopted = self.inner.host_replica.is_some();
        if self.directory.identity()?.is_none() {
            self.become_member().await?;
        }
        let identity = self.take_identity().await?;
        if !adopted {
            // Before what may take long: a replica that was removed has it handed over first.
            self.inner.open_outbox(&self.directory, self.fatal()).await?;
        }
        self.wait_for("loading snapshot and log");
        let consensus = self.load(&identity).await?;
        if let Ok(Some(identity)) = self.directory.identity() {
            self.inner.credentials.openings().run_on(identity.clone());
        }
        self.inner.credentials.locate_at(self.directory.location());
        if !adopted {
            self.inner.show_outbox().await;
        }
        self.inner.remember_neighbours(&self.directory).await?;
        let forgotten = ForgottenKeys::open(&self.directory).await?;
        *self.inner.membership_changes.forgotten_keys.lock().await = Some(forgotten);
        let begun = self.inner.phase.send_if_modified(|phase| {
            let starting = matches!(phase, Phase::Starting(_));
            if starting {
                *phase = Phase::Running(consensus.clone());
            }
            starting
        });
        if !begun {
            self.guard.abandon(&self.inner).await;
            return Ok(());
        }
        self.guard.hand_over();
        self.inner.start_queue.open(&consensus);
        if consensus.is_pristine() {
            self.begin_cluster(&consensus, &identity).await?;
        }
        self.take_part(&consensus, &identity).await?;
        // From here on only to see when it ends. Also when that is for damage:
        // what runs cannot be set aside, but the next start can.
        let failure = match self.inner.host_replica {
            None => tokio::select! {
                biased;
                failure = consensus.failed() => failure,
                // Somebody who was not there at the start. The next start sees to it.
                old = self.inner.credentials.openings().found_old() => old,
            },
            Some(_) => tokio::select! {
                biased;
                failure = consensus.failed() => failure,
                never = self.open_outbox_of_owner() => match never {},
                () = self.inner.serve_host(&consensus) => return Ok(()),
            },
        };
        self.inner.fail(failure);
        Ok(())
    }

    /// Opens what the owner of an adopted directory took alone, beside its vote, for which
    /// people wait. Where that cannot be, the vote counts all the same.
    async fn open_outbox_of_owner(&self) -> Infallible {
        let mut told = false;
        while let Err(error) = self.inner.open_outbox(&self.directory, self.fatal()).await {
            if !std::mem::replace(&mut told, true) {
                tracing::error!(%error, "what its owner took alone is not handed over yet");
            }
            sleep(OUTBOX_RETRY).await;
        }
        std::future::pending().await
    }

    /// Counts the open of the directory, and says from now on whose it is.
    async fn take_identity(&mut self) -> Result<Identity> {
        let adopted = self.inner.host_replica.is_some();
        let identity = match self.directory.identity()? {
            Some(identity) if self.counted || adopted => identity.clone(),
            _ => self.directory.count_open(Some(self.inner.config.feature_level_known)).await?,
        };
        self.counted = true;
        self.inner.credentials.openings().run_on(identity.clone());
        self.inner.credentials.locate_at(self.directory.location());
        self.introduce(&identity);
        self.inner.identity.send_replace(Some(identity.clone()));
        Ok(identity)
    }

    /// Opens log and snapshots, and starts consensus on them.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`]: they are damaged, or the directory is an old copy.
    async fn load(&mut self, identity: &Identity) -> Result<Consensus> {
        let adopted = self.inner.host_replica.is_some();
        let options = LogOptions {
            segment_max_bytes: self.inner.config.limits.log_segment_max_bytes,
            ..LogOptions::default()
        };
        let fatal = self.fatal();
        // Where a replica is adopted users wait for it: what need not be done
        // one after the other is done at once. Both end before either counts.
        let (log, snapshots) = join!(
            Log::open(&self.directory, options, fatal, self.preverified_log.take()),
            Snapshots::open(&self.directory),
        );
        let ((log, recovery), snapshots) = (log?, snapshots?);
        let (known, ready) =
            (self.inner.config.feature_level_known, feature_level(identity.format));
        let level = LevelGuard::new(known, ready, self.inner.credentials.clone());
        let lost_end = recovery.dropped.is_some();
        let stored = Stored { log: log.clone(), snapshots, level, lost_end };
        let loading = self.guard.load(&self.inner, identity, stored);
        let verdict = self.inner.await_verdicts();
        let (loaded, counted, verdict) =
            join!(loading, count_if(adopted, &mut self.directory), verdict);
        let consensus = match (loaded, counted.and(verdict)) {
            (Ok(consensus), Ok(())) => consensus,
            (loaded, counted) => {
                let failed = loaded.err().or(counted.err());
                let error = failed.unwrap_or_else(|| Error::internal("neither failed"));
                // Closed, so that the directory can be set aside.
                self.guard.abandon(&self.inner).await;
                log.close().await?;
                return Err(error);
            }
        };
        if let Some(tail) = &recovery.dropped {
            tracing::warn!(
                file = tail.file,
                index = tail.index,
                bytes = tail.bytes,
                "the end of the log is lost; this replica does not vote until it has that entry \
                 again, and all that followed it"
            );
        }
        Ok(consensus)
    }

    /// Called when the disk can no longer be relied on.
    fn fatal(&self) -> FatalHandler {
        let inner = self.inner.clone();
        Arc::new(move |error: Error| inner.fail(error))
    }

    fn introduce(&self, identity: &Identity) {
        self.inner.credentials.introduce_as(Introduction {
            replica: identity.replica,
            cluster: Some(identity.cluster),
            lineage: Some(identity.lineage),
            incarnation: Some(identity.incarnation),
        });
    }

    fn wait_for(&self, notice: impl Into<String>) {
        let notice = notice.into();
        self.inner.phase.send_if_modified(|phase| match phase {
            Phase::Starting(old) if *old != notice => {
                tracing::info!(%notice, "starting");
                *old = notice;
                true
            }
            Phase::Starting(_) | Phase::Running(_) | Phase::Stopped => false,
        });
    }

    /// Asks one peer something.
    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        peer: ReplicaId,
        call: Call,
        body: &Q,
    ) -> Result<A> {
        let pair =
            self.inner.links.get(peer).ok_or_else(|| Error::internal("no link to a peer"))?;
        let body = serde_json::to_vec(body).expect("plain data serializes");
        let answer = timeout(ANSWER_MAX, pair.service.call(call, body.into())).await;
        let reply = match answer {
            Ok(Ok(reply)) => reply,
            Ok(Err(crate::peer::CallError::Refused(error))) => return Err(error),
            Ok(Err(error)) => return Err(Error::unavailable(error.to_string())),
            Err(_) => return Err(Error::unavailable(format!("replica {peer} does not answer"))),
        };
        serde_json::from_slice(&reply).map_err(|error| {
            Error::unavailable(format!("replica {peer} answered strangely: {error}"))
        })
    }

    /// Where the peers stand, as far as they said, and a sentence about each that
    /// is waited for.
    async fn look_around(&self) -> (Vec<Standing>, Vec<String>) {
        let (mut standings, mut missing) = (Vec::new(), Vec::new());
        let peers = self.inner.links.peers();
        let asked =
            peers.into_iter().map(|peer| self.ask::<(), Standing>(peer, Call::Introduce, &()));
        for answer in futures::future::join_all(asked).await {
            match answer {
                Ok(standing) if standing.begun.is_none() => {
                    missing.push(format!("replica {} is loading", standing.from.replica));
                    standings.push(standing);
                }
                Ok(standing) => standings.push(standing),
                Err(error) => missing.push(error.message),
            }
        }
        (standings, missing)
    }

    /// Enables elections when it is safe, and sees to it that the node votes.
    async fn take_part(&mut self, consensus: &Consensus, identity: &Identity) -> Result<()> {
        let mut elections = false;
        loop {
            self.check_belongs()?;
            let voters = consensus.voters();
            let reached = |id: &ReplicaId| {
                let pair = self.inner.links.get(*id);
                pair.map_or(*id == identity.replica, |pair| pair.consensus.peer().is_ok())
            };
            let reached = voters.iter().filter(|id| reached(id)).count();
            // A replica is adopted because nobody leads.
            let may_elect = is_majority(reached, voters.len()) || self.inner.host_replica.is_some();
            if !elections && may_elect {
                consensus.enable_elections();
                elections = true;
            }
            let votes = consensus.is_settled();
            if elections && votes {
                return Ok(());
            }
            if !votes && (identity.incarnation > 1 || !consensus.is_pristine()) {
                self.ask_admission(identity).await?;
            }
            if let Some(failure) = consensus.status().failure {
                return Err(Error::internal(format!("consensus has stopped: {failure}")));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// A replica that a majority takes for one of another cluster was started
    /// with that one's data directory, and would wait for ever. A minority may
    /// itself be wrong, and is waited for.
    fn check_belongs(&self) -> Result<()> {
        let total = self.inner.links.count() + 1;
        let others: Vec<String> = self
            .inner
            .links
            .all()
            .into_iter()
            .filter_map(|(_, pair)| Some(pair.consensus.other_cluster()?.to_string()))
            .collect();
        if !is_majority(others.len(), total) {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::WrongCluster,
            format!(
                "{} belongs to another cluster than the servers named as peers; name another data \
                 directory, or the servers of its own cluster ({})",
                self.inner.config.data_dir.display(),
                others.join("; ")
            ),
        ))
    }

    async fn ask_admission(&self, identity: &Identity) -> Result<()> {
        let admit = Admit { node: identity.node() };
        for peer in self.inner.links.peers() {
            match self.ask::<Admit, bool>(peer, Call::Admit, &admit).await {
                Ok(_) => return Ok(()),
                // A later incarnation exists: this directory is an old copy,
                // and must not come back to life.
                Err(error) if error.code == ErrorCode::WrongCluster => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Waits until every peer was tried once, at most for [`OPENING_VERDICTS_MAX`]: those
    /// that are there say what they remember of this replica's directory. An adopted one
    /// was compared before it was opened.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`]: the directory is an old copy.
    async fn await_verdicts(&self) -> Result<()> {
        if self.host_replica.is_some() {
            return Ok(());
        }
        let tried = self.links.all().into_iter().map(|(_, pair)| async move {
            // It counts what happened since the link was made.
            pair.service.watch().changed().await;
        });
        let tried = futures::future::join_all(tried);
        // Who has not answered by then may say it later.
        drop(timeout(OPENING_VERDICTS_MAX, tried).await);
        self.credentials.openings().verdict()
    }
}

/// Counts the open of an adopted directory: its log is whole.
async fn count_if(adopted: bool, directory: &mut DataDirectory) -> Result<()> {
    if adopted {
        directory.count_open(None).await?;
    }
    Ok(())
}
