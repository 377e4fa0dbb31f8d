//! Asking a leader on another machine for signs of life, so that it is found out soon when
//! that machine is gone.
//!
//! A process that dies closes its connections. A machine that loses its power or its
//! network says nothing at all, and silence alone proves little: the leader may be waiting
//! for its disk, or for a processor. But a machine acknowledges what it receives whatever
//! its processes do. So followers see to it that there is always something to acknowledge:
//! they ask the leader something every [`ASK_INTERVAL`]. If nothing is acknowledged for
//! [`unacknowledged_max`] the connection breaks, and [`survival`](crate::survival) takes
//! that as evidence.
//!
//! It is about a way between two machines, not about one of them, and a way may also be so
//! full that acknowledgements come late. So whoever goes by it must have heard nothing of
//! the leader either, and a majority must agree: see [`Consensus::run_fast_election`].
//!
//! The answers do not matter. On one machine there is nothing to find out, and nothing is
//! asked. The limit holds only while the peer leads: a leader sends its followers much more
//! than questions, and one that reads nothing for a moment is not gone.

use std::time::Duration;

use crate::config::Timing;
use crate::consensus::Consensus;
use crate::consensus::leadership::route::Route;
use crate::peer::Link;
use crate::protocol::peer::Call;
use crate::types::ReplicaId;

/// How often a leader on another machine is asked something. By this much on average it is
/// found out later that its machine is gone; a question and its answer take some
/// hundredths of a millisecond of each side's processor.
const ASK_INTERVAL: Duration = Duration::from_millis(50);

/// How often others are asked, who would have to agree: a way on which nothing travels for
/// minutes is forgotten by what lies on it.
const OTHERS_INTERVAL: Duration = Duration::from_secs(2);

/// How long a machine may acknowledge nothing, at least, apart from the way. Systems send a
/// lost segment again after 200 ms and a round trip (Linux's least retransmission timeout;
/// RFC 6298 has a second), so one may be lost.
const UNACKNOWLEDGED_MIN: Duration = Duration::from_millis(250);

/// How long the leader's machine may acknowledge nothing over a way of this length. Whoever
/// has raised the election timeout because of machines that stop now and then has meant
/// this as well.
fn unacknowledged_max(timing: &Timing, round_trip: Duration) -> Duration {
    let least = Duration::from_millis(timing.election_timeout_min_ms * 5 / 6);
    least.max(UNACKNOWLEDGED_MIN) + 2 * round_trip
}

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
        let link = &pair.consensus;
        loop {
            tokio::select! {
                biased;
                () = self.0.router.until(leads) => {}
                () = ask_again_and_again(link, OTHERS_INTERVAL, |_| None) => {}
            }
            let limit = |round_trip| Some(unacknowledged_max(&self.0.timing, round_trip));
            tokio::select! {
                biased;
                () = self.0.router.until(|route| !leads(route)) => {}
                () = ask_again_and_again(link, ASK_INTERVAL, limit) => {}
            }
        }
    }
}

async fn ask_again_and_again(
    link: &Link,
    interval: Duration,
    limit: impl Fn(Duration) -> Option<Duration>,
) {
    loop {
        link.limit_unacknowledged(limit(link.reached_elsewhere().await));
        // The call is made, and nobody waits for what comes of it.
        drop(link.call(Call::Introduce, "null".into()));
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_way_and_a_longer_timeout_need_more_patience() {
        let timing = |election_timeout_min_ms| Timing {
            heartbeat_interval_ms: 100,
            election_timeout_min_ms,
            election_timeout_max_ms: 2 * election_timeout_min_ms,
        };
        let max_ms = |min_ms, way_ms| {
            unacknowledged_max(&timing(min_ms), Duration::from_millis(way_ms)).as_millis()
        };
        assert_eq!(max_ms(300, 0), 250);
        assert_eq!(max_ms(300, 100), 450);
        assert_eq!(max_ms(150, 0), 250, "one lost segment is nothing");
        assert_eq!(max_ms(3_000, 0), 2_500);
    }
}
