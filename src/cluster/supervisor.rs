//! Starting a cluster or one replica, and waiting until it works.

use std::future::Future;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::description::{Description, LocalReplica};
use super::events::{ClusterEvent, events};
use super::launch::{Program, Taken, check_port, last_lines};
use super::limit::{LOOK_PAUSE, Limit, Wait};
use super::open_files;
use super::process::{Occupant, Server, occupant, unseen, wait_ended};
use crate::client::survey::{SERVER_LIMIT, ask, survey};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::protocol::client::{ReplicaState, Survivor};
use crate::protocol::status::ClusterStatus;
use crate::types::ReplicaId;

/// Between two looks while a cluster is watched.
const WATCH_PAUSE: Duration = Duration::from_millis(500);
/// How long `up` waits for the last servers once writes are taken.
const STRAGGLERS_LIMIT: Duration = Duration::from_secs(3);
/// Lines of a failed server's log that are shown.
const LOG_LINES: usize = 10;
/// How long a port may still be taken by a server that was killed.
const PORT_MAX: Duration = Duration::from_secs(1);
/// Between two looks at such a port.
const PORT_PAUSE: Duration = Duration::from_millis(10);

/// What became of starting a replica's server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Started {
    /// The replica.
    pub id: ReplicaId,
    /// Its server's process.
    pub pid: Option<u32>,
    /// Whether it ran already.
    pub already_running: bool,
    /// Whether it has applied all that is known to be committed.
    pub caught_up: bool,
}

/// A server that this process has started.
pub struct Launched {
    /// The replica.
    pub id: ReplicaId,
    pub(super) child: Child,
    ended: Option<ExitStatus>,
}

impl Launched {
    /// Whether it was still running when last asked.
    pub(super) fn runs(&self) -> bool {
        self.ended.is_none()
    }

    /// How the server ended, the first time that is asked after it did.
    pub(super) fn newly_ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_some() {
            return Ok(None);
        }
        self.ended = self.child.try_wait().map_err(|error| {
            Error::failed(format!("cannot ask after server {}", self.id), &error)
        })?;
        Ok(self.ended)
    }
}

/// Works on one local cluster.
pub struct Supervisor<'a> {
    /// The cluster.
    pub cluster: Description,
    /// Network, clock and randomness.
    pub host: &'a Host,
    /// What servers are started with.
    pub program: Program,
    /// How long to wait.
    pub limit: Limit,
    /// Takes a line of progress for users.
    pub progress: &'a dyn Fn(&str),
}

impl Supervisor<'_> {
    /// Asks all servers how they are.
    pub async fn look(&self) -> ClusterStatus {
        self.look_within(SERVER_LIMIT).await
    }

    async fn look_within(&self, server_limit: Duration) -> ClusterStatus {
        let mut status = survey(self.host, &self.cluster.addresses(), server_limit).await;
        status.number(self.cluster.replicas.iter().map(|it| (it.id, &it.address)));
        status
    }

    /// Who runs a replica.
    ///
    /// # Errors
    /// Those of [`occupant`].
    pub async fn occupant(&self, replica: &LocalReplica) -> Result<Occupant> {
        let (data_dir, log) = (self.cluster.data_dir(replica), self.cluster.log_file(replica));
        occupant(replica.id, &data_dir, &log).await
    }

    /// A replica's own server, if it runs.
    ///
    /// # Errors
    /// [`ErrorCode::DirectoryInUse`] when a process runs the replica that cannot be seen
    /// from here, and those of [`occupant`].
    pub async fn server(&self, replica: &LocalReplica) -> Result<Option<Server>> {
        match self.occupant(replica).await? {
            Occupant::Unseen(pid) => Err(unseen(&self.cluster.data_dir(replica), pid)),
            other => Ok(other.server()),
        }
    }

    /// Changes the choice for survivors, which every server is started with.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] while servers run with another choice.
    pub async fn choose_survivor(&mut self, survivor: Survivor) -> Result<()> {
        if self.cluster.survivor == survivor {
            return Ok(());
        }
        for replica in &self.cluster.replicas {
            if self.occupant(replica).await? != Occupant::Nobody {
                return Err(Error::new(
                    ErrorCode::InvalidConfig,
                    format!(
                        "servers of this cluster run with another --survivor; stop them first \
                         with: {}",
                        self.cluster.line("down", &[])
                    ),
                ));
            }
        }
        self.cluster = self.cluster.clone().with_survivor(survivor)?;
        Ok(())
    }

    /// Starts every server that does not run, without waiting for them.
    ///
    /// # Errors
    /// [`ErrorCode::AddressInUse`] and [`ErrorCode::DirectoryInUse`] before
    /// anything is started; [`ErrorCode::Io`].
    pub async fn launch_missing(&self) -> Result<Vec<Launched>> {
        let mut missing = Vec::new();
        for replica in &self.cluster.replicas {
            match self.server(replica).await? {
                Some(_) => (self.progress)(&format!("replica {}: runs already", replica.id)),
                None => missing.push(replica),
            }
        }
        self.launch(&missing).await
    }

    /// Waits until writes are taken, and a little for the last servers.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when a server ends or time runs out.
    pub async fn wait_up(&self, launched: &mut [Launched]) -> Result<ClusterStatus> {
        let mut writable_since = None;
        let ids: Vec<ReplicaId> = self.cluster.replicas.iter().map(|replica| replica.id).collect();
        let done = |status: &ClusterStatus| {
            if !status.confirming {
                writable_since = None;
                return false;
            }
            let since = *writable_since.get_or_insert_with(Instant::now);
            let whole = ids.iter().all(|id| takes_part(status, *id)) && tolerates_most(status);
            whole || since.elapsed() >= STRAGGLERS_LIMIT
        };
        self.wait(launched, "the cluster takes no writes", done).await
    }

    async fn launch(&self, missing: &[&LocalReplica]) -> Result<Vec<Launched>> {
        // Before any server is started: half a cluster would be harder to
        // understand than none.
        for replica in missing {
            if let Some(error) = self.taken_port(replica).await? {
                return Err(error);
            }
        }
        let launch = |replica: &&LocalReplica| {
            let child = self.program.launch(&self.cluster, replica)?;
            (self.progress)(&format!(
                "replica {}: starting at {} (pid {})",
                replica.id,
                replica.address,
                child.id()
            ));
            Ok(Launched { id: replica.id, child, ended: None })
        };
        missing.iter().map(launch).collect()
    }

    /// Why a replica's server could not listen, if another program has its port.
    /// A server of this cluster may have it on the replica's behalf, and gives
    /// it back when the owner asks.
    async fn taken_port(&self, replica: &LocalReplica) -> Result<Option<Error>> {
        let Err(taken) = check_port(replica) else { return Ok(None) };
        let Taken::InUse = taken else { return Ok(Some(taken.error(replica, None))) };
        if let Occupant::Adopter(_) = self.occupant(replica).await? {
            return Ok(None);
        }
        // What it holds may have been removed meanwhile.
        let mut ours = Vec::new();
        for other in &self.cluster.replicas {
            ours.extend(self.occupant(other).await?.pid());
        }
        if ours.iter().any(|pid| open_files::listens(*pid, replica.address.port())) {
            return Ok(None);
        }
        let answer = ask(self.host, &replica.address, SERVER_LIMIT).await.ok();
        let theirs = answer.as_ref().and_then(|status| status.hosted.iter().find_map(|it| it.pid));
        if theirs.is_some_and(|pid| ours.contains(&pid)) {
            return Ok(None);
        }
        // The process that had it may have closed it since the first look.
        if answer.is_none() && check_port(replica).is_ok() {
            return Ok(None);
        }
        Ok(Some(taken.error(replica, answer.is_some().then_some(theirs))))
    }

    /// A killed server's threads end one after the other, and its port is free with the
    /// last. Its directory, which would name it, may be gone. If another process has
    /// the port, [`Supervisor::taken_port`] names it.
    async fn wait_for_port(&self, replica: &LocalReplica) {
        let deadline = Instant::now() + PORT_MAX.min(self.limit.left());
        while check_port(replica).is_err() && Instant::now() < deadline {
            sleep(PORT_PAUSE).await;
        }
    }

    /// Starts one replica's server if it does not run, and waits until it
    /// answers; with `caught_up` until it has applied all that is committed.
    ///
    /// # Errors
    /// As [`Supervisor::wait_up`], [`ErrorCode::AddressInUse`], and [`ErrorCode::UnknownReplica`].
    pub async fn start(&self, id: ReplicaId, caught_up: bool) -> Result<Started> {
        let replica = self.cluster.replica(id)?;
        let running = self.server(replica).await?.map(|server| server.pid);
        let mut launched = match running {
            Some(_) => Vec::new(),
            None => {
                wait_ended(&self.cluster.data_dir(replica), self.limit.left()).await;
                if self.occupant(replica).await? == Occupant::Nobody {
                    self.wait_for_port(replica).await;
                }
                self.launch(&[replica]).await?
            }
        };
        let what = if caught_up {
            format!("replica {id} has not caught up")
        } else {
            format!("the server of replica {id} does not answer")
        };
        let status = self
            .wait(&mut launched, &what, |status| {
                in_place(status, id) && (!caught_up || has_caught_up(status, id))
            })
            .await?;
        Ok(Started {
            id,
            pid: status.replica(id).and_then(|replica| replica.pid).or(running),
            already_running: running.is_some(),
            caught_up: has_caught_up(&status, id),
        })
    }

    /// Waits until writes are taken.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when time runs out.
    pub async fn wait_writable(&self) -> Result<ClusterStatus> {
        self.wait(&mut [], "the cluster takes no writes", |status| status.confirming).await
    }

    async fn wait(
        &self,
        launched: &mut [Launched],
        what: &str,
        mut done: impl FnMut(&ClusterStatus) -> bool,
    ) -> Result<ClusterStatus> {
        let mut wait = Wait::new(self.limit, self.logged(launched));
        let mut answered: Vec<ReplicaId> = Vec::new();
        loop {
            for server in launched.iter_mut() {
                if let Some(how) = server.newly_ended()? {
                    return Err(self.failed(server.id, &format!("ended at once ({how})")));
                }
            }
            let status = self.look_within(wait.look_limit()).await;
            for server in launched.iter() {
                if in_place(&status, server.id) && !answered.contains(&server.id) {
                    answered.push(server.id);
                    (self.progress)(&format!("replica {}: answers", server.id));
                }
            }
            if done(&status) {
                return Ok(status);
            }
            // A server that loads millions of messages does not answer before it
            // has its replica, and tells its log how far it is.
            let loading = launched.iter().any(|server| !answered.contains(&server.id));
            if wait.is_over(loading, self.logged(launched)) {
                let silent = launched.iter().find(|server| !answered.contains(&server.id));
                return Err(match silent {
                    Some(server) => self.failed(server.id, "does not answer"),
                    None => Error::unavailable(format!(
                        "{what} after {}: {}",
                        crate::config::duration::format(self.limit.whole()),
                        missing(&status)
                    )),
                });
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// How much the servers have logged.
    fn logged(&self, launched: &[Launched]) -> Vec<u64> {
        let bytes = |server: &Launched| {
            let replica = self.cluster.replica(server.id).ok()?;
            Some(std::fs::metadata(self.cluster.log_file(replica)).ok()?.len())
        };
        // A log that is not there yet counts as empty.
        launched.iter().map(|server| bytes(server).unwrap_or(0)).collect()
    }

    /// Shows the end of a server's log and makes the error that points there.
    fn failed(&self, id: ReplicaId, how: &str) -> Error {
        for line in last_lines(&self.cluster, id, LOG_LINES) {
            (self.progress)(&format!("replica-{id} | {line}"));
        }
        Error::unavailable(format!(
            "the server of replica {id} {how}; its log says why: {}",
            self.cluster.line("logs", &[&id.to_string()])
        ))
    }

    /// Watches the cluster, shows every look to `seen` and reports every change to `tell`,
    /// until `until` is done.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] when the system does not tell of a process that was started.
    pub async fn watch(
        &self,
        launched: &mut [Launched],
        mut status: ClusterStatus,
        seen: &mut dyn FnMut(&ClusterStatus),
        tell: &mut dyn FnMut(ClusterEvent),
        until: impl Future<Output = ()>,
    ) -> Result<()> {
        tokio::pin!(until);
        loop {
            tokio::select! {
                biased;
                () = &mut until => return Ok(()),
                () = tokio::time::sleep(WATCH_PAUSE) => {}
            }
            for server in launched.iter_mut() {
                if let Some(how) = server.newly_ended()? {
                    let text = format!("the server of replica {} has ended ({how})", server.id);
                    tell(ClusterEvent::new(self.host, "server_ended", Some(server.id), text));
                }
            }
            let now = tokio::select! {
                biased;
                () = &mut until => return Ok(()),
                now = self.look() => now,
            };
            seen(&now);
            for event in events(self.host, &status, &now) {
                tell(event);
            }
            status = now;
        }
    }
}

/// What a status says is wrong, in a few words.
fn missing(status: &ClusterStatus) -> String {
    let down: Vec<String> = status
        .replicas
        .iter()
        .filter(|replica| replica.state == ReplicaState::Unreachable)
        .map(|replica| replica.id.to_string())
        .collect();
    match (down.as_slice(), status.leader) {
        ([], None) => "there is no leader".to_string(),
        ([], Some(_)) => "it takes longer than that".to_string(),
        (_, _) => format!("no answer from replica {}", down.join(", ")),
    }
}

/// Whether a replica runs on its own server.
fn in_place(status: &ClusterStatus, id: ReplicaId) -> bool {
    status.replica(id).is_some_and(|replica| replica.hosted_by == Some(id))
}

/// Whether it tolerates as many crashes as it ever will: all but the last server,
/// where survivors adopt.
fn tolerates_most(status: &ClusterStatus) -> bool {
    !status.survivor.is_some_and(Survivor::adopts)
        || status.tolerates as usize + 1 >= status.replicas.len()
}

/// Whether a replica runs on its own server and has a vote. A new replica that does not
/// know its leader yet does not count, and a cluster that is shown then looks as if it
/// tolerated one failure less.
fn takes_part(status: &ClusterStatus, id: ReplicaId) -> bool {
    in_place(status, id)
        && status.replica(id).is_some_and(|replica| {
            matches!(replica.state, ReplicaState::Leader | ReplicaState::Follower)
        })
}

/// Whether a replica follows or leads and lacks nothing that is committed.
fn has_caught_up(status: &ClusterStatus, id: ReplicaId) -> bool {
    status.replica(id).is_some_and(|replica| {
        matches!(replica.state, ReplicaState::Leader | ReplicaState::Follower)
            && replica.lag == 0
            && replica.votes
            && status.leader.is_some()
    })
}
