//! Stopping servers: gently, hard, all at once, one after the other.

use std::time::Duration;

use rustix::process::Signal;
use serde::Serialize;
use tokio::time::Instant;

use super::description::LocalReplica;
use super::process::{Occupant, Server, keep_out, unseen};
use super::supervisor::{Launched, Started, Supervisor};
use crate::error::{Error, ErrorCode, Result};
use crate::types::ReplicaId;

/// How long a server may take to stop by itself before it is killed.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long the system may take to end a killed process: one that is inside a
/// system call, as fsync on a slow disk, ends after it.
const KILL_LIMIT: Duration = Duration::from_secs(30);

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It did not run.
    NotRunning,
    /// By itself, when asked to.
    Stopped,
    /// By SIGKILL.
    Killed,
}

/// What became of stopping servers.
#[derive(Debug)]
pub struct Ending {
    /// Those that are stopped, or did not run.
    pub stopped: Vec<Stopped>,
    /// Why the others are not.
    pub failed: Option<Error>,
}

impl Ending {
    /// What was stopped, where all were.
    ///
    /// # Errors
    /// Why some were not.
    pub fn all(self) -> Result<Vec<Stopped>> {
        self.failed.map_or(Ok(self.stopped), Err)
    }
}

/// What became of stopping a replica's server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// The replica.
    pub id: ReplicaId,
    /// The process that ended.
    pub pid: Option<u32>,
    /// How.
    pub ended: Ended,
    /// The process of another server that runs this replica, and was left alone.
    pub adopted_by_pid: Option<u32>,
}

impl Supervisor<'_> {
    /// Asks one replica's server to stop and waits until it is gone; kills it
    /// after [`GRACE`]. One that does not run is fine.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownReplica`]; [`ErrorCode::Io`] when the system does
    /// not let us signal; [`ErrorCode::DirectoryInUse`] when somebody has the
    /// replica who is not to be seen from here.
    pub async fn stop(&self, id: ReplicaId) -> Result<Stopped> {
        let replica = self.cluster.replica(id)?;
        Ok(self.end(&[replica], Signal::TERM).await.all()?.remove(0))
    }

    /// Kills one replica's server and waits until it is gone.
    ///
    /// # Errors
    /// As [`Supervisor::stop`].
    pub async fn kill(&self, id: ReplicaId) -> Result<Stopped> {
        let replica = self.cluster.replica(id)?;
        Ok(self.end(&[replica], Signal::KILL).await.all()?.remove(0))
    }

    /// Freezes one replica's server, as SIGSTOP does. One that does not run is fine.
    ///
    /// # Errors
    /// As [`Supervisor::stop`].
    pub async fn freeze(&self, id: ReplicaId) -> Result<()> {
        self.signal_server(id, Signal::STOP).await
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// As [`Supervisor::stop`].
    pub async fn thaw(&self, id: ReplicaId) -> Result<()> {
        self.signal_server(id, Signal::CONT).await
    }

    async fn signal_server(&self, id: ReplicaId, how: Signal) -> Result<()> {
        if let Occupant::Server(server) = self.occupant(self.cluster.replica(id)?).await? {
            // One that has ended meanwhile needs no signal.
            server.signal(how)?;
        }
        Ok(())
    }

    /// Removes the cluster, whose servers have been stopped. Returns whether its
    /// folder is gone.
    ///
    /// # Errors
    /// [`ErrorCode::DirectoryInUse`] when a replica is run by somebody; then
    /// nothing is removed. Those of [`Description::purge`](super::Description::purge).
    pub async fn purge(&self) -> Result<bool> {
        let folders: Vec<_> =
            self.cluster.replicas.iter().map(|it| self.cluster.data_dir(it)).collect();
        let _locks = keep_out(folders.iter().map(|it| it.as_path())).await?;
        self.cluster.clone().purge()
    }

    /// Stops some servers of the cluster, all at once, so that none adopts
    /// another on the way out. One that cannot be stopped keeps no other from it.
    pub async fn down(&self, which: impl Fn(ReplicaId) -> bool) -> Ending {
        let replicas: Vec<_> = self.cluster.replicas.iter().filter(|r| which(r.id)).collect();
        self.end(&replicas, Signal::TERM).await
    }

    /// Stops the servers that this process has started, also those that have
    /// been restarted since by another command, and waits for its children.
    ///
    /// # Errors
    /// As [`Supervisor::stop`].
    pub async fn stop_launched(&self, launched: &mut [Launched]) -> Result<Ending> {
        // A child that has not written its `LOCK` yet is found by its process
        // id alone. While it is our child and we have not waited for it, that
        // id is nobody else's.
        for server in launched.iter_mut() {
            let occupant = self.occupant(self.cluster.replica(server.id)?).await?;
            let known = occupant.pid() == Some(server.child.id());
            if !known && server.newly_ended()?.is_none() && server.runs() {
                signal_child(&server.child, Signal::TERM)?;
                signal_child(&server.child, Signal::CONT)?;
            }
        }
        let ids: Vec<ReplicaId> = launched.iter().map(|server| server.id).collect();
        let ending = self.down(|id| ids.contains(&id)).await;
        let deadline = Instant::now() + GRACE;
        for server in launched.iter_mut() {
            while server.newly_ended()?.is_none() && server.runs() {
                if Instant::now() >= deadline {
                    signal_child(&server.child, Signal::KILL)?;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(ending)
    }

    /// Restarts servers one after the other, each only when writes are taken
    /// and the one before has caught up.
    ///
    /// # Errors
    /// As [`Supervisor::stop`] and [`Supervisor::start`]; those not yet
    /// restarted are left as they are.
    pub async fn restart(&self, ids: &[ReplicaId]) -> Result<Vec<Started>> {
        let mut restarted = Vec::new();
        for id in ids {
            self.cluster.replica(*id)?;
        }
        for id in ids {
            // Stopping one of three is safe only while the other two work.
            self.wait_writable().await?;
            (self.progress)(&format!("replica {id}: stopping"));
            self.stop(*id).await?;
            restarted.push(self.start(*id, true).await?);
            (self.progress)(&format!("replica {id}: has caught up"));
        }
        if !ids.is_empty() {
            self.wait_writable().await?;
        }
        Ok(restarted)
    }

    async fn end(&self, replicas: &[&LocalReplica], first: Signal) -> Ending {
        let mut targets = Vec::new();
        for replica in replicas {
            targets.push((*replica, self.occupant(replica).await));
        }
        let servers = |targets: &[(_, Result<Occupant>)]| -> Vec<Server> {
            targets.iter().filter_map(|(_, it)| it.as_ref().ok()?.server()).collect()
        };
        let mut refused = Vec::new();
        for server in servers(&targets) {
            // A frozen process handles no signal but the second and SIGKILL.
            let told = server.signal(first).and_then(|_| match first {
                Signal::KILL => Ok(false),
                _ => server.signal(Signal::CONT),
            });
            if let Err(error) = told {
                refused.push((server, error));
            }
        }
        let deadline = Instant::now() + GRACE;
        let (mut stopped, mut failures) = (Vec::new(), Vec::new());
        for (replica, occupant) in targets {
            let ended = match occupant {
                Ok(Occupant::Server(server)) => {
                    match refused.iter().find(|(it, _)| *it == server) {
                        Some((_, error)) => Err(error.clone()),
                        None => self.await_end(replica, server, first, deadline).await,
                    }
                }
                Ok(Occupant::Unseen(pid)) => Err(unseen(&self.cluster.data_dir(replica), pid)),
                Ok(Occupant::Nobody | Occupant::Adopter(_)) => Ok(Ended::NotRunning),
                Err(ref error) => Err(error.clone()),
            };
            let server = occupant.as_ref().ok().and_then(|it| it.server());
            let adopted_by_pid = match occupant {
                Ok(Occupant::Adopter(pid)) => Some(pid),
                _ => None,
            };
            match ended {
                Ok(ended) => stopped.push(Stopped {
                    id: replica.id,
                    pid: server.map(|server| server.pid),
                    ended,
                    adopted_by_pid,
                }),
                Err(error) => failures.push(error),
            }
        }
        Ending { stopped, failed: Error::of_many(failures) }
    }

    /// Waits for a server's end, and kills it when it does not end in time.
    async fn await_end(
        &self,
        replica: &LocalReplica,
        server: Server,
        first: Signal,
        deadline: Instant,
    ) -> Result<Ended> {
        let left = deadline.saturating_duration_since(Instant::now());
        let log = self.cluster.log_file(replica);
        if first != Signal::KILL {
            if server.wait_gone(&log, left).await {
                return Ok(Ended::Stopped);
            }
            (self.progress)(&format!(
                "replica {}: does not stop by itself; killing process {}",
                replica.id, server.pid
            ));
            server.signal(Signal::KILL)?;
        }
        if server.wait_gone(&log, KILL_LIMIT).await {
            return Ok(Ended::Killed);
        }
        Err(Error::new(
            ErrorCode::Io,
            format!(
                "process {} of replica {} does not end although it was killed; its disk may hang",
                server.pid, replica.id
            ),
        ))
    }
}

fn signal_child(child: &std::process::Child, signal: Signal) -> Result<()> {
    match rustix::process::kill_process(rustix::process::Pid::from_child(child), signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(Error::new(
            ErrorCode::Io,
            format!("cannot signal process {}: {}", child.id(), std::io::Error::from(error)),
        )),
    }
}

#[cfg(test)]
mod tests;
