//! Somebody who is content with nothing less than a majority: what was accepted is confirmed,
//! and what needed a majority and found none was not done, and never is.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::protocol::client::{Answer, Confirm, InboxQuery, Request, Which};

use super::diary::{Acknowledged, READER, SharedDiary};
use super::people::{known, may_pass};
use crate::cluster::users::{Users, draw};
use crate::world::Exit;

/// The name.
pub const STRICT: &str = "sam";

/// How long a command keeps trying: less than a majority is away.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Longest pause between two messages.
const PAUSE_MS: u64 = 900;

/// Sends to the reader and to itself until it is to be quiet, and reads what came of it.
pub async fn insist(host: &Host, users: &Users, diary: &SharedDiary) -> Exit {
    let registered = known(host, users, diary, STRICT).await?;
    drop(registered);
    let token = diary.look(|diary| diary.tokens[STRICT].clone());
    let client = super::people::client_for(host, users, &token, (TIMEOUT, None)).await?;
    let mut client = client.confirming(Confirm::Majority);
    let mut last = None;
    for number in 1.. {
        if users.quiet.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(draw(host, PAUSE_MS))).await;
        let (operation, text) = (host.uuid(), format!("{STRICT} {number}"));
        let to = vec![READER.to_string(), STRICT.to_string()];
        let (mut doubt, asked) = (false, diary.now());
        let sent = loop {
            let (to, text, first) = (to.clone(), text.clone(), !doubt);
            let request = Request::Send { operation, to, text, first, after: None, reply_to: None };
            match client.request(request).await {
                Ok(Answer::Sent(sent)) => break Some(sent),
                Ok(answer) => return Err(format!("sent and got {answer:?}")),
                Err(error) => {
                    may_pass(&error)?;
                    doubt |= error.code == ErrorCode::OutcomeUnknown;
                }
            }
            if !doubt {
                break None;
            }
        };
        let Some(sent) = sent else {
            diary.look(|diary| {
                diary.found_no_majority.insert(operation);
                diary.given_up.insert(operation)
            });
            continue;
        };
        let Some(seq) = sent.seq.filter(|_| sent.confirmed) else {
            return Err(format!("a majority was asked for, and one server took it: {sent:?}"));
        };
        diary.look(|diary| {
            let (by, asked, stream) = (STRICT.to_string(), (asked, diary.moment()), None);
            let it = Acknowledged { text, to, by, seq: Some(seq), asked, stream };
            diary.acknowledged.insert(sent.id, it);
        });
        let query = InboxQuery { which: Which::All, after: last, ..InboxQuery::default() };
        match client.request(Request::Inbox(query)).await {
            Ok(Answer::Messages { messages, alone: None, .. }) => {
                if messages.iter().all(|message| message.seq != Some(seq)) {
                    return Err(format!("{operation} at {seq} is not read where it was sent"));
                }
                last = Some(seq);
            }
            Ok(answer) => return Err(format!("a majority was asked for, and got {answer:?}")),
            Err(error) => may_pass(&error)?,
        }
    }
    Ok(())
}
