//! Asking the leader of a cluster, as an administrator who holds its key.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::host::Host;
use crate::peer::{self, CallError, Keys};
use crate::protocol::client::Member;
use crate::protocol::peer::{ADMINISTRATOR, Call, Introduction};
use crate::protocol::status::ClusterStatus;
use crate::types::ReplicaId;

/// How long the leader may take to answer before it is looked for again.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Makes a call to the replica that leads as a status says.
///
/// # Errors
/// [`CallError`] says whether something may have been done.
pub(super) async fn ask_leader(
    host: &Host,
    keys: &Keys,
    (status, leader): (&ClusterStatus, ReplicaId),
    call: Call,
    body: &impl Serialize,
) -> Result<Bytes, CallError> {
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
    let body = serde_json::to_vec(body).expect("plain data serializes");
    let spawn = |task| drop(crate::host::spawn(task));
    peer::ask(host, keys, from, &member, call, body.into(), ANSWER_MAX, spawn).await
}
