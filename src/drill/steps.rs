//! One fault after the other: doing it, and bringing everything back.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::users::USERS;
use super::{Dice, Drill, Fault, Faults, Step, wait_for};
use crate::error::{Error, Result};
use crate::protocol::client::ReplicaState;
use crate::protocol::status::ClusterStatus;
use crate::types::ReplicaId;

/// How long two servers are frozen: longer than any election, and less than a
/// command waits.
const FREEZE: Duration = Duration::from_millis(2_500);

impl Faults for Drill<'_> {
    fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    async fn step(&mut self, _: usize, round: u32, fault: Fault) -> Result<Step> {
        self.wait_whole().await?;
        let (before, began) = (self.shared.record.count(), Instant::now());
        let servers = self.inject(fault).await?;
        self.wait_whole().await?;
        Ok(Step {
            round,
            fault,
            servers,
            pause_ms: self.shared.record.longest_pause_ms(began),
            acknowledged: self.shared.record.count() - before,
            alone: None,
            settled_ms: None,
        })
    }
}

impl Drill<'_> {
    /// Does it, waits until everybody can send, and brings everything back.
    async fn inject(&mut self, fault: Fault) -> Result<Vec<ReplicaId>> {
        let supervisor = self.supervisor;
        let ids: Vec<ReplicaId> = supervisor.cluster.replicas.iter().map(|it| it.id).collect();
        let mut victims = Vec::new();
        match fault {
            Fault::StopLeader | Fault::StopTwo => {
                let times = if fault == Fault::StopTwo { 2 } else { 1 };
                for _ in 0..times {
                    let leader = self.leader().await?;
                    supervisor.stop(leader).await?;
                    victims.push(leader);
                    self.wait_everybody_sends().await?;
                }
            }
            Fault::KillLeader | Fault::KillTwoInSequence => {
                let times = if fault == Fault::KillTwoInSequence { 2 } else { 1 };
                for _ in 0..times {
                    let leader = self.leader().await?;
                    supervisor.kill(leader).await?;
                    victims.push(leader);
                    self.wait_everybody_sends().await?;
                }
            }
            Fault::KillFollower => {
                victims.push(self.follower(&ids).await?);
                supervisor.kill(victims[0]).await?;
                self.wait_everybody_sends().await?;
            }
            Fault::Kill1And2 | Fault::Kill1And3 | Fault::Kill2And3 => {
                victims = match fault {
                    Fault::Kill1And2 => vec![ids[0], ids[1]],
                    Fault::Kill1And3 => vec![ids[0], ids[2]],
                    _ => vec![ids[1], ids[2]],
                };
                let both = (supervisor.kill(victims[0]), supervisor.kill(victims[1]));
                let (one, other) = tokio::join!(both.0, both.1);
                one.and(other)?;
                self.wait_everybody_sends().await?;
            }
            Fault::KillAllStartOne => {
                let all = ids.iter().map(|id| supervisor.kill(*id));
                for killed in futures::future::join_all(all).await {
                    killed?;
                }
                victims = ids.clone();
                let first = ids[self.dice.throw(ids.len())];
                supervisor.start(first, false).await?;
                self.wait_everybody_sends().await?;
            }
            Fault::FreezeOne => victims = self.freeze(&ids, 1).await?,
            Fault::FreezeTwo => victims = self.freeze(&ids, 2).await?,
            Fault::WipeFollower => victims.push(self.wipe_follower(&ids).await?),
            Fault::RollingRestart => {
                supervisor.restart(&ids).await?;
                victims = ids.clone();
            }
            _ => return Err(Error::internal(format!("{} needs several machines", fault.text()))),
        }
        for id in &victims {
            supervisor.start(*id, false).await?;
        }
        self.wait_everybody_sends().await?;
        Ok(victims)
    }

    /// Freezes servers for a while, and lets them go on.
    async fn freeze(&mut self, ids: &[ReplicaId], count: usize) -> Result<Vec<ReplicaId>> {
        let supervisor = self.supervisor;
        let mut victims = ids.to_vec();
        self.dice.shuffle(&mut victims);
        victims.truncate(count);
        let frozen = async {
            for id in &victims {
                supervisor.freeze(*id).await?;
            }
            if count == 1 {
                self.wait_everybody_sends().await
            } else {
                // Nobody may adopt the replica of a process that lives, so there is nothing
                // to wait for but time.
                sleep(FREEZE).await;
                Ok(())
            }
        };
        let frozen: Result<()> = frozen.await;
        for id in &victims {
            supervisor.thaw(*id).await?;
        }
        frozen?;
        self.wait_everybody_sends().await?;
        Ok(victims)
    }

    /// Kills a follower and removes its data directory.
    async fn wipe_follower(&mut self, ids: &[ReplicaId]) -> Result<ReplicaId> {
        let supervisor = self.supervisor;
        let follower = self.follower(ids).await?;
        supervisor.kill(follower).await?;
        let data = supervisor.cluster.data_dir(supervisor.cluster.replica(follower)?);
        std::fs::remove_dir_all(&data).map_err(|error| Error::io("remove", &data, &error))?;
        self.wait_everybody_sends().await?;
        Ok(follower)
    }

    async fn leader(&self) -> Result<ReplicaId> {
        let mut leader = None;
        let seen = std::cell::RefCell::new(&mut leader);
        wait_for("there is no leader", || async {
            let status = self.supervisor.look().await;
            let led_at_home = status.leader.filter(|id| is_at_home(&status, *id));
            **seen.borrow_mut() = led_at_home;
            led_at_home.is_some()
        })
        .await?;
        leader.ok_or_else(|| Error::internal("a leader was waited for"))
    }

    async fn follower(&mut self, ids: &[ReplicaId]) -> Result<ReplicaId> {
        let leader = self.leader().await?;
        let others: Vec<ReplicaId> = ids.iter().copied().filter(|id| *id != leader).collect();
        Ok(others[self.dice.throw(others.len())])
    }

    /// Every sender has had a message acknowledged that was under way or begun
    /// after now.
    async fn wait_everybody_sends(&self) -> Result<()> {
        let since = Instant::now();
        wait_for("not everybody can send again", || async {
            self.shared.record.senders_since(since).len() == USERS
        })
        .await
    }

    /// All replicas vote, each on its own server, any two may crash, and writes
    /// are taken.
    async fn wait_whole(&self) -> Result<()> {
        wait_for("not all replicas are back", || async {
            let status = self.supervisor.look().await;
            let ids = self.supervisor.cluster.replicas.iter().map(|it| it.id);
            status.confirming
                && status.unconfirmed == 0
                && status.tolerates == 2
                && ids.into_iter().all(|id| is_at_home(&status, id))
        })
        .await
    }
}

fn is_at_home(status: &ClusterStatus, id: ReplicaId) -> bool {
    status.replica(id).is_some_and(|it| {
        it.hosted_by == Some(id)
            && matches!(it.state, ReplicaState::Leader | ReplicaState::Follower)
    })
}
