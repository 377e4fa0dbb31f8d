//! A user of an earlier cluster, who wrote what is in a backup.

use ftchat::host::Host;
use ftchat::protocol::client::{Answer, Request};

use super::{TIMEOUT, Users, ask, register};

/// See the head of this file.
pub struct Author;

impl Author {
    /// Registers and writes messages to themselves, each of about so many bytes.
    ///
    /// # Errors
    /// Anything that goes wrong: nothing should.
    pub async fn run(
        host: &Host,
        users: &Users,
        messages: usize,
        bytes: usize,
    ) -> Result<(), String> {
        let (name, mut client) = ("author", users.client(host, TIMEOUT)?);
        register(&mut client, host, users, name).await?;
        for number in 0..messages {
            let text = format!("{number} {}", "x".repeat(bytes));
            let to = vec![name.to_string()];
            match ask(
                &mut client,
                Request::Send {
                    operation: host.uuid(),
                    to,
                    text,
                    first: true,
                    after: None,
                    reply_to: None,
                },
            )
            .await?
            {
                Ok(Answer::Sent(_)) => {}
                other => return Err(format!("wrote and got {other:?}")),
            }
        }
        Ok(())
    }
}
