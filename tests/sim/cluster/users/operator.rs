//! An operator who, for a while, lets accounts or all of them store very little, so that
//! what others send is refused for lack of room.

use std::time::Duration;

use ftchat::administration::change;
use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::limits::{ACCOUNT_BYTES_MIN, TEXT_MAX_BYTES, TOTAL_BYTES_MIN};
use ftchat::protocol::administration::RequestedChange;
use ftchat::protocol::client::{Answer, Request};

use super::{PASSWORD, TIMEOUT, Users, ask, draw, register};
use crate::cluster::restoring::administrator;
use crate::oracle::{Call, Reply};

/// Longest time before bounds are set, and for which they are.
const BEFORE_MAX_MS: u64 = 4_000;
const LASTS_MAX_MS: u64 = 5_000;

/// Messages that fill what all may store.
const FLOOD: usize = 120;

/// See the head of this file.
pub struct Operator;

impl Operator {
    /// Sets bounds, waits, and takes them away again.
    pub async fn run(host: Host, users: Users) -> Result<(), String> {
        users.opening().await;
        tokio::time::sleep(Duration::from_millis(draw(&host, BEFORE_MAX_MS))).await;
        let of_all = draw(&host, 3) == 0;
        let operation = users.recorder.begin("operator", Call::SetBounds {});
        let (account, total) = match of_all {
            true => (0, TOTAL_BYTES_MIN),
            false => (ACCOUNT_BYTES_MIN, 0),
        };
        set(&host, &users, account, total).await?;
        if of_all {
            flood(&host, &users).await?;
        }
        tokio::time::sleep(Duration::from_millis(draw(&host, LASTS_MAX_MS))).await;
        set(&host, &users, 0, 0).await?;
        users.recorder.end(operation, Reply::Deleted);
        Ok(())
    }
}

/// Sets both bounds, however long it takes.
async fn set(host: &Host, users: &Users, account: u64, total: u64) -> Result<(), String> {
    let (account_bytes, total_bytes) = (Some(account), Some(total));
    let bounds = RequestedChange::SetBounds { account_bytes, total_bytes };
    change_limits(host, users, TIMEOUT / 4, bounds).await
}

/// Changes a limit, each try with so much time, however many it takes.
pub async fn change_limits(
    host: &Host,
    users: &Users,
    timeout: Duration,
    limits: RequestedChange,
) -> Result<(), String> {
    loop {
        match change(&administrator(host, users, timeout), "operator", limits.clone()).await {
            Ok(_) => return Ok(()),
            // The level is not raised while a server has never been there.
            Err(error)
                if error.retryable()
                    || matches!(
                        error.code,
                        ErrorCode::UnsupportedVersion | ErrorCode::OutcomeUnknown
                    ) =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(format!("setting a limit, {}: {error}", error.code)),
        }
    }
}

/// Fills what all may store with an account of its own, and deletes that.
async fn flood(host: &Host, users: &Users) -> Result<(), String> {
    let (name, mut client) = ("mallory", users.client(host, TIMEOUT)?);
    register(&mut client, host, users, name).await?;
    for _ in 0..FLOOD {
        let (operation, to) = (host.uuid(), vec![name.to_string()]);
        let text = "x".repeat(TEXT_MAX_BYTES);
        match ask(
            &mut client,
            Request::Send { operation, to, text, first: true, after: None, reply_to: None },
        )
        .await?
        {
            Ok(Answer::Sent(_)) => {}
            Err(Reply::Refused(ErrorCode::StorageFull)) => break,
            Ok(answer) => return Err(format!("sent and got {answer:?}")),
            Err(_) => {}
        }
    }
    tokio::time::sleep(Duration::from_millis(draw(host, LASTS_MAX_MS))).await;
    let operation = host.uuid();
    // Its messages are in nobody's way when bounds are gone: once is enough.
    ask(&mut client, Request::DeleteAccount { operation, password: PASSWORD.into() }).await?.ok();
    Ok(())
}
