//! Those who are content with a server that is alone.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ftchat::client::{Client, Follow, FollowNotice, Pipeline, SentBehind};
use ftchat::error::{Error, ErrorCode};
use ftchat::host::Host;
use ftchat::protocol::client::{After, Answer, Confirm, InboxQuery, Request, Sent, Which};
use ftchat::types::Uuid;
use tokio::io::{AsyncWriteExt, BufReader, DuplexStream};

use super::diary::{Acknowledged, Confirmed, READER, READERS, SharedDiary};
use super::guest::GUEST;
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

/// Registers somebody. Their client is content with a server that is alone.
pub async fn known(
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

/// Speaks for a session of somebody, at all servers or at one of them.
pub async fn client_for(
    host: &Host,
    users: &Users,
    token: &str,
    (timeout, only): (Duration, Option<usize>),
) -> Result<Client, String> {
    let all = users.servers.to_vec();
    let mut anywhere = users.client(host, TIMEOUT)?;
    let cluster = loop {
        match anywhere.cluster().await {
            Ok(cluster) => break cluster,
            Err(error) => may_pass(&error)?,
        }
    };
    let servers = only.map_or(all.clone(), |server| vec![all[server].clone()]);
    let client = Client::new(host.clone(), servers, timeout).map_err(|it| it.to_string())?;
    let mut client = client.confirming(Confirm::Any);
    client.set_session(token.to_string().into(), cluster);
    Ok(client)
}

/// To whom a message goes: mostly to the reader, now and then to several, or to whoever has a
/// name that comes and goes.
fn recipients(host: &Host) -> Vec<String> {
    let some: &[&str] = match draw(host, 12) {
        0 => &[READERS[1], READERS[2]],
        1 | 2 => READERS,
        3 => &[READERS[1]],
        4 | 5 => &[GUEST],
        6 => &[READER, GUEST],
        _ => &[READER],
    };
    some.iter().map(ToString::to_string).collect()
}

/// Writes until it is to be quiet: single messages, and streams of lines. `stays`: at one
/// server, whether that is alone or not.
pub async fn write(
    host: &Host,
    users: &Users,
    diary: &SharedDiary,
    (name, stays): (&str, bool),
) -> Exit {
    let mut client = known(host, users, diary, name).await?;
    if stays {
        let token = diary.look(|diary| diary.tokens[name].clone());
        let server = draw(host, users.servers.len() as u64) as usize;
        client = client_for(host, users, &token, (TIMEOUT, Some(server))).await?;
    }
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
        let (to, asked) = (recipients(self.host), self.diary.now());
        // Also of a try that nobody answered: it may be the one that counts.
        let mut overtook = false;
        loop {
            let text = text.to_string();
            let request = Request::Send {
                operation,
                to: to.clone(),
                text: text.clone(),
                first,
                after: None,
                reply_to: None,
            };
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
                    self.note(&sent, (text, asked, None), overtook);
                    return Ok(());
                }
                Err(error) if is_of_the_guest(&error, &to) => {
                    self.diary.look(|diary| diary.refused.insert(operation));
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

    fn note(
        &self,
        sent: &Sent,
        (text, asked, stream): (String, u64, Option<(Uuid, u64)>),
        overtakes: bool,
    ) {
        let (by, to) = (self.name.to_string(), sent.to.iter().map(ToString::to_string).collect());
        self.diary.look(|diary| {
            let asked = (asked, diary.moment());
            let it = Acknowledged { text, to, by, seq: sent.seq, asked, stream };
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
        let (before, asked) = (self.before, self.diary.now());
        // What a run has done that ended in an error it does not say.
        let (mut repeated, mut last) = (false, before);
        loop {
            let report = |sent: &Sent| {
                let number = numbers[&sent.id];
                let text = lines[number as usize - 1].clone();
                let stream = Some((base, number));
                last = After::of(sent);
                self.note(sent, (text, asked, stream), false);
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

/// Whether nobody has the name that comes and goes, and the message was for its owner.
fn is_of_the_guest(error: &Error, to: &[String]) -> bool {
    error.code == ErrorCode::UnknownAccount && to.iter().any(|to| to == GUEST)
}

/// Follows the reader's inbox.
pub async fn follow(host: &Host, users: &Users, diary: &SharedDiary) -> Exit {
    let client = known(host, users, diary, READER).await?;
    let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
    let mut follow = Follow::new(&client, query);
    loop {
        let notice = &mut |notice: FollowNotice| {
            if let FollowNotice::Refused { id, .. } = notice {
                diary.look(|diary| diary.withdrawn.insert(id));
            }
        };
        let messages = follow.next(notice).await.map_err(|error| error.to_string())?;
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

/// Everything in all inboxes, as a majority confirms it; and that no session lives that was
/// ended.
pub async fn read_all(host: &Host, users: &Users, diary: &SharedDiary) -> Exit {
    let tokens = diary.look(|diary| diary.tokens.clone());
    for (name, token) in tokens {
        let inbox = read(host, users, &token, Which::All).await?;
        if name == GUEST {
            let sent = read(host, users, &token, Which::Sent).await?;
            diary.look(|diary| diary.sent_by_last = sent);
        }
        diary.look(|diary| diary.inboxes.insert(name, inbox));
    }
    let sessions = diary.look(|diary| diary.sessions.clone());
    for session in sessions.into_iter().filter(|session| session.ended.is_some()) {
        let client = client_for(host, users, &session.token, (TIMEOUT, None)).await?;
        let mut client = client.confirming(Confirm::Majority);
        loop {
            match client.request(Request::Whoami {}).await {
                Err(error) if error.code == ErrorCode::SessionExpired => break,
                Err(error) => may_pass(&error)?,
                Ok(answer) => return Err(format!("a session that was ended lives: {answer:?}")),
            }
        }
    }
    Ok(())
}

/// Everything in one list of somebody, as a majority confirms it.
pub async fn read(
    host: &Host,
    users: &Users,
    token: &str,
    which: Which,
) -> Result<Vec<Confirmed>, String> {
    let client = client_for(host, users, token, (TIMEOUT, None)).await?;
    let mut client = client.confirming(Confirm::Majority);
    let mut query = InboxQuery { which, ..InboxQuery::default() };
    let mut all = Vec::new();
    loop {
        match client.request(Request::Inbox(query.clone())).await {
            Ok(Answer::Messages { messages, more, .. }) => {
                query.after = messages.last().and_then(|it| it.seq).or(query.after);
                all.extend(messages.into_iter().map(Confirmed::of));
                if !more {
                    return Ok(all);
                }
            }
            Ok(answer) => return Err(format!("read and got {answer:?}")),
            Err(error) => may_pass(&error)?,
        }
    }
}
