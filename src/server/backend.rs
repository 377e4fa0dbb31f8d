//! What a server asks of the replica below it, as a trait.
//!
//! The server's promises matter when a majority does not answer, the fate of a write
//! is unknown, or a replica lags behind the one where the login happened. Tests put
//! their own replica behind this trait and bring that about at will.

use tokio::io::BufReader;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::chat::{Look, News};
use crate::error::Result;
use crate::host::{BoxFuture, Stream};
use crate::protocol::administration::Registration;
use crate::protocol::client::{self, Confirm, Mode, ServerStatus};
use crate::replica::{Accepted, Change, ChangeStream};
use crate::survival::Hosting;
use crate::types::{Address, ReplicaId, Timestamp, Uuid};

/// The part of [`Hosting`] that a server uses; see there.
pub(super) trait Backend: Send + Sync + 'static {
    /// The replica that users know.
    fn id(&self) -> ReplicaId;
    /// Who may register, as this server's configuration proposes; see
    /// [`Replica::proposed_registration`](crate::replica::Replica::proposed_registration).
    fn proposed_registration(&self) -> Registration;
    /// The cluster, once it is founded.
    fn cluster(&self) -> Option<Uuid>;
    /// Where the leader listens, as far as this replica knows.
    fn leader(&self) -> Option<Address>;
    /// Where every replica is found, as far as this replica knows.
    fn members(&self) -> Vec<Address>;
    /// What time it is, as the replicas agree: by this sessions end.
    fn now(&self) -> Timestamp;
    /// When something begins that the log is to end: now, or later if the log is.
    fn beginning(&self) -> Timestamp;
    /// Puts a change into the log. The first poll takes its place in line:
    /// proposals are ordered as they were polled first.
    fn propose(
        &self,
        change: Change,
        deadline: Instant,
        stream: &ChangeStream,
        confirm: Confirm,
    ) -> BoxFuture<'static, Result<Accepted>>;
    /// Waits until the local state contains every write acknowledged so far, or the server
    /// is alone and that will do; says whether it is.
    fn confirm(
        &self,
        deadline: Instant,
        confirm: Confirm,
    ) -> BoxFuture<'static, Result<Option<client::Alone>>>;
    /// Whether the cluster is at a feature level; see
    /// [`Replica::require_level`](crate::replica::Replica::require_level).
    fn require_level(&self, level: u32) -> BoxFuture<'static, Result<()>>;
    /// Who takes what this server takes, and since when it is alone if it is.
    fn mode(&self) -> (Mode, Option<Timestamp>);
    /// Lets a question look at the local state, once.
    fn question(&self, question: &mut dyn FnMut(&mut Look<'_>));
    /// Changes whenever something happens to an account.
    fn watch(&self, account: Uuid) -> watch::Receiver<News>;
    /// What this server knows of itself and the cluster.
    fn status(&self) -> BoxFuture<'static, ServerStatus>;
    /// Takes over the connection of another replica, to the one that it called.
    /// Sends on `proved` once the caller has proved to be one, and returns why
    /// it was refused, or what broke the connection.
    fn serve_peer(
        &self,
        to: ReplicaId,
        stream: BufReader<Stream>,
        first_line: Vec<u8>,
        remote: String,
        proved: oneshot::Sender<()>,
    ) -> BoxFuture<'static, Result<()>>;
}

impl dyn Backend {
    /// Lets a question look at the local state.
    pub(super) fn look<T>(&self, question: impl FnOnce(&mut Look<'_>) -> T) -> T {
        let (mut question, mut answer) = (Some(question), None);
        self.question(&mut |look| answer = question.take().map(|question| question(look)));
        answer.expect("a backend asks a question once")
    }
}

impl Backend for Hosting {
    fn id(&self) -> ReplicaId {
        self.own_replica().id()
    }
    fn proposed_registration(&self) -> Registration {
        self.own_replica().proposed_registration()
    }
    fn cluster(&self) -> Option<Uuid> {
        self.own_replica().cluster()
    }
    fn leader(&self) -> Option<Address> {
        self.own_replica().leader()
    }
    fn members(&self) -> Vec<Address> {
        self.own_replica().members().into_iter().map(|member| member.address).collect()
    }
    fn now(&self) -> Timestamp {
        self.own_replica().now()
    }
    fn beginning(&self) -> Timestamp {
        self.own_replica().beginning()
    }
    fn propose(
        &self,
        change: Change,
        deadline: Instant,
        stream: &ChangeStream,
        confirm: Confirm,
    ) -> BoxFuture<'static, Result<Accepted>> {
        self.own_replica().change(change, deadline, stream, confirm)
    }
    fn confirm(
        &self,
        deadline: Instant,
        confirm: Confirm,
    ) -> BoxFuture<'static, Result<Option<client::Alone>>> {
        let replica = self.own_replica().clone();
        Box::pin(async move { replica.vouch(deadline, confirm).await })
    }
    fn require_level(&self, level: u32) -> BoxFuture<'static, Result<()>> {
        let replica = self.own_replica().clone();
        Box::pin(async move { replica.require_level(level).await })
    }
    fn mode(&self) -> (Mode, Option<Timestamp>) {
        self.own_replica().mode()
    }
    fn question(&self, question: &mut dyn FnMut(&mut Look<'_>)) {
        self.own_replica().look(question);
    }
    fn watch(&self, account: Uuid) -> watch::Receiver<News> {
        self.own_replica().watch(account)
    }
    fn status(&self) -> BoxFuture<'static, ServerStatus> {
        Box::pin(std::future::ready(Hosting::status(self)))
    }
    fn serve_peer(
        &self,
        to: ReplicaId,
        stream: BufReader<Stream>,
        first_line: Vec<u8>,
        remote: String,
        proved: oneshot::Sender<()>,
    ) -> BoxFuture<'static, Result<()>> {
        let hosting = self.clone();
        Box::pin(async move { hosting.serve_peer(to, stream, first_line, remote, proved).await })
    }
}
