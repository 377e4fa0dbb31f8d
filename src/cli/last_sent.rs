//! Where an account's last message stands, from one `send` to the next.
//!
//! Only a message that no majority has confirmed yet is kept, beside the session of its
//! account: the next one has to come behind it. Of commands that run at once the last one
//! counts. Where sessions are not kept, as with `FTCHAT_TOKEN`, neither is this.

use serde::{Deserialize, Serialize};

use super::Context;
use super::token_store::{Session, Sessions};
use crate::client::Client;
use crate::error::Result;
use crate::protocol::client::Sent;
use crate::types::{Address, Place, Uuid};

/// How the files' names end.
const ENDING: &str = "last-sent";

/// The last message of an account. When this is dropped, as by Ctrl-C, it is kept as well.
pub struct LastSent {
    sessions: Sessions,
    session: Session,
    /// What the file says; `None` while that is not known.
    file: Option<Option<Kept>>,
    last: Option<Kept>,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Whose message it was: somebody else may have the name by now.
    account: Uuid,
    /// The message. Who repeats it does not wait for it.
    id: Uuid,
    place: Place,
    /// Who took it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<Address>,
}

impl LastSent {
    /// That of `session`'s account, of which the client asks first the server that took it.
    /// Without a session that is kept there is none.
    ///
    /// # Errors
    /// Those of [`Client::cluster`] and [`Context::sessions`].
    pub async fn of(
        session: Option<Session>,
        client: &mut Client,
        context: &mut Context,
    ) -> Result<Option<LastSent>> {
        let Some(session) = session else { return Ok(None) };
        let sessions = context.sessions(client.cluster().await?)?;
        let file = match sessions.read_beside(&session.name, ENDING) {
            Ok(None) => Some(None),
            // What is no such file is replaced.
            Ok(Some(content)) => serde_json::from_slice(&content).ok().map(Some),
            Err(error) => {
                context.printer.notice(&format!(
                    "it is not known which message was sent before this one, so they may change \
                     places: {}",
                    error.message
                ));
                None
            }
        };
        let ours = |kept: &Kept| kept.account == session.account;
        let last: Option<Kept> = file.clone().flatten().filter(ours);
        if let Some(server) = last.as_ref().and_then(|last| last.server.as_ref()) {
            client.begin_at(server);
        }
        Ok(Some(LastSent { sessions, session, file, last }))
    }

    /// Behind which place a message comes: that of the last one, if no majority had confirmed
    /// it, and if it is not that very message.
    pub fn place_before(&self, id: Uuid) -> Option<Place> {
        self.last.as_ref().filter(|last| last.id != id).map(|last| last.place)
    }

    /// Nobody waits for the last message any longer.
    pub fn is_overtaken(&mut self) {
        self.last = None;
    }

    /// A message was taken, by this server if that is known. `again`: it may have been taken
    /// before, and others behind it.
    pub fn note(&mut self, sent: &Sent, server: Option<&Address>, again: bool) {
        let account = self.session.account;
        let server = server.cloned();
        let taken = sent.place.map(|place| Kept { account, id: sent.id, place, server });
        self.last = last_of(self.last.take(), taken, again);
    }

    /// Writes down what is not yet.
    ///
    /// # Errors
    /// [`Io`](crate::error::ErrorCode::Io) or [`DiskFull`](crate::error::ErrorCode::DiskFull)
    /// that names the file.
    pub fn keep(&mut self) -> Result<()> {
        if self.file.as_ref() == Some(&self.last) {
            return Ok(());
        }
        let content = self.last.as_ref().map(|it| serde_json::to_vec(it).expect("plain data"));
        self.sessions.replace_beside(&self.session.name, ENDING, content.as_deref())?;
        self.file = Some(self.last.clone());
        Ok(())
    }

    /// Whether a message is to be written down of which nothing is there yet.
    pub fn is_news(&self) -> bool {
        self.last.is_some() && self.file.as_ref().is_none_or(Option::is_none)
    }
}

impl Drop for LastSent {
    fn drop(&mut self) {
        if let Err(error) = self.keep() {
            tracing::debug!(%error, "where the last message stands is not kept");
        }
    }
}

/// Which of two messages is the last one, where the second was taken just now.
fn last_of(before: Option<Kept>, taken: Option<Kept>, again: bool) -> Option<Kept> {
    match (before, taken) {
        // Of what is confirmed nobody knows how long it has been.
        (Some(before), None) if again => Some(before),
        (Some(before), Some(taken)) if before.place.list == taken.place.list => {
            let is_later = taken.place.number >= before.place.number || !again;
            let server = taken.server.clone().or_else(|| before.server.clone());
            Some(if is_later { Kept { server, ..taken } } else { before })
        }
        (_, taken) => taken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(list: u128, number: u64, server: Option<&str>) -> Option<Kept> {
        Some(Kept {
            account: Uuid::nil(),
            id: Uuid::from_u128(number.into()),
            place: Place { list: Uuid::from_u128(list), number },
            server: server.map(|address| address.parse().expect("an address")),
        })
    }

    #[test]
    fn the_message_that_was_taken_last_is_the_last_one() {
        for before in [None, kept(1, 5, Some("a:1")), kept(2, 9, None)] {
            assert_eq!(last_of(before.clone(), None, false), None, "confirmed");
            let taken = kept(1, 6, Some("b:1"));
            assert_eq!(last_of(before, taken.clone(), false), taken);
        }
        let server_known = last_of(kept(1, 5, Some("a:1")), kept(1, 6, None), false);
        assert_eq!(server_known, kept(1, 6, Some("a:1")), "it is the same list");
    }

    #[test]
    fn one_that_is_repeated_is_not_the_last_one_if_others_came_behind_it() {
        let before = kept(1, 5, None);
        assert_eq!(last_of(before.clone(), None, true), before, "it may be confirmed for long");
        assert_eq!(last_of(before.clone(), kept(1, 4, None), true), before);
        assert_eq!(last_of(before.clone(), kept(1, 6, None), true), kept(1, 6, None));
        assert_eq!(last_of(before, kept(2, 1, None), true), kept(2, 1, None));
        assert_eq!(last_of(None, kept(2, 1, None), true), kept(2, 1, None));
    }
}
