//! The drill: a cluster of its own, real messages, and everything that may go
//! wrong with servers, one after the other; then the proof.
//!
//! Three users send to each other without pause: each sends the next message when the
//! one before was acknowledged. The three also follow, and two shells run one-liners.
//! Meanwhile servers are stopped, killed, frozen, wiped and restarted. After
//! each fault everybody must be able to send, then all servers are brought
//! back, and the next fault waits until all three replicas run on their own
//! servers again. Nothing here sleeps and hopes: every wait looks for what it
//! waits for, and has a limit after which the drill fails.
//!
//! # The proof
//! [`record`] knows what was acknowledged, from the senders alone. In the end it
//! is compared with what following has shown while servers died, and with the
//! full inbox of every user as every single server shows it: nothing lost,
//! nothing twice, nothing out of order, and no command that failed.

mod fault;
mod record;
mod steps;
mod users;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub use self::fault::{Dice, Fault};

use self::record::{Record, Verdict};
use self::users::{Shared, USERS, User};
use crate::cluster::Supervisor;
use crate::error::{Error, Result};
use crate::sync::Mutex;
use crate::types::{Address, ReplicaId};

/// Between two looks at what is waited for.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// How long anything may take before the drill has failed.
const STEP_MAX: Duration = Duration::from_secs(30);

/// What a drill is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often all faults are gone through.
    pub rounds: u32,
    /// Decides about order and victims.
    pub seed: u64,
    /// Which faults a round consists of.
    pub faults: Vec<Fault>,
}

/// One fault, done with.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Of which round, from 1.
    pub round: u32,
    /// What was done.
    pub fault: Fault,
    /// To which servers, in order.
    pub servers: Vec<ReplicaId>,
    /// The longest time without an acknowledgement, from the fault until all
    /// servers were back.
    pub pause_ms: f64,
    /// How many messages were acknowledged meanwhile.
    pub acknowledged: u64,
}

/// What became of a drill.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether nothing was lost, doubled, out of order or failed.
    pub ok: bool,
    /// The seed, to repeat it.
    pub seed: u64,
    /// How many rounds.
    pub rounds: u32,
    /// By fault, in the order of [`Fault::ALL`].
    pub faults: Vec<Row>,
    /// The sums over all of them.
    pub total: Counts,
    /// What failed, in words; the first few.
    pub failures: Vec<String>,
    /// Where the cluster's data was left to be looked at, when something is wrong.
    pub dir: Option<PathBuf>,
}

/// One fault over all rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub fault: Fault,
    /// How often it was done.
    pub times: u64,
    /// Median of the pauses.
    pub pause_median_ms: f64,
    /// The longest pause.
    pub pause_worst_ms: f64,
    /// What came of its messages.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What came of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Acknowledged to their senders.
    pub acknowledged: u64,
    /// Of those: missing or altered.
    pub lost: u64,
    /// Of those: there more than once.
    pub doubled: u64,
    /// Of those: before one that was acknowledged earlier.
    pub out_of_order: u64,
    /// Sends and commands that failed.
    pub failed: u64,
}

/// What happens during a drill, as it happens.
pub enum News<'a> {
    /// A fault is being done.
    Doing {
        /// Of which round.
        round: u32,
        /// Which.
        fault: Fault,
    },
    /// So many messages are acknowledged.
    Acknowledged(u64),
    /// A fault is done with.
    Done(&'a Step),
    /// The proof begins.
    Proving,
}

/// A drill under way.
struct Drill<'a> {
    supervisor: &'a Supervisor<'a>,
    shared: Arc<Shared>,
    dice: Dice,
}

/// Runs a drill on a cluster whose servers all run.
///
/// # Errors
/// When the cluster does not come back within [`STEP_MAX`] of a fault, or the
/// proof cannot be made. What the proof finds is in the report.
pub async fn run(
    supervisor: &Supervisor<'_>,
    options: &Options,
    tell: &mut dyn FnMut(News<'_>) -> Result<()>,
) -> Result<Report> {
    let servers = supervisor.cluster.addresses();
    let mut users = Vec::new();
    for number in 0..USERS {
        users.push(User::register(supervisor.host, &servers, number).await?);
    }
    let shared = Arc::new(Shared {
        users: users.iter().map(|user| user.name.clone()).collect(),
        record: Record::default(),
        followed: Mutex::new(vec![Vec::new(); USERS]),
    });
    let mut drill = Drill { supervisor, shared: shared.clone(), dice: Dice::new(options.seed) };
    let (mut senders, mut followers) = (JoinSet::new(), JoinSet::new());
    for (number, user) in users.iter().enumerate() {
        let (host, servers) = (supervisor.host.clone(), servers.clone());
        senders.spawn(user.clone().send(host.clone(), servers.clone(), number, shared.clone()));
        followers.spawn(user.clone().follow(host, servers, number, shared.clone()));
    }
    for sends in [true, false] {
        let program = supervisor.program.executable.clone();
        let user = users[0].clone();
        senders.spawn(user.type_commands(program, servers.clone(), 0, sends, shared.clone()));
    }
    let mut steps = Vec::new();
    for round in 1..=options.rounds {
        let mut faults = options.faults.clone();
        drill.dice.shuffle(&mut faults);
        for fault in faults {
            tell(News::Doing { round, fault })?;
            shared.record.begin_step(steps.len());
            let step = {
                let doing = drill.step(round, fault);
                tokio::pin!(doing);
                loop {
                    tokio::select! {
                        biased;
                        step = &mut doing => break step?,
                        () = sleep(Duration::from_millis(100)) => {
                            tell(News::Acknowledged(shared.record.count()))?;
                        }
                    }
                }
            };
            tell(News::Done(&step))?;
            steps.push(step);
        }
    }
    senders.shutdown().await;
    tell(News::Proving)?;
    let verdict = prove(&users, supervisor, &servers, &shared).await?;
    followers.shutdown().await;
    Ok(report(options, &steps, &shared.record, &verdict))
}

/// Compares the record with what was followed and with every server's inboxes.
async fn prove(
    users: &[User],
    supervisor: &Supervisor<'_>,
    servers: &[Address],
    shared: &Shared,
) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for number in 0..users.len() {
        let expected = shared.record.expected(number);
        let all_shown = async {
            loop {
                let missing = {
                    let followed = shared.followed.lock();
                    let shown: std::collections::BTreeSet<_> =
                        followed[number].iter().map(|it| it.id).collect();
                    expected.difference(&shown).count()
                };
                if missing == 0 {
                    return;
                }
                sleep(LOOK_PAUSE).await;
            }
        };
        // What has not been shown by then is lost, and found so below.
        drop(timeout(STEP_MAX, all_shown).await);
        let followed = {
            let followed = shared.followed.lock();
            followed[number].clone()
        };
        shared.record.compare(number, &followed, &mut verdict);
        for server in servers {
            let inbox = users[number].inbox(supervisor.host, server).await?;
            shared.record.compare(number, &inbox, &mut verdict);
        }
    }
    Ok(verdict)
}

fn report(options: &Options, steps: &[Step], record: &Record, verdict: &Verdict) -> Report {
    let acknowledged = record.counts();
    let failures = record.failures();
    let count = |set: &std::collections::BTreeSet<(usize, _)>, step: usize| {
        set.iter().filter(|(at, _)| *at == step).count() as u64
    };
    let counts = |step: usize| Counts {
        acknowledged: acknowledged.get(&step).copied().unwrap_or(0),
        lost: count(&verdict.lost, step),
        doubled: count(&verdict.doubled, step),
        out_of_order: count(&verdict.out_of_order, step),
        failed: failures.iter().filter(|(at, _)| *at == step).count() as u64,
    };
    let (mut faults, mut total) = (Vec::new(), Counts::default());
    for fault in Fault::ALL {
        let mut pauses = Vec::new();
        let mut sum = Counts::default();
        for (number, step) in steps.iter().enumerate().filter(|(_, step)| step.fault == fault) {
            pauses.push(step.pause_ms);
            sum.add(counts(number));
        }
        pauses.sort_by(f64::total_cmp);
        if let Some(worst) = pauses.last() {
            total.add(sum);
            faults.push(Row {
                fault,
                times: pauses.len() as u64,
                pause_median_ms: pauses[(pauses.len() - 1) / 2],
                pause_worst_ms: *worst,
                counts: sum,
            });
        }
    }
    Report {
        ok: Counts { acknowledged: 0, ..total } == Counts::default(),
        seed: options.seed,
        rounds: options.rounds,
        faults,
        total,
        failures: failures.into_iter().map(|(_, what)| what).take(10).collect(),
        dir: None,
    }
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.failed += other.failed;
    }
}

/// Waits until something is so.
///
/// # Errors
/// [`crate::error::ErrorCode::Unavailable`] with `what` when it takes too long.
async fn wait_for<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) -> Result<()> {
    let deadline = Instant::now() + STEP_MAX;
    while !so().await {
        if Instant::now() > deadline {
            return Err(Error::unavailable(format!(
                "the drill has failed: after {} seconds {what}",
                STEP_MAX.as_secs()
            )));
        }
        sleep(LOOK_PAUSE).await;
    }
    Ok(())
}
