//! Somebody who reads the same inbox elsewhere, marks what is in it and deletes some of it, at
//! whatever server answers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ftchat::client::Client;
use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::protocol::client::{Answer, Confirm, InboxQuery, Message, Request};
use ftchat::types::Uuid;

use super::people::{READER, SharedDiary, TIMEOUT, may_pass};
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
    client.set_session(token.into(), cluster);
    while !users.quiet.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(draw(host, PAUSE_MS))).await;
        let query = InboxQuery { limit: Some(MARKED_MAX), ..InboxQuery::default() };
        let messages = match client.request(Request::Inbox(query)).await {
            Ok(Answer::Messages { messages, .. }) => messages,
            Ok(answer) => return Err(format!("read and got {answer:?}")),
            Err(error) => {
                may_pass(&error)?;
                continue;
            }
        };
        match messages.last() {
            None => {}
            Some(last) if draw(host, 4) == 0 => delete(host, &mut client, diary, last.id).await?,
            Some(_) => mark(host, &mut client, users, diary, &messages).await?,
        }
    }
    Ok(())
}

/// Marks messages as read, with the same id until that is accepted.
async fn mark(
    host: &Host,
    client: &mut Client,
    users: &Users,
    diary: &SharedDiary,
    messages: &[Message],
) -> Exit {
    let seqs: Vec<u64> = messages.iter().filter_map(|message| message.seq).collect();
    let unconfirmed = messages.iter().filter(|message| message.seq.is_none());
    let ids: Vec<Uuid> = unconfirmed.map(|message| message.id).collect();
    let operation = host.uuid();
    while !users.quiet.load(Ordering::Relaxed) {
        let request = Request::MarkRead { operation, seqs: seqs.clone(), ids: ids.clone() };
        match client.request(request).await {
            Ok(Answer::Marked { .. }) => {
                let marked = messages.iter().map(|message| message.id);
                diary.look(|diary| diary.marked.extend(marked));
                return Ok(());
            }
            Ok(answer) => return Err(format!("marked and got {answer:?}")),
            // One of them waits at another server, or was deleted by what is in doubt.
            Err(error) if error.code == ErrorCode::UnknownMessage => return Ok(()),
            Err(error) => may_pass(&error)?,
        }
    }
    Ok(())
}

/// Deletes a message, with the same id until that is accepted, or left in doubt.
async fn delete(host: &Host, client: &mut Client, diary: &SharedDiary, id: Uuid) -> Exit {
    let operation = host.uuid();
    diary.look(|diary| diary.deleting.insert(id));
    for _ in 0..TRIES {
        match client.request(Request::Delete { operation, ids: vec![id] }).await {
            Ok(Answer::Deleted { .. }) => {
                diary.look(|diary| diary.deleted.insert(id));
                return Ok(());
            }
            Ok(answer) => return Err(format!("deleted and got {answer:?}")),
            // It waits at another server.
            Err(error) if error.code == ErrorCode::UnknownMessage => return Ok(()),
            Err(error) => may_pass(&error)?,
        }
    }
    Ok(())
}
