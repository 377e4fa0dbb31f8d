//! A replica that runs in the process of another server, because its own is dead:
//! what it does differently, and how its owner asks for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Inner, Phase, Replica};
use crate::consensus::Consensus;
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::peer::Release;
use crate::storage::Identity;
use crate::types::{Address, ReplicaId};

/// Between two attempts to give leadership to the host's own replica.
const YIELD_PAUSE: Duration = Duration::from_millis(5);

/// Between two looks whether the host has a newer snapshot.
const SNAPSHOT_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long giving leadership to the host may take before it is given up.
const YIELD_MAX: Duration = Duration::from_secs(1);

/// An owner wants its replica back.
pub struct ReleaseRequest {
    /// What it wants.
    pub release: Release,
    /// Told when its lock is free, or why not.
    pub reply: oneshot::Sender<Result<()>>,
}

impl Replica {
    /// From now on, the requests of owners for replicas that this process runs come
    /// here.
    pub fn take_release_requests(&self) -> mpsc::UnboundedReceiver<ReleaseRequest> {
        let (send, receive) = mpsc::unbounded_channel();
        self.0.releases.send_replace(Some(send));
        receive
    }

    /// Where its server listens, or did while it lived.
    pub fn address(&self) -> &Address {
        &self.0.config.listen
    }

    /// Why it can no longer do its duty, if so.
    pub fn failure(&self) -> Option<Error> {
        self.0.failure.borrow().clone()
    }

    /// Resolves when it has been stopped.
    pub async fn stopped(&self) {
        let mut phase = self.0.phase.subscribe();
        // The sender is part of `self`, so this cannot fail.
        drop(phase.wait_for(|phase| matches!(phase, Phase::Stopped)).await);
    }

    /// Who its data directory belongs to, once it has loaded it.
    pub fn identity(&self) -> Option<Identity> {
        self.0.identity.borrow().clone()
    }

    /// Gives leadership to the replica of the host, if this adopted one has it.
    pub async fn yield_to_host(&self) {
        let yielding = async {
            loop {
                let (Ok(own), Some(host)) = (self.0.consensus(), self.0.host_consensus()) else {
                    return;
                };
                if !own.yield_to(host.node()).await {
                    return;
                }
                tokio::time::sleep(YIELD_PAUSE).await;
            }
        };
        // If it is given up, the others elect a leader when this one is gone.
        drop(tokio::time::timeout(YIELD_MAX, yielding).await);
    }
}

impl Inner {
    /// The replica that the process belongs to.
    pub(super) fn hosted_by(&self) -> ReplicaId {
        self.host_replica.as_ref().map_or(self.config.id, Replica::id)
    }

    pub(super) fn host_consensus(&self) -> Option<Consensus> {
        self.host_replica.as_ref()?.0.consensus().ok()
    }

    /// An adopted replica leads just long enough to bring the host's own up to
    /// date: it cannot answer for operations, as it keeps no state. Never ends.
    pub(super) async fn serve_host(self: &Arc<Inner>, own: &Consensus) {
        let mut look_at = Instant::now();
        loop {
            let mut leads = false;
            if let Some(host) = self.host_consensus() {
                leads = own.yield_to(host.node()).await;
                if look_at <= Instant::now() {
                    look_at = Instant::now() + SNAPSHOT_LOOK_INTERVAL;
                    own.copy_snapshot_of(&host).await;
                }
            }
            if leads {
                tokio::time::sleep(YIELD_PAUSE).await;
            } else {
                tokio::select! {
                    biased;
                    () = own.leader_changed() => {}
                    () = tokio::time::sleep_until(look_at.max(Instant::now() + YIELD_PAUSE)) => {}
                }
            }
        }
    }

    /// Passes a request to the server's task that decides about it.
    pub(super) async fn release(&self, release: Release) -> Result<()> {
        if let Some(host) = &self.host_replica {
            return Box::pin(host.0.release(release)).await;
        }
        let requests = self.releases.borrow().clone();
        let (reply, released) = oneshot::channel();
        let sent = requests.map(|requests| requests.send(ReleaseRequest { release, reply }));
        match sent {
            Some(Ok(())) => {
                released.await.map_err(|_| Error::unavailable("this server is stopping"))?
            }
            Some(Err(_)) | None => Err(Error::new(
                ErrorCode::DirectoryInUse,
                format!("server {} runs its own replica only", self.config.id),
            )),
        }
    }
}
