//! Somebody who comes and goes under one name.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::protocol::client::{Answer, Request};

use super::deeds::Hand;
use super::resident::recipients;
use super::{PASSWORD, Society, TIMEOUT, draw, register, told};
use crate::oracle::{Call, Reply};

/// How long a guest stays at most.
const STAY_MAX_MS: u64 = 4_000;

/// See the head of this file.
pub struct Guest;

impl Guest {
    /// Comes and goes until all is quiet.
    pub async fn run(host: Host, name: &str, society: Society) -> Result<(), String> {
        for visit in 1.. {
            tokio::time::sleep(Duration::from_millis(draw(&host, STAY_MAX_MS / 2))).await;
            if society.quiet.load(Ordering::Relaxed) {
                break;
            }
            let owner = format!("{name}#{visit}");
            let call = Call::Register { owner: owner.clone() };
            let operation = society.recorder.begin(&owner, call);
            let mut client = society.client(&host, TIMEOUT)?;
            let token = register(&mut client, &host, &society, name).await?;
            society.recorder.end(operation, Reply::Registered);
            let cluster = client.cluster().await.map_err(|error| error.to_string())?;
            let hand = Hand::new(&host, &society, &owner, &token, cluster)?;
            stay(hand).await?;
        }
        Ok(())
    }
}

/// Reads and writes a little, then goes for good.
async fn stay(mut hand: Hand) -> Result<(), String> {
    let leaves = tokio::time::Instant::now() + Duration::from_millis(draw(&hand.host, STAY_MAX_MS));
    let mut number = 0;
    while tokio::time::Instant::now() < leaves {
        number += 1;
        let hurries = hand.one_in(4);
        hand.hurry(hurries)?;
        match draw(&hand.host, 10) {
            0..4 => drop(hand.read_all(0).await?),
            4 => hand.read_unread().await?,
            5 => hand.send_lines(number).await?,
            _ => {
                let (to, text) = (recipients(&hand), format!("{} {number}", hand.owner));
                hand.send(to, text).await?;
            }
        }
        hand.pause(400).await;
    }
    hand.hurry(false)?;
    leave(&mut hand).await
}

/// Deletes the account, however long it takes. What was told to have done nothing
/// has not: the account is still there then.
async fn leave(hand: &mut Hand) -> Result<(), String> {
    let call = Call::DeleteAccount { owner: hand.owner.clone() };
    let (mut operation, password) = (hand.host.uuid(), PASSWORD.to_string());
    let recorded = hand.society.recorder.begin(&hand.owner, call);
    let mut in_doubt = false;
    loop {
        let limit = if hand.society.scale.hasty { hand.hasty_limit() } else { TIMEOUT };
        let mut client = hand.client_for(limit)?;
        let request = Request::DeleteAccount { operation, password: password.clone() };
        match client.request(request).await {
            Ok(Answer::Done {}) => break,
            Ok(answer) => return Err(format!("left and got {answer:?}")),
            // The first attempt has ended the session that a second one needs.
            Err(error) if error.code == ErrorCode::SessionExpired && in_doubt => break,
            Err(error) => match told(error)? {
                Reply::Refused(_) if !in_doubt => {
                    hand.society.count("departures refused");
                    operation = hand.host.uuid();
                    hand.read_all(0).await?;
                }
                Reply::Refused(_) => {}
                _ => in_doubt = true,
            },
        }
    }
    hand.society.recorder.end(recorded, Reply::Deleted);
    Ok(())
}
