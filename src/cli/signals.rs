//! Signals that ask a command to end which has something to put in order first.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, ErrorCode, Result};
use crate::host::hangup_is_ignored;

/// Ctrl-C, SIGTERM and the end of the terminal. From the beginning on none of
/// them ends the process by itself.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Not with `nohup`, whose command is to outlive its terminal.
    hangup: Option<Signal>,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] when the system does not let us.
    pub(super) fn listen() -> Result<Signals> {
        let listen = |kind| signal(kind).map_err(cannot_listen);
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            // Listening would end its being ignored.
            hangup: (!hangup_is_ignored()).then(|| listen(SignalKind::hangup())).transpose()?,
        })
    }

    /// Returns when the next one has come.
    pub(super) async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hangup => {}
        }
    }
}

/// What a command ends with that a signal has ended.
pub(super) fn interrupted() -> Error {
    Error::new(ErrorCode::Interrupted, "interrupted")
}

/// The error when signals cannot be received.
pub(super) fn cannot_listen(error: std::io::Error) -> Error {
    Error::failed("cannot listen for signals", &error)
}
