//! From a directory to a running member: founding, joining, loading.
//!
//! # Founding
//! An empty replica asks every configured peer where it stands. Only when all
//! have answered and none has a log, the one with the lowest number founds: it
//! writes itself an identity, tells the others, who write theirs, and when all
//! have done so it writes the first log entry, which names the voters. If the
//! founder dies on the way, whoever finds all the others *named but not begun*
//! goes on; the first log entry is the same whoever writes it.
//!
//! # Joining
//! An empty replica that finds a peer with a log asks for an incarnation,
//! which is handed out through the log, so that no number is ever given twice.
//! It writes it down, starts as a node that nobody knows yet, and asks to be
//! admitted: first it learns, then it takes the place of its former self.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::join;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::loading::Loading;
use super::{Inner, Phase};
use crate::consensus::{Consensus, Stored};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::DATA_FORMAT_VERSION;
use crate::protocol::peer::{Admit, Call, Found, Introduction, Joined, Standing};
use crate::storage::{DataDirectory, Identity, Log, LogAhead, LogOptions, Snapshots};
use crate::types::ReplicaId;

/// Pause between two looks at the peers.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Longest wait for one peer's answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long a start waits for peers that neither answer nor refuse. A server that is
/// there answers within milliseconds.
const OPENING_HEARD_MAX: Duration = Duration::from_millis(500);

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
    log_ahead: Option<LogAhead>,
    requests: mpsc::UnboundedReceiver<FoundRequest>,
) {
    let mut stopped = inner.phase.subscribe();
    // The start that opened a directory with an identity has counted that.
    let counted = matches!(directory.identity(), Ok(Some(_)));
    let loading = Loading::default();
    let startup = Startup {
        inner: inner.clone(),
        directory,
        log_ahead,
        requests,
        counted,
        loading: loading.clone(),
    };
    tokio::select! {
        biased;
        _ = stopped.wait_for(|phase| matches!(phase, Phase::Stopped)) => {}
        result = startup.run() => if let Err(error) = result {
            inner.fail(error);
        }
    }
    loading.abandon(&inner).await;
}

struct Startup {
    inner: Arc<Inner>,
    directory: DataDirectory,
    /// What was read of its log before it was opened.
    log_ahead: Option<LogAhead>,
    requests: mpsc::UnboundedReceiver<FoundRequest>,
    /// Whether this open of the directory is counted in its identity.
    counted: bool,
    /// What is open before the replica has it.
    loading: Loading,
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
        if self.directory.identity()?.is_none() {
            self.become_member().await?;
        }
        let adopted = self.inner.host_replica.is_some();
        let identity = match self.directory.identity()? {
            Some(identity) if self.counted || adopted => identity.clone(),
            _ => self.directory.count_open().await?,
        };
        self.counted = true;
        self.inner.credentials.openings().run_on(identity.clone());
        self.inner.credentials.locate_at(self.directory.location());
        self.introduce(&identity);
        self.inner.identity.send_replace(Some(identity.clone()));
        self.wait_for("loading snapshot and log");
        let options = LogOptions {
            segment_max_bytes: self.inner.config.limits.log_segment_max_bytes,
            ..LogOptions::default()
        };
        let fatal = {
            let inner = self.inner.clone();
            Arc::new(move |error: Error| inner.fail(error))
        };
        // Where a replica is adopted people wait for it: what need not be done
        // one after the other is done at once. Both end before either counts.
        let (log, snapshots) = join!(
            Log::open(&self.directory, options, fatal, self.log_ahead.take()),
            Snapshots::open(&self.directory),
        );
        let ((log, recovery), snapshots) = (log?, snapshots?);
        let stored = Stored { log: log.clone(), snapshots, lost_end: recovery.dropped.is_some() };
        let loading = self.loading.load(&self.inner, &identity, stored);
        let heard = self.inner.hear_of_opening();
        let (loaded, counted, heard) =
            join!(loading, count_if(adopted, &mut self.directory), heard);
        let consensus = match (loaded, counted.and(heard)) {
            (Ok(consensus), Ok(())) => consensus,
            (loaded, counted) => {
                let failed = loaded.err().or(counted.err());
                let error = failed.unwrap_or_else(|| Error::internal("neither failed"));
                // Closed, so that the directory can be set aside.
                self.loading.abandon(&self.inner).await;
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
        if let Ok(Some(identity)) = self.directory.identity() {
            self.inner.credentials.openings().run_on(identity.clone());
        }
        self.inner.credentials.locate_at(self.directory.location());
        self.inner.remember_neighbours(&self.directory).await?;
        let begun = self.inner.phase.send_if_modified(|phase| {
            let starting = matches!(phase, Phase::Starting(_));
            if starting {
                *phase = Phase::Running(consensus.clone());
            }
            starting
        });
        if !begun {
            self.loading.abandon(&self.inner).await;
            return Ok(());
        }
        self.loading.hand_over();
        self.inner.line.open(&consensus);
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
                () = self.inner.serve_host(&consensus) => return Ok(()),
            },
        };
        self.inner.fail(failure);
        Ok(())
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
        let peers: Vec<ReplicaId> = self.inner.links.iter().map(|(peer, _)| peer).collect();
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

    /// Turns an empty directory into one with an identity.
    async fn become_member(&mut self) -> Result<()> {
        let own = self.inner.config.id;
        if self.has_damaged_folder().await? {
            self.inner.damaged.store(true, Ordering::Release);
        }
        let damaged = self.inner.damaged.load(Ordering::Acquire);
        self.wait_for("asking the other replicas about the cluster");
        loop {
            let (standings, missing) = self.look_around().await;
            if let Some(member) = standings.iter().find(|standing| standing.begun == Some(true)) {
                let peer = member.from.replica;
                match self.ask::<(), Joined>(peer, Call::Join, &()).await {
                    Ok(joined) => {
                        tracing::info!(incarnation = joined.incarnation, via = %peer, "joining the cluster");
                        let identity = Identity {
                            format: DATA_FORMAT_VERSION,
                            cluster: joined.cluster,
                            lineage: joined.lineage,
                            replica: own,
                            incarnation: joined.incarnation,
                            opens: 0,
                            openings: Vec::new(),
                        };
                        return self.directory.write_identity(identity).await;
                    }
                    Err(error) => {
                        self.wait_for(format!("the cluster cannot admit it now: {error}"))
                    }
                }
            } else if damaged {
                self.wait_for(
                    "its directory was damaged and set aside (the folder damaged-1 or later in it), and \
                     no replica answers that has the cluster's data; if none is left, found a new \
                     cluster in a new directory and bring a backup back, as `ftchat restore --help` \
                     tells",
                );
            } else if !missing.is_empty() {
                self.wait_for(format!(
                    "its directory is empty, and an empty directory founds a cluster only together with \
                     all configured replicas; not reachable: {}",
                    missing.join("; ")
                ));
            } else {
                let named = standings.iter().any(|standing| standing.from.cluster.is_some());
                let lowest = standings.iter().all(|standing| own < standing.from.replica);
                if !named && lowest {
                    tracing::info!("founding a cluster");
                    let found =
                        Found { cluster: self.inner.host.uuid(), lineage: self.inner.host.uuid() };
                    return self.write_founded(found).await;
                }
            }
            // A peer that founds says so here.
            if let Ok(Some(request)) = timeout(LOOK_INTERVAL, self.requests.recv()).await {
                let written = self.write_founded(request.found).await;
                let done = written.is_ok();
                let told = written.clone();
                // The caller asks again if it does not hear.
                let _ = request.reply.send(told);
                if done {
                    return Ok(());
                }
                return written;
            }
        }
    }

    async fn has_damaged_folder(&self) -> Result<bool> {
        let (disk, path) = (self.inner.host.disk.clone(), self.directory.path().to_path_buf());
        let (send, receive) = oneshot::channel();
        let listed = path.clone();
        self.inner.host.workers.spawn(
            "list-directory",
            Box::pin(async move {
                // The receiver is gone when the replica was stopped meanwhile.
                let _ = send.send(disk.list(&listed).await);
            }),
        );
        let names = receive
            .await
            .map_err(|_| Error::internal("listing the data directory was cut off"))?
            .map_err(|error| Error::io("list", &path, &error))?;
        Ok(names.iter().any(|name| name.starts_with("damaged-")))
    }

    async fn write_founded(&mut self, found: Found) -> Result<()> {
        let identity = Identity {
            format: DATA_FORMAT_VERSION,
            cluster: found.cluster,
            lineage: found.lineage,
            replica: self.inner.config.id,
            incarnation: 1,
            opens: 1,
            openings: vec![self.inner.host.uuid()],
        };
        self.directory.write_identity(identity.clone()).await?;
        self.counted = true;
        // Where it lives first: connections end when it is somebody else, not
        // when it lives elsewhere, so a peer that heard the name without the
        // place was never told, and could not adopt this replica.
        self.inner.credentials.locate_at(self.directory.location());
        self.introduce(&identity);
        Ok(())
    }

    /// Named a member of a cluster that has no log yet: helps it begin.
    async fn begin_cluster(&mut self, consensus: &Consensus, identity: &Identity) -> Result<()> {
        let found = Found { cluster: identity.cluster, lineage: identity.lineage };
        while consensus.is_pristine() {
            let (standings, missing) = self.look_around().await;
            if identity.incarnation > 1
                || standings.iter().any(|standing| standing.begun == Some(true))
            {
                // It has begun without us, and its leader will find us.
                return Ok(());
            }
            let named = |standing: &Standing| standing.from.cluster == Some(identity.cluster);
            let lowest = standings
                .iter()
                .filter(|standing| named(standing))
                .all(|standing| identity.replica < standing.from.replica);
            if missing.is_empty() && lowest {
                if standings.iter().all(named) {
                    return consensus.found(&self.inner.config.members).await;
                }
                for standing in standings.iter().filter(|standing| standing.from.cluster.is_none())
                {
                    if let Err(error) =
                        self.ask::<Found, ()>(standing.from.replica, Call::Found, &found).await
                    {
                        tracing::debug!(%error, "a replica was not yet told of its cluster");
                    }
                }
            }
            sleep(LOOK_INTERVAL / 5).await;
        }
        Ok(())
    }

    /// Enables elections when it is safe, and sees to it that the node votes.
    async fn take_part(&mut self, consensus: &Consensus, identity: &Identity) -> Result<()> {
        let total = self.inner.config.members.len();
        let mut elections = false;
        loop {
            self.check_belongs(total)?;
            let reached = 1 + self
                .inner
                .links
                .iter()
                .filter(|(_, pair)| pair.consensus.peer().is_ok())
                .count();
            // An adopted replica was taken over because nobody leads.
            let heard = reached * 2 > total || self.inner.host_replica.is_some();
            if !elections && heard {
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
    fn check_belongs(&self, total: usize) -> Result<()> {
        let strangers: Vec<String> =
            self.inner.links.iter().filter_map(|(_, pair)| pair.consensus.stranger()).collect();
        if strangers.len() * 2 <= total {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::WrongCluster,
            format!(
                "{} belongs to another cluster than the servers named as peers; name another data \
                 directory, or the servers of its own cluster ({})",
                self.inner.config.data_dir.display(),
                strangers.join("; ")
            ),
        ))
    }

    async fn ask_admission(&self, identity: &Identity) -> Result<()> {
        let admit = Admit { node: identity.node() };
        for (peer, _) in self.inner.links.iter() {
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
    /// Waits until every peer was tried once, at most for [`OPENING_HEARD_MAX`]: who is
    /// there says what it remembers of this replica's directory. An adopted one was
    /// compared before it was opened.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupted`]: the directory is an old copy.
    async fn hear_of_opening(&self) -> Result<()> {
        if self.host_replica.is_some() {
            return Ok(());
        }
        let tried = self.links.iter().map(|(_, pair)| async {
            // It counts what happened since the link was made.
            pair.service.watch().changed().await;
        });
        let tried = futures::future::join_all(tried);
        // Who has not answered by then may say it later.
        drop(timeout(OPENING_HEARD_MAX, tried).await);
        self.credentials.openings().verdict()
    }
}

/// Counts the open of an adopted directory: its log is whole.
async fn count_if(adopted: bool, directory: &mut DataDirectory) -> Result<()> {
    if adopted {
        directory.count_open().await?;
    }
    Ok(())
}
