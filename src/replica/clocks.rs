//! Asks the other replicas what their clocks show, for [`Clocks`](crate::peer::Clocks).

use std::sync::{Arc, Weak};

use futures::future::join_all;
use tokio::time::sleep;

use super::{Inner, Phase};
use crate::consensus::Time;
use crate::limits::CLOCK_LOOK_INTERVAL;
use crate::protocol::peer::{Call, Standing};
use crate::types::ReplicaId;

/// Asks from time to time, until the replica stops.
pub async fn watch(replica: Weak<Inner>) {
    loop {
        // A handshake told them; somebody may have set them since.
        sleep(CLOCK_LOOK_INTERVAL).await;
        let Some(inner) = replica.upgrade() else { return };
        if matches!(*inner.phase.borrow(), Phase::Stopped) {
            return;
        }
        let peers = inner.links.peers();
        join_all(peers.into_iter().map(|peer| ask(&inner, peer))).await;
    }
}

/// What is wrong with the own clock, for users; nothing while it counts.
pub fn notice(time: &Time) -> Option<String> {
    let (own, agreed) = time.wrong_clock()?;
    Some(format!(
        "its clock shows {own}, and those of the others {agreed}, which count: set it right"
    ))
}

async fn ask(inner: &Arc<Inner>, peer: ReplicaId) {
    let Some(pair) = inner.links.get(peer) else { return };
    let reply = match pair.service.call(Call::Introduce, "null".into()).await {
        Ok(reply) => reply,
        // What it said before is reckoned on.
        Err(error) => return tracing::debug!(%peer, %error, "the peer did not tell its clock"),
    };
    match serde_json::from_slice::<Standing>(&reply) {
        Ok(standing) => inner.credentials.clocks().record(peer, standing.clock),
        Err(error) => tracing::debug!(%peer, %error, "the peer answered strangely"),
    }
}
