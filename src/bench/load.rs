//! One client: a connection at a time, and its requests under way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::accounts::Accounts;
use super::pace::{Measurement, Next, Source};
use super::record::{self, Record};
use super::text::text;
use super::{Options, Work};
use crate::client::{Answered, Connection, Connections, Failure};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::client::{Answer, InboxQuery, Request, Which};
use crate::types::Uuid;

/// A request from when it was to be sent until it is answered.
struct Asked {
    id: Uuid,
    begun: Instant,
    repeated: bool,
    /// The account that the first recipient is.
    to: usize,
    sent_bytes: usize,
}

/// See the head of this file.
pub(super) struct Load {
    connections: Connections,
    accounts: Arc<Accounts>,
    work: Work,
    followers: usize,
    timeout: Duration,
    source: Source,
    measurement: Arc<Measurement>,
    record: Arc<Record>,
    /// Ids are this and a count.
    base: u64,
    count: u64,
    text: String,
    /// To be sent, the first first: taken back from a connection that broke.
    again: VecDeque<Asked>,
    under_way: BTreeMap<u64, Asked>,
    /// Whether no further request begins.
    ended: bool,
}

impl Load {
    pub(super) fn new(
        accounts: &Arc<Accounts>,
        options: &Options,
        number: usize,
        source: Source,
        measurement: Arc<Measurement>,
        record: &Arc<Record>,
    ) -> Result<Load> {
        let client = accounts.client(number, options.servers.clone())?;
        Ok(Load {
            connections: match options.work {
                Work::Send { .. } => client.connections(number).toward_leader(),
                Work::Inbox { .. } => client.connections(number),
            },
            base: client.host().random_u64(),
            count: number as u64,
            text: match options.work {
                Work::Send { size_bytes, .. } => text(size_bytes),
                Work::Inbox { .. } => String::new(),
            },
            accounts: accounts.clone(),
            work: options.work,
            followers: options.followers,
            timeout: options.timeout,
            source,
            measurement,
            record: record.clone(),
            again: VecDeque::new(),
            under_way: BTreeMap::new(),
            ended: false,
        })
    }

    /// Asks until the source ends and everything is answered.
    pub(super) async fn run(mut self) -> Result<()> {
        loop {
            let connection = self.connections.next().await?;
            let Err(reason) = self.converse(&connection).await? else { return Ok(()) };
            tracing::debug!(server = %connection.address(), reason, "asking another server");
            self.connections.failed();
            // Answers that are under way may be lost; the old ids make it safe
            // to ask again.
            let lost = std::mem::take(&mut self.under_way).into_values();
            self.again.extend(lost.map(|asked| Asked { repeated: true, ..asked }));
        }
    }

    /// Asks over one connection until all is done, or returns in the inner
    /// result why it does not serve.
    async fn converse(&mut self, connection: &Connection) -> Result<Result<(), String>> {
        let (answers, mut answered) = mpsc::unbounded_channel();
        let mut batch = Vec::new();
        let mut received_at = Instant::now();
        let overdue = sleep_until(received_at + self.timeout / 2);
        tokio::pin!(overdue);
        loop {
            while self.under_way.len() < self.source.window()
                && let Some(asked) = self.next()
            {
                if self.under_way.is_empty() {
                    received_at = Instant::now();
                }
                let request = self.request(&asked);
                match connection.submit_to(&answers, &request, Some(self.timeout)) {
                    Ok(submitted) => {
                        let asked = Asked { sent_bytes: submitted.bytes, ..asked };
                        self.under_way.insert(submitted.request, asked);
                    }
                    Err(Failure::Broken(error)) => {
                        self.again.push_front(asked);
                        return Ok(Err(error.message));
                    }
                    Err(Failure::Refused(error)) => return Err(error),
                }
            }
            if self.ended && self.under_way.is_empty() {
                return Ok(Ok(()));
            }
            let room = self.under_way.len() < self.source.window() && !self.ended;
            tokio::select! {
                biased;
                _ = answered.recv_many(&mut batch, usize::MAX), if !self.under_way.is_empty() => {
                    received_at = Instant::now();
                    for answered in batch.drain(..) {
                        if let Some(reason) = self.settle(answered)? {
                            return Ok(Err(reason));
                        }
                    }
                }
                due = self.source.wait(), if room => match due {
                    Some(begun) => {
                        let asked = self.begin(begun);
                        self.again.push_back(asked);
                    }
                    None => self.ended = true,
                },
                () = &mut overdue, if !self.under_way.is_empty() => {
                    let limit = received_at + self.timeout / 2;
                    if limit <= Instant::now() {
                        return Ok(Err("did not answer".to_string()));
                    }
                    overdue.as_mut().reset(limit);
                }
            }
        }
    }

    /// The next request, if one may begin now.
    fn next(&mut self) -> Option<Asked> {
        if let Some(asked) = self.again.pop_front() {
            return Some(asked);
        }
        if self.ended {
            return None;
        }
        match self.source.next() {
            Next::At(begun) => Some(self.begin(begun)),
            Next::Later => None,
            Next::Never => {
                self.ended = true;
                None
            }
        }
    }

    fn begin(&mut self, begun: Instant) -> Asked {
        self.count += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.base.to_be_bytes());
        bytes[8..].copy_from_slice(&self.count.to_be_bytes());
        Asked {
            // Version 8 of RFC 9562: an id that is made in a way of one's own.
            id: uuid::Builder::from_custom_bytes(bytes).into_uuid(),
            begun,
            repeated: false,
            to: self.count as usize % self.accounts.count(),
            sent_bytes: 0,
        }
    }

    fn request(&self, asked: &Asked) -> Request {
        match self.work {
            Work::Send { recipients, .. } => Request::Send {
                operation: asked.id,
                to: (0..recipients).map(|step| self.accounts.name(asked.to + step)).collect(),
                text: self.text.clone(),
                first: !asked.repeated,
                after: None,
                reply_to: None,
            },
            Work::Inbox { messages } => Request::Inbox(InboxQuery {
                which: Which::All,
                limit: Some(messages as u64),
                ..InboxQuery::default()
            }),
        }
    }

    /// Takes note of an answer; the reason if the server does not serve.
    fn settle(&mut self, answered: Answered) -> Result<Option<String>> {
        let Answered { request, bytes: received_bytes, result } = answered;
        let wrong = match result {
            Ok(answer) => !self.answers(&answer),
            Err(Failure::Refused(error))
                if !error.retryable() || error.code == ErrorCode::RateLimited =>
            {
                return Err(error);
            }
            Err(Failure::Refused(error) | Failure::Broken(error)) => {
                return Ok(Some(error.message));
            }
        };
        let asked = self.under_way.remove(&request).filter(|_| !wrong).ok_or_else(|| {
            Error::internal("a server answered with something else than was asked")
        })?;
        self.connections.served();
        let Asked { id, begun, repeated, to, sent_bytes } = asked;
        let answer = record::Answered { begun, repeated, sent_bytes, received_bytes };
        self.record.answer(&answer, self.measurement.counts(begun));
        self.record.acknowledged(id, self.followers_of(to));
        Ok(None)
    }

    fn answers(&self, answer: &Answer) -> bool {
        match (self.work, answer) {
            (Work::Send { recipients, .. }, Answer::Sent(sent)) => sent.to.len() == recipients,
            (Work::Inbox { messages }, Answer::Messages { messages: page, .. }) => {
                page.len() == messages
            }
            _ => false,
        }
    }

    /// Connections that follow one of the accounts that a message goes to.
    fn followers_of(&self, to: usize) -> usize {
        let Work::Send { recipients, .. } = self.work else { return 0 };
        let accounts = self.accounts.count();
        let of = |account: usize| {
            self.followers / accounts + usize::from(account < self.followers % accounts)
        };
        (0..recipients).map(|step| of((to + step) % accounts)).sum()
    }
}
