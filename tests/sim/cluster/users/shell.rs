//! What a user with an account does: one command after the other, each recorded.

use std::time::Duration;

use ftchat::client::Client;
use ftchat::host::Host;
use ftchat::protocol::client::{Answer, InboxQuery, Request, Which};
use ftchat::types::{Timestamp, Uuid};

use super::{PASSWORD, TIMEOUT, Users, ask, draw, token};
use crate::oracle::{Call, Reply, Seen};

/// More than clocks jump that are right but for that, in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// How long hasty commands try.
const HASTY_MS: (u64, u64) = (100, 1_500);

/// One shell of somebody who has an account.
pub struct Shell {
    pub host: Host,
    pub users: Users,
    /// Whose it is.
    pub owner: String,
    token: String,
    cluster: Uuid,
    unhurried: Client,
    hasty: Option<Client>,
    /// Whether the present command is given little time.
    hurries: bool,
}

impl Shell {
    /// Speaks for the session of a token.
    pub fn new(
        host: &Host,
        users: &Users,
        owner: &str,
        token: &str,
        cluster: Uuid,
    ) -> Result<Shell, String> {
        let mut unhurried = users.client(host, TIMEOUT)?;
        unhurried.set_session(token.to_string().into(), cluster);
        Ok(Shell {
            host: host.clone(),
            users: users.clone(),
            owner: owner.to_string(),
            token: token.to_string(),
            cluster,
            unhurried,
            hasty: None,
            hurries: false,
        })
    }

    /// The token of its session.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The cluster of its session.
    pub fn cluster(&self) -> Uuid {
        self.cluster
    }

    /// Whether something happens that happens once in so many times.
    pub fn one_in(&self, in_how_many: u64) -> bool {
        draw(&self.host, in_how_many) == 0
    }

    /// Waits for a while.
    pub async fn pause(&self, longest_ms: u64) {
        tokio::time::sleep(Duration::from_millis(draw(&self.host, longest_ms))).await;
    }

    /// A client that tries for so long.
    pub fn client_for(&self, timeout: Duration) -> Result<Client, String> {
        let mut client = self.users.client(&self.host, timeout)?;
        client.set_session(self.token.clone().into(), self.cluster);
        Ok(client)
    }

    /// A time limit of somebody who hurries.
    pub fn hasty_limit(&self) -> Duration {
        Duration::from_millis(HASTY_MS.0 + draw(&self.host, HASTY_MS.1 - HASTY_MS.0))
    }

    /// Gives the next command little time, or as much as it may take.
    pub fn hurry(&mut self, hurries: bool) -> Result<(), String> {
        self.hurries = hurries && self.users.scale.hasty;
        if self.hurries && (self.hasty.is_none() || self.one_in(4)) {
            self.hasty = Some(self.client_for(self.hasty_limit())?);
        }
        Ok(())
    }

    async fn ask(&mut self, request: Request) -> Result<Result<Answer, Reply>, String> {
        let client = match &mut self.hasty {
            Some(hasty) if self.hurries => hasty,
            _ => &mut self.unhurried,
        };
        ask(client, request).await
    }

    /// Sends a message and records it; now and then a second time under the same
    /// id, as somebody does who has not seen the answer.
    pub async fn send(&mut self, to: Vec<String>, text: String) -> Result<(), String> {
        let id = self.host.uuid();
        self.send_as(id, to.clone(), text.clone(), true).await?;
        if self.one_in(12) {
            self.pause(500).await;
            self.send_as(id, to, text, false).await?;
        }
        Ok(())
    }

    async fn send_as(
        &mut self,
        id: Uuid,
        to: Vec<String>,
        text: String,
        first: bool,
    ) -> Result<(), String> {
        let (from, line) = (self.owner.clone(), None);
        let call = Call::Send { id, from, to: to.clone(), text: text.clone(), line };
        let operation = self.users.recorder.begin(&self.owner, call);
        let reply = match self
            .ask(Request::Send { operation: id, to, text, first, after: None, reply_to: None })
            .await?
        {
            Ok(Answer::Sent(sent)) if sent.id == id => {
                if sent.copies <= sent.replicas / 2 || sent.copies > sent.replicas {
                    return Err(format!("accepted without a majority: {sent:?}"));
                }
                let off_ms = sent.at.0.abs_diff(self.host.clock.now().0);
                if off_ms > DAY_MS {
                    return Err(format!("stamped {off_ms} ms from when it was sent: {sent:?}"));
                }
                Reply::Sent { seq: sent.seq.expect("a majority has it"), at: sent.at }
            }
            Ok(answer) => return Err(format!("sent and got {answer:?}")),
            Err(reply) => reply,
        };
        self.users.recorder.end(operation, reply);
        Ok(())
    }

    /// Reads messages page by page, and records each page. `None` when a page could
    /// not be read.
    pub async fn read(&mut self, mut query: InboxQuery) -> Result<Option<Vec<Seen>>, String> {
        let mut all: Vec<Seen> = Vec::new();
        query.limit = Some(1 + draw(&self.host, self.users.scale.page_max));
        loop {
            let call = Call::Read { owner: self.owner.clone(), query: query.clone() };
            let operation = self.users.recorder.begin(&self.owner, call);
            let (messages, more) = match self.ask(Request::Inbox(query.clone())).await? {
                Ok(Answer::Messages { messages, more, .. }) => (messages, more),
                Ok(answer) => return Err(format!("read and got {answer:?}")),
                Err(reply) => {
                    self.users.recorder.end(operation, reply);
                    return Ok(None);
                }
            };
            if more && messages.len() as u64 != query.limit.unwrap_or_default() {
                self.users.count("pages cut");
            }
            let seen = messages.into_iter().map(|it| Seen {
                id: it.id,
                seq: it.seq.expect("a majority has it"),
                from: it.from.to_string(),
                recipients: it.to.len(),
                text: it.text,
                at: it.at,
                read: it.read,
            });
            let messages: Vec<Seen> = seen.collect();
            all.extend(messages.iter().cloned());
            self.users.recorder.end(operation, Reply::Page { messages, more });
            match all.last() {
                Some(last) if more => query.after = Some(last.seq),
                _ if more => return Err("an empty page that says more follows".to_string()),
                _ => return Ok(Some(all)),
            }
        }
    }

    /// Reads all messages from some place on.
    pub async fn read_all(&mut self, after: u64) -> Result<Option<Vec<Seen>>, String> {
        let query = InboxQuery { which: Which::All, after: Some(after), ..Default::default() };
        self.read(query).await
    }

    /// Looks at a part of them only.
    pub async fn read_some(&mut self, known: &[Seen]) -> Result<(), String> {
        let known = match known.is_empty() {
            true => None,
            false => Some(&known[draw(&self.host, known.len() as u64) as usize]),
        };
        let mut query = InboxQuery::default();
        match (draw(&self.host, 3), known) {
            (0, Some(seen)) => {
                query.which = Which::All;
                query.since = Some(Timestamp(seen.at.0 + draw(&self.host, 2)));
            }
            (1, Some(seen)) => query.from = Some(seen.from.clone()),
            _ => {
                query.which = Which::Sent;
                query.after = known.map(|seen| seen.seq);
            }
        }
        self.read(query).await.map(drop)
    }

    /// Reads what is unread and marks it, as `ftchat inbox` does.
    pub async fn read_unread(&mut self) -> Result<(), String> {
        let Some(seen) = self.read(InboxQuery::default()).await? else { return Ok(()) };
        let mut seqs: Vec<u64> = seen.iter().map(|seen| seen.seq).collect();
        // Who has seen a thousand marks them in parts.
        seqs.truncate(1 + draw(&self.host, 500) as usize);
        if seqs.is_empty() {
            return Ok(());
        }
        let call = Call::Mark { owner: self.owner.clone(), seqs: seqs.clone() };
        let operation = self.users.recorder.begin(&self.owner, call);
        let request = Request::MarkRead { operation: self.host.uuid(), seqs, ids: Vec::new() };
        let reply = match self.ask(request).await? {
            Ok(Answer::Marked { count, .. }) => Reply::Marked { count },
            Ok(answer) => return Err(format!("marked and got {answer:?}")),
            Err(reply) => reply,
        };
        self.users.recorder.end(operation, reply);
        Ok(())
    }

    /// Removes a message and records it.
    pub async fn delete(&mut self, id: Uuid) -> Result<(), String> {
        let call = Call::Delete { owner: self.owner.clone(), id };
        let operation = self.users.recorder.begin(&self.owner, call);
        let request = Request::Delete { operation: self.host.uuid(), ids: vec![id] };
        let reply = match self.ask(request).await? {
            Ok(Answer::Deleted { count: 1, .. }) => Reply::Deleted,
            Ok(answer) => return Err(format!("deleted one and got {answer:?}")),
            Err(reply) => reply,
        };
        self.users.recorder.end(operation, reply);
        Ok(())
    }

    /// Logs in elsewhere, and out again. What ended stays ended; what was told to
    /// have done nothing has not.
    pub async fn visit(&mut self) -> Result<(), String> {
        let name = crate::oracle::name_of(&self.owner).to_string();
        let token = token(&self.host);
        let mut client = self.users.client(&self.host, TIMEOUT)?;
        let (operation, password) = (self.host.uuid(), PASSWORD.to_string());
        let request =
            Request::Login { operation, name, password, token: token.clone(), new_password: None };
        if !matches!(ask(&mut client, request).await?, Ok(Answer::Session(_))) {
            return Ok(());
        }
        client.set_session(token.clone().into(), self.cluster);
        self.expect_session(&mut client, true).await?;
        let limit = match self.users.scale.hasty {
            true => self.hasty_limit(),
            false => TIMEOUT,
        };
        let mut leaving = self.users.client(&self.host, limit)?;
        leaving.set_session(token.into(), self.cluster);
        match ask(&mut leaving, Request::Logout { operation: self.host.uuid() }).await? {
            Ok(Answer::Done { .. }) => {
                self.users.count("logouts");
                self.expect_session(&mut client, false).await
            }
            Ok(answer) => Err(format!("logged out and got {answer:?}")),
            Err(Reply::Refused(_)) => {
                self.users.count("logouts refused");
                self.expect_session(&mut client, true).await
            }
            Err(_) => Ok(()),
        }
    }

    /// Asks whether a session lives, if anybody answers.
    async fn expect_session(&self, client: &mut Client, lives: bool) -> Result<(), String> {
        match client.request(Request::Whoami {}).await {
            Ok(Answer::Session(_)) if lives => Ok(()),
            Ok(answer) => Err(format!("a session that has ended is answered: {answer:?}")),
            Err(error) if error.retryable() => Ok(()),
            Err(error) if lives => Err(format!("a session that goes on was refused: {error}")),
            Err(error) if error.code == ftchat::error::ErrorCode::SessionExpired => {
                self.users.count("sessions found ended");
                Ok(())
            }
            Err(error) => Err(format!("a session that has ended: {error}")),
        }
    }
}
