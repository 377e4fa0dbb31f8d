//! Going on without a majority: a server that is *alone* takes messages all the same.
//!
//! Where neighbours are proved dead, this server adopts their replicas and is a majority again
//! (`survival`). Where nothing is proved, as between machines or beside frozen processes, it
//! could only refuse. Here it goes on without touching Raft: what it takes is *unconfirmed*,
//! durable in an outbox of its own, shown at once, and handed to the replicated log, once and
//! in order, when a majority is back. Both sides of a partition may do so. The ancestor is
//! Bayou (Terry et al., SOSP 1995): tentative writes, which a primary commits; here Raft does.
//!
//! ```text
//!            no majority for 20 ticks            one is back for 1 s, nobody waits
//!  majority ─────────────────────────► alone ─────────────────────────────────► majority
//!     ▲   the log takes changes          │ the acceptor takes them: into the     │ while the
//!     │                                  │ outbox, then into the overlay         │ outbox holds
//!     └──────────────────────────────────┴───────────────────────────────────────┘ anything:
//!                                                                                  settling
//! ```
//!
//! # The order of changes
//! Every change of a connection goes through the [`Line`]. When the server finds itself alone,
//! it first makes durable how far its state goes, so that this never goes back. Then it takes
//! into its list, in this order: what its own log holds beyond the state, whoever asked for it;
//! what waits for an answer; what comes. So no line of a connection overtakes an earlier one.
//! When a majority is back, a message that is to follow an entry of a list waits here until the
//! own state says that the entry is settled.
//!
//! # What it promises
//! - A change that was accepted alone is on this disk before it is answered, and is settled
//!   exactly once by the log ([`settling`](crate::chat)), in the order of its list, unless the
//!   disk is lost.
//! - A refusal decides nothing: what this server does not know, a majority may.
//! - Requests that ask for a majority are refused at once.
//! - Raft never sees any of this but as operations that are proposed.
//! - What a replica holds that was removed from the cluster is proposed by a member.
//!
//! # How it fails
//! A full disk, a list that is damaged or a bound that is reached refuse each change, with the
//! reason. What was not settled when the process ends is read from the disk when it starts.

mod acceptor;
mod answer;
mod handing_over;
mod leaving;
mod line;
mod majority;
mod opening;
mod rescue;
mod stream;
mod watching;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};

use futures::future::ready;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

pub use self::answer::{Accepted, Change};
pub use self::leaving::{HandOver, TakenOver};
pub use self::rescue::Rescued;
pub use self::stream::ChangeStream;

use self::line::{Asked, HeldBack, InLine, Line, Released, Wanted, Way};
use super::Inner;
use crate::chat::{Action, Operation};
use crate::consensus;
use crate::error::{Error, ErrorCode, Result};
use crate::host::BoxFuture;
use crate::planted::{self, Bug};
use crate::protocol::client::{self, Confirm, Mode};
use crate::storage::Outbox;
use crate::sync::Mutex;
use crate::types::{Place, Timestamp, Uuid};

/// What will bring the answer to a change.
type Answer = BoxFuture<'static, Result<Accepted>>;

/// See the head of this room. Clones share it.
#[derive(Clone)]
pub(super) struct Alone(Arc<Shared>);

struct Shared {
    line: Mutex<Line>,
    /// Since when no majority was there when the server went alone last.
    missing_since: Mutex<Timestamp>,
    /// The same, while the server is alone and ready: its list has what its log has.
    since: watch::Sender<Option<Timestamp>>,
    /// Of the open directory.
    outbox: Mutex<Option<Outbox>>,
    /// Whether that was open once.
    opened: watch::Sender<bool>,
    /// Held while a copy of the state is made for a backup.
    rescues: Arc<tokio::sync::Mutex<()>>,
    /// What the watch and those who hand over tell each other.
    signs: Signs,
}

#[derive(Default)]
struct Signs {
    /// There is something to be handed over, or somebody who can take it.
    hand_over: Notify,
    /// Something is held back.
    held: Notify,
    /// Wakes the acceptor, though nobody asks.
    look: Notify,
    /// How many entries the log has settled by now.
    settled: AtomicU64,
    /// How often a majority has confirmed by now who leads, and how often it did not in time.
    answers: AtomicU64,
    failures: AtomicU64,
    /// Whether this server may hold anything that the log has not settled.
    holds: AtomicBool,
    /// Whether one is there, as of the last tick.
    majority_is_there: AtomicBool,
}

/// What the acceptor takes from.
pub(super) struct Queue(mpsc::UnboundedReceiver<Asked>);

impl Alone {
    pub(super) fn new() -> (Alone, Queue) {
        let (acceptor, queue) = mpsc::unbounded_channel();
        let shared = Shared {
            line: Mutex::new(Line::new(acceptor)),
            missing_since: Mutex::new(Timestamp(0)),
            since: watch::Sender::new(None),
            outbox: Mutex::new(None),
            opened: watch::Sender::new(false),
            rescues: Arc::default(),
            signs: Signs::default(),
        };
        (Alone(Arc::new(shared)), Queue(queue))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock()
    }

    /// Since when the server is alone, if it is.
    pub(super) fn since(&self) -> Option<Timestamp> {
        *self.0.since.borrow()
    }

    /// The outbox, once the directory is open.
    pub(super) fn outbox(&self) -> Option<Outbox> {
        self.0.outbox.lock().clone()
    }

    /// Who takes what this server takes, and since when it is alone if it is.
    pub(super) fn mode(&self) -> (Mode, Option<Timestamp>) {
        match self.since() {
            Some(since) => (Mode::Alone, Some(since)),
            None if self.unsettled_entries() > 0 => (Mode::Settling, None),
            None => (Mode::Majority, None),
        }
    }

    /// Takes a change for which nobody need be waited for but whoever is there. Its place in
    /// line is that of this call.
    pub(super) fn propose(
        &self,
        inner: &Arc<Inner>,
        change: Change,
        deadline: Instant,
        stream: &ChangeStream,
        confirm: Confirm,
    ) -> Answer {
        let confirm = if planted::is(Bug::TakeStrictAlone) { Confirm::Any } else { confirm };
        let Change { operation, mark_ids, after_id } = change;
        let noted = is_noted(&operation, confirm).then(|| operation.clone());
        let stream = stream.clone();
        let mut wanted = Wanted { operation, mark_ids, after_id, deadline, stream, confirm };
        let mut line = self.line();
        if line.way == Way::Acceptor {
            if confirm.is_majority() || !may_be_taken(&wanted.operation.action) {
                return refused(inner.needs_majority());
            }
            let (reply, answer) = oneshot::channel();
            line.ask(Asked { wanted, waited: false, in_log: false, reply });
            return Box::pin(taken(answer, deadline));
        }
        let after = match &mut wanted.operation.action {
            Action::Send { after, .. } => inner.not_before(after.take(), after_id),
            _ => None,
        };
        let stream = &wanted.stream;
        let waits = after.is_some() || stream_place(inner, stream).is_some() || stream.is_held();
        if waits || line.way == Way::Back {
            let (released, release) = oneshot::channel();
            let stream = stream.clone();
            line.hold(HeldBack { wanted, after, released });
            self.0.signs.held.notify_one();
            return Box::pin(held_back(release, deadline, stream));
        }
        match self.objection(inner, &wanted) {
            None => self.put_in(inner, &mut line, wanted, noted),
            Some(error) => refused(error),
        }
    }

    /// Why a change may not come into the log now: this server has taken alone what the log
    /// does not know yet, and that ends the session, or brings what is to be deleted.
    fn objection(&self, inner: &Inner, wanted: &Wanted) -> Option<Error> {
        let Wanted { operation, mark_ids, .. } = wanted;
        if !mark_ids.is_empty() {
            return Some(not_settled());
        }
        let session = match &operation.action {
            Action::Send { session, .. }
            | Action::MarkRead { session, .. }
            | Action::Delete { session, .. }
            | Action::DeleteAccount { session, .. }
            | Action::Own { session, .. } => *session,
            _ => return None,
        };
        // Nothing is looked up where nothing was taken.
        if !self.0.signs.holds.load(Ordering::Relaxed) {
            return None;
        }
        let now = inner.time.now();
        inner.machine.look(|look| match look.session_by_number(session, now) {
            Err(ended) => Some(ended),
            Ok(bound) => match &operation.action {
                Action::Delete { ids, .. } => look.waits(bound.account, ids).then(not_settled),
                _ => None,
            },
        })
    }

    /// Puts a change into the log, and takes note of it if there is a copy for that.
    fn put_in(
        &self,
        inner: &Arc<Inner>,
        line: &mut Line,
        wanted: Wanted,
        noted: Option<Operation>,
    ) -> Answer {
        let Wanted { operation, mark_ids, after_id, deadline, stream, confirm } = wanted;
        let noted = noted.map(|operation| {
            let stream = stream.clone();
            line.note(Wanted { operation, mark_ids, after_id, deadline, stream, confirm })
        });
        let proposal = inner.start_queue.propose(operation, deadline, &stream.sequence());
        let Some((number, mut taking)) = noted else {
            return Box::pin(async move { proposal.await.map(Accepted::Confirmed) });
        };
        let in_line = InLine::new(self.clone(), number);
        Box::pin(async move {
            let taken_alone = {
                tokio::pin!(proposal);
                tokio::select! {
                    biased;
                    result = &mut proposal => {
                        // From here on the acceptor does not take it, unless it has.
                        taking.close();
                        match (result, taking.try_recv()) {
                            (Ok(applied), _) => {
                                in_line.answered();
                                return Ok(Accepted::Confirmed(applied));
                            }
                            (Err(_), Ok(answer)) => answer,
                            (Err(error), Err(_)) => return Err(error),
                        }
                    }
                    Ok(answer) = &mut taking => answer,
                }
                // What has not come into a log by now never does.
            };
            taken(taken_alone, deadline).await
        })
    }

    /// Proposes what was held back, as far as what it is to follow is settled.
    fn release(&self, inner: &Arc<Inner>) {
        // Dropped without the lock: they take themselves out of the line.
        let mut unwanted = Vec::new();
        let mut line = self.line();
        if line.way != Way::Log {
            return;
        }
        let all = std::mem::take(&mut line.held);
        all.iter().for_each(|held| held.wanted.stream.let_go());
        let mut settled = BTreeMap::new();
        for mut held in all {
            if held.released.is_closed() {
                continue;
            }
            let mut unsettled = |place: Option<Place>| {
                place.filter(|place| {
                    let through = settled
                        .entry(place.list)
                        .or_insert_with(|| inner.machine.look(|look| look.settled(&place.list)));
                    *through < place.number
                })
            };
            held.after = unsettled(held.after).filter(|_| !inner.knows(held.wanted.after_id));
            let stream = &held.wanted.stream;
            let place = stream.place().filter(|place| {
                let waits = unsettled(Some(*place)).is_some();
                if !waits {
                    stream.is_settled(*place);
                }
                waits
            });
            // Behind one of the same stream that is held on.
            if held.after.is_some() || place.is_some() || stream.is_held() {
                line.hold(held);
                continue;
            }
            let HeldBack { wanted, released, .. } = held;
            let answer = match self.objection(inner, &wanted) {
                None => {
                    let Wanted { operation, confirm, .. } = &wanted;
                    let noted = is_noted(operation, *confirm).then(|| operation.clone());
                    self.put_in(inner, &mut line, wanted, noted)
                }
                Some(error) => refused(error),
            };
            unwanted.extend(released.send(Released::Proposed(answer)).err());
        }
        drop(line);
        drop(unwanted);
    }

    /// Waits until a majority has confirmed something, or the server finds itself alone, if
    /// that will do.
    ///
    /// # Errors
    /// [`ErrorCode::NeedsMajority`], and why it was not confirmed.
    pub(super) async fn vouch(
        &self,
        inner: &Inner,
        confirmed: impl Future<Output = Result<()>>,
        confirm: Confirm,
    ) -> Result<Option<client::Alone>> {
        let mut since = self.0.since.subscribe();
        let alone = async {
            // The sender lives as long as this.
            since.wait_for(Option::is_some).await.ok().and_then(|since| *since)
        };
        tokio::select! {
            biased;
            Some(since) = alone => match confirm {
                Confirm::Any => Ok(Some(client::Alone { since })),
                Confirm::Majority => Err(inner.needs_majority()),
            },
            result = confirmed => result.map(|()| None),
        }
    }
}

/// Whether a server may take such a change alone. What gives rights, or must be unique, needs
/// a majority.
fn may_be_taken(action: &Action) -> bool {
    matches!(
        action,
        Action::Send { .. }
            | Action::MarkRead { .. }
            | Action::Delete { .. }
            | Action::CloseSession { .. }
    )
}

/// Whether a server that finds itself alone takes it over from the log.
fn is_noted(operation: &Operation, confirm: Confirm) -> bool {
    !confirm.is_majority() && may_be_taken(&operation.action)
}

fn refused(error: Error) -> Answer {
    Box::pin(ready(Err(error)))
}

/// What the next change of a stream is to follow.
fn stream_place(inner: &Inner, stream: &ChangeStream) -> Option<Place> {
    let place = stream.place()?;
    let unsettled = inner.unsettled(Some(place));
    if unsettled.is_none() {
        stream.is_settled(place);
    }
    unsettled
}

/// Waits for what the acceptor says.
async fn taken(answer: oneshot::Receiver<Result<Accepted>>, deadline: Instant) -> Result<Accepted> {
    match timeout_at(deadline, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::outcome_unknown(
            "this server stops while it takes the change; repeating it with the same id is safe",
        )),
        Err(_) => Err(Error::outcome_unknown(
            "this server is alone, and its disk has not taken the change in time; repeating it \
             with the same id is safe",
        )),
    }
}

/// Breaks a stream when a change that was held back ends without an answer: nothing may pass
/// it.
struct BreakOff(Option<ChangeStream>);

impl Drop for BreakOff {
    fn drop(&mut self) {
        if let Some(stream) = &self.0 {
            stream.break_off();
        }
    }
}

/// Waits until what the change is to follow is settled.
async fn held_back(
    mut release: oneshot::Receiver<Released>,
    deadline: Instant,
    stream: ChangeStream,
) -> Result<Accepted> {
    let mut unless_released = BreakOff(Some(stream));
    let released = match timeout_at(deadline, &mut release).await {
        Ok(released) => released.ok(),
        Err(_) => {
            // From here on it is not released, unless it was.
            release.close();
            match release.try_recv() {
                Ok(released) => Some(released),
                Err(_) => return Err(not_settled()),
            }
        }
    };
    unless_released.0 = None;
    match released {
        Some(Released::Proposed(answer)) => answer.await,
        Some(Released::Taken(answer)) => taken(answer, deadline).await,
        None => Err(Error::unavailable("this replica is stopping")),
    }
}

fn not_settled() -> Error {
    Error::new(
        ErrorCode::Behind,
        "this comes behind something that a server took while it was alone, and that is not \
         confirmed yet; nothing was done: try again",
    )
}

impl Inner {
    /// Starts what goes on beside the replica.
    pub(super) fn go_on_alone(self: &Arc<Inner>, asked: Queue) {
        consensus::spawn(&self.host, acceptor::run(Arc::downgrade(self), asked));
        consensus::spawn(&self.host, handing_over::run(Arc::downgrade(self)));
        consensus::spawn(&self.host, handing_over::release(Arc::downgrade(self)));
        consensus::spawn(&self.host, watching::ask(Arc::downgrade(self)));
        consensus::spawn(&self.host, watching::count(Arc::downgrade(self)));
    }

    /// Starts handing over what the directory's owner has taken.
    pub(super) fn hand_over_for_owner(self: &Arc<Inner>) {
        consensus::spawn(&self.host, handing_over::run(Arc::downgrade(self)));
    }

    /// A place, unless the state says that it is settled.
    fn unsettled(&self, place: Option<Place>) -> Option<Place> {
        if planted::is(Bug::OvertakeWhatIsNotSettled) {
            return None;
        }
        place.filter(|place| self.machine.look(|look| look.settled(&place.list)) < place.number)
    }

    /// The place behind which a message comes, unless what stands there is before it by now:
    /// settled, or in the log otherwise under its id. That is so where a server has taken a
    /// message into its list which it had put into its log before, and the others have that.
    fn not_before(&self, place: Option<Place>, id: Option<Uuid>) -> Option<Place> {
        self.unsettled(place).filter(|_| !self.knows(id))
    }

    /// Whether the state has decided about an operation.
    fn knows(&self, id: Option<Uuid>) -> bool {
        id.is_some_and(|id| self.machine.look(|look| look.has_decided(id)))
    }

    /// What is told to whoever asks a server that is alone for what it may not do.
    fn needs_majority(&self) -> Error {
        let missing = match self.consensus() {
            Ok(consensus) => consensus.absence().sentence,
            Err(error) => error.message,
        };
        Error::new(
            ErrorCode::NeedsMajority,
            format!("server {} is alone, and this needs a majority: {missing}", self.config.id),
        )
    }
}
