//! Stopping servers: gently, hard, all at once, one after the other.

use std::time::Duration;

use rustix::process::Signal;
use serde::Serialize;

use super::description::LocalReplica;
use super::process::{signal, wait_gone};
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
    /// not let us signal.
    pub async fn stop(&self, id: ReplicaId) -> Result<Stopped> {
        let replica = self.cluster.replica(id)?;
        let mut stopped = self.end(&[replica], Signal::TERM).await?;
        Ok(stopped.remove(0))
    }

    /// Kills one replica's server and waits until it is gone.
    ///
    /// # Errors
    /// As [`Supervisor::stop`].
    pub async fn kill(&self, id: ReplicaId) -> Result<Stopped> {
        let replica = self.cluster.replica(id)?;
        let mut stopped = self.end(&[replica], Signal::KILL).await?;
        Ok(stopped.remove(0))
    }

    /// Freezes one replica's server, as SIGSTOP does. One that does not run is fine.
    ///
    /// # Errors
    /// As [`Supervisor::stop`].
    pub fn freeze(&self, id: ReplicaId) -> Result<()> {
        self.signal_server(id, Signal::STOP)
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// As [`Supervisor::stop`].
    pub fn thaw(&self, id: ReplicaId) -> Result<()> {
        self.signal_server(id, Signal::CONT)
    }

    fn signal_server(&self, id: ReplicaId, how: Signal) -> Result<()> {
        let replica = self.cluster.replica(id)?;
        if let Some(pid) = self.server(replica) {
            // One that has ended meanwhile needs no signal.
            signal(pid, &self.cluster.data_dir(replica), how)?;
        }
        Ok(())
    }

    /// Stops some servers of the cluster, all at once, so that none adopts
    /// another on the way out.
    ///
    /// # Errors
    /// As [`Supervisor::stop`].
    pub async fn down(&self, which: impl Fn(ReplicaId) -> bool) -> Result<Vec<Stopped>> {
        let replicas: Vec<_> = self.cluster.replicas.iter().filter(|r| which(r.id)).collect();
        self.end(&replicas, Signal::TERM).await
    }

    /// Stops the servers that this process has started, also those that have
    /// been restarted since by another command, and waits for its children.
    ///
    /// # Errors
    /// As [`Supervisor::stop`].
    pub async fn stop_launched(&self, launched: &mut [Launched]) -> Result<Vec<Stopped>> {
        // A child that has not written its `LOCK` yet is found by its process
        // id alone. While it is our child and we have not waited for it, that
        // id is nobody else's.
        for server in launched.iter_mut() {
            let known = self.server(self.cluster.replica(server.id)?) == Some(server.child.id());
            if !known && server.newly_ended()?.is_none() && server.runs() {
                signal_child(&server.child, Signal::TERM)?;
                signal_child(&server.child, Signal::CONT)?;
            }
        }
        let ids: Vec<ReplicaId> = launched.iter().map(|server| server.id).collect();
        let stopped = self.down(|id| ids.contains(&id)).await?;
        let deadline = tokio::time::Instant::now() + GRACE;
        for server in launched.iter_mut() {
            while server.newly_ended()?.is_none() && server.runs() {
                if tokio::time::Instant::now() >= deadline {
                    signal_child(&server.child, Signal::KILL)?;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(stopped)
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

    async fn end(&self, replicas: &[&LocalReplica], first: Signal) -> Result<Vec<Stopped>> {
        let targets: Vec<_> = replicas
            .iter()
            .map(|replica| (*replica, self.cluster.data_dir(replica), self.server(replica)))
            .collect();
        for (_, data_dir, pid) in &targets {
            if let Some(pid) = pid {
                signal(*pid, data_dir, first)?;
            }
        }
        if first != Signal::KILL {
            // A frozen process handles no signal but this one and SIGKILL.
            for (_, data_dir, pid) in &targets {
                if let Some(pid) = pid {
                    signal(*pid, data_dir, Signal::CONT)?;
                }
            }
        }
        let deadline = tokio::time::Instant::now() + GRACE;
        let mut stopped = Vec::new();
        for (replica, data_dir, pid) in targets {
            let mut ended = Ended::NotRunning;
            if let Some(pid) = pid {
                let killed = first == Signal::KILL;
                ended = if killed { Ended::Killed } else { Ended::Stopped };
                let left = deadline.saturating_duration_since(tokio::time::Instant::now());
                if !killed && !wait_gone(pid, &data_dir, left).await {
                    (self.progress)(&format!(
                        "replica {}: does not stop by itself; killing process {pid}",
                        replica.id
                    ));
                    signal(pid, &data_dir, Signal::KILL)?;
                    ended = Ended::Killed;
                }
                if ended == Ended::Killed && !wait_gone(pid, &data_dir, KILL_LIMIT).await {
                    return Err(Error::new(
                        ErrorCode::Io,
                        format!(
                            "process {pid} of replica {} does not end although it was killed; \
                             its disk may hang",
                            replica.id
                        ),
                    ));
                }
            }
            stopped.push(Stopped {
                id: replica.id,
                pid,
                ended,
                adopted_by_pid: if pid.is_none() { self.adopter(replica) } else { None },
            });
        }
        Ok(stopped)
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
