//! Asking a leader on another machine for signs of life, so that it is found out soon when
//! that machine is gone.
//!
//! A process that dies closes its connections. A machine that loses its power or its
//! network says nothing at all, and silence alone proves little: the leader may be waiting
//! for its disk, or for a processor. But a machine acknowledges what it receives whatever
//! its processes do. So followers see to it that there is always something to acknowledge:
//! they ask the leader something every [`ASK_INTERVAL`], also while they hear of it, as the
//! way to it may be cut alone. If nothing is acknowledged for [`unacknowledged_max`](crate::host::unacknowledged_max) the connection
//! breaks, and [`survival`](crate::survival) takes that as evidence. It is about a way
//! between two machines, not about one of them: see
//! [`Consensus::run_fast_election`] for who must agree.
//!
//! The answers do not matter. On one machine there is nothing to find out, and nothing is
//! asked.

use std::time::Duration;

use crate::consensus::Consensus;
use crate::consensus::leadership::route::Route;
use crate::peer::Link;
use crate::protocol::peer::Call;
use crate::types::ReplicaId;

/// How often a leader on another machine is asked something. By this much on average it is
/// found out later that its machine is gone; a question and its answer take some
/// hundredths of a millisecond of each side's processor.
const ASK_INTERVAL: Duration = Duration::from_millis(50);

impl Consensus {
    /// Asks whoever leads. Never ends by itself.
    pub(in crate::consensus) async fn ask_for_signs_of_life(self) {
        self.0.links.with_each(|peer| self.clone().ask_one_for_signs_of_life(peer)).await;
    }

    async fn ask_one_for_signs_of_life(self, peer: ReplicaId) {
        let leads = |route: Option<Route>| match route {
            Some(Route::There(node, _)) => node.replica() == peer,
            Some(Route::Here(_)) | None => false,
        };
        let Some(pair) = self.0.links.get(peer) else { return };
        loop {
            self.0.router.until(leads).await;
            tokio::select! {
                biased;
                () = self.0.router.until(|route| !leads(route)) => {}
                () = ask_again_and_again(&pair.consensus) => {}
            }
        }
    }
}

async fn ask_again_and_again(link: &Link) {
    loop {
        link.reached_elsewhere().await;
        // The call is made, and nobody waits for what comes of it.
        drop(link.call(Call::Introduce, "null".into()));
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}
