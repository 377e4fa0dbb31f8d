//! A network of scripted servers for the tests of this module.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader, DuplexStream};

use crate::error::{Error, ErrorCode};
use crate::host::{
    BoxFuture, Clock, Disk, DiskFile, FileId, FileLock, FileSystem, Host, Listener, Network,
    Random, Stream, Workers,
};
use crate::limits::{CLIENT_LINE_MAX_BYTES, PROTOCOL_VERSION};
use crate::protocol::client::{
    self, Answer, Confirm, Event, Request, RequestLine, ResponseBody, ResponseLine, ServerHello,
};
use crate::protocol::codec::{push_line, read_line};
use crate::sync::Mutex;
use crate::types::{Address, ReplicaId, Timestamp, Uuid};

/// What a server does with a connection that is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nobody listens.
    Refuse,
    /// The process is frozen: the kernel accepts and nobody speaks.
    Frozen,
    /// Greets.
    Open,
    /// Greets as a member of another cluster.
    Foreign,
}

/// What a server does with a request.
#[derive(Clone, Debug)]
pub enum Reaction {
    Answer(Answer),
    Error(Error),
    /// Events, after which the follow goes on.
    Events(Vec<Event>),
    /// An answer after a while.
    Late(Duration, Answer),
    /// Says nothing about this request.
    Silence,
    /// Closes the connection without an answer.
    Close,
    /// Events, then closes the connection.
    EventsThenClose(Vec<Event>),
}

type Script = dyn Fn(usize, &Request) -> Reaction + Send + Sync;

/// Three servers: who listens, what they say, and what they were asked.
pub struct FakeNetwork {
    modes: Mutex<BTreeMap<usize, Mode>>,
    /// With whom they agree, as they say when they greet.
    greetings: Mutex<BTreeMap<usize, client::Mode>>,
    /// Whom every server calls the leader.
    leader: Mutex<Option<Address>>,
    /// Whom every server names as the members of its cluster.
    members: Mutex<Vec<Address>>,
    script: Box<Script>,
    /// Connections that were asked for so far.
    pub connects: AtomicU64,
    /// Requests as they arrived: server and request.
    pub asked: Mutex<Vec<(usize, Request)>>,
    /// Whether each of them was to be taken in order.
    pub in_order: Mutex<Vec<bool>>,
    /// Who was to confirm each of them.
    pub confirm: Mutex<Vec<Confirm>>,
}

pub const CLUSTER: Uuid = Uuid::from_u128(0xc1);

/// Since when a server is alone that greets so.
pub const ALONE_SINCE: Timestamp = Timestamp(1_699_999_000_000);

/// The address of server 0, 1 or 2.
pub fn address(server: usize) -> Address {
    format!("127.0.0.1:{}", 1 + server).parse().expect("an address")
}

pub fn addresses() -> Vec<Address> {
    (0..3).map(address).collect()
}

impl FakeNetwork {
    /// All servers serve; `script` decides about requests.
    pub fn new(
        script: impl Fn(usize, &Request) -> Reaction + Send + Sync + 'static,
    ) -> Arc<FakeNetwork> {
        Arc::new(FakeNetwork {
            modes: Mutex::default(),
            greetings: Mutex::default(),
            leader: Mutex::default(),
            members: Mutex::default(),
            script: Box::new(script),
            connects: AtomicU64::new(0),
            asked: Mutex::default(),
            in_order: Mutex::default(),
            confirm: Mutex::default(),
        })
    }

    pub fn set_mode(&self, server: usize, mode: Mode) {
        self.modes.lock().insert(server, mode);
    }

    /// A server greets from now on in this mode.
    pub fn greet_as(&self, server: usize, mode: client::Mode) {
        self.greetings.lock().insert(server, mode);
    }

    /// Every server says from now on that `leader` leads.
    pub fn lead(&self, leader: Address) {
        *self.leader.lock() = Some(leader);
    }

    /// Every server says from now on that these are the members of its cluster.
    pub fn name_members(&self, members: Vec<Address>) {
        *self.members.lock() = members;
    }

    /// Requests so far, without the authentications and pings.
    pub fn requests(&self) -> Vec<(usize, Request)> {
        let asked = self.asked.lock().clone();
        let counts = |r: &Request| !matches!(r, Request::Authenticate { .. } | Request::Ping {});
        asked.into_iter().filter(|(_, request)| counts(request)).collect()
    }

    async fn serve(self: Arc<Self>, server: usize, stream: DuplexStream, cluster: Uuid) {
        let (read, mut write) = tokio::io::split(stream);
        let mut reader = BufReader::new(read);
        let mut line = Vec::new();
        if !matches!(read_line(&mut reader, &mut line, CLIENT_LINE_MAX_BYTES).await, Ok(true)) {
            return;
        }
        let mut out = Vec::new();
        let mode = self.greetings.lock().get(&server).copied().unwrap_or_default();
        push_line(
            &mut out,
            &ServerHello {
                ftchat: PROTOCOL_VERSION,
                version: "test".into(),
                cluster: Some(cluster),
                replica: ReplicaId(server as u32 + 1),
                leader: self.leader.lock().clone(),
                members: self.members.lock().clone(),
                mode,
                alone_since: (mode == client::Mode::Alone).then_some(ALONE_SINCE),
            },
        );
        while write.write_all(&out).await.is_ok() {
            out.clear();
            if !matches!(read_line(&mut reader, &mut line, CLIENT_LINE_MAX_BYTES).await, Ok(true)) {
                return;
            }
            let RequestLine { id, request, in_order, confirm, .. } =
                serde_json::from_slice(&line).expect("a request");
            self.confirm.lock().push(confirm);
            self.in_order.lock().push(in_order);
            self.asked.lock().push((server, request.clone()));
            let mut say = |body| push_line(&mut out, &ResponseLine { id: Some(id), body });
            let of_anybody = matches!(
                request,
                Request::Ping {} | Request::Status {} | Request::Authenticate { .. }
            );
            if mode == client::Mode::Alone && confirm.is_majority() && !of_anybody {
                let message = format!("server {} is alone, and this needs a majority", server + 1);
                say(ResponseBody::Error(Error::new(ErrorCode::NeedsMajority, message).into()));
                continue;
            }
            match (self.script)(server, &request) {
                Reaction::Late(after, answer) => {
                    tokio::time::sleep(after).await;
                    say(ResponseBody::Result(answer));
                }
                Reaction::Answer(answer) => say(ResponseBody::Result(answer)),
                Reaction::Error(error) => say(ResponseBody::Error(error.into())),
                Reaction::Events(events) => {
                    events.into_iter().map(ResponseBody::Event).for_each(say)
                }
                Reaction::Silence => {}
                Reaction::Close => return,
                Reaction::EventsThenClose(events) => {
                    events.into_iter().map(ResponseBody::Event).for_each(say);
                    // The reader is gone only when the test is over.
                    let _ = write.write_all(&out).await;
                    return;
                }
            }
        }
    }
}

struct Wires(Arc<FakeNetwork>);

impl Network for Wires {
    fn connect(&self, to: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        let network = self.0.clone();
        network.connects.fetch_add(1, Ordering::Relaxed);
        let server = (0..3).find(|server| address(*server) == *to).expect("a known server");
        let modes = network.modes.lock();
        let mode = modes.get(&server).copied().unwrap_or(Mode::Open);
        drop(modes);
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            match mode {
                Mode::Refuse => return Err(io::ErrorKind::ConnectionRefused.into()),
                Mode::Frozen => {
                    crate::host::spawn(async move {
                        let _held = theirs;
                        std::future::pending::<()>().await;
                    });
                }
                Mode::Open => drop(crate::host::spawn(network.serve(server, theirs, CLUSTER))),
                Mode::Foreign => {
                    drop(crate::host::spawn(network.serve(server, theirs, Uuid::max())))
                }
            }
            Ok(Stream::local(ours))
        })
    }

    fn listen(&self, _: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

/// A host with this network, a clock that stands, and numbers that repeat.
pub fn host(network: &Arc<FakeNetwork>) -> Host {
    let nothing = Arc::new(Nothing(AtomicU64::new(0)));
    Host {
        clock: nothing.clone(),
        random: nothing.clone(),
        network: Arc::new(Wires(network.clone())),
        disk: nothing.clone(),
        workers: nothing,
    }
}

/// Counts up for random numbers, and refuses everything a client must not use.
struct Nothing(AtomicU64);

impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}

impl Random for Nothing {
    fn fill(&self, buffer: &mut [u8]) {
        let number = self.0.fetch_add(3, Ordering::Relaxed).to_le_bytes();
        buffer.iter_mut().zip(number.iter().cycle()).for_each(|(to, from)| *to = *from);
    }
}

impl Workers for Nothing {
    fn spawn(&self, name: &str, _: BoxFuture<'static, ()>) {
        panic!("a client started the worker {name}")
    }
    fn compute(&self, _: Box<dyn FnOnce() + Send>) {
        panic!("a client started a computation")
    }
}

fn no<T>() -> BoxFuture<'static, io::Result<T>> {
    Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
}

impl Disk for Nothing {
    fn create_dir_all(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        no()
    }
    fn list(&self, _: &Path) -> BoxFuture<'static, io::Result<Vec<String>>> {
        no()
    }
    fn create(&self, _: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        no()
    }
    fn open(&self, _: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        no()
    }
    fn read(&self, _: &Path) -> BoxFuture<'static, io::Result<Vec<u8>>> {
        no()
    }
    fn rename(&self, _: &Path, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        no()
    }
    fn remove_file(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        no()
    }
    fn remove_dir_all(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        no()
    }
    fn sync_dir(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        no()
    }
    fn try_lock(&self, _: &Path) -> BoxFuture<'static, io::Result<Option<Box<dyn FileLock>>>> {
        no()
    }
    fn is_locked(&self, _: &Path) -> BoxFuture<'static, io::Result<bool>> {
        no()
    }
    fn file_id(&self, _: &Path) -> BoxFuture<'static, io::Result<FileId>> {
        no()
    }
    fn file_system(&self, _: &Path) -> BoxFuture<'static, io::Result<FileSystem>> {
        no()
    }
    fn used_bytes(&self, _: &Path) -> BoxFuture<'static, io::Result<u64>> {
        no()
    }
}
