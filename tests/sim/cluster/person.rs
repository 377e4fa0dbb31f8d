//! A simulated person: registers, sends, reads, deletes, by the client that
//! the commands use, and records what came of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ftchat::client::{Client, Follow};
use ftchat::error::{Error, ErrorCode};
use ftchat::host::Host;
use ftchat::protocol::client::{Answer, InboxQuery, Request, Which};
use ftchat::types::{Address, Uuid};

use crate::oracle::{Call, Recorder, Reply, Seen};

/// How long a person's command tries.
const TIMEOUT: Duration = Duration::from_secs(10);

/// By name, what following showed: `seq` and id, in order.
pub type Followed = BTreeMap<String, Vec<(u64, Uuid)>>;

/// What all people of a world share.
#[derive(Clone, Default)]
pub struct Society {
    /// What they ask and are told.
    pub recorder: Recorder,
    /// What following showed.
    pub followed: Arc<Mutex<Followed>>,
    /// Whether people are to look at their inbox once more and rest.
    pub quiet: Arc<AtomicBool>,
    /// How many lives have come to rest.
    pub resting: Arc<AtomicUsize>,
}

/// Commands that one person runs at the same time, besides following.
pub const LIVES: usize = 3;

/// A person at a machine.
pub struct Person {
    host: Host,
    name: String,
    client: Client,
    society: Society,
}

/// A number below a bound.
fn draw(host: &Host, below: u64) -> u64 {
    host.random_u64() % below
}

/// What an error tells of a request. Anything that no fault explains is a
/// defect, and ends the person with it.
fn told(error: Error) -> Result<Reply, String> {
    use ErrorCode::*;
    match error.code {
        OutcomeUnknown | ReadNotConfirmed => Ok(Reply::Unknown),
        Unavailable | DeadlineExceeded | UnknownAccount | UnknownMessage => {
            Ok(Reply::Refused(error.code))
        }
        code => Err(format!("an error that no fault explains, {code}: {error}")),
    }
}

impl Person {
    /// Registers a person, however long it takes, and lives.
    pub async fn run(
        host: Host,
        name: &str,
        servers: Vec<Address>,
        names: &[String],
        society: Society,
    ) -> Result<(), String> {
        let client =
            || Client::new(host.clone(), servers.clone(), TIMEOUT).map_err(|it| it.to_string());
        let society_ = society.clone();
        let mut person =
            Person { host: host.clone(), name: name.to_string(), client: client()?, society };
        let mut token = [0; 32];
        person.host.random.fill(&mut token);
        let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        let operation = person.host.uuid();
        loop {
            let request = Request::Register {
                operation,
                name: name.to_string(),
                password: "a good password".to_string(),
                token: token.clone(),
            };
            match person.client.request(request).await {
                Ok(Answer::Session(_)) => break,
                Ok(answer) => return Err(format!("registered and got {answer:?}")),
                Err(error) => told(error)?,
            };
        }
        let cluster = person.client.cluster().await.map_err(|it| it.to_string())?;
        person.client.set_session(token.clone().into(), cluster);
        let follow =
            Follow::new(&person.client, InboxQuery { which: Which::All, ..Default::default() });
        let mut lives = Vec::new();
        for _ in 0..LIVES {
            let mut client = client()?;
            client.set_session(token.clone().into(), cluster);
            let (host, name) = (host.clone(), name.to_string());
            lives.push(Person { host, name, client, society: society_.clone() }.live(names));
        }
        let lives = futures::future::try_join_all(lives);
        tokio::try_join!(biased; lives, person.follow(follow)).map(drop)
    }

    /// Follows the inbox for ever and checks that nothing comes twice.
    async fn follow(&self, mut follow: Follow) -> Result<(), String> {
        let mut last = 0;
        loop {
            let messages = match follow.next(&mut |_| {}).await {
                Ok(messages) => messages,
                Err(error) => return Err(format!("following ended: {error}")),
            };
            let followed = &self.society.followed;
            let mut followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
            for message in messages {
                if message.seq <= last {
                    return Err(format!("following showed {} after {last}", message.seq));
                }
                last = message.seq;
                followed.entry(self.name.clone()).or_default().push((message.seq, message.id));
            }
        }
    }

    /// Sends a message and records it; now and then a second time under the same
    /// id, as somebody does who has not seen the answer.
    pub async fn send(&mut self, to: Vec<String>, text: String) -> Result<(), String> {
        let id = self.host.uuid();
        self.send_as(id, to.clone(), text.clone()).await?;
        if draw(&self.host, 12) == 0 {
            tokio::time::sleep(Duration::from_millis(draw(&self.host, 500))).await;
            self.send_as(id, to, text).await?;
        }
        Ok(())
    }

    async fn send_as(&mut self, id: Uuid, to: Vec<String>, text: String) -> Result<(), String> {
        let call = Call::Send { id, from: self.name.clone(), to: to.clone(), text: text.clone() };
        let operation = self.society.recorder.begin(&self.name, call);
        let reply = match self.client.request(Request::Send { operation: id, to, text }).await {
            Ok(Answer::Sent(sent)) if sent.id == id => {
                if sent.copies <= sent.replicas / 2 || sent.copies > sent.replicas {
                    return Err(format!("accepted without a majority: {sent:?}"));
                }
                Reply::Sent { seq: sent.seq }
            }
            Ok(answer) => return Err(format!("sent and got {answer:?}")),
            Err(error) => told(error)?,
        };
        self.society.recorder.end(operation, reply);
        Ok(())
    }

    /// Reads the inbox from some point on, page by page, and records each page.
    /// `None` when a page could not be read.
    pub async fn read(&mut self, mut after: u64) -> Result<Option<Vec<Seen>>, String> {
        let mut all = Vec::new();
        let limit = 5 + draw(&self.host, 200);
        loop {
            let call = Call::Read { owner: self.name.clone(), after };
            let operation = self.society.recorder.begin(&self.name, call);
            let query = InboxQuery {
                which: Which::All,
                after: Some(after),
                limit: Some(limit),
                ..InboxQuery::default()
            };
            let (messages, more) = match self.client.request(Request::Inbox(query)).await {
                Ok(Answer::Messages { messages, more }) => (messages, more),
                Ok(answer) => return Err(format!("read and got {answer:?}")),
                Err(error) => {
                    let reply = told(error)?;
                    self.society.recorder.end(operation, reply);
                    return Ok(None);
                }
            };
            let messages: Vec<Seen> = messages
                .into_iter()
                .map(|it| Seen { id: it.id, seq: it.seq, from: it.from.to_string(), text: it.text })
                .collect();
            all.extend(messages.iter().cloned());
            self.society.recorder.end(operation, Reply::Page { messages, more });
            match all.last() {
                Some(last) if more => after = last.seq,
                _ if more => return Err("an empty page that says more follows".to_string()),
                _ => return Ok(Some(all)),
            }
        }
    }

    /// Removes a message and records it.
    pub async fn delete(&mut self, id: Uuid) -> Result<(), String> {
        let call = Call::Delete { owner: self.name.clone(), id };
        let operation = self.society.recorder.begin(&self.name, call);
        let request = Request::Delete { operation: self.host.uuid(), ids: vec![id] };
        let reply = match self.client.request(request).await {
            Ok(Answer::Deleted { count: 1 }) => Reply::Deleted,
            Ok(answer) => return Err(format!("deleted one and got {answer:?}")),
            Err(error) => told(error)?,
        };
        self.society.recorder.end(operation, reply);
        Ok(())
    }

    /// Mostly sends, sometimes reads, seldom deletes, until all is quiet; then
    /// reads once more.
    async fn live(mut self, names: &[String]) -> Result<(), String> {
        let mut known: Vec<Seen> = Vec::new();
        let mut number = 0;
        while !self.society.quiet.load(Ordering::Relaxed) {
            number += 1;
            match draw(&self.host, 10) {
                0 | 1 => {
                    // Mostly the latest, seldom everything.
                    let latest = known.last().map_or(0, |seen| seen.seq.saturating_sub(100));
                    let after = if draw(&self.host, 10) == 0 { 0 } else { latest };
                    known = self.read(after).await?.unwrap_or_default();
                }
                2 if !known.is_empty() => {
                    let chosen = draw(&self.host, known.len() as u64) as usize;
                    self.delete(known.remove(chosen).id).await?;
                }
                _ => {
                    let first = draw(&self.host, names.len() as u64) as usize;
                    let mut to = vec![names[first].clone()];
                    if draw(&self.host, 4) == 0 {
                        to.push(names[(first + 1) % names.len()].clone());
                    }
                    let length = match draw(&self.host, 20) {
                        0 => draw(&self.host, 4_000) as usize,
                        _ => 0,
                    };
                    let text = format!("{} {number} {}", self.name, "x".repeat(length));
                    self.send(to, text).await?;
                }
            }
            tokio::time::sleep(Duration::from_millis(draw(&self.host, 120))).await;
        }
        while self.read(0).await?.is_none() {}
        self.society.resting.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
