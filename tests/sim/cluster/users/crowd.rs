//! Accounts by the hundred, for messages to all of them.
//!
//! Only the sender reads what they get, and sees the list of recipients with every
//! message. A page of such messages does not fit into a line of the protocol.

use std::sync::PoisonError;

use ftchat::host::Host;
use ftchat::limits::ACCOUNT_NAME_MAX_BYTES;

use super::{TIMEOUT, Users, register};

/// Registrations at once.
const AT_ONCE: usize = 16;

/// See the head of this file.
pub struct Crowd;

impl Crowd {
    /// Registers as many as the scale says, then lets everybody write to them.
    pub async fn run(host: Host, users: Users) -> Result<(), String> {
        let name = |number: usize| format!("{number:x>ACCOUNT_NAME_MAX_BYTES$}");
        let names: Vec<String> = (0..users.scale.crowd).map(name).collect();
        for some in names.chunks(AT_ONCE) {
            let registering = some.iter().map(|name| {
                let (host, users) = (host.clone(), users.clone());
                async move {
                    let mut client = users.client(&host, TIMEOUT)?;
                    register(&mut client, &host, &users, name).await
                }
            });
            futures::future::try_join_all(registering).await?;
        }
        *users.crowd.lock().unwrap_or_else(PoisonError::into_inner) = names;
        Ok(())
    }
}
