//! Whether this process has run all the time.
//!
//! A process may stand still: a signal has stopped it, its machine is suspended, its
//! container is frozen. What clients asked of it lies in its sockets meanwhile, and they
//! ask somebody else. When it goes on, such a request looks like any other. It may be so late that
//! nobody remembers its operation id any more: the message was delivered by another server
//! and deleted by its recipient, and would be delivered once more. A deadline does not help,
//! as it counts from when the request is read.
//!
//! So a server that has stood still for [`STILL_MIN`] takes nothing more from the
//! connections that it had before. They end, and so do their requests that are in no log yet;
//! whoever is still there connects again and repeats them.
//!
//! A beat every half second shows that the process runs, and so does every connection that
//! is about to take a request. Whoever finds the last beat too long ago has found the pause. Two clocks are asked, for the runtime's does not count the time for which a
//! machine is suspended. If somebody sets the time of day forward, that looks alike, and
//! costs clients a reconnection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::host::Host;
use crate::planted::{self, Bug};
use crate::sync::Mutex;
use crate::types::Timestamp;

/// So long a server may stand still unnoticed. Ids are remembered for many times as
/// long under full load, and a runtime that is held up for longer ends the process.
pub(super) const STILL_MIN: Duration = Duration::from_secs(5);

/// Between two beats.
const BEAT: Duration = Duration::from_millis(500);

/// Finds out when the process has stood still, and tells whoever wants to know.
pub(super) struct Wakefulness {
    host: Host,
    last: Mutex<Beat>,
    pauses: watch::Sender<u64>,
}

struct Beat {
    at: Instant,
    clock: Timestamp,
}

impl Wakefulness {
    pub(super) fn new(host: Host) -> Arc<Wakefulness> {
        let last = Mutex::new(Beat { at: Instant::now(), clock: host.clock.now() });
        Arc::new(Wakefulness { host, last, pauses: watch::Sender::new(0) })
    }

    /// Beats until it is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            self.beat();
            sleep(BEAT).await;
        }
    }

    /// The process runs now: finds out whether it has stood still since the last beat.
    pub(super) fn beat(&self) {
        let mut last = self.last.lock();
        let (at, clock) = (Instant::now(), self.host.clock.now());
        let by_clock = Duration::from_millis(clock.0.saturating_sub(last.clock.0));
        let passed = at.saturating_duration_since(last.at);
        *last = Beat { at, clock };
        if passed.max(by_clock) >= STILL_MIN && !planted::is(Bug::TakeWhatLayInSockets) {
            // With the lock held: whoever finds this beat must find the pause, too.
            self.pauses.send_modify(|pauses| *pauses += 1);
            drop(last);
            tracing::warn!(
                seconds = passed.as_secs(),
                clock_seconds = by_clock.as_secs(),
                "this server has stood still, or its clock was set; its clients have to connect \
                 again"
            );
        }
    }

    /// How often the process has stood still; changes when it has once more.
    pub(super) fn pauses(&self) -> watch::Receiver<u64> {
        self.beat();
        self.pauses.subscribe()
    }
}
