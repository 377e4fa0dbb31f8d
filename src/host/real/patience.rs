//! How soon the system gives up a connection whose other machine acknowledges nothing.
//!
//! Linux has a limit for each connection (`TCP_USER_TIMEOUT`; RFC 5482). It counts from the
//! first time that something is sent again, which is a round trip and 200 ms
//! after it was sent first. Processes of the other machine have no part in it, with one
//! exception: one that reads nothing for long closes its window, and the limit holds for
//! that as well. So it is for connections on which little is sent.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::host::Elsewhere;

/// Longest round trip that is believed: a connection whose first packet was lost takes a
/// second longer than the way is.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(500);

/// What is known of the machine to which a connection was made in so long.
pub fn elsewhere(stream: &TcpStream, round_trip: Duration) -> io::Result<Elsewhere> {
    let round_trip = round_trip.min(ROUND_TRIP_MAX);
    let patience = system::patience(stream, round_trip)?;
    Ok(Elsewhere { round_trip, patience })
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::{AsFd as _, OwnedFd};
    use std::sync::Arc;
    use std::time::Duration;

    use rustix::net::sockopt::set_tcp_user_timeout;
    use tokio::net::TcpStream;

    use crate::host::Patience;

    /// After how long Linux sends again what was not acknowledged, apart from a round trip.
    const RETRANSMITS_AFTER: Duration = Duration::from_millis(200);

    /// Another descriptor of the connection, which must not outlive it for long: the other
    /// side learns of its end when both are closed.
    struct OfLinux {
        socket: OwnedFd,
        round_trip: Duration,
    }

    impl Patience for OfLinux {
        fn limit(&self, unacknowledged_max: Option<Duration>) {
            let limit_ms = unacknowledged_max.map_or(0, |limit| {
                let counted = limit.saturating_sub(RETRANSMITS_AFTER + self.round_trip);
                // Nothing would mean no limit at all.
                u32::try_from(counted.as_millis()).unwrap_or(u32::MAX).max(1)
            });
            if let Err(error) = set_tcp_user_timeout(&self.socket, limit_ms) {
                tracing::debug!(%error, "the system does not limit what is unacknowledged");
            }
        }
    }

    pub fn patience(stream: &TcpStream, round_trip: Duration) -> io::Result<Arc<dyn Patience>> {
        let socket = stream.as_fd().try_clone_to_owned()?;
        Ok(Arc::new(OfLinux { socket, round_trip }))
    }
}

/// Other systems have no such limit, or another unit of it.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::net::TcpStream;

    use crate::host::Patience;

    struct OfTheSystem;

    impl Patience for OfTheSystem {
        fn limit(&self, _: Option<Duration>) {}
    }

    pub fn patience(_: &TcpStream, _: Duration) -> io::Result<Arc<dyn Patience>> {
        Ok(Arc::new(OfTheSystem))
    }
}
