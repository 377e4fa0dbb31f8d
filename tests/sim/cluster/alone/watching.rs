//! Somebody who looks at the reader's inbox again and again at one server, alone or not: what
//! that has shown as unconfirmed it goes on showing, so or as confirmed, until it is deleted or
//! goes to nobody. And it shows nothing twice at once.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ftchat::client::Client;
use ftchat::host::Host;
use ftchat::protocol::client::{Answer, InboxQuery, Message, Request, Which};
use ftchat::types::Uuid;

use super::diary::{READER, SharedDiary};
use super::people::{client_for, may_pass};
use crate::cluster::users::{Users, draw};
use crate::world::Exit;

/// How long a look may take.
const TIMEOUT: Duration = Duration::from_millis(1_500);

/// Between two looks: while the server has something that no majority has confirmed and is
/// alone; while it hands that over, which is soon done; and else.
const ALONE: Duration = Duration::from_millis(40);
const SETTLING: Duration = Duration::from_millis(20);
const ELSE: Duration = Duration::from_millis(400);

/// Looks until it is to be quiet.
pub async fn watch(host: &Host, users: &Users, diary: &SharedDiary) -> Exit {
    let token = diary.look(|diary| diary.tokens[READER].clone());
    let server = draw(host, users.servers.len() as u64) as usize;
    let mut client = client_for(host, users, &token, (TIMEOUT, Some(server))).await?;
    let mut watched = Watched::default();
    while !users.quiet.load(Ordering::Relaxed) {
        let pause = watched.look(&mut client, diary).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// What the server has shown.
#[derive(Default)]
struct Watched {
    /// As unconfirmed, and not as confirmed since.
    unconfirmed: BTreeSet<Uuid>,
    /// All of these come behind this place, if they are confirmed.
    after: Option<u64>,
}

impl Watched {
    /// Looks once; how long to wait then.
    async fn look(&mut self, client: &mut Client, diary: &SharedDiary) -> Result<Duration, String> {
        let after = self.after;
        let query = InboxQuery { which: Which::All, after, ..InboxQuery::default() };
        let (messages, alone) = match client.request(Request::Inbox(query)).await {
            Ok(Answer::Messages { messages, more: false, alone }) => (messages, alone),
            // What was shown is looked for in one page.
            Ok(Answer::Messages { messages, .. }) => {
                self.unconfirmed.clear();
                self.after = messages.iter().filter_map(|message| message.seq).max().or(after);
                return Ok(ELSE);
            }
            Ok(answer) => return Err(format!("looked and got {answer:?}")),
            Err(error) => {
                may_pass(&error)?;
                return Ok(ELSE);
            }
        };
        self.compare(&messages, diary);
        Ok(match (self.unconfirmed.is_empty(), alone) {
            (true, _) => ELSE,
            (false, None) => SETTLING,
            (false, Some(_)) => ALONE,
        })
    }

    fn compare(&mut self, messages: &[Message], diary: &SharedDiary) {
        let ids: BTreeSet<Uuid> = messages.iter().map(|message| message.id).collect();
        diary.look(|diary| {
            if ids.len() < messages.len() {
                diary.wrong.push("a page shows a message twice".to_string());
            }
            let gone = self.unconfirmed.difference(&ids);
            diary.vanished.extend(gone.filter(|id| !diary.deleting.contains(*id)));
            diary.count("looks");
        });
        let unconfirmed = messages.iter().filter(|message| !message.confirmed);
        let seen_to = unconfirmed.clone().map(|message| message.seen_to.unwrap_or(0)).min();
        self.after = self.after.min(seen_to.or(self.after));
        self.unconfirmed = unconfirmed.map(|message| message.id).collect();
        if self.unconfirmed.is_empty() {
            self.after = messages.iter().filter_map(|message| message.seq).max().or(self.after);
        } else {
            diary.look(|diary| diary.count("looks at what is unconfirmed"));
        }
    }
}
