//! The signal to stop.

use tokio::sync::watch;

/// Tells when the server is to stop: once the value is `true`, or its sender is gone,
/// as then the task that ran the server has ended.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(super) fn new(receiver: watch::Receiver<bool>) -> Self {
        Stop(receiver)
    }

    /// Waits for the signal; returns at once if it was given.
    pub(super) async fn requested(&mut self) {
        let _: Result<_, watch::error::RecvError> = self.0.wait_for(|stop| *stop).await;
    }
}
