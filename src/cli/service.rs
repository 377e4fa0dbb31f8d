//! What a service manager such as systemd is told of a server, and of a local cluster in
//! the foreground: that it answers, how it is, that it ends.
//!
//! # The watchdog
//! Two watchdogs of its own end a server that is stuck: that of the runtime, and that of
//! consensus. The one of the service manager is fed by the thread of the first for as
//! long as neither has judged. So it ends a server for no other reason than they do, and
//! only one that they could not end, or whose every thread stands still.
//!
//! # How it fails
//! Without a service manager nothing of this happens. With one that cannot be reached the
//! server goes on, and its log tells.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};
use crate::host::{Notification, ServiceManager};
use crate::output::{sanitize, server_sentence};
use crate::server::runtime_watchdog::{self, TICK};
use crate::survival::Hosting;

/// Between two looks at how the server is.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// How much longer a start may take, from each time on that the manager is asked.
const START_EXTENSION: Duration = Duration::from_secs(30);

/// Looks of the watchdog between two times that it is asked: five seconds, so that some
/// may be lost.
const LOOKS_BETWEEN_EXTENSIONS: u64 = 10;

/// So many times within its interval is the manager's watchdog fed.
const FEEDS_PER_INTERVAL: u32 = 4;

/// How a service is, as its manager knows it.
pub(super) struct Told {
    manager: ServiceManager,
    ready: bool,
    sentence: Option<String>,
}

impl Told {
    /// To the service manager that the environment names, if there is one.
    ///
    /// # Errors
    /// Those of [`ServiceManager::from_environment`].
    pub(super) fn from_environment() -> Result<Told> {
        Ok(Told::by(ServiceManager::from_environment()?))
    }

    fn by(manager: ServiceManager) -> Told {
        Told { manager, ready: false, sentence: None }
    }

    /// Tells how the service is, which by this does what it is for. What was told already
    /// is not told again, and what was not taken is, the next time.
    pub(super) fn running(&mut self, sentence: String) {
        if self.sentence.as_ref() == Some(&sentence) {
            return;
        }
        let status = Notification::Status(&sentence);
        let taken = match self.ready {
            true => self.manager.notify(&[status]),
            false => self.manager.notify(&[Notification::Ready, status]),
        };
        if taken {
            (self.ready, self.sentence) = (true, Some(sentence));
        }
    }

    /// Tells that the service ends because it was asked to.
    pub(super) fn stopping(&self) {
        self.manager.notify(&[Notification::Stopping, Notification::Status("Stopping.")]);
    }
}

/// A server as a service.
pub(super) struct Service {
    manager: ServiceManager,
    /// What runs, once it does.
    hosting: Arc<OnceLock<Hosting>>,
}

impl Service {
    /// Of the service manager that the environment names, if there is one.
    ///
    /// # Errors
    /// Those of [`ServiceManager::from_environment`], and [`ErrorCode::InvalidConfig`] for
    /// a watchdog that no server could satisfy.
    pub(super) fn from_environment() -> Result<Service> {
        let manager = ServiceManager::from_environment()?;
        if manager.watchdog().is_some_and(|interval| interval < 2 * TICK) {
            let message = format!(
                "the service manager wants a sign of life more often than a server gives it: set \
                 WatchdogSec= of its unit to {}s or more",
                (2 * TICK).as_secs()
            );
            return Err(Error::new(ErrorCode::InvalidConfig, message));
        }
        Ok(Service { manager, hosting: Arc::default() })
    }

    /// Watches over the runtime, and tells the manager that it moves.
    ///
    /// # Errors
    /// Those of [`runtime_watchdog::watch`].
    pub(super) fn watch(&self) -> Result<()> {
        let (manager, hosting) = (self.manager.clone(), self.hosting.clone());
        let mut looks = 0;
        let moves = move || {
            let failed = hosting.get().map(Hosting::has_failed);
            for notification in due(looks, failed, manager.watchdog()) {
                manager.notify(&[notification]);
            }
            looks += 1;
        };
        runtime_watchdog::watch(TICK, moves, runtime_watchdog::end_process)
    }

    /// Tells how the server is whenever that has changed, from now on, when it answers.
    pub(super) async fn running(&self, hosting: &Hosting) -> Infallible {
        // It is set once, as a process has one server.
        self.hosting.get_or_init(|| hosting.clone());
        if !self.manager.is_there() {
            return std::future::pending().await;
        }
        let mut told = Told::by(self.manager.clone());
        loop {
            told.running(server_sentence(&hosting.status()));
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Tells that the server ends because it was asked to.
    pub(super) fn stopping(&self) {
        Told::by(self.manager.clone()).stopping();
    }

    /// Tells why the server ends by itself.
    pub(super) fn failed(&self, error: &Error) {
        self.manager.notify(&[Notification::Status(&sanitize(&error.message))]);
    }
}

/// What the manager is to be told at this look of the watchdog. `failed`: whether the
/// server's replica has, once it runs. `interval`: how long the manager waits for a sign.
fn due(
    look: u64,
    failed: Option<bool>,
    interval: Option<Duration>,
) -> impl Iterator<Item = Notification<'static>> {
    let starting = failed.is_none() && look.is_multiple_of(LOOKS_BETWEEN_EXTENSIONS);
    let feeds = interval.filter(|_| failed != Some(true)).is_some_and(|interval| {
        let pause = (interval / FEEDS_PER_INTERVAL).as_millis() / TICK.as_millis();
        u128::from(look).is_multiple_of(pause.max(1))
    });
    let extension = starting.then_some(Notification::ExtendTimeout(START_EXTENSION));
    extension.into_iter().chain(feeds.then_some(Notification::Watchdog))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(looks: u64, failed: Option<bool>, interval_ms: u64) -> usize {
        let interval = Some(Duration::from_millis(interval_ms));
        let all = (0..looks).flat_map(|look| due(look, failed, interval));
        all.filter(|it| *it == Notification::Watchdog).count()
    }

    #[test]
    fn the_watchdog_is_fed_often_enough_until_the_replica_has_failed() {
        // In 60 seconds.
        for (interval_ms, times) in [(1_000, 120), (2_000, 120), (20_000, 12), (60_000, 4)] {
            assert_eq!(fed(120, Some(false), interval_ms), times, "{interval_ms} ms");
            assert_eq!(fed(120, None, interval_ms), times, "{interval_ms} ms");
            assert_eq!(fed(120, Some(true), interval_ms), 0, "{interval_ms} ms");
        }
        assert_eq!((0..120).flat_map(|look| due(look, Some(false), None)).count(), 0);
    }

    #[test]
    fn a_start_may_take_longer_and_nothing_else() {
        let asked = |failed| {
            let all = (0..60).flat_map(|look| due(look, failed, None));
            all.filter(|it| *it == Notification::ExtendTimeout(START_EXTENSION)).count()
        };
        assert_eq!((asked(None), asked(Some(false)), asked(Some(true))), (6, 0, 0));
    }
}
