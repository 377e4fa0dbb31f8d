//! Somebody who stays: registers, lives several lives at once, and follows.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use ftchat::client::Follow;
use ftchat::host::Host;
use ftchat::protocol::client::{InboxQuery, Which};

use super::deeds::Hand;
use super::{Society, TIMEOUT, draw, register};
use crate::oracle::{Call, Reply, Seen};

/// Commands that one person runs at the same time, besides following.
const LIVES: usize = 3;

/// See the head of this file.
pub struct Resident;

impl Resident {
    /// Registers a person, however long it takes, and lives.
    pub async fn run(host: Host, name: &'static str, society: Society) -> Result<(), String> {
        let mut client = society.client(&host, TIMEOUT)?;
        let registering = Call::Register { owner: name.to_string() };
        let operation = society.recorder.begin(name, registering);
        let token = register(&mut client, &host, &society, name).await?;
        society.recorder.end(operation, Reply::Registered);
        let cluster = client.cluster().await.map_err(|it| it.to_string())?;
        let query = InboxQuery { which: Which::All, ..Default::default() };
        let follow = Follow::new(&client, query);
        let mut lives = Vec::new();
        for _ in 0..LIVES {
            lives.push(live(Hand::new(&host, &society, name, &token, cluster)?));
        }
        let last = Hand::new(&host, &society, name, &token, cluster)?;
        let lives = async {
            futures::future::try_join_all(lives).await?;
            finish(last).await
        };
        tokio::try_join!(biased; lives, follow_for_ever(&society, name, follow)).map(drop)
    }
}

/// Follows the inbox for ever and checks that nothing comes twice.
async fn follow_for_ever(society: &Society, name: &str, mut follow: Follow) -> Result<(), String> {
    let mut last = 0;
    loop {
        let messages = match follow.next(&mut |_| {}).await {
            Ok(messages) => messages,
            Err(error) => return Err(format!("following ended: {error}")),
        };
        let mut followed = society.followed.lock().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            if message.seq <= last {
                return Err(format!("following showed {} after {last}", message.seq));
            }
            last = message.seq;
            followed.entry(name.to_string()).or_default().push((message.seq, message.id));
        }
    }
}

/// Mostly sends, sometimes reads, seldom something else, until all is quiet; then
/// reads once more.
async fn live(mut hand: Hand) -> Result<(), String> {
    let mut known: Vec<Seen> = Vec::new();
    let mut number = 0;
    while !hand.society.quiet.load(Ordering::Relaxed) {
        number += 1;
        let hurries = hand.one_in(4);
        hand.hurry(hurries)?;
        match draw(&hand.host, 100) {
            0..16 => {
                // Mostly the latest, seldom everything.
                let latest = known.last().map_or(0, |seen| seen.seq.saturating_sub(100));
                let after = if hand.one_in(10) { 0 } else { latest };
                known = hand.read_all(after).await?.unwrap_or_default();
            }
            16..22 => hand.read_unread().await?,
            22..27 => hand.read_some(&known).await?,
            27..34 if !known.is_empty() => {
                let chosen = draw(&hand.host, known.len() as u64) as usize;
                hand.delete(known.remove(chosen).id).await?;
            }
            34..36 => hand.visit().await?,
            36..40 => hand.send_lines(number).await?,
            40..43 => hand.send_on_one_connection(number).await?,
            _ => {
                let text = text(&hand, number);
                let to = recipients(&hand);
                hand.send(to, text).await?;
            }
        }
        hand.pause(120).await;
    }
    Ok(())
}

/// Looks at everything once more, until it was all shown, in three ways.
async fn finish(mut hand: Hand) -> Result<(), String> {
    let everything = loop {
        if let Some(everything) = hand.read_all(0).await? {
            break everything;
        }
    };
    let sent = InboxQuery { which: Which::Sent, ..Default::default() };
    while hand.read(sent.clone()).await?.is_none() {}
    hand.follow_anew(&everything).await?;
    hand.society.resting.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Mostly one resident; sometimes two, sometimes a guest as well, seldom all of the
/// crowd.
pub(super) fn recipients(hand: &Hand) -> Vec<String> {
    let (society, host) = (&hand.society, &hand.host);
    let residents = &society.residents;
    let first = draw(host, residents.len() as u64) as usize;
    let mut to = vec![residents[first].clone()];
    if hand.one_in(4) {
        to.push(residents[(first + 1) % residents.len()].clone());
    }
    if !society.scale.guests.is_empty() && hand.one_in(4) {
        let guest = draw(host, society.scale.guests.len() as u64) as usize;
        to.push(society.scale.guests[guest].to_string());
    }
    let crowd = society.crowd.lock().unwrap_or_else(PoisonError::into_inner);
    if !crowd.is_empty() && hand.one_in(2) {
        to.extend(crowd.iter().cloned());
    }
    to
}

/// Mostly short, sometimes long.
pub(super) fn text(hand: &Hand, number: u64) -> String {
    let length = match draw(&hand.host, 20) {
        0 => draw(&hand.host, 4_000) as usize,
        _ => 0,
    };
    format!("{} {number} {}", hand.owner, "x".repeat(length))
}
