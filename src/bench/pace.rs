//! When requests begin, and which of them count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Pace;
use crate::host::Host;

/// Longest sleep of the thread that keeps time, after which it looks whether
/// anybody still listens.
const NAP_MAX: Duration = Duration::from_millis(50);

/// From the warm-up to the end.
pub(super) struct Measurement {
    measured_from: Instant,
    until: Option<Instant>,
    messages_max: u64,
    begun: AtomicU64,
    stopped: AtomicBool,
}

impl Measurement {
    pub(super) fn new(
        measured_from: Instant,
        duration: Option<Duration>,
        messages: Option<u64>,
    ) -> Measurement {
        Measurement {
            measured_from,
            until: duration.map(|duration| measured_from + duration),
            messages_max: messages.unwrap_or(u64::MAX),
            begun: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// Whether a request may begin now. Counts it if so, and if it counts.
    fn begin(&self, now: Instant) -> bool {
        if self.stopped.load(Ordering::Relaxed) || self.until.is_some_and(|until| now >= until) {
            return false;
        }
        !self.counts(now) || self.begun.fetch_add(1, Ordering::Relaxed) < self.messages_max
    }

    /// Whether a request that began then is measured.
    pub(super) fn counts(&self, begun: Instant) -> bool {
        begun >= self.measured_from
    }
}

/// Where a client's requests come from.
pub(super) enum Source {
    /// The next may begin when fewer than so many are under way.
    Closed { window: usize, measurement: Arc<Measurement> },
    /// They come when they come.
    Open { due: mpsc::UnboundedReceiver<Instant> },
}

impl Source {
    /// How many requests may be under way.
    pub(super) fn window(&self) -> usize {
        match self {
            Source::Closed { window, .. } => *window,
            // As many as a server takes from one connection, and a connection
            // keeps for a server that does not read.
            Source::Open { .. } => 1_000,
        }
    }

    /// When the next request begins or was to begin, if there is one now.
    pub(super) fn next(&mut self) -> Next {
        match self {
            Source::Closed { measurement, .. } => {
                let now = Instant::now();
                if measurement.begin(now) { Next::At(now) } else { Next::Never }
            }
            Source::Open { due } => match due.try_recv() {
                Ok(at) => Next::At(at),
                Err(mpsc::error::TryRecvError::Empty) => Next::Later,
                Err(mpsc::error::TryRecvError::Disconnected) => Next::Never,
            },
        }
    }

    /// Waits for the next request that is not yet there; `None` after the last.
    pub(super) async fn wait(&mut self) -> Option<Instant> {
        match self {
            Source::Closed { .. } => std::future::pending().await,
            Source::Open { due } => due.recv().await,
        }
    }
}

/// See [`Source::next`].
pub(super) enum Next {
    At(Instant),
    Later,
    Never,
}

/// One source for each client.
pub(super) fn sources(
    host: &Host,
    pace: Pace,
    clients: usize,
    measurement: &Arc<Measurement>,
) -> Vec<Source> {
    match pace {
        Pace::Closed { in_flight } => (0..clients)
            .map(|number| {
                let window = in_flight / clients + usize::from(number < in_flight % clients);
                Source::Closed { window, measurement: measurement.clone() }
            })
            .collect(),
        Pace::Open { rate } => {
            let (senders, sources) = (0..clients)
                .map(|_| mpsc::unbounded_channel())
                .map(|(sender, due)| (sender, Source::Open { due }))
                .unzip();
            let interval = Duration::from_secs_f64(1.0 / rate);
            let measurement = measurement.clone();
            host.workers.spawn("bench-pace", Box::pin(keep_time(interval, senders, measurement)));
            sources
        }
    }
}

/// Says when each request is due, to one client after the other.
///
/// A thread that sleeps, because the runtime's timers have a resolution of a
/// millisecond, which is more than a message takes.
async fn keep_time(
    interval: Duration,
    clients: Vec<mpsc::UnboundedSender<Instant>>,
    measurement: Arc<Measurement>,
) {
    let mut due = Instant::now();
    for client in clients.iter().cycle() {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if client.is_closed() {
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "time itself is meant, in microseconds")]
            std::thread::sleep(left.min(NAP_MAX));
        }
        if !measurement.begin(due) || client.send(due).is_err() {
            return;
        }
        due += interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_ends_by_time_or_by_count_and_warms_up_before() {
        let from = Instant::now() + Duration::from_secs(10);
        let second = Duration::from_secs(1);
        let measurement = Measurement::new(from, Some(5 * second), Some(2));
        for _ in 0..3 {
            assert!(measurement.begin(from - second), "the warm-up is not counted");
        }
        assert!(!measurement.counts(from - second) && measurement.counts(from));
        assert!(measurement.begin(from) && measurement.begin(from + 4 * second));
        assert!(!measurement.begin(from + 4 * second), "two are enough");
        let measurement = Measurement::new(from, Some(5 * second), None);
        assert!(measurement.begin(from + 4 * second) && !measurement.begin(from + 5 * second));
    }

    #[test]
    fn requests_under_way_are_shared_out_among_clients() {
        let measurement = Arc::new(Measurement::new(Instant::now(), None, Some(1)));
        let pace = Pace::Closed { in_flight: 14 };
        let sources = sources(&Host::real(), pace, 4, &measurement);
        assert_eq!(sources.iter().map(Source::window).collect::<Vec<_>>(), [4, 4, 3, 3]);
    }

    #[tokio::test]
    async fn an_open_loop_goes_round_the_clients_at_even_distances() {
        let measurement = Arc::new(Measurement::new(Instant::now(), None, Some(7)));
        let mut sources = sources(&Host::real(), Pace::Open { rate: 1_000.0 }, 3, &measurement);
        let mut due = Vec::new();
        for round in 0..3 {
            for source in &mut sources[..if round < 2 { 3 } else { 1 }] {
                due.push(source.wait().await.expect("seven are due"));
            }
        }
        let steps: Vec<Duration> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(steps, [Duration::from_millis(1); 6]);
        for source in &mut sources {
            assert!(source.wait().await.is_none(), "the eighth is too much");
        }
    }
}
