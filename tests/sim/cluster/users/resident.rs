//! A user who stays: registers, works in several shells at once, and follows.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use ftchat::client::Follow;
use ftchat::host::Host;
use ftchat::protocol::client::{InboxQuery, Which};

use super::shell::Shell;
use super::{TIMEOUT, Users, draw, register};
use crate::oracle::{Call, Reply, Seen};

/// Commands that one user runs at the same time, besides following.
const LIVES: usize = 3;

/// See the head of this file.
pub struct Resident;

impl Resident {
    /// Registers a user, however long it takes, and lives.
    pub async fn run(host: Host, name: &'static str, users: Users) -> Result<(), String> {
        let mut client = users.client(&host, TIMEOUT)?;
        let registering = Call::Register { owner: name.to_string() };
        let operation = users.recorder.begin(name, registering);
        let token = register(&mut client, &host, &users, name).await?;
        users.recorder.end(operation, Reply::Registered);
        let cluster = client.cluster().await.map_err(|it| it.to_string())?;
        let query = InboxQuery { which: Which::All, ..Default::default() };
        let follow = Follow::new(&client, query);
        let mut lives = Vec::new();
        for _ in 0..LIVES {
            lives.push(live(Shell::new(&host, &users, name, &token, cluster)?));
        }
        let last = Shell::new(&host, &users, name, &token, cluster)?;
        let lives = async {
            futures::future::try_join_all(lives).await?;
            finish(last).await
        };
        tokio::try_join!(biased; lives, follow_for_ever(&users, name, follow)).map(drop)
    }
}

/// Follows the inbox for ever and checks that nothing comes twice.
async fn follow_for_ever(users: &Users, name: &str, mut follow: Follow) -> Result<(), String> {
    let mut last = 0;
    loop {
        let messages = match follow.next(&mut |_| {}).await {
            Ok(messages) => messages,
            Err(error) => return Err(format!("following ended: {error}")),
        };
        let mut followed = users.followed.lock().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            let seq = message.seq.expect("a majority has it");
            if seq <= last {
                return Err(format!("following showed {seq} after {last}"));
            }
            last = seq;
            followed.entry(name.to_string()).or_default().push((seq, message.id));
        }
    }
}

/// Mostly sends, sometimes reads, seldom something else, until all is quiet; then
/// reads once more.
async fn live(mut shell: Shell) -> Result<(), String> {
    let mut known: Vec<Seen> = Vec::new();
    let mut number = 0;
    while !shell.users.quiet.load(Ordering::Relaxed) {
        number += 1;
        let hurries = shell.one_in(4);
        shell.hurry(hurries)?;
        match draw(&shell.host, 100) {
            0..16 => {
                // Mostly the latest, seldom everything.
                let latest = known.last().map_or(0, |seen| seen.seq.saturating_sub(100));
                let after = if shell.one_in(10) { 0 } else { latest };
                known = shell.read_all(after).await?.unwrap_or_default();
            }
            16..22 => shell.read_unread().await?,
            22..27 => shell.read_some(&known).await?,
            27..34 if !known.is_empty() => {
                let chosen = draw(&shell.host, known.len() as u64) as usize;
                shell.delete(known.remove(chosen).id).await?;
            }
            34..36 => shell.visit().await?,
            36..40 => shell.send_lines(number).await?,
            40..43 => shell.send_on_one_connection(number).await?,
            _ => {
                let text = text(&shell, number);
                let to = recipients(&shell);
                shell.send(to, text).await?;
            }
        }
        shell.pause(120).await;
    }
    Ok(())
}

/// Looks at everything once more, until it was all shown, in three ways.
async fn finish(mut shell: Shell) -> Result<(), String> {
    let everything = loop {
        if let Some(everything) = shell.read_all(0).await? {
            break everything;
        }
    };
    let sent = InboxQuery { which: Which::Sent, ..Default::default() };
    while shell.read(sent.clone()).await?.is_none() {}
    shell.follow_anew(&everything).await?;
    shell.users.resting.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Mostly one resident; sometimes two, sometimes a guest as well, seldom all of the
/// crowd.
pub(super) fn recipients(shell: &Shell) -> Vec<String> {
    let (users, host) = (&shell.users, &shell.host);
    let residents = &users.residents;
    let first = draw(host, residents.len() as u64) as usize;
    let mut to = vec![residents[first].clone()];
    if shell.one_in(4) {
        to.push(residents[(first + 1) % residents.len()].clone());
    }
    if !users.scale.guests.is_empty() && shell.one_in(4) {
        let guest = draw(host, users.scale.guests.len() as u64) as usize;
        to.push(users.scale.guests[guest].to_string());
    }
    let crowd = users.crowd.lock().unwrap_or_else(PoisonError::into_inner);
    if !crowd.is_empty() && shell.one_in(2) {
        to.extend(crowd.iter().cloned());
    }
    to
}

/// Mostly short, sometimes long.
pub(super) fn text(shell: &Shell, number: u64) -> String {
    let length = match draw(&shell.host, 20) {
        0 => draw(&shell.host, 4_000) as usize,
        _ => 0,
    };
    format!("{} {number} {}", shell.owner, "x".repeat(length))
}
