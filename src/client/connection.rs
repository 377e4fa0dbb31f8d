//! One connection to one server.
//!
//! Two tasks serve it: one writes the lines that wait, one reads lines and routes each
//! to the request that it answers. So a server that does not read cannot keep us from
//! reading. When the stream breaks, nothing more is sent. What the server has sent
//! before is still read, and then every request that waits fails at once, with the
//! reason.

mod tasks;

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::io::BufReader;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::tasks::{Noting, read_lines, write, write_lines};
use crate::error::{Error, ErrorBody, ErrorCode, Result};
use crate::host::{Host, Stream};
use crate::limits::{CLIENT_LINE_MAX_BYTES, PROTOCOL_VERSION, SERVER_LINE_MAX_BYTES};
use crate::protocol::client::{
    Answer, ClientHello, Confirm, Event, InboxQuery, Request, Role, ServerHello,
};
use crate::protocol::codec::{check_depth, push_line, read_line};
use crate::sync::Mutex;
use crate::tls::WrongServer;
use crate::types::Address;

/// Lines that wait to be written. Above the window of a pipeline, which is the
/// most that this program ever has under way on one connection.
const WAITING_LINES_MAX: usize = 1_024;

/// Events that wait for a slow consumer before reading pauses. A page holds up
/// to 64 KiB of text, so this is a few megabytes at most.
const WAITING_EVENTS_MAX: usize = 16;

/// Bytes of most requests, so that their lines are made in one piece.
const LINE_USUAL_BYTES: usize = 384;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server answered this request with an error.
    Refused(Error),
    /// The server gave no answer, and never will on this connection.
    Broken(Error),
}

impl Failure {
    /// The error alone.
    pub fn into_error(self) -> Error {
        match self {
            Failure::Refused(error) | Failure::Broken(error) => error,
        }
    }
}

/// An answer that is still to come.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Answer, Failure>>);

impl Pending {
    /// Waits for it; without a limit, as a broken connection ends the wait.
    ///
    /// # Errors
    /// [`Failure::Refused`] with the server's error, [`Failure::Broken`] when
    /// the connection ended before the answer.
    pub async fn answer(self) -> Result<Answer, Failure> {
        match self.0.await {
            Ok(result) => result,
            Err(_) => Err(broken("the connection was given up")),
        }
    }
}

/// A request that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its number on this connection.
    pub request: u64,
    /// Bytes of its line.
    pub bytes: usize,
}

/// What became of one of many requests; see [`Connection::submit_to`].
#[derive(Debug)]
pub struct Answered {
    /// The request's number.
    pub request: u64,
    /// Bytes of the answer's line; 0 when there was none.
    pub bytes: usize,
    /// As of [`Pending::answer`].
    pub result: Result<Answer, Failure>,
}

/// One connection; see the head of this file. Dropping it closes the stream.
pub struct Connection {
    address: Address,
    hello: ServerHello,
    round_trip: Option<Duration>,
    received_at: Arc<Mutex<Instant>>,
    lines: mpsc::Sender<Vec<u8>>,
    routes: Arc<Routes>,
    in_order: bool,
    confirm: Confirm,
    /// Aborted when the connection is dropped.
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Routes(Mutex<Routing>);

#[derive(Default)]
struct Routing {
    last_id: u64,
    /// Bytes of the longest line so far.
    longest_line: usize,
    waiting: BTreeMap<u64, Route>,
    broken: Option<Error>,
}

enum Route {
    Answer(oneshot::Sender<Result<Answer, Failure>>),
    /// Of many that share a queue.
    Answered(mpsc::UnboundedSender<Answered>),
    Events(mpsc::Sender<Result<Event, Failure>>),
}

impl Connection {
    /// Connects and waits for the server's first line. Has no time limit of
    /// its own: a frozen server accepts and says nothing, so callers set one.
    ///
    /// # Errors
    /// [`Failure::Broken`] when nobody listens, the stream breaks, or the
    /// server speaks another version of the protocol.
    pub async fn open(host: &Host, address: &Address) -> Result<Connection, Failure> {
        Connection::greet(Connection::reach(host, address).await?, address).await
    }

    /// Connects, without a word to the server but what encryption needs.
    ///
    /// # Errors
    /// [`Failure::Broken`] when nobody listens.
    pub(super) async fn reach(host: &Host, address: &Address) -> Result<Stream, Failure> {
        host.network.connect(address).await.map_err(|error| unreached(&error))
    }

    /// Waits for the server's first line.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub(super) async fn greet(
        mut stream: Stream,
        address: &Address,
    ) -> Result<Connection, Failure> {
        let round_trip = stream.elsewhere().map(|elsewhere| elsewhere.round_trip);
        if stream.is_open() {
            let why = "is on another machine, and nobody has said by which fingerprint to know it";
            return Err(Failure::Broken(Error::new(ErrorCode::TlsRequired, why)));
        }
        let mut line = Vec::new();
        push_line(&mut line, &ClientHello { ftchat: PROTOCOL_VERSION, role: Role::Client });
        if let Err(error) = write(&mut stream, &line).await {
            return Err(broken(io_reason(&error)));
        }
        let (read, write) = tokio::io::split(stream);
        let received_at = Arc::new(Mutex::new(Instant::now()));
        let read = Noting { read, received_at: Arc::clone(&received_at) };
        let mut reader = BufReader::with_capacity(16 * 1024, read);
        match read_line(&mut reader, &mut line, SERVER_LINE_MAX_BYTES).await {
            Ok(true) => {}
            Ok(false) => return Err(broken("closed the connection")),
            Err(error) => return Err(Failure::Broken(error)),
        }
        let hello = parse_hello(&line)?;
        let routes = Arc::new(Routes::default());
        let (lines, queue) = mpsc::channel(WAITING_LINES_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(write_lines(write, queue, routes.clone()));
        tasks.spawn(read_lines(reader, routes.clone()));
        let (address, in_order, confirm) = (address.clone(), false, Confirm::Majority);
        Ok(Connection {
            address,
            hello,
            round_trip,
            received_at,
            lines,
            routes,
            in_order,
            confirm,
            _tasks: tasks,
        })
    }

    /// The same connection, on which no change is taken any more once one has failed:
    /// not even one that was sent before the failure was received.
    pub fn in_order(self) -> Connection {
        Connection { in_order: true, ..self }
    }

    /// The same connection, whose requests say who has to confirm them. Without this it is
    /// a majority.
    pub fn confirming(self, confirm: Confirm) -> Connection {
        Connection { confirm, ..self }
    }

    /// The server's first line.
    pub fn hello(&self) -> &ServerHello {
        &self.hello
    }

    /// How long it takes to the server's machine and back; `None` on this one.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Bytes of the longest line that was sent.
    pub(super) fn longest_line(&self) -> usize {
        self.routes.lock().longest_line
    }

    /// When the last byte was received.
    pub(super) fn received_at(&self) -> Instant {
        *self.received_at.lock()
    }

    /// The server's address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Why the connection is of no more use, once it is.
    pub fn broken(&self) -> Option<Error> {
        self.routes.lock().broken.clone()
    }

    /// Sends a request; the answer comes later. Requests are written in the
    /// order of these calls. `timeout` tells the server how long to try.
    ///
    /// # Errors
    /// Nothing was sent: [`Failure::Broken`] when the connection has ended,
    /// [`Failure::Refused`] when the line is over the bound of the protocol.
    pub fn submit(&self, request: &Request, timeout: Option<Duration>) -> Result<Pending, Failure> {
        let (send, receive) = oneshot::channel();
        self.enqueue(request, timeout, Route::Answer(send))?;
        Ok(Pending(receive))
    }

    /// As [`Connection::submit`], for callers that have many requests under way:
    /// their answers come to one queue, each with its request's number.
    ///
    /// # Errors
    /// As [`Connection::submit`].
    pub fn submit_to(
        &self,
        answers: &mpsc::UnboundedSender<Answered>,
        request: &Request,
        timeout: Option<Duration>,
    ) -> Result<Submitted, Failure> {
        self.enqueue(request, timeout, Route::Answered(answers.clone()))
    }

    /// Sends a request and waits for the answer, without a limit of its own.
    ///
    /// # Errors
    /// As [`Connection::submit`] and [`Pending::answer`].
    pub async fn call(
        &self,
        request: &Request,
        timeout: Option<Duration>,
    ) -> Result<Answer, Failure> {
        self.submit(request, timeout)?.answer().await
    }

    /// Starts to follow. A caller that does not read the events stops every other
    /// answer of this connection, so a follow gets a connection of its own.
    ///
    /// # Errors
    /// As [`Connection::submit`].
    pub fn follow(
        &self,
        query: &InboxQuery,
    ) -> Result<mpsc::Receiver<Result<Event, Failure>>, Failure> {
        let (send, receive) = mpsc::channel(WAITING_EVENTS_MAX);
        self.enqueue(&Request::Follow(query.clone()), None, Route::Events(send))?;
        Ok(receive)
    }

    fn enqueue(
        &self,
        request: &Request,
        timeout: Option<Duration>,
        route: Route,
    ) -> Result<Submitted, Failure> {
        let mut routing = self.routes.lock();
        if let Some(error) = &routing.broken {
            return Err(Failure::Broken(error.clone()));
        }
        let id = routing.last_id + 1;
        let timeout_ms =
            timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let mut line = Vec::with_capacity(LINE_USUAL_BYTES);
        let (in_order, confirm) = (self.in_order, self.confirm);
        push_line(&mut line, &OutgoingLine { id, timeout_ms, in_order, confirm, request });
        let bytes = line.len();
        if line.len() > CLIENT_LINE_MAX_BYTES {
            return Err(Failure::Refused(Error::new(
                ErrorCode::LineTooLong,
                format!(
                    "the request takes {} bytes as JSON and a line has at most \
                     {CLIENT_LINE_MAX_BYTES}: use fewer recipients or a shorter text",
                    line.len()
                ),
            )));
        }
        if self.lines.try_send(line).is_err() {
            return Err(Failure::Broken(Error::internal(format!(
                "more than {WAITING_LINES_MAX} lines wait to be written to {}",
                self.address
            ))));
        }
        routing.last_id = id;
        routing.longest_line = routing.longest_line.max(bytes);
        routing.waiting.insert(id, route);
        Ok(Submitted { request: id, bytes })
    }
}

/// A [`RequestLine`](crate::protocol::client::RequestLine) of a request that
/// stays where it is.
#[derive(serde::Serialize)]
struct OutgoingLine<'a> {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_order: bool,
    #[serde(skip_serializing_if = "Confirm::is_majority")]
    confirm: Confirm,
    request: &'a Request,
}

/// A line of a server, read field by field: serde's `flatten`, which would read it as
/// one type, builds each answer in memory twice.
#[derive(serde::Deserialize)]
pub(super) struct IncomingLine {
    id: Option<u64>,
    result: Option<Answer>,
    error: Option<ErrorBody>,
    event: Option<Event>,
}

impl Routes {
    fn lock(&self) -> MutexGuard<'_, Routing> {
        self.0.lock()
    }

    /// Ends the connection: everyone who waits learns why.
    fn fail(&self, error: Error) {
        let waiting = {
            let mut routing = self.lock();
            routing.broken.get_or_insert_with(|| error.clone());
            std::mem::take(&mut routing.waiting)
        };
        for (request, route) in waiting {
            // A receiver that is gone has lost interest. Events that wait are
            // not displaced: a full queue's sender is dropped, which the
            // consumer reads as the end.
            match route {
                Route::Answer(send) => drop(send.send(Err(Failure::Broken(error.clone())))),
                Route::Answered(send) => {
                    let result = Err(Failure::Broken(error.clone()));
                    drop(send.send(Answered { request, bytes: 0, result }));
                }
                Route::Events(send) => drop(send.try_send(Err(Failure::Broken(error.clone())))),
            }
        }
    }

    /// Hands one line to the request that waits for it.
    async fn deliver(&self, line: IncomingLine, bytes: usize) -> Result<()> {
        let Some(id) = line.id else {
            // An error about the connection as a whole, after which it closes.
            return match line.error {
                Some(body) => Err(body.into()),
                None => Err(garbage("an answer without an id")),
            };
        };
        let result = match (line.result, line.error, line.event) {
            (None, None, Some(event)) => {
                let events = match self.lock().waiting.get(&id) {
                    Some(Route::Events(send)) => send.clone(),
                    // Events may cross with the end of their follow.
                    _ => return Ok(()),
                };
                if events.send(Ok(event)).await.is_err() {
                    self.lock().waiting.remove(&id);
                }
                return Ok(());
            }
            (Some(answer), None, None) => Ok(answer),
            (None, Some(body), None) => Err(Failure::Refused(body.into())),
            _ => return Err(garbage("an answer without exactly one of result, error and event")),
        };
        let route = self.lock().waiting.remove(&id);
        match (route, result) {
            (Some(Route::Answer(send)), result) => drop(send.send(result)),
            (Some(Route::Answered(send)), result) => {
                drop(send.send(Answered { request: id, bytes, result }));
            }
            (Some(Route::Events(send)), Err(failure)) => drop(send.send(Err(failure)).await),
            (Some(Route::Events(_)), Ok(_)) => return Err(garbage("a result for a follow")),
            (None, _) => return Err(garbage("an answer to a request that was not made")),
        }
        Ok(())
    }
}

pub(super) fn parse_response(line: &[u8]) -> Result<IncomingLine, Error> {
    check_depth(line)?;
    serde_json::from_slice(line).map_err(|error| garbage(&error.to_string()))
}

pub(super) fn parse_hello(line: &[u8]) -> Result<ServerHello, Failure> {
    check_depth(line).map_err(Failure::Broken)?;
    if let Ok(hello) = serde_json::from_slice::<ServerHello>(line) {
        if hello.ftchat == PROTOCOL_VERSION {
            return Ok(hello);
        }
        return Err(Failure::Broken(Error::new(
            ErrorCode::UnsupportedVersion,
            format!(
                "speaks version {} of the protocol and this program version {PROTOCOL_VERSION}",
                hello.ftchat
            ),
        )));
    }
    // A server without a free slot says so instead of a hello.
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: ErrorBody,
    }
    match serde_json::from_slice::<Refusal>(line) {
        Ok(refusal) => Err(Failure::Broken(refusal.error.into())),
        Err(_) => Err(Failure::Broken(garbage("a first line that is no hello"))),
    }
}

fn unreached(error: &std::io::Error) -> Failure {
    match WrongServer::found_by(error) {
        Some(wrong) => Failure::Broken(Error::new(ErrorCode::WrongCluster, wrong.to_string())),
        None => broken(io_reason(error)),
    }
}

fn broken(reason: impl Into<String>) -> Failure {
    Failure::Broken(Error::new(ErrorCode::Io, reason))
}

fn garbage(what: &str) -> Error {
    Error::new(ErrorCode::InvalidRequest, format!("sent what is not the protocol: {what}"))
}

/// A failed call as users name it, without the operating system's number.
pub(super) fn io_reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind::*;
    match error.kind() {
        ConnectionRefused => "connection refused".into(),
        ConnectionReset | ConnectionAborted | BrokenPipe => "closed the connection".into(),
        TimedOut => "timed out".into(),
        _ => error.to_string(),
    }
}
