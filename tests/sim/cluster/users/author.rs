//! A user of an earlier cluster, who wrote what is in a backup.

use ftchat::host::Host;
use ftchat::limits::TEXT_MAX_BYTES;
use ftchat::protocol::client::{Answer, Request};

use super::{TIMEOUT, Users, ask, register};

/// See the head of this file.
pub struct Author;

impl Author {
    /// Registers and writes long messages to themselves.
    ///
    /// # Errors
    /// Anything that goes wrong: nothing should.
    pub async fn run(host: &Host, users: &Users, messages: usize) -> Result<(), String> {
        let (name, mut client) = ("author", users.client(host, TIMEOUT)?);
        register(&mut client, host, users, name).await?;
        for number in 0..messages {
            let text = format!("{number} {}", "x".repeat(TEXT_MAX_BYTES - 10));
            let to = vec![name.to_string()];
            match ask(&mut client, Request::Send { operation: host.uuid(), to, text, first: true })
                .await?
            {
                Ok(Answer::Sent(_)) => {}
                other => return Err(format!("wrote and got {other:?}")),
            }
        }
        Ok(())
    }
}
