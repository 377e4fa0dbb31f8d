//! Moving leadership, on behalf of an administrator who holds the cluster's key.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::leader::ask_leader;
use super::supervisor::Supervisor;
use crate::error::{Error, ErrorCode, Result};
use crate::peer::{CallError, Keys};
use crate::protocol::peer::{Call, Lead};
use crate::types::ReplicaId;

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
        let keys = Keys::read(&self.cluster.key_file())?;
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
                let lead = Lead { replica: id };
                let asked = ask_leader(self.host, &keys, (&status, leader), Call::Lead, &lead);
                match asked.await {
                    Ok(_) => continue,
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
}
