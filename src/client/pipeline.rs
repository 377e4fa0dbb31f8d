//! Many messages under way at once.
//!
//! Lines are sent as they are read, up to [`WINDOW`] ahead of the last one that
//! was acknowledged, and are reported in their order. Every line's message id
//! follows from one base id and the line's number, so the same input with the
//! same base is the same messages. After a failover, whatever is not yet acknowledged
//! is sent again, and is still delivered once. A whole run that ended in doubt can be
//! repeated.
//!
//! # What is promised
//! - Nothing that was reported is lost or doubled, whatever fails.
//! - Reports come in the order of lines, without gaps.
//! - The messages' `seq` ascend with the lines: a server takes the changes of one
//!   connection in order and, once it could not take one of them, takes none that
//!   follows, since its connection asks for that
//!   ([`in_order`](crate::protocol::client::RequestLine::in_order)). On its own side
//!   this module sends nothing more on a connection after the first failure, waits for
//!   what is under way there, and starts again with the first line that is not
//!   acknowledged. The order is checked, and a break of it is counted in
//!   [`PipelineSummary::out_of_order`], never hidden.
//! - Where a server takes fewer lines a second, it says when to come back, and the lines
//!   that it did not take are sent again then, or after a minute. Such a pause counts
//!   against the timeout unless a line was acknowledged since the one before.
//! - A server that has no majority may take lines as well, where the client has said that
//!   this is enough. Each line that goes out names the place of the last line before it
//!   that is not confirmed, and no server takes it without that one: so the order holds
//!   from one server to the next. Where the server with that line is gone, this waits for it.
//! - A line that is refused ends it; the error names the line. Lines that were
//!   under way behind it may have been accepted, and are reported if so. The
//!   first line travels alone, so a wrong recipient is found before there are any.

use std::collections::VecDeque;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::io::AsyncBufRead;
use tokio::time::{Instant, sleep_until};

use super::alive::Alive;
use super::connection::{Connection, Failure};
use super::dial::Redialer;
use super::failover::Client;
use super::in_order::patience;
use super::lines::Lines;
use super::pacing::{Reason, Reasons, answer_limit, server_timeout};
use super::verdict::is_final;
use crate::config::duration;
use crate::error::{Error, ErrorCode, Result};
use crate::planted::{self, Bug};
use crate::protocol::client::{After, Answer, Request, Sent};
use crate::types::{Digest, Uuid};

/// Lines under way at once. Some 500 messages share an fdatasync and a log
/// entry or two, so more would not be faster; a server takes 1,024.
const WINDOW: usize = 512;

/// Longest pause on a server's word; then it is asked again.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What a pipeline has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineSummary {
    /// Messages acknowledged and reported.
    pub sent: u64,
    /// Of those, messages whose place in the total order is before that of a line above.
    pub out_of_order: u64,
    /// Of those, messages that no majority has confirmed.
    pub unconfirmed: u64,
    /// Whether the first did not wait any longer for the message before it.
    pub overtakes: bool,
}

/// Sends each line as a message of its own; see the head of this file.
pub struct Pipeline<R, F> {
    lines: Lines<R>,
    to: Vec<String>,
    base: Uuid,
    /// Whether the lines may have been sent before.
    repeated: bool,
    report: F,
    redialer: Redialer,
    timeout: Duration,
    /// From the first line that is not reported.
    window: VecDeque<Slot>,
    /// Nothing more is read after the end, nor after a line that was refused.
    ended: bool,
    refusal: Option<(u64, Error)>,
    /// Since when nothing was acknowledged although something waits.
    progress_at: Instant,
    reasons: Reasons,
    /// A server takes nothing more of this account before that.
    pause_until: Option<Instant>,
    /// Whether a line was acknowledged since the last pause.
    is_getting_on: bool,
    last_seq: Option<u64>,
    /// The last line that was reported, if it is not confirmed; before there is one, the
    /// message before the first line.
    before: Option<After>,
    summary: PipelineSummary,
}

struct Slot {
    number: u64,
    text: String,
    sent: Option<Sent>,
    /// Whether an attempt may have entered a log without our knowing.
    doubt: bool,
}

impl<R: AsyncBufRead + Unpin, F: FnMut(&Sent) -> Result<()>> Pipeline<R, F> {
    /// Prepares to send the lines of `input` to all of `to` with the client's
    /// session. `report` is called for each message once it is acknowledged.
    pub fn new(client: &Client, to: Vec<String>, base: Uuid, input: R, report: F) -> Self {
        Pipeline {
            lines: Lines::new(input),
            to,
            base,
            repeated: false,
            report,
            redialer: client.redialer().toward_leader(),
            timeout: client.timeout(),
            window: VecDeque::new(),
            ended: false,
            refusal: None,
            progress_at: Instant::now(),
            reasons: Reasons::default(),
            pause_until: None,
            is_getting_on: false,
            last_seq: None,
            before: None,
            summary: PipelineSummary::default(),
        }
    }

    /// The same, where the lines may have been sent before under the same ids.
    pub fn repeated(mut self) -> Self {
        self.repeated = true;
        self
    }

    /// The same, where the sender's message before the first line, `before`, is unconfirmed.
    /// The first line waits for it as a message does that is sent by [`Client::send_behind`].
    pub fn behind(mut self, before: Option<After>) -> Self {
        self.before = before;
        self
    }

    /// The message id of a line: the same base and number, the same id.
    pub fn id_of_line(base: Uuid, number: u64) -> Uuid {
        let sum = Digest::of(&[&base.as_bytes()[..], &number.to_be_bytes()].concat());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&sum.0[..16]);
        // Version 8 of RFC 9562: an id made by a method of our own.
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// Sends all lines and returns when each is acknowledged.
    ///
    /// # Errors
    /// The first line's that was refused; `report`'s; and, when nothing was
    /// acknowledged for as long as the client's timeout,
    /// [`ErrorCode::OutcomeUnknown`] or [`ErrorCode::Unavailable`] with the
    /// lines that this is about. Everything acknowledged was reported before.
    pub async fn run(mut self) -> Result<PipelineSummary> {
        while !self.finished() {
            let deadline = self.progress_at + self.timeout;
            self.redialer.follow(self.before.is_some());
            let connection = match self.redialer.connect(deadline, &mut self.reasons).await {
                Ok(connection) => connection.in_order(),
                Err(Some(refused)) => return Err(self.stopped(refused)),
                Err(None) => return Err(self.gave_up()),
            };
            let Err(reason) = self.use_connection(&connection).await? else { break };
            self.reasons.note_reason(connection.address(), reason);
            let waits = self.summary.sent == 0 && self.before.is_some();
            if waits && self.progress_at.elapsed() >= patience(self.timeout) {
                (self.before, self.summary.overtakes) = (None, true);
            }
            let paused = self.pause_until.take();
            if let Some(until) = paused {
                // The time of waiting does not count where the last one led to something: or
                // a server that never takes a line would hold this up for ever.
                if std::mem::take(&mut self.is_getting_on) {
                    self.progress_at += until.saturating_duration_since(Instant::now());
                }
                sleep_until(until.min(self.progress_at + self.timeout)).await;
            }
            if Instant::now() >= self.progress_at + self.timeout {
                return Err(self.gave_up());
            }
            // After a pause the same server: others are not asked to dodge the limit.
            if paused.is_none() {
                self.redialer.failed();
            }
        }
        match self.refusal.take() {
            None => Ok(self.summary),
            Some((_, error)) => Err(self.stopped(error)),
        }
    }

    /// Whether everything that is ever going to be sent is reported.
    fn finished(&self) -> bool {
        let first = self.window.front().map(|slot| slot.number);
        match &self.refusal {
            Some((refused, _)) => first.is_none_or(|first| first >= *refused),
            None => self.ended && first.is_none(),
        }
    }

    /// Sends over one connection until all is done (`Ok(Ok)`) or it does not
    /// serve (`Ok(Err)` with the reason) and nothing is under way on it.
    async fn use_connection(&mut self, connection: &Connection) -> Result<Result<(), Reason>> {
        let mut under_way = FuturesUnordered::new();
        let mut to_send = self.unacknowledged();
        let mut failure: Option<Reason> = None;
        // The last answer, and the last sign of life.
        let (mut received_at, mut alive) = (Instant::now(), Alive::new(connection));
        loop {
            self.report_acknowledged()?;
            if under_way.is_empty() {
                if self.finished() {
                    return Ok(Ok(()));
                }
                if let Some(reason) = failure {
                    return Ok(Err(reason));
                }
            }
            if failure.is_none()
                && let Some(number) = to_send.pop_front()
            {
                if self.refusal.as_ref().is_some_and(|(refused, _)| number > *refused) {
                    continue;
                }
                match self.submit(connection, number) {
                    Ok(pending) => under_way.push(async move { (number, pending.answer().await) }),
                    // It was not sent, so there is no doubt about it.
                    Err(Failure::Broken(error)) => failure = Some(Reason::silence(error.message)),
                    Err(refused) => self.settle(number, Err(refused), &mut failure),
                }
                continue;
            }
            // The first line travels alone: most refusals concern all lines.
            let window = if self.summary.sent == 0 { 1 } else { WINDOW };
            let reading = failure.is_none()
                && self.refusal.is_none()
                && !self.ended
                && self.window.len() < window;
            let answer_by = received_at + answer_limit(self.timeout);
            let give_up = self.progress_at + self.timeout;
            tokio::select! {
                biased;
                Some((number, result)) = under_way.next(), if !under_way.is_empty() => {
                    received_at = Instant::now();
                    self.settle(number, result, &mut failure);
                }
                () = sleep_until(answer_by.min(give_up)), if !under_way.is_empty() => {
                    self.doubt_all();
                    return Ok(Err(Reason::silence("did not answer")));
                }
                () = alive.lost(connection), if !under_way.is_empty() => {
                    self.doubt_all();
                    return Ok(Err(Reason::silence("is silent: frozen?")));
                }
                line = self.lines.next(), if reading => {
                    if under_way.is_empty() {
                        (received_at, self.progress_at) = (Instant::now(), Instant::now());
                        alive.wait_from_now_on();
                    }
                    match line {
                        Ok(None) => self.ended = true,
                        Ok(Some((number, text))) => {
                            self.window.push_back(Slot { number, text, sent: None, doubt: false });
                            to_send.push_back(number);
                        }
                        Err(error) => self.refusal = Some((u64::MAX, error)),
                    }
                }
                else => return Err(Error::internal("a pipeline with nothing left to wait for")),
            }
        }
    }

    /// The client leaves a server that may still take the lines that it was sent. Each
    /// is taken once all the same.
    fn doubt_all(&mut self) {
        for slot in self.window.iter_mut().filter(|slot| slot.sent.is_none()) {
            slot.doubt |= !planted::is(Bug::NoDoubtOfTheSilent);
        }
    }

    /// Lines to send again, in order: not acknowledged, and not behind one that
    /// was refused.
    fn unacknowledged(&self) -> VecDeque<u64> {
        let end = self.refusal.as_ref().map_or(u64::MAX, |(refused, _)| *refused);
        let waiting = self.window.iter().filter(|slot| slot.sent.is_none());
        waiting.map(|slot| slot.number).filter(|number| *number < end).collect()
    }

    fn submit(
        &self,
        connection: &Connection,
        number: u64,
    ) -> Result<super::connection::Pending, Failure> {
        let slot = self.index(number).and_then(|index| self.window.get(index));
        let slot = slot.expect("a line leaves the window when it is reported");
        let request = Request::Send {
            operation: Self::id_of_line(self.base, number),
            to: self.to.clone(),
            text: slot.text.clone(),
            first: !(self.repeated || slot.doubt),
            after: self.line_before(number),
            reply_to: None,
        };
        let left = (self.progress_at + self.timeout).saturating_duration_since(Instant::now());
        connection.submit(&request, Some(server_timeout(left)))
    }

    /// Behind which line another one comes: the last acknowledged one before it, unless that
    /// is confirmed, and with it all before.
    fn line_before(&self, number: u64) -> Option<After> {
        let before = self.index(number)?;
        let sent = self.window.range(..before).rev().find_map(|slot| slot.sent.as_ref());
        match sent {
            Some(sent) => After::of(sent),
            None => self.before,
        }
    }

    /// Takes note of what became of a line.
    fn settle(
        &mut self,
        number: u64,
        result: Result<Answer, Failure>,
        failure: &mut Option<Reason>,
    ) {
        let index = self.index(number);
        let Some(slot) = index.and_then(|index| self.window.get_mut(index)) else { return };
        let (reason, doubt) = match result {
            Ok(Answer::Sent(sent)) => {
                slot.sent = Some(sent);
                (self.progress_at, self.is_getting_on) = (Instant::now(), true);
                self.redialer.served();
                return;
            }
            Ok(_) => (Reason::silence("answered another question"), true),
            Err(Failure::Refused(Error {
                code: ErrorCode::RateLimited,
                message,
                retry_after_ms: Some(ms),
                ..
            })) => {
                let until = Instant::now() + Duration::from_millis(ms).min(PAUSE_MAX);
                self.pause_until = self.pause_until.max(Some(until));
                (Reason::Word(message), false)
            }
            Err(Failure::Refused(error)) if is_final(&error) => {
                if self.refusal.as_ref().is_none_or(|(refused, _)| number < *refused) {
                    let message = format!("line {number}: {}", error.message);
                    self.refusal = Some((number, Error { message, ..error }));
                }
                return;
            }
            Err(Failure::Refused(error)) => {
                (Reason::Word(error.message), error.code == ErrorCode::OutcomeUnknown)
            }
            Err(Failure::Broken(error)) => (Reason::silence(error.message), true),
        };
        slot.doubt |= doubt;
        failure.get_or_insert(reason);
    }

    /// Where a line is in the window, whose numbers have no gaps.
    fn index(&self, number: u64) -> Option<usize> {
        let first = self.window.front()?.number;
        usize::try_from(number.checked_sub(first)?).ok()
    }

    /// Reports the lines at the front that are acknowledged, without gaps.
    fn report_acknowledged(&mut self) -> Result<()> {
        while let Some(sent) = self.window.front().and_then(|slot| slot.sent.clone()) {
            self.window.pop_front();
            self.report(&sent)?;
        }
        Ok(())
    }

    fn report(&mut self, sent: &Sent) -> Result<()> {
        self.summary.sent += 1;
        if sent.seq.is_some() && sent.seq < self.last_seq {
            self.summary.out_of_order += 1;
        }
        self.last_seq = sent.seq.or(self.last_seq);
        self.summary.unconfirmed += u64::from(!sent.confirmed);
        self.before = After::of(sent);
        (self.report)(sent)
    }

    /// Reports what was accepted behind the first line that was not; how many.
    fn report_rest(&mut self) -> Result<u64> {
        let behind: Vec<Sent> = self.window.iter().filter_map(|slot| slot.sent.clone()).collect();
        for sent in &behind {
            self.report(sent)?;
        }
        Ok(behind.len() as u64)
    }

    /// A line was refused.
    fn stopped(&mut self, error: Error) -> Error {
        if let Err(error) = self.report_rest() {
            return error;
        }
        let accepted = self.summary.sent;
        let lines = lines_were(accepted);
        let message = format!("{} ({lines} accepted before it ended)", error.message);
        Error { message, ..error }
    }

    /// The time is up.
    fn gave_up(&mut self) -> Error {
        let accepted = self.summary.sent;
        // Lines are reported without gaps, so the next one was not acknowledged.
        let next = self.window.front().map_or(accepted + 1, |slot| slot.number);
        let lines = lines_were(accepted);
        let behind = match self.report_rest() {
            Ok(behind) => behind,
            Err(error) => return error,
        };
        let doubt = behind > 0 || self.window.iter().any(|slot| slot.doubt);
        let why =
            format!("no answer for {} ({})", duration::format(self.timeout), self.reasons.list());
        let again = format!(
            "send the same lines again with --id {}, which never delivers one twice",
            self.base
        );
        if doubt {
            return Error::outcome_unknown(format!(
                "{lines} accepted, and from line {next} some may have been: {why}; {again}"
            ));
        }
        Error::unavailable(format!("{lines} accepted, and none from line {next}: {why}; {again}"))
    }
}

fn lines_were(count: u64) -> String {
    match count {
        1 => "1 line was".to_string(),
        _ => format!("{count} lines were"),
    }
}
