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
//!
//! [`hosts`] does the same to servers on machines of their own, where the network may fail.

mod fault;
#[cfg(target_os = "linux")]
pub mod hosts;
mod record;
mod report;
mod steps;
mod users;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub use self::fault::{Dice, Fault};
pub use self::report::{Counts, Report, Row, Step, Unconfirmed};

use self::record::{Record, Verdict};
use self::report::report;
use self::users::{Shared, USERS, User};
use crate::cluster::Supervisor;
use crate::error::{Error, Result};

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

/// Does the faults of a drill, one at a time.
trait Faults {
    /// Decides about order and victims.
    fn dice(&mut self) -> &mut Dice;
    /// Does one, and brings everything back. `number`: of how many before it.
    async fn step(&mut self, number: usize, round: u32, fault: Fault) -> Result<Step>;
}

/// A drill under way, on one machine.
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
    let shared = Shared::of(&users, USERS);
    let mut drill = Drill { supervisor, shared: shared.clone(), dice: Dice::new(options.seed) };
    let (mut senders, mut followers) = (JoinSet::new(), JoinSet::new());
    for (number, user) in users.iter().enumerate() {
        let (host, servers) = (supervisor.host.clone(), servers.clone());
        let client = user.client(&host, &servers)?;
        followers.spawn(user.clone().follow(client, number, shared.clone()));
        senders.spawn(user.clone().send(host, servers, number, shared.clone()));
    }
    for sends in [true, false] {
        let program = supervisor.program.executable.clone();
        let user = users[0].clone();
        senders.spawn(user.type_commands(program, servers.clone(), 0, sends, shared.clone()));
    }
    let steps = all_rounds(&mut drill, &shared.record, options, tell).await?;
    senders.shutdown().await;
    tell(News::Proving)?;
    let mut verdict = Verdict::default();
    prove_followed(&shared, &mut verdict).await;
    for (number, user) in users.iter().enumerate() {
        for server in &servers {
            let inbox = user.inbox(supervisor.host, server).await?;
            shared.record.compare(number, &inbox, true, &mut verdict);
        }
    }
    followers.shutdown().await;
    Ok(report(options, &steps, &shared.record, &verdict))
}

/// Does all faults of all rounds, in an order that the dice choose.
async fn all_rounds(
    drill: &mut impl Faults,
    record: &Record,
    options: &Options,
    tell: &mut dyn FnMut(News<'_>) -> Result<()>,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for round in 1..=options.rounds {
        let mut faults = options.faults.clone();
        drill.dice().shuffle(&mut faults);
        for fault in faults {
            tell(News::Doing { round, fault })?;
            record.begin_step(steps.len());
            let step = {
                let doing = drill.step(steps.len(), round, fault);
                tokio::pin!(doing);
                loop {
                    tokio::select! {
                        biased;
                        step = &mut doing => break step?,
                        () = sleep(Duration::from_millis(100)) => {
                            tell(News::Acknowledged(record.count()))?;
                        }
                    }
                }
            };
            tell(News::Done(&step))?;
            steps.push(step);
        }
    }
    Ok(steps)
}

/// Compares the record with all that was followed, once that shows everything.
async fn prove_followed(shared: &Shared, verdict: &mut Verdict) {
    let lists = shared.followed.lock().len();
    for list in 0..lists {
        let recipient = list % USERS;
        let expected = shared.record.expected(recipient);
        let all_shown = async {
            loop {
                let missing = {
                    let followed = shared.followed.lock();
                    let shown: std::collections::BTreeSet<_> =
                        followed[list].iter().map(|it| it.id).collect();
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
            followed[list].clone()
        };
        shared.record.compare(recipient, &followed, false, verdict);
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
