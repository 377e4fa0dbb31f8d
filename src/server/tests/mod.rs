//! A server in a test's hands: in-memory connections, paused time, a replica
//! that fails on demand, and the real state machine.

pub(crate) mod fake;

mod abuse;
mod admission;
mod bounds;
mod encrypted;
mod following;
mod fuzz;
mod limits;
mod order;
mod own;
mod protocol;
mod sessions;
mod standing_still;
mod stopping;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::fake::{FakeListener, FakeReplica};
use super::memory::Memory;
use super::{PasswordCost, Server};
use crate::chat::{Action, Operation};
use crate::host::Stream;
use crate::limits::{FEATURE_LEVEL_KNOWN, Limits};
use crate::tls::Identity;
use crate::types::Uuid;

/// Longer than anything here takes; time is paused, so it costs nothing.
const LONG: Duration = Duration::from_secs(3_600);

const PASSWORD: &str = "correct horse";

/// A running server.
struct Rig {
    replica: Arc<FakeReplica>,
    memory: Arc<Memory>,
    connect: mpsc::Sender<(Stream, String)>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Rig {
    fn start() -> Rig {
        Rig::with(Limits::default())
    }

    fn with(limits: Limits) -> Rig {
        let host = fake::host(7);
        let replica = FakeReplica::new(host.clone());
        let cost = PasswordCost { memory_kib: 8, iterations: 1, parallelism: 1 };
        let identity = Identity::of(&[7; 32]);
        let server = Server::over(host, Arc::clone(&replica) as _, limits, cost, &identity);
        let server = server.expect("a possible cost");
        let memory = Arc::clone(&server.shared.memory);
        let (connect, accept) = mpsc::channel(64);
        let (stop, stopped) = watch::channel(false);
        let listener = Box::new(FakeListener(tokio::sync::Mutex::new(accept)));
        let server = crate::host::spawn(async move {
            server.run(crate::types::ReplicaId(1), listener, stopped).await
        });
        Rig { replica, memory, connect, stop, server }
    }

    /// Raises the feature level to the newest.
    fn at_newest_level(self) -> Rig {
        let action = Action::RaiseLevel { level: FEATURE_LEVEL_KNOWN };
        self.replica.apply(vec![Operation { id: Uuid::max(), action }]);
        self
    }

    /// A connection that has said nothing.
    async fn connect(&self, address: &str) -> Client {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let far = Stream::local(far);
        self.connect.send((far, address.to_string())).await.expect("the server runs");
        Client { stream: BufReader::new(near), last_id: 0 }
    }

    /// A connection that has said hello.
    async fn client(&self) -> Client {
        self.client_from("127.0.0.1").await
    }

    async fn client_from(&self, address: &str) -> Client {
        let mut client = self.connect(address).await;
        client.send_line(r#"{"ftchat":1,"role":"client"}"#).await;
        let hello = client.receive().await;
        assert_eq!((&hello["ftchat"], &hello["replica"]), (&json!(1), &json!(1)), "{hello}");
        client
    }

    /// A connection with a new account.
    async fn registered(&self, name: &str) -> Client {
        let mut client = self.client().await;
        let answer = client.ask(register(name)).await;
        assert_eq!(answer["result"]["session"]["name"], name, "{answer}");
        client
    }
}

/// The token that a test's user of this name has from its registration.
fn token(name: &str) -> String {
    crate::types::Digest::of(name.as_bytes()).to_string()
}

/// Operation ids by number; those of accounts by name.
fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn id_of(name: &str) -> Uuid {
    let digest = crate::types::Digest::of(name.as_bytes());
    uuid::Builder::from_slice(&digest.0[..16]).expect("sixteen bytes").into_uuid()
}

fn register(name: &str) -> Value {
    let (operation, token) = (id_of(name), token(name));
    json!({"register": {"operation": operation, "name": name, "password": PASSWORD, "token": token}})
}

fn login(number: u128, name: &str, password: &str) -> Value {
    let token = token(&format!("{name} {number}"));
    json!({"login": {"operation": id(number), "name": name, "password": password, "token": token}})
}

fn authenticate(token: &str) -> Value {
    json!({"authenticate": {"token": token}})
}

fn send(number: u128, to: &str, text: &str) -> Value {
    json!({"send": {"operation": id(number), "to": [to], "text": text}})
}

/// A client that speaks by hand.
struct Client {
    stream: BufReader<DuplexStream>,
    last_id: u64,
}

impl Client {
    /// Sends one line.
    async fn send_line(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes()).await;
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = timeout(LONG, self.stream.write_all(bytes)).await;
        sent.expect("the server reads").expect("the connection is open");
    }

    /// Sends a request and returns its id.
    async fn request(&mut self, request: Value) -> u64 {
        self.last_id += 1;
        self.send_line(
            &json!({"id": self.last_id, "timeout_ms": 10_000, "request": request}).to_string(),
        )
        .await;
        self.last_id
    }

    /// The next line; `None` at the end.
    async fn receive_or_end(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = timeout(LONG, self.stream.read_line(&mut line)).await;
        match read.expect("the server answers").expect("no broken connection") {
            0 => None,
            _ => Some(serde_json::from_str(&line).expect("JSON")),
        }
    }

    async fn receive(&mut self) -> Value {
        self.receive_or_end().await.expect("another line")
    }

    /// Sends a request and returns the next line, which must answer it.
    async fn ask(&mut self, request: Value) -> Value {
        let id = self.request(request).await;
        let answer = self.receive().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// As [`Client::ask`], of a request that fails.
    async fn refused(&mut self, request: Value) -> String {
        let answer = self.ask(request).await;
        code(&answer)
    }

    /// Reads one error line and the end after it.
    async fn thrown_out(mut self) -> Value {
        let last = self.receive().await;
        assert_eq!(self.receive_or_end().await, None, "closed after {last}");
        drop(self);
        // The server frees the slot when it has seen that close.
        tokio::time::sleep(Duration::from_millis(1)).await;
        last
    }
}

/// The error code of a line.
fn code(line: &Value) -> String {
    line["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {line}")).to_string()
}
