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
use crate::protocol::client::{After, Sent};
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
    /// The id that the command has for its messages.
    command: Uuid,
    /// Behind which message the first of them comes.
    before: Option<After>,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Whose message it was: somebody else may have the name by now.
    account: Uuid,
    /// The message. Who repeats it does not wait for it.
    id: Uuid,
    /// The id of the command that sent it among others, for which the same is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<Uuid>,
    place: Place,
    /// Behind which message that command came: so does whoever repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<After>,
    /// Who took it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<Address>,
}

impl LastSent {
    /// That of `session`'s account, of which the client asks first the server that took it.
    /// Without a session that is kept there is none. `command` is the id of the message that is
    /// to be sent, or that from which the ids of several follow.
    ///
    /// # Errors
    /// Those of [`Client::cluster`] and [`Context::sessions`].
    pub async fn of(
        session: Option<Session>,
        client: &mut Client,
        context: &mut Context,
        command: Uuid,
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
        let before = last.as_ref().and_then(|last| last.before(command));
        Ok(Some(LastSent { sessions, session, file, last, command, before }))
    }

    /// Behind which message those of the command come: the last one, if no majority had
    /// confirmed it.
    pub fn before(&self) -> Option<After> {
        self.before
    }

    /// Which server has taken the last one, if that is known.
    pub fn server(&self) -> Option<Address> {
        self.last.as_ref()?.server.clone()
    }

    /// Nobody waits for the last message any longer.
    pub fn is_overtaken(&mut self) {
        (self.last, self.before) = (None, None);
    }

    /// A message was taken, by this server if that is known. `again`: it may have been taken
    /// before, and others behind it.
    pub fn note(&mut self, sent: &Sent, server: Option<&Address>, again: bool) {
        let account = self.session.account;
        let server = server.cloned();
        let command = Some(self.command).filter(|command| *command != sent.id);
        let (id, before) = (sent.id, self.before);
        let taken = sent.place.map(|place| Kept { account, id, command, place, before, server });
        self.last = last_of(self.last.take(), id, taken, again);
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

impl Kept {
    /// Behind which message those of a command come, which may be the one that sent this.
    fn before(&self, command: Uuid) -> Option<After> {
        if self.id == command || self.command == Some(command) {
            return self.before;
        }
        let Place { list, number } = self.place;
        Some(After { list, number, id: Some(self.id) })
    }
}

impl Drop for LastSent {
    fn drop(&mut self) {
        if let Err(error) = self.keep() {
            tracing::debug!(%error, "where the last message stands is not kept");
        }
    }
}

/// Which of two messages is the last one, where the second, `id`, was taken just now.
fn last_of(before: Option<Kept>, id: Uuid, taken: Option<Kept>, again: bool) -> Option<Kept> {
    match (before, taken) {
        // Of what is confirmed nobody knows how long it has been, unless it is the last one.
        (Some(before), None) if again && before.id != id => Some(before),
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
            command: None,
            place: Place { list: Uuid::from_u128(list), number },
            before: None,
            server: server.map(|address| address.parse().expect("an address")),
        })
    }

    /// As above, of the message with that number.
    fn last(before: Option<Kept>, number: u128, taken: Option<Kept>, again: bool) -> Option<Kept> {
        last_of(before, Uuid::from_u128(number), taken, again)
    }

    #[test]
    fn the_message_that_was_taken_last_is_the_last_one() {
        for before in [None, kept(1, 5, Some("a:1")), kept(2, 9, None)] {
            assert_eq!(last(before.clone(), 6, None, false), None, "confirmed");
            let taken = kept(1, 6, Some("b:1"));
            assert_eq!(last(before, 6, taken.clone(), false), taken);
        }
        let server_known = last(kept(1, 5, Some("a:1")), 6, kept(1, 6, None), false);
        assert_eq!(server_known, kept(1, 6, Some("a:1")), "it is the same list");
    }

    #[test]
    fn one_that_is_repeated_is_not_the_last_one_if_others_came_behind_it() {
        let before = kept(1, 5, None);
        assert_eq!(last(before.clone(), 4, None, true), before, "it may be confirmed for long");
        assert_eq!(last(before.clone(), 4, kept(1, 4, None), true), before);
        assert_eq!(last(before.clone(), 6, kept(1, 6, None), true), kept(1, 6, None));
        assert_eq!(last(before, 1, kept(2, 1, None), true), kept(2, 1, None));
        assert_eq!(last(None, 1, kept(2, 1, None), true), kept(2, 1, None));
    }

    #[test]
    fn the_last_one_that_is_repeated_and_confirmed_now_is_waited_for_no_longer() {
        assert_eq!(last(kept(1, 5, None), 5, None, true), None);
    }

    #[test]
    fn who_repeats_a_message_or_lines_comes_behind_what_came_before_them_and_not_behind_them() {
        let earlier = After { list: Uuid::from_u128(1), number: 4, id: Some(Uuid::from_u128(4)) };
        let (message, lines) = (Uuid::from_u128(5), Uuid::from_u128(77));
        for before in [None, Some(earlier)] {
            let last = kept(1, 5, None).expect("one");
            let last = Kept { command: Some(lines), before, ..last };
            assert_eq!([last.before(message), last.before(lines)], [before, before]);
            let next = last.before(Uuid::from_u128(6)).expect("it is not confirmed");
            assert_eq!((next.place(), next.id), (last.place, Some(message)));
        }
    }

    #[test]
    fn what_an_older_program_has_kept_is_understood() {
        let written = r#"{"account":"00000000-0000-0000-0000-000000000000",
            "id":"00000000-0000-0000-0000-000000000005",
            "place":{"list":"00000000-0000-0000-0000-000000000001","n":5},"server":"a:1"}"#;
        assert_eq!(serde_json::from_str::<Kept>(written).ok(), kept(1, 5, Some("a:1")));
    }
}
