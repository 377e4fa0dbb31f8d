//! What the chat state costs when it grows: memory a message, time to apply,
//! to search, to write a snapshot and to load it.
//!
//! ```text
//! cargo bench --bench growth                      # 10 thousand to 1 million messages
//! cargo bench --bench growth -- 5000000           # other sizes
//! ```
//!
//! A hundred accounts send each other texts of [`TEXT_BYTES`] bytes, a hundred
//! to a log entry. Every size runs in a process of its own, so that memory
//! which one size has freed does not flatter the next. What is measured is the
//! state and its snapshot, without consensus and network; `scripts/growth` does
//! the same to a running cluster.
#![allow(clippy::disallowed_methods, reason = "it measures the time of the machine")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use ftchat::chat::{Action, Batch, Effects, Operation, Outcome, Past, Restore, State, Words};
use ftchat::host::Host;
use ftchat::limits::DATA_FORMAT_VERSION;
use ftchat::protocol::client::{InboxQuery, Which};
use ftchat::storage::{DataDirectory, Holder, Identity, Snapshots};
use ftchat::types::{AccountName, Digest, ReplicaId, Timestamp, Uuid};

/// The program's own, which decides about much of what is measured.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const TEXT_BYTES: usize = 100;
const ACCOUNTS: u64 = 100;
const PER_ENTRY: u64 = 100;
const WINDOW_ENTRIES: u64 = 1_000_000;
const DEFAULT_SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];

/// What is measured in a process of its own.
const CHILD: &str = "FTCHAT_GROWTH_CHILD";

fn main() {
    // Cargo adds `--bench`.
    let sizes: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if let Ok(folder) = std::env::var(CHILD) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        return runtime.block_on(async {
            match sizes.first() {
                Some(size) => grow(*size, folder.as_ref()).await,
                None => load(folder.as_ref()).await,
            }
        });
    }
    println!(
        "  messages | bytes of  us to |  us to    ms of | us to apply  worst |   bytes of  s to |  s to  bytes of  peak of\n  \
                    |   memory  apply | search  history | during snapshot  ms |  snapshot write |  load    memory   memory"
    );
    for size in if sizes.is_empty() { DEFAULT_SIZES.to_vec() } else { sizes } {
        let folder = tempfile::tempdir().expect("a temporary folder");
        run_child(folder.path(), &[size.to_string()]);
        run_child(folder.path(), &[]);
    }
}

fn run_child(folder: &Path, arguments: &[String]) {
    let program = std::env::current_exe().expect("this program has a path");
    let child = Command::new(program).args(arguments).env(CHILD, folder).status();
    assert!(child.expect("it starts").success(), "measuring failed");
}

/// A number of bytes from `/proc/self/status`.
fn memory_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(field)).expect("a known field");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("a number of KiB") * 1024
}

/// The log that leads to the state, made as it is asked for.
struct Script {
    state: State,
    index: u64,
    sent: u64,
    sessions: Vec<u64>,
}

impl Script {
    fn new() -> Script {
        let mut script =
            Script { state: State::new(WINDOW_ENTRIES), index: 0, sent: 0, sessions: Vec::new() };
        for number in 0..ACCOUNTS {
            let id = Uuid::from_u128(u128::from(number + 1));
            let action = Action::Register {
                account: id,
                name: account(number),
                password_hash: "x".repeat(96),
                token_hash: Digest::of(id.as_bytes()),
                expires: Timestamp::MAX,
                invitation: None,
                from: None,
            };
            match script.apply(vec![Operation { id, action }]).as_slice() {
                [Outcome::SessionOpened { session, .. }] => script.sessions.push(*session),
                other => panic!("not registered: {other:?}"),
            }
        }
        script
    }

    fn apply(&mut self, operations: Vec<Operation>) -> Vec<Outcome> {
        self.index += 1;
        let batch = Batch { at: Timestamp(self.index), operations };
        self.state.apply(self.index, &batch, &mut Effects::default())
    }

    /// The next entry with messages, and the seconds that applying it takes.
    fn step(&mut self) -> f64 {
        let operations = (0..PER_ENTRY).map(|_| self.message()).collect();
        let start = Instant::now();
        let outcomes = self.apply(operations);
        let took = start.elapsed().as_secs_f64();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Sent { .. })));
        took
    }

    fn message(&mut self) -> Operation {
        self.sent += 1;
        let digest = Digest::of(&self.sent.to_le_bytes()).0;
        let pick = |at: usize| u64::from(digest[at]) % ACCOUNTS;
        // As random as the ids that clients make.
        let id = Uuid::from_slice(&digest[..16]).expect("sixteen bytes");
        Operation {
            id,
            action: Action::Send {
                session: self.sessions[pick(16) as usize],
                to: vec![account(pick(17))],
                text: format!("{:<TEXT_BYTES$}", self.sent),
                again: false,
                after: None,
                reply_to: None,
            },
        }
    }
}

fn account(number: u64) -> AccountName {
    AccountName::new(&format!("account-{number}")).expect("a valid name")
}

/// Makes a state, and a snapshot of it while it goes on.
async fn grow(size: u64, folder: &Path) {
    let mut script = Script::new();
    let before = memory_bytes("VmRSS");
    let applying: f64 = (0..size / PER_ENTRY).map(|_| script.step()).sum();
    let memory = memory_bytes("VmRSS").saturating_sub(before);
    let (search, history) = (search(&script.state), history(&script.state));
    let snapshots = open(folder).await;
    let view = script.state.view();
    let writing = ftchat::host::spawn(async move {
        let start = Instant::now();
        let mut writer = snapshots.begin("{}".into(), size).await.expect("room");
        for line in view.lines() {
            writer.line(&line).await.expect("room");
        }
        writer.finish().await.expect("room");
        let reader = snapshots.latest().await.expect("readable").expect("just written");
        (start.elapsed().as_secs_f64(), reader.file_bytes())
    });
    // Entries go on being applied; each copies what the view shares.
    let (mut entries, mut meanwhile, mut worst) = (0, 0.0, 0.0_f64);
    while !writing.is_finished() {
        let took = script.step();
        (entries, meanwhile, worst) = (entries + 1, meanwhile + took, worst.max(took));
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let (written, bytes) = writing.await.expect("no panic");
    let each = |total: f64| total / size as f64;
    print!(
        "{size:>10} | {:>8.1} {:>6.2} | {search:>6.2} {history:>8.2} | {:>11.2} {:>6.2} | {:>9.1} {written:>6.2} | ",
        each(memory as f64),
        each(1e6 * applying),
        1e6 * meanwhile / (entries * PER_ENTRY) as f64,
        1e3 * worst,
        each(bytes as f64),
    );
    std::io::stdout().flush().expect("somebody reads");
}

/// Looks back as the first account until that ends, at most at so many messages that match.
/// Returns how many looks it took.
fn look_back(state: &State, with: Option<u64>, words: &mut Words, limit: usize) -> usize {
    let id = |number: u64| Uuid::from_u128(u128::from(number + 1));
    let (mut before, mut left, mut looks) = (u64::MAX, limit, 0);
    loop {
        let (account, with) = (id(0), with.map(id));
        let (from, since, max_text_bytes) = (None, None, usize::MAX);
        let mut past = Past { account, with, words, from, since, limit: left, max_text_bytes };
        let page = state.look(|look| look.past(&mut past, before));
        looks += 1;
        left -= page.messages.len();
        if !page.more || left == 0 {
            return looks;
        }
        before = page.scanned_to;
    }
}

/// Microseconds to look at a message of an account for a word that none of them has.
fn search(state: &State) -> f64 {
    let mut words = Words::new(&["nothing".to_string()]).expect("a word");
    let start = Instant::now();
    let looks = look_back(state, None, &mut words, usize::MAX);
    let took = start.elapsed().as_secs_f64();
    assert!(looks > 0);
    let id = Uuid::from_u128(1);
    let mut count = 0;
    for which in [Which::All, Which::Sent] {
        let mut query = InboxQuery { which, ..InboxQuery::default() };
        loop {
            let page = state.look(|look| look.messages(id, &query, 1_000, usize::MAX));
            count += page.messages.len();
            query.after = Some(page.scanned_to);
            if !page.more {
                break;
            }
        }
    }
    1e6 * took / count as f64
}

/// Milliseconds for the last fifty messages of a conversation.
fn history(state: &State) -> f64 {
    let start = Instant::now();
    look_back(state, Some(1), &mut Words::default(), 50);
    1e3 * start.elapsed().as_secs_f64()
}

/// Loads the snapshot.
async fn load(folder: &Path) {
    let snapshots = open(folder).await;
    let mut reader = snapshots.latest().await.expect("readable").expect("just written");
    let size = reader.last_index() as f64;
    let before = memory_bytes("VmRSS");
    let start = Instant::now();
    let mut restore = Restore::new(WINDOW_ENTRIES);
    while let Some(line) = reader.next().await.expect("whole") {
        restore.line(&line).expect("own lines");
    }
    let state = restore.finish().expect("own lines");
    println!(
        "{:>5.2} {:>9.1} {:>8.1}",
        start.elapsed().as_secs_f64(),
        memory_bytes("VmRSS").saturating_sub(before) as f64 / size,
        memory_bytes("VmHWM").saturating_sub(before) as f64 / size,
    );
    drop(state);
}

async fn open(folder: &Path) -> Snapshots {
    let host = Host::real();
    let holder = Holder {
        pid: std::process::id(),
        started_at: host.clock.now(),
        address: "127.0.0.1:1".parse().expect("an address"),
        server: ReplicaId(1),
    };
    let mut directory = DataDirectory::open(&host, folder, holder).await.expect("a folder");
    if directory.identity().expect("whole").is_none() {
        let identity = Identity {
            format: DATA_FORMAT_VERSION,
            cluster: host.uuid(),
            lineage: host.uuid(),
            replica: ReplicaId(1),
            incarnation: 1,
            opens: 0,
            openings: Vec::new(),
            knows_level: 0,
        };
        directory.write_identity(identity).await.expect("room");
    }
    Snapshots::open(&directory).await.expect("a new folder")
}
