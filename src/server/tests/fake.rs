//! A host without a machine, and a replica whose bad days are made to order.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::chat::{
    Action, Batch, Effects, Look, News, Operation, Outcome, OwnChange, State, Withdrawn, meter,
    verified_against,
};
use crate::error::{Error, Result};
use crate::host::*;
use crate::protocol::administration::Registration;
use crate::protocol::client::{Alone, Confirm, Mode, ServerStatus};
use crate::replica::{Accepted, Applied, Change, ChangeStream};
use crate::server::backend::Backend;
use crate::sync::Mutex;
use crate::types::{AccountName, Address, ReplicaId, Timestamp, Uuid};

/// Seeded randomness, time as tokio tells it, and nothing else.
pub(crate) fn host(seed: u64) -> Host {
    Host {
        clock: Arc::new(FakeClock(Instant::now())),
        random: Arc::new(FakeRandom(AtomicU64::new(seed))),
        network: Arc::new(Nothing),
        disk: Arc::new(Nothing),
        workers: Arc::new(Nothing),
    }
}

struct FakeClock(Instant);
impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000).plus_ms(self.0.elapsed().as_millis() as u64)
    }
}

struct FakeRandom(AtomicU64);
impl Random for FakeRandom {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            // Knuth's MMIX generator; its upper bits are good enough here.
            let next =
                |x: u64| x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let old = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(next(x)));
            *byte = (next(old.unwrap_or_else(|x| x)) >> 56) as u8;
        }
    }
}

/// What a server does not use.
struct Nothing;
fn nothing<T: Send + 'static>() -> BoxFuture<'static, io::Result<T>> {
    Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
}
impl Network for Nothing {
    fn connect(&self, _: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        nothing()
    }
    fn listen(&self, _: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        nothing()
    }
}
impl Workers for Nothing {
    fn spawn(&self, _: &str, job: BoxFuture<'static, ()>) {
        crate::host::spawn(job);
    }
    fn compute(&self, computation: Box<dyn FnOnce() + Send>) {
        computation();
    }
}
impl Disk for Nothing {
    fn create_dir_all(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        nothing()
    }
    fn list(&self, _: &Path) -> BoxFuture<'static, io::Result<Vec<String>>> {
        nothing()
    }
    fn create(&self, _: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        nothing()
    }
    fn open(&self, _: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        nothing()
    }
    fn read(&self, _: &Path) -> BoxFuture<'static, io::Result<Vec<u8>>> {
        nothing()
    }
    fn rename(&self, _: &Path, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        nothing()
    }
    fn remove_file(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        nothing()
    }
    fn remove_dir_all(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        nothing()
    }
    fn sync_dir(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        nothing()
    }
    fn try_lock(&self, _: &Path) -> BoxFuture<'static, io::Result<Option<Box<dyn FileLock>>>> {
        nothing()
    }
    fn is_locked(&self, _: &Path) -> BoxFuture<'static, io::Result<bool>> {
        nothing()
    }
    fn file_id(&self, _: &Path) -> BoxFuture<'static, io::Result<FileId>> {
        nothing()
    }
    fn file_system(&self, _: &Path) -> BoxFuture<'static, io::Result<FileSystem>> {
        nothing()
    }
    fn used_bytes(&self, _: &Path) -> BoxFuture<'static, io::Result<u64>> {
        nothing()
    }
}

/// Connections that the test makes.
pub(crate) struct FakeListener(pub(crate) tokio::sync::Mutex<mpsc::Receiver<(Stream, String)>>);
impl Listener for FakeListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, String)>> {
        Box::pin(async {
            match self.0.lock().await.recv().await {
                Some(connection) => Ok(connection),
                None => std::future::pending().await,
            }
        })
    }
    fn local_address(&self) -> Address {
        "127.0.0.1:1".parse().expect("an address")
    }
}

/// The real state machine behind a log that the test holds in its hands.
pub(crate) struct FakeReplica {
    host: Host,
    inner: Mutex<Inner>,
    /// While `false`, proposals enter the log and their answers wait.
    pub(crate) answers: watch::Sender<bool>,
    /// While `false`, nothing is confirmed, as without a majority.
    pub(crate) majority: watch::Sender<bool>,
    /// How often the status was asked for.
    pub(crate) statuses: AtomicU64,
    /// What this server's configuration proposes.
    pub(crate) proposed_registration: Mutex<Registration>,
}

struct Inner {
    /// What the leader has applied.
    leader: State,
    /// What this server's replica has applied.
    local: State,
    /// What it has still to apply, while it lags.
    backlog: Vec<(u64, Batch)>,
    lags: bool,
    index: u64,
    proposed: Vec<Uuid>,
    refuse: Option<Error>,
    confirmations: usize,
    watches: BTreeMap<Uuid, watch::Sender<News>>,
    looks: Vec<Meter>,
    applied: Meter,
    /// What waits for a majority, while there is none.
    queue: Option<Vec<Queued>>,
}

/// A proposal that waits.
type Queued = (Operation, ChangeStream, oneshot::Sender<Result<Outcome>>);

/// What one look at the state cost, or applying one operation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// As it counted itself.
    pub(crate) spent: usize,
    /// As it was counted where the work is done.
    pub(crate) worked: usize,
}

impl Inner {
    fn catch_up(&mut self) {
        let mut effects = Effects::default();
        for (index, batch) in std::mem::take(&mut self.backlog) {
            self.local.apply(index, &batch, &mut effects);
        }
        let happened = effects.delivered.iter().chain(&effects.sent).map(|(account, _)| *account);
        let ended = !effects.ended_sessions.is_empty();
        let happened: Vec<_> = happened.chain(effects.ended_accounts.iter().copied()).collect();
        for (account, watch) in &self.watches {
            if ended || happened.contains(account) {
                watch.send_modify(News::note);
            }
        }
    }
}

impl FakeReplica {
    pub(crate) fn new(host: Host) -> Arc<Self> {
        let inner = Inner {
            leader: State::default(),
            local: State::default(),
            backlog: Vec::new(),
            lags: false,
            index: 0,
            proposed: Vec::new(),
            refuse: None,
            confirmations: 0,
            watches: BTreeMap::new(),
            looks: Vec::new(),
            applied: Meter::default(),
            queue: None,
        };
        let (answers, majority) = (watch::channel(true).0, watch::channel(true).0);
        let (inner, statuses) = (Mutex::new(inner), AtomicU64::new(0));
        let proposed_registration = Mutex::new(Registration::Open);
        Arc::new(FakeReplica { host, inner, answers, majority, statuses, proposed_registration })
    }

    /// Operation ids in the order of the log.
    pub(crate) fn proposed(&self) -> Vec<Uuid> {
        self.inner().proposed.clone()
    }

    /// Lets the local state lag until something is confirmed.
    pub(crate) fn lag(&self) {
        self.inner().lags = true;
    }

    /// Lets proposals wait as they do without a majority: each until its deadline,
    /// which breaks its sequence.
    pub(crate) fn lose_majority(&self) {
        self.inner().queue = Some(Vec::new());
    }

    /// Takes what has waited, but for what a failure before it took along.
    pub(crate) fn find_majority(&self) {
        let queue = self.inner().queue.take();
        for (operation, sequence, answer) in queue.into_iter().flatten() {
            let outcome = match sequence.is_broken() {
                true => Err(Error::unavailable("one before it failed")),
                false => self.append(operation),
            };
            // Whoever asked has perhaps given up.
            drop(answer.send(outcome));
        }
    }

    /// Lets every proposal fail.
    /// A message that was accepted for the account goes to nobody.
    pub(crate) fn withdraw(&self, account: Uuid, message: Withdrawn) {
        if let Some(watch) = self.inner().watches.get(&account) {
            watch.send_modify(|news| news.note_withdrawn(message));
        }
    }

    pub(crate) fn refuse(&self, error: Option<Error>) {
        self.inner().refuse = error;
    }

    /// How often something was confirmed.
    pub(crate) fn confirmations(&self) -> usize {
        self.inner().confirmations
    }

    /// What the looks since the last call have cost.
    pub(crate) fn looks(&self) -> Vec<Meter> {
        std::mem::take(&mut self.inner().looks)
    }

    /// What applying the last operation that came from the server has cost.
    pub(crate) fn applied(&self) -> Meter {
        self.inner().applied
    }

    /// How many entries there are.
    pub(crate) fn index(&self) -> u64 {
        self.inner().index
    }

    /// Applies operations past the server, in one entry.
    pub(crate) fn apply(&self, operations: Vec<Operation>) -> Vec<Outcome> {
        let mut inner = self.inner();
        inner.index += 1;
        let (index, batch) = (inner.index, Batch { at: self.host.clock.now(), operations });
        let outcomes = inner.leader.apply(index, &batch, &mut Effects::default());
        inner.backlog.push((index, batch));
        inner.catch_up();
        outcomes
    }

    /// What sets another password of an account whose only session is the first of all.
    pub(crate) fn look_for_password(&self, name: &str, password_hash: &str) -> Operation {
        let name = AccountName::new(name).expect("valid");
        let account = self.inner().leader.look(|look| look.account_by_name(&name));
        let verified = verified_against(&account.expect("registered").password_hash);
        let change = OwnChange::ChangePassword { verified, password_hash: password_hash.into() };
        let id = self.host.uuid();
        Operation { id, action: Action::Own { session: 1, change } }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    fn append(&self, operation: Operation) -> Result<Outcome> {
        let mut inner = self.inner();
        if let Some(error) = &inner.refuse {
            return Err(error.clone());
        }
        inner.index += 1;
        inner.proposed.push(operation.id);
        let batch = Batch { at: self.host.clock.now(), operations: vec![operation] };
        let index = inner.index;
        meter::taken();
        let mut outcomes = inner.leader.apply(index, &batch, &mut Effects::default());
        inner.applied = Meter { spent: batch.steps(), worked: meter::taken() };
        inner.backlog.push((index, batch));
        if !inner.lags {
            inner.catch_up();
        }
        Ok(outcomes.pop().expect("one operation, one outcome"))
    }
}

impl Backend for FakeReplica {
    fn id(&self) -> ReplicaId {
        ReplicaId(1)
    }
    fn proposed_registration(&self) -> Registration {
        *self.proposed_registration.lock()
    }
    fn cluster(&self) -> Option<Uuid> {
        Some(Uuid::from_u128(1))
    }
    fn leader(&self) -> Option<Address> {
        Some("127.0.0.1:8092".parse().expect("an address"))
    }
    fn members(&self) -> Vec<Address> {
        ["alpha:8091", "beta:8091"].map(|it| it.parse().expect("an address")).to_vec()
    }
    fn now(&self) -> Timestamp {
        self.host.clock.now()
    }
    fn beginning(&self) -> Timestamp {
        self.now()
    }
    fn propose(
        &self,
        change: Change,
        deadline: Instant,
        sequence: &ChangeStream,
        _: Confirm,
    ) -> BoxFuture<'static, Result<Accepted>> {
        let operation = change.operation;
        if let Some(queue) = &mut self.inner().queue {
            let ((send, receive), sequence) = (oneshot::channel(), sequence.clone());
            queue.push((operation, sequence.clone(), send));
            return Box::pin(async move {
                let answer =
                    tokio::time::timeout_at(deadline, receive).await.unwrap_or_else(|_| {
                        sequence.break_off();
                        Ok(Err(Error::unavailable("nobody leads")))
                    });
                let outcome = answer.map_err(|_| Error::internal("gone"))??;
                Ok(Accepted::Confirmed(Applied { outcome, copies: 2, replicas: 3 }))
            });
        }
        let (outcome, mut open) = (self.append(operation), self.answers.subscribe());
        Box::pin(async move {
            let _open = open.wait_for(|open| *open).await.map_err(|_| Error::internal("gone"))?;
            let outcome = outcome?;
            Ok(Accepted::Confirmed(Applied { outcome, copies: 2, replicas: 3 }))
        })
    }
    fn confirm(&self, deadline: Instant, _: Confirm) -> BoxFuture<'static, Result<Option<Alone>>> {
        let lacking = Error::new(
            crate::error::ErrorCode::ReadNotConfirmed,
            "no majority answered: servers 2 and 3 are missing",
        );
        let mut majority = self.majority.subscribe();
        let mut inner = self.inner();
        inner.confirmations += 1;
        inner.catch_up();
        inner.lags = false;
        Box::pin(async move {
            match tokio::time::timeout_at(deadline, majority.wait_for(|there| *there)).await {
                Ok(_) => Ok(None),
                Err(_) => Err(lacking),
            }
        })
    }
    fn require_level(&self, level: u32) -> BoxFuture<'static, Result<()>> {
        let own = self.inner().local.level();
        Box::pin(async move {
            match own >= level {
                true => Ok(()),
                false => Err(Error::new(
                    crate::error::ErrorCode::UnsupportedVersion,
                    format!("this needs level {level}: server 3 runs an older program; update it"),
                )),
            }
        })
    }
    fn mode(&self) -> (Mode, Option<Timestamp>) {
        (Mode::Majority, None)
    }
    fn question(&self, question: &mut dyn FnMut(&mut Look<'_>)) {
        let mut inner = self.inner();
        meter::taken();
        let spent = inner.local.look(|look| {
            question(look);
            look.spent()
        });
        inner.looks.push(Meter { spent, worked: meter::taken() });
    }
    fn watch(&self, account: Uuid) -> watch::Receiver<News> {
        self.inner().watches.entry(account).or_default().subscribe()
    }
    fn status(&self) -> BoxFuture<'static, ServerStatus> {
        self.statuses.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            ServerStatus {
                cluster: None,
                replica: ReplicaId(1),
                members: vec![],
                leader: None,
                term: 7,
                writable: false,
                commit: 0,
                commit_before: None,
                feature_level: None,
                stored_bytes: None,
                stored_bytes_max: None,
                goes_alone: None,
                survivor: Default::default(),
                adoptable: vec![],
                hosted: vec![],
                notice: Some("servers 2 and 3 are missing".into()),
            }
        })
    }
    /// Says back what it was handed, then echoes. Takes a first line that
    /// holds "proof" for one.
    fn serve_peer(
        &self,
        _: ReplicaId,
        mut stream: BufReader<Stream>,
        first_line: Vec<u8>,
        remote: String,
        proved: oneshot::Sender<()>,
    ) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let mut unproved = Some(proved);
            if first_line.windows(5).any(|word| word == b"proof") {
                unproved.take().map(|proved| proved.send(()));
            }
            let greeting = [&first_line[..], b" from ", remote.as_bytes(), b"\n"].concat();
            let mut buffer = [0; 64];
            let mut send = greeting;
            while stream.write_all(&send).await.is_ok() {
                match stream.read(&mut buffer).await {
                    Ok(count) if count > 0 => send = buffer[..count].to_vec(),
                    _ => break,
                }
            }
            Ok(())
        })
    }
}
