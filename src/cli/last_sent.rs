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
use crate::types::{Place, Uuid};

/// What is kept of an account's last message.
pub struct LastSent {
    sessions: Sessions,
    session: Session,
    place: Option<Place>,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Whose message it was: somebody else may have the name by now.
    account: Uuid,
    place: Place,
}

impl LastSent {
    /// That of `session`'s account. Without a session that is kept there is none.
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
        let place = match sessions.read_beside(&session.name, ENDING) {
            Ok(content) => content.and_then(|content| place_of(&session, &content)),
            Err(error) => {
                context.printer.notice(&format!(
                    "it is not known which message was sent before this one, so they may change \
                     places: {}",
                    error.message
                ));
                None
            }
        };
        Ok(Some(LastSent { sessions, session, place }))
    }

    /// Where it stands, if no majority had confirmed it.
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// The last message is another one now.
    ///
    /// # Errors
    /// [`Io`](crate::error::ErrorCode::Io) or [`DiskFull`](crate::error::ErrorCode::DiskFull)
    /// that names the file.
    pub fn replace(&self, place: Option<Place>) -> Result<()> {
        if place == self.place {
            return Ok(());
        }
        let (account, name) = (self.session.account, &self.session.name);
        let kept = place.map(|place| Kept { account, place });
        let content = kept.map(|kept| serde_json::to_vec(&kept).expect("plain data serializes"));
        self.sessions.replace_beside(name, ENDING, content.as_deref())
    }
}

/// How the files' names end.
const ENDING: &str = "last-sent";

/// What is no such file, or somebody else's, holds no place.
fn place_of(session: &Session, content: &[u8]) -> Option<Place> {
    let kept: Kept = serde_json::from_slice(content).ok()?;
    (kept.account == session.account).then_some(kept.place)
}
