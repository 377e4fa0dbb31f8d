//! Moving leadership, on behalf of an administrator who holds the cluster's key.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::supervisor::Supervisor;
use crate::config::key_file;
use crate::error::{Error, ErrorCode, Result};
use crate::peer::{self, CallError, ClusterKey};
use crate::protocol::client::Member;
use crate::protocol::peer::{ADMINISTRATOR, Call, Introduction, Lead};
use crate::protocol::status::ClusterStatus;
use crate::types::ReplicaId;

/// How long the leader may take to answer before it is looked for again.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Pause before the leader is looked for again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What became of moving leadership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transferred {
    /// Who leads now.
    pub leader: ReplicaId,
    /// Who led before.
    pub previous: ReplicaId,
    /// The term in which it does.
    pub term: u64,
}

impl Supervisor<'_> {
    /// Moves leadership to a replica, and returns when it leads. One that leads
    /// already is fine.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownReplica`]; [`ErrorCode::NotConfirmed`] when the
    /// replica does not run on its own server; [`ErrorCode::Unavailable`] when
    /// time runs out.
    pub async fn transfer(&self, id: ReplicaId) -> Result<Transferred> {
        self.cluster.replica(id)?;
        let key = ClusterKey::new(*key_file::read(&self.cluster.key_file())?);
        let deadline = Instant::now() + self.limit.left();
        let mut previous = None;
        let mut why = "no server leads".to_string();
        loop {
            let status = self.look().await;
            if let Some(leader) = status.leader {
                let before = *previous.get_or_insert(leader);
                if leader == id {
                    return Ok(Transferred { leader, previous: before, term: status.term });
                }
                match self.ask_leader(&key, &status, leader, id).await {
                    Ok(()) => continue,
                    Err(CallError::Refused(error)) if error.code == ErrorCode::NotConfirmed => {
                        let start = self.cluster.line("start", &[&id.to_string()]);
                        return Err(Error {
                            message: format!("{}: {start}", error.message),
                            ..error
                        });
                    }
                    Err(CallError::Refused(error)) if error.code != ErrorCode::Unavailable => {
                        return Err(error);
                    }
                    Err(error) => why = error.to_string(),
                }
            }
            if Instant::now() >= deadline {
                return Err(Error::unavailable(format!(
                    "leadership was not moved to replica {id}: {why}"
                )));
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    async fn ask_leader(
        &self,
        key: &ClusterKey,
        status: &ClusterStatus,
        leader: ReplicaId,
        id: ReplicaId,
    ) -> Result<(), CallError> {
        let Some(address) = status.replica(leader).map(|replica| replica.address.clone()) else {
            return Err(CallError::NotSent(format!("the address of leader {leader} is not known")));
        };
        let from = Introduction {
            replica: ADMINISTRATOR,
            cluster: status.cluster,
            lineage: None,
            incarnation: None,
        };
        let member = Member { id: leader, address };
        let body = serde_json::to_vec(&Lead { replica: id }).expect("plain data serializes");
        let spawn = |task| drop(crate::host::spawn(task));
        peer::ask(self.host, key, from, &member, Call::Lead, body.into(), ANSWER_MAX, spawn)
            .await?;
        Ok(())
    }
}
