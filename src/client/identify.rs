//! Asks servers who they are, before anybody has said who they should be.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::timeout;

use super::connection::io_reason;
use super::pacing::Reasons;
use crate::error::Result;
use crate::host::Host;
use crate::tls::fingerprint_of;
use crate::types::{Address, Fingerprint};

/// The fingerprint of the first server that proves to have one, and its address. All are
/// asked at once, and told nothing.
///
/// # Errors
/// [`Unavailable`](crate::error::ErrorCode::Unavailable) when none does within `limit`.
pub async fn identify(
    host: &Host,
    servers: &[Address],
    limit: Duration,
) -> Result<(Address, Fingerprint)> {
    let mut reasons = Reasons::default();
    let mut asking: FuturesUnordered<_> = servers
        .iter()
        .map(|address| async move {
            let asked = timeout(limit, fingerprint_of(&*host.network, address));
            (address, asked.await)
        })
        .collect();
    while let Some((address, asked)) = asking.next().await {
        match asked {
            Ok(Ok(fingerprint)) => return Ok((address.clone(), fingerprint)),
            Ok(Err(error)) => reasons.note(address, io_reason(&error)),
            Err(_) => reasons.note_no_answer(address),
        }
    }
    Err(reasons.unavailable(limit))
}
