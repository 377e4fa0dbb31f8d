//! An empty directory becomes one with an identity, and a cluster that has no log
//! yet begins; the head of `startup.rs` tells how.

use std::sync::atomic::Ordering;

use tokio::time::{sleep, timeout};

use super::{LOOK_INTERVAL, Startup};
use crate::consensus::Consensus;
use crate::error::Result;
use crate::limits::DATA_FORMAT_FIRST;
use crate::protocol::peer::{Call, Found, Joined, Standing};
use crate::storage::Identity;

impl Startup {
    /// Turns an empty directory into one with an identity.
    pub(super) async fn become_member(&mut self) -> Result<()> {
        let own = self.inner.config.id;
        if self.directory.has_set_aside().await? {
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
                            format: DATA_FORMAT_FIRST,
                            cluster: joined.cluster,
                            lineage: joined.lineage,
                            replica: own,
                            incarnation: joined.incarnation,
                            opens: 0,
                            openings: Vec::new(),
                            knows_level: self.inner.config.feature_level_known,
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

    async fn write_founded(&mut self, found: Found) -> Result<()> {
        let identity = Identity {
            format: DATA_FORMAT_FIRST,
            cluster: found.cluster,
            lineage: found.lineage,
            replica: self.inner.config.id,
            incarnation: 1,
            opens: 1,
            openings: vec![self.inner.host.uuid()],
            knows_level: self.inner.config.feature_level_known,
        };
        self.directory.write_identity(identity.clone()).await?;
        self.counted = true;
        // Where it lives comes first: connections end when it becomes somebody
        // else, not when it lives elsewhere. A peer that was told the name without
        // the place would never learn the place, and could not adopt this replica.
        self.inner.credentials.locate_at(self.directory.location());
        self.introduce(&identity);
        Ok(())
    }

    /// Named a member of a cluster that has no log yet: helps it begin.
    pub(super) async fn begin_cluster(
        &mut self,
        consensus: &Consensus,
        identity: &Identity,
    ) -> Result<()> {
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
}
