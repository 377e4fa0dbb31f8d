//! Messages that must keep their order.

use std::collections::BTreeMap;
use std::time::Duration;

use ftchat::client::{Answered, Connection, Failure, Follow, Pipeline};
use ftchat::error::{Error, ErrorCode};
use ftchat::protocol::client::{Answer, InboxQuery, Request, Sent, Which};
use ftchat::types::Uuid;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::resident::{recipients, text};
use super::shell::Shell;
use super::{TIMEOUT, draw, reply_of};
use crate::oracle::{Call, Line, Reply, Seen, Stream};

/// Requests of one connection.
const REQUESTS_MAX: u64 = 30;

/// Longest pause between two of them.
const REQUEST_PAUSE_MS: u64 = 60;

impl Shell {
    /// Sends many lines, as `send --lines` does; when their outcome is unknown now
    /// and then the same lines once more.
    pub async fn send_lines(&mut self, number: u64) -> Result<(), String> {
        let base = self.host.uuid();
        let count = 2 + draw(&self.host, self.users.scale.lines_max);
        let to = recipients(self);
        let lines: Vec<String> = (1..=count).map(|it| text(self, number * 1_000 + it)).collect();
        let unknown = self.send_lines_as(base, &to, &lines).await?;
        if unknown && self.one_in(2) {
            self.pause(1_000).await;
            self.users.count("pipelines repeated");
            self.send_lines_as(base, &to, &lines).await?;
        }
        Ok(())
    }

    /// Whether the outcome of some is unknown.
    async fn send_lines_as(
        &mut self,
        base: Uuid,
        to: &[String],
        lines: &[String],
    ) -> Result<bool, String> {
        let timeout = match self.one_in(3) && self.users.scale.hasty {
            true => 2 * self.hasty_limit(),
            false => TIMEOUT,
        };
        let mut operations = BTreeMap::new();
        for (number, text) in (1..).zip(lines) {
            let id = Pipeline::<&[u8], fn(&Sent) -> Result<(), Error>>::id_of_line(base, number);
            let line = Line { stream: base, number, of: Stream::Pipeline };
            operations.insert(id, self.begin_line(id, to, text, line));
        }
        let input = lines.join("\n");
        let recorder = self.users.recorder.clone();
        let mut doubled = None;
        let report = |sent: &Sent| {
            match operations.remove(&sent.id) {
                Some(operation) => {
                    recorder.end(
                        operation,
                        Reply::Sent { seq: sent.seq.expect("a majority has it"), at: sent.at },
                    );
                }
                None => doubled = Some(sent.id),
            }
            Ok(())
        };
        let client = self.client_for(timeout)?;
        let run = Pipeline::new(&client, to.to_vec(), base, input.as_bytes(), report).run().await;
        if let Some(id) = doubled {
            return Err(format!("a line was reported twice, or never sent: {id}"));
        }
        let rest = match run {
            Ok(summary) if summary.out_of_order > 0 => {
                return Err(format!("lines out of order: {summary:?}"));
            }
            Ok(_) if operations.is_empty() => return Ok(false),
            Ok(summary) => return Err(format!("lines without a report: {summary:?}")),
            Err(error) => reply_of(error)?,
        };
        self.end_lines(operations, &rest);
        Ok(rest == Reply::Unknown)
    }

    /// Ends the lines that were not accepted. Of those behind one that the service
    /// refused for what it is nothing more is told.
    fn end_lines(&self, operations: BTreeMap<Uuid, usize>, rest: &Reply) {
        self.users.count(match rest {
            Reply::Unknown => "pipelines unknown",
            _ => "pipelines refused",
        });
        let mut numbers: Vec<usize> = operations.into_values().collect();
        numbers.sort_unstable();
        let for_what_it_is = matches!(rest, Reply::Refused(code) if !code.retryable());
        if for_what_it_is {
            numbers.truncate(1);
        }
        for operation in numbers {
            self.users.recorder.end(operation, rest.clone());
        }
    }

    fn begin_line(&self, id: Uuid, to: &[String], text: &str, line: Line) -> usize {
        let (from, to, text) = (self.owner.clone(), to.to_vec(), text.to_string());
        let call = Call::Send { id, from, to, text, line: Some(line) };
        self.users.recorder.begin(&self.owner, call)
    }

    /// Sends messages on one connection, each with a time limit of its own, and goes
    /// on whatever becomes of them. Those behind one that failed fail as well.
    pub async fn send_on_one_connection(&mut self, number: u64) -> Result<(), String> {
        if !self.users.scale.hasty {
            return Ok(());
        }
        let servers = &self.users.servers;
        let server = &servers[draw(&self.host, servers.len() as u64) as usize];
        let opening = Connection::open(&self.host, server);
        let Ok(Ok(connection)) = tokio::time::timeout(TIMEOUT / 10, opening).await else {
            return Ok(());
        };
        let connection = connection.in_order();
        if connection.hello().cluster != Some(self.cluster()) {
            return Ok(());
        }
        let token = self.token().to_string();
        let authenticate = Request::Authenticate { token };
        let speaking = connection.call(&authenticate, Some(TIMEOUT / 10));
        match tokio::time::timeout(TIMEOUT / 5, speaking).await {
            Ok(Ok(Answer::Session(_))) => {}
            Ok(Ok(answer)) => return Err(format!("authenticated and got {answer:?}")),
            Ok(Err(Failure::Refused(error))) if !error.retryable() => {
                return Err(format!("a session was refused: {error}"));
            }
            Ok(Err(_)) | Err(_) => return Ok(()),
        }
        self.users.count("connections");
        let (stream, to) = (self.host.uuid(), recipients(self));
        let (answers, mut answered) = mpsc::unbounded_channel();
        let mut under_way = BTreeMap::new();
        for place in 1..=1 + draw(&self.host, REQUESTS_MAX) {
            let (id, text) = (self.host.uuid(), text(self, number * 1_000 + place));
            let line = Line { stream, number: place, of: Stream::Connection };
            let request = Request::Send {
                operation: id,
                to: to.clone(),
                text: text.clone(),
                first: true,
                after: None,
                reply_to: None,
            };
            let operation = self.begin_line(id, &to, &text, line);
            let limit = if self.one_in(2) { self.hasty_limit() } else { TIMEOUT / 2 };
            match connection.submit_to(&answers, &request, Some(limit)) {
                Ok(submitted) => drop(under_way.insert(submitted.request, operation)),
                Err(_) => {
                    let nothing_sent = Reply::Refused(ErrorCode::Unavailable);
                    self.users.recorder.end(operation, nothing_sent);
                    break;
                }
            }
            let goes_on =
                Instant::now() + Duration::from_millis(draw(&self.host, REQUEST_PAUSE_MS));
            while let Ok(Some(answer)) = timeout_at(goes_on, answered.recv()).await {
                self.answered(&mut under_way, answer)?;
            }
        }
        let gives_up = Instant::now() + TIMEOUT;
        while !under_way.is_empty()
            && let Ok(Some(answer)) = timeout_at(gives_up, answered.recv()).await
        {
            self.answered(&mut under_way, answer)?;
        }
        Ok(())
    }

    /// Records an answer, in the order in which they come.
    fn answered(
        &self,
        under_way: &mut BTreeMap<u64, usize>,
        answer: Answered,
    ) -> Result<(), String> {
        let Some(operation) = under_way.remove(&answer.request) else {
            return Err(format!("an answer to no request: {answer:?}"));
        };
        let reply = match answer.result {
            Ok(Answer::Sent(sent)) => {
                Reply::Sent { seq: sent.seq.expect("a majority has it"), at: sent.at }
            }
            Ok(answer) => return Err(format!("sent and got {answer:?}")),
            Err(Failure::Refused(error)) => {
                self.users.count("requests failed on a connection");
                reply_of(error)?
            }
            Err(Failure::Broken(_)) => Reply::Unknown,
        };
        self.users.recorder.end(operation, reply);
        Ok(())
    }

    /// Follows from the beginning: exactly what a page of everything has just shown
    /// comes, as nobody writes any more.
    pub async fn follow_anew(&mut self, everything: &[Seen]) -> Result<(), String> {
        let client = self.client_for(TIMEOUT)?;
        let query = InboxQuery { which: Which::All, ..Default::default() };
        let mut follow = Follow::new(&client, query);
        let mut expected = everything.iter();
        while let Some(next) = expected.as_slice().first() {
            let waited = tokio::time::timeout(3 * TIMEOUT, follow.next(&mut |_| {})).await;
            let messages = waited
                .map_err(|_| format!("following from the beginning never showed {}", next.id))?
                .map_err(|error| format!("following from the beginning ended: {error}"))?;
            for message in messages {
                let expected = expected.next().map(|seen| seen.id);
                if expected.is_some_and(|expected| expected != message.id) {
                    return Err(format!(
                        "following from the beginning showed {} where {expected:?} was next",
                        message.id
                    ));
                }
            }
        }
        Ok(())
    }
}
