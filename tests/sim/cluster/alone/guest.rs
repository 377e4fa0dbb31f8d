//! Somebody who comes, writes at one server, whether that is alone or not, and goes for good,
//! as a majority knows; then somebody else comes under the same name.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::protocol::client::{Answer, Confirm, Request, Which};

use super::diary::{Acknowledged, READERS, SharedDiary, Stay};
use super::people::{TIMEOUT, client_for, may_pass, read};
use crate::cluster::users::{PASSWORD, Users, draw, register};
use crate::world::Exit;

/// The name that comes and goes.
pub const GUEST: &str = "gus";

/// How long one owner stays, if no server has taken anything of it alone, and how long the name is free, at most.
const STAY_MS: u64 = 12_000;
const FREE_MS: u64 = 1_500;

/// Longest pause between two messages, and how long one is tried.
const PAUSE_MS: u64 = 500;
const HASTY: Duration = Duration::from_millis(1_500);

/// Comes and goes until it is to be quiet; then the last owner stays.
pub async fn come_and_go(host: &Host, users: &Users, diary: &SharedDiary) -> Exit {
    for visit in 1.. {
        diary.look(|diary| {
            let stay = Stay { comes: diary.moment(), gone: None, inbox: Vec::new() };
            diary.stays.push(stay);
        });
        let mut client = users.client(host, TIMEOUT)?;
        let token = register(&mut client, host, users, GUEST).await?;
        diary.look(|diary| diary.tokens.insert(GUEST.to_string(), token.clone()));
        write(host, users, diary, (visit, &token)).await?;
        if users.quiet.load(Ordering::Relaxed) {
            return Ok(());
        }
        let inbox = read(host, users, &token, Which::All).await?;
        leave(host, users, &token).await?;
        diary.look(|diary| {
            let gone = diary.moment();
            let stay = diary.stays.last_mut().expect("somebody came");
            (stay.gone, stay.inbox) = (Some(gone), inbox);
        });
        tokio::time::sleep(Duration::from_millis(draw(host, FREE_MS))).await;
    }
    Ok(())
}

/// Writes at one server for a while.
async fn write(
    host: &Host,
    users: &Users,
    diary: &SharedDiary,
    (visit, token): (u64, &str),
) -> Exit {
    let server = draw(host, users.servers.len() as u64) as usize;
    let mut client = client_for(host, users, token, (HASTY, Some(server))).await?;
    let leaves = tokio::time::Instant::now() + Duration::from_millis(draw(host, STAY_MS));
    for number in 1.. {
        if tokio::time::Instant::now() >= leaves || users.quiet.load(Ordering::Relaxed) {
            break;
        }
        let (operation, by) = (host.uuid(), format!("{GUEST}#{visit}"));
        let (text, asked) = (format!("{by} {number}"), diary.now());
        let to = READERS[..1 + draw(host, 2) as usize].iter().map(ToString::to_string);
        let to: Vec<String> = to.collect();
        let (first, after) = (true, None);
        let request = Request::Send {
            operation,
            to: to.clone(),
            text: text.clone(),
            first,
            after,
            reply_to: None,
        };
        match client.request(request).await {
            Ok(Answer::Sent(sent)) => {
                diary.look(|diary| {
                    let asked = (asked, diary.moment());
                    let it = Acknowledged { text, to, by, seq: sent.seq, asked, stream: None };
                    diary.acknowledged.insert(operation, it);
                });
                // Whose message waits there to be delivered leaves, and somebody else comes.
                if !sent.confirmed {
                    break;
                }
            }
            Ok(answer) => return Err(format!("sent and got {answer:?}")),
            Err(error) => may_pass(&error)?,
        }
        tokio::time::sleep(Duration::from_millis(draw(host, PAUSE_MS))).await;
    }
    Ok(())
}

/// Deletes the account, however long it takes.
async fn leave(host: &Host, users: &Users, token: &str) -> Exit {
    let mut doubt = false;
    let operation = host.uuid();
    loop {
        let client = client_for(host, users, token, (TIMEOUT, None)).await?;
        let mut client = client.confirming(Confirm::Majority);
        let request = Request::DeleteAccount { operation, password: PASSWORD.to_string() };
        match client.request(request).await {
            Ok(Answer::Done { confirmed: true }) => return Ok(()),
            Ok(answer) => return Err(format!("left and got {answer:?}")),
            // The first attempt has ended the session that a second one needs.
            Err(error) if error.code == ErrorCode::SessionExpired && doubt => return Ok(()),
            Err(error) => {
                may_pass(&error)?;
                doubt |= error.code == ErrorCode::OutcomeUnknown;
            }
        }
    }
}
