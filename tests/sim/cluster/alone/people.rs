//! Those who are content with a server that is alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ftchat::client::{Client, Follow, Pipeline, SentBehind};
use ftchat::error::{Error, ErrorCode};
use ftchat::host::Host;
use ftchat::protocol::client::{After, Answer, Confirm, InboxQuery, Request, Sent, Which};
use ftchat::types::Uuid;
use tokio::io::{AsyncWriteExt, BufReader, DuplexStream};

use crate::cluster::users::{Users, draw, register};
use crate::world::Exit;

/// How long a command keeps trying.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest pause between two commands.
const PAUSE_MS: u64 = 400;

/// Most lines of one pipeline.
const LINES_MAX: u64 = 12;

/// Longest pause between two lines.
const LINE_PAUSE_MS: u64 = 700;

/// Whose inbox gets all messages.
pub const READER: &str = "reader";

/// A message that was acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub text: String,
    /// Whether a majority had it.
    pub confirmed: bool,
    /// Its stream, and where it is in that.
    pub stream: Option<(Uuid, u64)>,
}

/// What people did and saw.
#[derive(Debug, Default)]
pub struct Diary {
    pub acknowledged: BTreeMap<Uuid, Acknowledged>,
    /// What each writer sent, in the order in which it was acknowledged, and whether it did
    /// not wait for the one before.
    pub order: BTreeMap<String, Vec<(Uuid, bool)>>,
    /// What was given up, as nothing was done of it.
    pub given_up: BTreeSet<Uuid>,
    /// What was marked as read, as somebody said.
    pub marked: BTreeSet<Uuid>,
    /// What somebody was asked to delete, and of that what somebody said is deleted.
    pub deleting: BTreeSet<Uuid>,
    pub deleted: BTreeSet<Uuid>,
    /// How often following showed a message.
    pub shown: BTreeMap<Uuid, u64>,
    /// Of those, the ones that were not confirmed when they were shown.
    pub shown_early: BTreeSet<Uuid>,
    /// The reader's inbox, when it was read last.
    pub inbox: Vec<Confirmed>,
    /// Who has registered, and the tokens of their sessions.
    pub tokens: BTreeMap<String, String>,
}

/// A message as a majority has it.
#[derive(Clone, Debug)]
pub struct Confirmed {
    pub id: Uuid,
    pub seq: u64,
    pub text: String,
    pub read: bool,
}

/// See [`Diary`]. Clones are the same.
#[derive(Clone, Default)]
pub struct SharedDiary(Arc<Mutex<Diary>>);

impl SharedDiary {
    pub fn look<T>(&self, look: impl FnOnce(&mut Diary) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn known(
    host: &Host,
    users: &Users,
    diary: &SharedDiary,
    name: &str,
) -> Result<Client, String> {
    let mut client = users.client(host, TIMEOUT)?;
    let token = register(&mut client, host, users, name).await?;
    diary.look(|diary| diary.tokens.insert(name.to_string(), token));
    Ok(client.confirming(Confirm::Any))
}

/// Writes to the reader until it is to be quiet: single messages, and streams of lines.
pub async fn write(host: &Host, users: &Users, diary: &SharedDiary, name: &str) -> Exit {
    let client = known(host, users, diary, name).await?;
    let mut writer = Writer { host, client, diary, name, before: None };
    for number in 1.. {
        if users.quiet.load(Ordering::Relaxed) {
            return Ok(());
        }
        match draw(host, 4) {
            0 => writer.lines(&format!("{name} {number}")).await?,
            _ => writer.one(&format!("{name} {number}")).await?,
        }
        tokio::time::sleep(Duration::from_millis(draw(host, PAUSE_MS))).await;
    }
    Ok(())
}

/// Somebody who writes one message after the other.
struct Writer<'a> {
    host: &'a Host,
    client: Client,
    diary: &'a SharedDiary,
    name: &'a str,
    /// The last message, if that is not confirmed.
    before: Option<After>,
}

impl Writer<'_> {
    /// Sends a message, with the same id until it is accepted. Who is told that nothing was
    /// done gives up now and then.
    async fn one(&mut self, text: &str) -> Exit {
        let (operation, mut first, mut doubt) = (self.host.uuid(), true, false);
        // Also of a try that nobody answered: it may be the one that counts.
        let mut overtook = false;
        loop {
            let (to, text) = (vec![READER.to_string()], text.to_string());
            let request = Request::Send { operation, to, text: text.clone(), first, after: None };
            let SentBehind { sent, overtakes } =
                self.client.send_behind(self.before, request).await;
            overtook |= overtakes;
            match sent {
                Ok(sent) => {
                    let confirmed = sent.confirmed;
                    if confirmed != sent.seq.is_some() || confirmed == sent.place.is_some() {
                        return Err(format!("neither confirmed nor unconfirmed: {sent:?}"));
                    }
                    self.before = After::of(&sent);
                    self.note(&sent, Acknowledged { text, confirmed, stream: None }, overtook);
                    return Ok(());
                }
                Err(error) => {
                    may_pass(&error)?;
                    doubt |= error.code == ErrorCode::OutcomeUnknown;
                }
            }
            if !doubt && draw(self.host, 3) == 0 {
                self.diary.look(|diary| diary.given_up.insert(operation));
                return Ok(());
            }
            first = false;
        }
    }

    fn note(&self, sent: &Sent, it: Acknowledged, overtakes: bool) {
        self.diary.look(|diary| {
            // Whoever repeats lines is told of those again that were accepted before.
            if diary.acknowledged.insert(sent.id, it).is_none() {
                diary.order.entry(self.name.to_string()).or_default().push((sent.id, overtakes));
            }
        });
    }

    /// Sends lines as one stream, with the same ids until all are accepted.
    async fn lines(&mut self, text: &str) -> Exit {
        let base = self.host.uuid();
        let lines: Vec<String> = (1..=2 + draw(self.host, LINES_MAX))
            .map(|line| format!("{text} line {line}"))
            .collect();
        let numbers: BTreeMap<Uuid, u64> = (1..=lines.len() as u64)
            .map(|it| (Pipeline::<&[u8], fn(&Sent) -> Result<(), Error>>::id_of_line(base, it), it))
            .collect();
        let before = self.before;
        // What a run has done that ended in an error it does not say.
        let (mut repeated, mut last) = (false, before);
        loop {
            let report = |sent: &Sent| {
                let number = numbers[&sent.id];
                let text = lines[number as usize - 1].clone();
                let stream = Some((base, number));
                last = After::of(sent);
                self.note(sent, Acknowledged { text, confirmed: sent.confirmed, stream }, false);
                Ok(())
            };
            let to = vec![READER.to_string()];
            let (feed, input) = tokio::io::duplex(1_000);
            let pipeline = Pipeline::new(&self.client, to, base, BufReader::new(input), report);
            let pipeline = pipeline.behind(before);
            let ended = async {
                match repeated {
                    true => pipeline.repeated().run().await,
                    false => pipeline.run().await,
                }
            };
            let (ended, ()) = futures::join!(ended, type_in(self.host, feed, &lines));
            match ended {
                Ok(summary) if summary.out_of_order > 0 => {
                    return Err(format!("lines out of order: {summary:?}"));
                }
                Ok(summary) => {
                    self.before = last;
                    self.overtook(summary.overtakes || repeated, &numbers);
                    return Ok(());
                }
                Err(error) => may_pass(&error)?,
            }
            repeated = true;
        }
    }

    /// Whether the first of these lines did not wait for the message before is known when all
    /// have ended.
    fn overtook(&self, overtakes: bool, lines: &BTreeMap<Uuid, u64>) {
        self.diary.look(|diary| {
            let order = diary.order.get_mut(self.name).into_iter().flatten();
            if let Some((_, overtaken)) = order.into_iter().find(|(id, _)| lines.contains_key(id)) {
                *overtaken |= overtakes;
            }
        });
    }
}

/// Types lines one after the other, so that a stream lasts through several faults.
async fn type_in(host: &Host, mut feed: DuplexStream, lines: &[String]) {
    for line in lines {
        tokio::time::sleep(Duration::from_millis(draw(host, LINE_PAUSE_MS))).await;
        // A pipeline that has given up reads no further.
        if feed.write_all(format!("{line}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// # Errors
/// One that no fault explains.
pub fn may_pass(error: &Error) -> Exit {
    match error.retryable() {
        true => Ok(()),
        false => Err(format!("an error that no fault explains, {}: {error}", error.code)),
    }
}

/// Follows the reader's inbox.
pub async fn follow(host: &Host, users: &Users, diary: &SharedDiary) -> Exit {
    let client = known(host, users, diary, READER).await?;
    let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
    let mut follow = Follow::new(&client, query);
    loop {
        let messages = follow.next(&mut |_| {}).await.map_err(|error| error.to_string())?;
        diary.look(|diary| {
            for message in messages {
                *diary.shown.entry(message.id).or_default() += 1;
                if !message.confirmed {
                    diary.shown_early.insert(message.id);
                }
            }
        });
    }
}

/// Everything in the reader's inbox, as a majority confirms it.
pub async fn read_all(host: &Host, users: &Users, diary: &SharedDiary) -> Exit {
    let mut client = users.client(host, TIMEOUT)?;
    let token = diary.look(|diary| diary.tokens[READER].clone());
    let cluster = client.cluster().await.map_err(|error| error.to_string())?;
    client.set_session(token.into(), cluster);
    let mut query = InboxQuery { which: Which::All, ..InboxQuery::default() };
    let mut all = Vec::new();
    loop {
        match client.request(Request::Inbox(query.clone())).await {
            Ok(Answer::Messages { messages, more, .. }) => {
                query.after = messages.last().and_then(|it| it.seq).or(query.after);
                all.extend(messages.into_iter().map(|it| Confirmed {
                    id: it.id,
                    seq: it.seq.expect("a majority has it"),
                    text: it.text,
                    read: it.read,
                }));
                if !more {
                    break;
                }
            }
            Ok(answer) => return Err(format!("read and got {answer:?}")),
            Err(error) => may_pass(&error)?,
        }
    }
    diary.look(|diary| diary.inbox = all);
    Ok(())
}
