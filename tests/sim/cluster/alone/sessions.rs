//! Somebody whose sessions end: a majority knows it, while a server that is alone goes on taking
//! what is sent with them; or such a server alone knows it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ftchat::client::Client;
use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::protocol::client::{Answer, Confirm, Request};

use super::diary::{Acknowledged, Ended, READER, Session, SharedDiary, WithSession};
use super::people::{TIMEOUT, client_for, known, may_pass};
use crate::cluster::users::{PASSWORD, Users, draw, token};
use crate::world::Exit;

/// The name.
pub const LEAVER: &str = "lee";

/// How long a message is tried, and how long one server is asked to end a session.
const HASTY: Duration = Duration::from_millis(1_500);

/// Longest pause between two messages.
const PAUSE_MS: u64 = 700;

/// Most messages before a session ends, of which at most so many are taken alone; and after it.
const BEFORE_MAX: u64 = 20;
const ALONE_MAX: u64 = 2;
const AFTER_MAX: u64 = 5;

/// Opens sessions and ends them until it is to be quiet.
pub async fn come_and_log_out(host: &Host, users: &Users, diary: &SharedDiary) -> Exit {
    known(host, users, diary, LEAVER).await?;
    while !users.quiet.load(Ordering::Relaxed) {
        let token = log_in(host, users).await?;
        let session = diary.look(|diary| {
            diary.sessions.push(Session { token: token.clone(), ended: None });
            diary.sessions.len() - 1
        });
        let server = draw(host, users.servers.len() as u64) as usize;
        let client = client_for(host, users, &token, (HASTY, Some(server))).await?;
        let mut person = Person { host, users, diary, session, client };
        person.write(1 + draw(host, BEFORE_MAX), 1 + draw(host, ALONE_MAX)).await?;
        // Who can do without a majority logs out where the messages are.
        let ended = match draw(host, 2) {
            0 => person.log_out_at(server, &token).await?,
            _ => None,
        };
        let ended = match ended {
            None | Some(Ended::Somewhere) => {
                let for_all = person.log_out_for_all(&token).await?;
                ended.unwrap_or(for_all)
            }
            Some(ended) => ended,
        };
        diary.look(|diary| {
            let now = diary.moment();
            diary.sessions[session].ended = Some((now, ended));
        });
        person.write(1 + draw(host, AFTER_MAX), AFTER_MAX).await?;
    }
    Ok(())
}

async fn log_in(host: &Host, users: &Users) -> Result<String, String> {
    let mut client = users.client(host, TIMEOUT)?;
    let token = token(host);
    let operation = host.uuid();
    loop {
        let request = Request::Login {
            operation,
            name: LEAVER.to_string(),
            password: PASSWORD.to_string(),
            token: token.clone(),
            new_password: None,
        };
        match client.request(request).await {
            Ok(Answer::Session(_)) => return Ok(token),
            Ok(answer) => return Err(format!("logged in and got {answer:?}")),
            Err(error) => may_pass(&error)?,
        }
    }
}

/// One of its sessions, at one server.
struct Person<'a> {
    host: &'a Host,
    users: &'a Users,
    diary: &'a SharedDiary,
    session: usize,
    client: Client,
}

impl Person<'_> {
    /// Sends some messages, each once, until so many were taken without a majority.
    async fn write(&mut self, count: u64, mut alone: u64) -> Exit {
        for _ in 0..count {
            if alone == 0 || self.users.quiet.load(Ordering::Relaxed) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(draw(self.host, PAUSE_MS))).await;
            let (operation, asked) = (self.host.uuid(), self.diary.now());
            let (text, to) = (format!("{LEAVER} {operation}"), vec![READER.to_string()]);
            let (first, after) = (true, None);
            let request = Request::Send {
                operation,
                to: to.clone(),
                text: text.clone(),
                first,
                after,
                reply_to: None,
            };
            let sent = match self.client.request(request).await {
                Ok(Answer::Sent(sent)) => Some(sent),
                Ok(answer) => return Err(format!("sent and got {answer:?}")),
                Err(error) if self.is_logged_out(error.code) => None,
                Err(error) => {
                    may_pass(&error)?;
                    None
                }
            };
            alone -= u64::from(sent.as_ref().is_some_and(|sent| !sent.confirmed));
            let at = self.client.server().map(|(replica, _)| replica).unwrap_or_default();
            self.diary.look(|diary| {
                let now = diary.moment();
                if let Some(sent) = &sent {
                    let (by, asked) = (LEAVER.to_string(), (asked, now));
                    let it = Acknowledged { text, to, by, seq: sent.seq, asked, stream: None };
                    diary.acknowledged.insert(operation, it);
                }
                let session = self.session;
                diary.with_sessions.push(WithSession { id: operation, session, asked, at, sent });
            });
        }
        Ok(())
    }

    fn is_logged_out(&self, code: ErrorCode) -> bool {
        let ended = self.diary.look(|diary| diary.sessions[self.session].ended.is_some());
        ended && matches!(code, ErrorCode::SessionExpired | ErrorCode::NotLoggedIn)
    }

    /// Ends the session at one server; how, if that server has done it or may have.
    async fn log_out_at(&self, server: usize, token: &str) -> Result<Option<Ended>, String> {
        let at = (HASTY, Some(server));
        let mut client = client_for(self.host, self.users, token, at).await?;
        match client.request(Request::Logout { operation: self.host.uuid() }).await {
            Ok(Answer::Done { confirmed: true }) => Ok(Some(Ended::ForAll)),
            Ok(Answer::Done { confirmed: false }) => {
                let server = client.server().map(|(replica, _)| Ended::At(replica));
                Ok(Some(server.expect("it has answered")))
            }
            Ok(answer) => Err(format!("logged out and got {answer:?}")),
            Err(error) => {
                may_pass(&error)?;
                let doubt = error.code == ErrorCode::OutcomeUnknown;
                Ok(doubt.then_some(Ended::Somewhere))
            }
        }
    }

    /// Has a majority end the session, however long it takes.
    async fn log_out_for_all(&self, token: &str) -> Result<Ended, String> {
        let operation = self.host.uuid();
        loop {
            let client = client_for(self.host, self.users, token, (TIMEOUT, None)).await?;
            let mut client = client.confirming(Confirm::Majority);
            match client.request(Request::Logout { operation }).await {
                Ok(Answer::Done { confirmed: true }) => return Ok(Ended::ForAll),
                Ok(answer) => return Err(format!("logged out and got {answer:?}")),
                // An earlier try has done it.
                Err(error) if error.code == ErrorCode::SessionExpired => return Ok(Ended::ForAll),
                Err(error) => may_pass(&error)?,
            }
        }
    }
}
