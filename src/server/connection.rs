//! One client's connection: one task that reads, runs requests and writes.
//!
//! Requests run at the same time, up to a bound after which no more are read: then
//! the client's own socket makes it wait. There are two rules of order. Changes enter
//! the log in the order in which they were sent. A request that changes who the
//! connection speaks for (`login`, `logout`, …) is finished before the next one
//! begins. Answers go out as they come.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::{AbortHandle, Abortable, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Shared;
use super::follow::{Follow, stopping};
use super::incoming::Incoming;
use super::memory::Share;
use super::open_follows::OpenFollow;
use super::outgoing::{Outgoing, Writer};
use super::slots::{Slot, gave_way};
use super::stop::Stop;
use super::wire::{push_error, push_result, read_to_end};
use super::work::{Effect, Finished, Work};
use crate::chat::SessionView;
use crate::error::{Error, ErrorCode};
use crate::host::{BoxFuture, Stream};
use crate::protocol::client::{Confirm, InboxQuery};
use crate::replica::ChangeStream;

/// Follows of one connection. A client needs one; a busy screen a few.
const FOLLOWS_MAX: usize = 16;

/// How long a connection may take to finish its requests when the server stops or the
/// client has broken the rules, and then once more to write what is queued.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// How long a client may take nothing of what waits for it before it has to go,
/// if others wait for the memory.
const STALL: Duration = Duration::from_secs(2);

/// How long a client waits for the memory that its long line takes.
const STARVE_MAX: Duration = Duration::from_secs(5);

/// Pause between two looks for that memory.
const STARVE_RETRY: Duration = Duration::from_millis(50);

/// How long a line may take that is longer than what an idle connection holds.
const LONG_LINE: Duration = Duration::from_secs(30);

/// Memory that a request in progress takes beside its own bytes.
const REQUEST_BYTES: usize = 1024;

/// After the last answer, how long to wait for the client to close as well.
const LINGER: Duration = Duration::from_millis(500);

/// The state of a connection; its methods that take requests are in
/// `requests.rs`.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) slot: Slot,
    pub(super) session: Option<Arc<SessionView>>,
    /// Whether that was ended elsewhere, as far as this connection was told: then it can do
    /// nothing any more, nor use up what its account may do.
    pub(super) session_ended: bool,
    pub(super) outgoing: Arc<Outgoing>,
    /// Keeps its changes in order.
    pub(super) stream: ChangeStream,
    /// Changes in progress.
    pub(super) proposals: usize,
    /// Whether a change has failed, after which none is taken that is to be in order.
    pub(super) order_broken: bool,
    pending: FuturesUnordered<Work>,
    /// Bytes that they take, about: each answer subtracts the average of those in progress.
    pending_bytes: usize,
    /// Bytes of the line that was taken last, without its newline.
    pub(super) line_bytes: usize,
    /// Whether that line asked for `in_order`.
    pub(super) line_in_order: bool,
    /// Who has to confirm what it asks for.
    pub(super) line_confirm: Confirm,
    /// Whether the client knows of servers that are alone: it has said that one will do.
    pub(super) knows_alone: bool,
    share: Share,
    /// See [`super::reads`].
    pub(super) long_reads: Arc<tokio::sync::Mutex<()>>,
    follows: FuturesUnordered<BoxFuture<'static, (u64, Option<Error>)>>,
    following: BTreeMap<u64, (AbortHandle, OpenFollow)>,
    /// Whether a request is in progress that the next ones wait for.
    barrier: bool,
    /// Changes when the server has stood still.
    pauses: watch::Receiver<u64>,
    /// No request is taken any more; what is left must be finished by then.
    closing: Option<Instant>,
}

/// Of the beginning of a connection.
pub(super) struct Began {
    /// Changes when the server has stood still since.
    pub(super) pauses: watch::Receiver<u64>,
    /// Until then it must have logged in if others need the slot.
    pub(super) probation_end: Instant,
}

/// Why a connection ended.
enum End {
    /// Everything asked was answered.
    Finished,
    /// The connection broke.
    Broken(io::Error),
    /// The client does not read what it asks for.
    SlowReader,
    /// The time for finishing ran out.
    OutOfTime,
    /// The server has stood still since it greeted this client.
    StoodStill,
}

/// Serves a client that has said hello, until its connection ends.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: BufReader<Stream>,
    slot: Slot,
    stop: Stop,
    hello: &[u8],
    began: Began,
) {
    let Began { pauses, probation_end } = began;
    let already_read = stream.buffer().to_vec();
    let (reader, writer) = tokio::io::split(stream.into_inner());
    let mut incoming = Incoming::new(reader, &already_read);
    let memory = Arc::clone(&shared.memory);
    let outgoing = Outgoing::new(shared.limits.write_queue_max_bytes, Arc::clone(&memory));
    outgoing.push(|buffer| buffer.extend_from_slice(hello));
    let mut writer = Writer::new(writer, Arc::clone(&outgoing));
    let mut connection = Connection {
        shared: Arc::clone(&shared),
        slot,
        session: None,
        session_ended: false,
        outgoing,
        stream: ChangeStream::default(),
        proposals: 0,
        order_broken: false,
        pending: FuturesUnordered::new(),
        pending_bytes: 0,
        line_bytes: 0,
        line_in_order: false,
        line_confirm: Confirm::Majority,
        knows_alone: false,
        share: Share::new(memory),
        long_reads: Arc::default(),
        follows: FuturesUnordered::new(),
        following: BTreeMap::new(),
        barrier: false,
        pauses,
        closing: None,
    };
    let end = connection.run(&mut incoming, &mut writer, stop, probation_end).await;
    let address = connection.slot.address();
    match end {
        End::Finished => {
            let finished = timeout(GRACE, writer.finish()).await;
            if matches!(finished, Ok(Ok(()))) {
                // How the other side closes changes nothing any more.
                let _ = timeout(LINGER, read_to_end(incoming.reader())).await;
            }
            tracing::debug!(address, "connection closed");
        }
        End::Broken(error) => tracing::debug!(address, %error, "connection broke"),
        End::SlowReader => {
            if let Some(held_back) = shared.refusals.allow() {
                tracing::warn!(
                    address,
                    held_back,
                    "dropped a client that did not read its answers"
                );
            }
        }
        End::StoodStill => {
            // In no log yet, they never will be.
            connection.pending.clear();
            connection.refuse(None, stood_still());
            // Whether the client is still there and reads it is its own affair.
            let _ = timeout(GRACE, writer.finish()).await;
        }
        End::OutOfTime => tracing::info!(
            address,
            requests = connection.pending.len(),
            "closed a connection with requests that were not finished in time"
        ),
    }
}

impl Connection {
    async fn run<R, W>(
        &mut self,
        incoming: &mut Incoming<R>,
        writer: &mut Writer<W>,
        mut stop: Stop,
        probation_end: Instant,
    ) -> End
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (mut stopped, mut stop_requested) = (false, std::pin::pin!(stop.requested()));
        let (outgoing, mut stall_timer) =
            (Arc::clone(&self.outgoing), std::pin::pin!(sleep(STALL)));
        let mut pauses = self.pauses.clone();
        let mut starved: Option<Instant> = None;
        let mut given_away = std::pin::pin!(self.slot.given_away().fuse());
        loop {
            if !self.take_lines(incoming) {
                return End::StoodStill;
            }
            if self.pending.is_empty() || self.memory_is_short() {
                incoming.rest();
            }
            self.count_memory(incoming);
            if let Some(end) = self.keep_within_bound(writer) {
                return end;
            }
            let asks_no_more = incoming.ended() || self.closing.is_some();
            // A client that closed its half still gets what it asked for;
            // whether it is really there the next event will show.
            if asks_no_more && self.pending.is_empty() && self.follows.is_empty() {
                return End::Finished;
            }
            let wants_input = !asks_no_more && self.may_take();
            let starves = wants_input && incoming.is_full() && self.memory_is_short();
            let starving_since = starves.then(|| *starved.get_or_insert_with(Instant::now));
            if starving_since.is_some_and(|since| since.elapsed() > STARVE_MAX) {
                self.refuse(None, no_memory());
                continue;
            }
            if starves {
                self.shared.memory.want();
            }
            starved = starving_since;
            let long_line = incoming.long_line_since().filter(|_| wants_input);
            let may_grow = !self.memory_is_short();
            let on_probation = self.slot.on_probation() && !self.barrier;
            let (closing, give_up) = (self.closing, self.closing.unwrap_or(probation_end));
            // Finished requests first and writing after them: answers gather
            // and leave together. Reading last.
            tokio::select! { biased;
                () = &mut stop_requested, if !stopped => {
                    stopped = true;
                    self.close(&stopping());
                }
                Ok(()) = pauses.changed() => return End::StoodStill,
                () = self.progress() => {}
                error = writer.run() => return End::Broken(error),
                result = incoming.fill(may_grow), if wants_input && !starves => {
                    if let Err(error) = result {
                        return End::Broken(error);
                    }
                }
                () = &mut given_away => self.refuse(None, gave_way()),
                () = sleep_until(long_line.unwrap_or(give_up) + LONG_LINE), if long_line.is_some() => {
                    self.refuse(None, line_too_slow());
                }
                () = sleep(STARVE_RETRY), if starves => {}
                () = outgoing.stalled(STALL, stall_timer.as_mut()) => {
                    if self.shared.memory.was_wanted(STALL) {
                        return End::SlowReader;
                    }
                    self.outgoing.be_patient();
                }
                () = sleep_until(give_up), if closing.is_some() || on_probation => {
                    if closing.is_some() {
                        return End::OutOfTime;
                    }
                    self.refuse(None, probation_over());
                }
            }
        }
    }

    /// Writes what the socket takes at once if too many answers wait. Returns why
    /// the connection must end, if it must.
    fn keep_within_bound<W: AsyncWrite + Unpin>(&self, writer: &mut Writer<W>) -> Option<End> {
        if !self.outgoing.is_over_bound(self.memory_is_short()) {
            return None;
        }
        // Many short requests came with one read: the client is slow only if its
        // socket does not take the answers now.
        if let Some(error) = writer.run().now_or_never() {
            return Some(End::Broken(error));
        }
        self.outgoing.is_over_bound(self.memory_is_short()).then_some(End::SlowReader)
    }

    /// Lets requests and follows run, and answers those that are finished.
    /// Ends when there was one.
    async fn progress(&mut self) {
        std::future::poll_fn(|cx| {
            let mut any = false;
            while let Poll::Ready(Some(finished)) = self.pending.poll_next_unpin(cx) {
                self.proposals -= usize::from(finished.was_proposal);
                self.pending_bytes -= self.pending_bytes / (self.pending.len() + 1);
                self.finish(finished);
                any = true;
            }
            while let Poll::Ready(Some((id, end))) = self.follows.poll_next_unpin(cx) {
                self.follow_ended(id, end);
                any = true;
            }
            if any { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Takes all lines that were read, as far as there is room for requests. False: the
    /// server has stood still, and takes none.
    fn take_lines<R: AsyncRead + Unpin>(&mut self, incoming: &mut Incoming<R>) -> bool {
        self.shared.wakefulness.beat();
        if self.pauses.has_changed().unwrap_or(false) {
            return false;
        }
        while self.may_take() {
            match incoming.next_line() {
                Ok(Some(line)) => self.take_line(line),
                Ok(None) => break,
                Err(error) => self.refuse(None, error),
            }
        }
        true
    }

    fn may_take(&self) -> bool {
        self.closing.is_none()
            && !self.barrier
            && self.pending.len() < self.shared.limits.requests_in_flight_max.max(1)
            && (self.pending.is_empty() || !self.memory_is_short())
    }

    /// Says how much memory the connection holds beyond an idle one's, apart
    /// from what is to be written, which counts itself.
    fn count_memory<R: AsyncRead + Unpin>(&mut self, incoming: &Incoming<R>) {
        self.share.set(incoming.extra_bytes() + self.pending_bytes);
    }

    fn memory_is_short(&self) -> bool {
        match self.session {
            Some(_) => self.shared.memory.is_short(),
            None => self.shared.memory.is_short_for_unauthenticated(),
        }
    }

    /// Starts a request that runs beside others.
    pub(super) fn start(&mut self, work: Work) {
        self.pending_bytes += REQUEST_BYTES + self.line_bytes;
        self.pending.push(work);
    }

    /// Starts a request that later ones wait for.
    pub(super) fn start_barrier(&mut self, work: BoxFuture<'static, Finished>) {
        self.barrier = true;
        self.start(Work::Other(work));
    }

    /// Answers a request.
    pub(super) fn finish(&mut self, finished: Finished) {
        if finished.was_barrier {
            self.barrier = false;
        }
        let id = finished.id;
        let ended = |error: &Error| error.code == ErrorCode::SessionExpired;
        if finished.result.as_ref().is_err_and(ended) {
            self.session_ended = self.is_session_gone();
        }
        match finished.result.map_err(|error| self.soften(error)) {
            Ok(answer) => self.outgoing.push(|buffer| push_result(buffer, id, &answer)),
            // Whatever refused it, and whether or not it broke the sequence.
            Err(error) if finished.was_proposal && error.retryable() => {
                self.order_broken = true;
                self.outgoing.push(|buffer| push_error(buffer, Some(id), error));
            }
            // A client on probation that fails to log in goes.
            Err(error) if self.slot.on_probation() => return self.refuse(Some(id), error),
            Err(error) => self.outgoing.push(|buffer| push_error(buffer, Some(id), error)),
        }
        match finished.effect {
            Effect::Nothing => {}
            Effect::Bind(session) => {
                self.session = Some(session);
                self.session_ended = false;
                self.slot.set_session(true);
            }
            Effect::Unbind => {
                self.session = None;
                self.slot.set_session(false);
            }
        }
    }

    /// Says what is wrong and takes no more requests; those in progress are
    /// still answered.
    pub(super) fn refuse(&mut self, id: Option<u64>, error: Error) {
        self.shared.refused(self.slot.address(), &error);
        self.outgoing.push(|buffer| push_error(buffer, id, error.clone()));
        self.close(&error);
    }

    /// Ends all follows and takes no more requests.
    fn close(&mut self, why: &Error) {
        self.closing.get_or_insert(Instant::now() + GRACE);
        for (id, (handle, _)) in std::mem::take(&mut self.following) {
            handle.abort();
            self.outgoing.push(|buffer| push_error(buffer, Some(id), why.clone()));
        }
    }

    /// Starts a follow under the id of the request.
    pub(super) fn start_follow(
        &mut self,
        id: u64,
        query: InboxQuery,
        session: Arc<SessionView>,
        deadline: Instant,
    ) -> Result<(), Error> {
        if self.following.len() >= FOLLOWS_MAX {
            return Err(Error::new(
                ErrorCode::TooMany,
                format!("one connection has at most {FOLLOWS_MAX} follows"),
            ));
        }
        if self.following.contains_key(&id) {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                format!("request {id} of this connection is a running follow; use another id"),
            ));
        }
        let counted = self.shared.open_follows.begin(session.account)?;
        let (shared, outgoing) = (Arc::clone(&self.shared), Arc::clone(&self.outgoing));
        let follow = Follow::new(shared, outgoing, session, id, query, self.line_confirm);
        let (handle, registration) = AbortHandle::new_pair();
        self.following.insert(id, (handle, counted));
        self.follows.push(Box::pin(async move {
            (id, Abortable::new(follow.run(deadline), registration).await.ok())
        }));
        Ok(())
    }

    /// Ends a follow that the client no longer wants.
    pub(super) fn unfollow(&mut self, id: u64) -> Result<(), Error> {
        let (handle, _) = self.following.remove(&id).ok_or_else(|| {
            Error::new(ErrorCode::InvalidRequest, format!("request {id} is no running follow"))
        })?;
        handle.abort();
        Ok(())
    }

    fn follow_ended(&mut self, id: u64, end: Option<Error>) {
        // Without an error it was aborted, and its end was told then.
        if let Some(error) = end {
            self.following.remove(&id);
            self.outgoing.push(|buffer| push_error(buffer, Some(id), error));
        }
    }
}

fn stood_still() -> Error {
    Error::unavailable(
        "this server has stood still for seconds and takes nothing that was asked before; \
         nothing was done of what it had not begun: connect again",
    )
}

fn no_memory() -> Error {
    Error::new(
        ErrorCode::TooManyConnections,
        "this server holds too many unfinished lines and unread answers to take a long line; \
         try another server, or later",
    )
}

fn line_too_slow() -> Error {
    Error::new(
        ErrorCode::InvalidRequest,
        format!("a long line must be complete within {} seconds", LONG_LINE.as_secs()),
    )
}

fn probation_over() -> Error {
    Error::new(
        ErrorCode::TooManyConnections,
        "this server has only reserved slots left, and the connection did not log in in time; \
         try another server, or later",
    )
}
