//! Somebody who reads the same inbox elsewhere, marks what is in it and deletes some of it, at
//! whatever server answers.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ftchat::client::Client;
use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::protocol::client::{Answer, Confirm, InboxQuery, Message, Request};
use ftchat::types::{ReplicaId, Uuid};

use super::diary::{READER, SharedDiary};
use super::people::{TIMEOUT, client_for, may_pass};
use crate::cluster::users::{Users, draw};
use crate::world::Exit;

/// Longest pause between two looks.
const PAUSE_MS: u64 = 1_500;

/// Messages that are marked at once.
const MARKED_MAX: u64 = 20;

/// Tries of one deletion before it is left in doubt.
const TRIES: u32 = 3;

/// Marks and deletes until it is to be quiet.
pub async fn tidy_up(host: &Host, users: &Users, diary: &SharedDiary) -> Exit {
    let mut client = users.client(host, TIMEOUT)?.confirming(Confirm::Any);
    let token = diary.look(|diary| diary.tokens[READER].clone());
    let cluster = loop {
        match client.cluster().await {
            Ok(cluster) => break cluster,
            Err(error) => may_pass(&error)?,
        }
    };
    client.set_session(token.clone().into(), cluster);
    let mut done = Done::default();
    while !users.quiet.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(draw(host, PAUSE_MS))).await;
        let query = InboxQuery { limit: Some(MARKED_MAX), ..InboxQuery::default() };
        let (messages, alone) = match client.request(Request::Inbox(query)).await {
            Ok(Answer::Messages { messages, alone, .. }) => (messages, alone.is_some()),
            Ok(answer) => return Err(format!("read and got {answer:?}")),
            Err(error) => {
                may_pass(&error)?;
                continue;
            }
        };
        done.judge(&client, alone, &messages, diary);
        match messages.last() {
            None => {}
            Some(last) if draw(host, 4) == 0 => {
                let deleted = delete(host, &mut client, diary, last.id).await?;
                done.note(&client, deleted, [last.id]);
            }
            Some(_) => {
                // At another server, too, than the one that has shown them.
                let mut elsewhere = match draw(host, 4) {
                    0 => Some(client_for(host, users, &token, (TIMEOUT, None)).await?),
                    _ => None,
                };
                let client = elsewhere.as_mut().unwrap_or(&mut client);
                let marked = mark(host, client, users, diary, &messages).await?;
                done.note(client, marked, messages.iter().map(|message| message.id));
            }
        }
    }
    Ok(())
}

/// What was marked or deleted: from then on it is shown as unread no more.
#[derive(Default)]
struct Done {
    /// By servers that were alone, each for itself.
    alone: BTreeSet<(ReplicaId, Uuid)>,
    /// By a majority.
    confirmed: BTreeSet<Uuid>,
}

impl Done {
    /// The server that answered last has done it, and said whether a majority knows.
    fn note(
        &mut self,
        client: &Client,
        confirmed: Option<bool>,
        ids: impl IntoIterator<Item = Uuid>,
    ) {
        match (confirmed, client.server()) {
            (Some(true), _) => self.confirmed.extend(ids),
            (Some(false), Some((replica, _))) => {
                self.alone.extend(ids.into_iter().map(|id| (replica, id)));
            }
            _ => {}
        }
    }

    fn judge(&self, client: &Client, alone: bool, unread: &[Message], diary: &SharedDiary) {
        let Some((replica, _)) = client.server() else { return };
        let is_done = |it: &&Message| {
            let confirmed = !alone && self.confirmed.contains(&it.id);
            confirmed || self.alone.contains(&(replica, it.id))
        };
        for message in unread.iter().filter(is_done) {
            let wrong = format!("{} is shown as unread where it was tidied up", message.id);
            diary.look(|diary| diary.wrong.push(wrong));
        }
    }
}

/// Marks messages as read, with the same id until that is accepted. Whether a
/// majority knows it, if it was.
async fn mark(
    host: &Host,
    client: &mut Client,
    users: &Users,
    diary: &SharedDiary,
    messages: &[Message],
) -> Result<Option<bool>, String> {
    let seqs: Vec<u64> = messages.iter().filter_map(|message| message.seq).collect();
    let unconfirmed = messages.iter().filter(|message| message.seq.is_none());
    let ids: Vec<Uuid> = unconfirmed.map(|message| message.id).collect();
    let operation = host.uuid();
    while !users.quiet.load(Ordering::Relaxed) {
        let request = Request::MarkRead { operation, seqs: seqs.clone(), ids: ids.clone() };
        match client.request(request).await {
            Ok(Answer::Marked { confirmed, .. }) => {
                let marked = messages.iter().map(|message| message.id);
                diary.look(|diary| diary.marked.extend(marked));
                return Ok(Some(confirmed));
            }
            Ok(answer) => return Err(format!("marked and got {answer:?}")),
            // One of them waits at another server, or was deleted by what is in doubt.
            Err(error) if error.code == ErrorCode::UnknownMessage => return Ok(None),
            Err(error) => may_pass(&error)?,
        }
    }
    Ok(None)
}

/// Deletes a message, with the same id until that is accepted, or left in doubt. Whether
/// a majority knows it, if it was.
async fn delete(
    host: &Host,
    client: &mut Client,
    diary: &SharedDiary,
    id: Uuid,
) -> Result<Option<bool>, String> {
    let operation = host.uuid();
    diary.look(|diary| diary.deleting.insert(id));
    for _ in 0..TRIES {
        match client.request(Request::Delete { operation, ids: vec![id] }).await {
            Ok(Answer::Deleted { confirmed, .. }) => {
                diary.look(|diary| diary.deleted.insert(id));
                return Ok(Some(confirmed));
            }
            Ok(answer) => return Err(format!("deleted and got {answer:?}")),
            // It waits at another server.
            Err(error) if error.code == ErrorCode::UnknownMessage => return Ok(None),
            Err(error) => may_pass(&error)?,
        }
    }
    Ok(None)
}
