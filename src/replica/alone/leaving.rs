//! What a replica took alone, when it turns out that it was removed from the cluster.
//!
//! It is no member any more, so it can propose nothing. But it holds the cluster's key, as an
//! administrator does, and asks a member to propose for it what its outbox holds
//! ([`Call::HandOver`]). An entry is taken once, whoever proposes it and however often. How far
//! a list is settled a member says after a majority has confirmed that its state is the newest;
//! until then the file stays.
//!
//! # How it fails
//! Whoever was removed accepts nothing any more, and ends. If no member takes the next part
//! within [`LEAVE_MAX`], the sentence with which it ends says how much is left, and where; when it
//! is started again it tries again. An outbox that could not be opened is named as well.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::Alone;
use super::opening::operations;
use crate::chat::{Action, Operation, Outcome};
use crate::consensus::{self, Sequence};
use crate::error::{Error, ErrorBody, ErrorCode, Result};
use crate::peer::{CallError, Conversation};
use crate::planted::{self, Bug};
use crate::protocol::client::Member;
use crate::protocol::peer::{ADMINISTRATOR, Call, Introduction};
use crate::replica::Inner;
use crate::storage::Outbox;
use crate::types::Uuid;

/// How long a replica that was removed waits until its outbox is open.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// How long it tries to have a part of that handed over.
const LEAVE_MAX: Duration = Duration::from_secs(20);

/// How long a part may take on its way through the log.
const PART_MAX: Duration = Duration::from_secs(3);

/// How long one member may take to answer: a little longer, so that its own word arrives.
const ANSWER_MAX: Duration = Duration::from_secs(4);

/// About how many bytes of entries are handed over at once.
const PART_BYTES: usize = 64 * 1024;

/// Between two rounds of asking all members.
const RETRY: Duration = Duration::from_millis(200);

/// What a replica that was removed asks a member for, or an administrator for a machine of the
/// cluster that this one was made out of.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandOver {
    /// A list of its outbox.
    pub list: Uuid,
    /// Entries of it that are to be proposed, in their order; before them perhaps accounts that
    /// are to be registered. Without any it only asks.
    pub entries: Vec<Operation>,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct TakenOver {
    /// Up to where the list is settled.
    pub settled: u64,
    /// The log index behind which the cluster knows what it has forgotten.
    #[serde(default)]
    pub since: u64,
    /// Operations that register somebody and were refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<(Uuid, ErrorBody)>,
}

impl Alone {
    /// Waits until the outbox is open, but not for long.
    pub(in crate::replica) async fn until_open(&self) {
        let mut opened = self.0.opened.subscribe();
        // A start that fails never opens it.
        drop(timeout(OPEN_MAX, opened.wait_for(|opened| *opened)).await);
    }
}

impl Inner {
    /// Has members hand over what the outbox holds, as this replica was removed, and accepts
    /// nothing any more. `failed`: why its start has ended. Returns what is to be said at the
    /// end.
    pub(in crate::replica) async fn leave(&self, removed: Error, failed: Option<Error>) -> Error {
        // Whoever takes changes finds none to put them in.
        let outbox = self.alone.0.outbox.lock().take();
        if planted::is(Bug::KeepWhenRemoved) {
            return removed;
        }
        let what = match outbox {
            Some(outbox) => self.empty(outbox).await,
            None => self.unopened(failed).await,
        };
        match what {
            Some(what) => Error { message: format!("{}; {what}", removed.message), ..removed },
            None => removed,
        }
    }

    fn outbox_folder(&self) -> PathBuf {
        self.config.data_dir.join("outbox")
    }

    /// What is said of an outbox that nobody has opened.
    async fn unopened(&self, failed: Option<Error>) -> Option<String> {
        let (disk, folder) = (self.host.disk.clone(), self.outbox_folder());
        let listing = async move { disk.list(&folder).await };
        // Without the folder nothing was taken.
        let files = self.host.on_worker("outbox", listing).await?.ok()?;
        let why = because(failed.as_ref());
        (!files.is_empty()).then(|| {
            format!(
                "what it took without a majority was not looked at{why}: it is in {}, so keep that",
                self.outbox_folder().display()
            )
        })
    }

    /// Empties the outbox, as far as members take what is in it.
    async fn empty(&self, outbox: Outbox) -> Option<String> {
        let mut leaving = Leaving::of(self);
        // What was on its way into it may come yet.
        let mut failed: Option<Error> = None;
        while let Some(held) =
            outbox.lists().into_iter().find(|held| !leaving.given_up.contains(&held.list))
        {
            if let Err(error) = leaving.hand_over(&outbox, held.list).await {
                leaving.given_up.push(held.list);
                failed.get_or_insert(error);
            }
        }
        if let Err(error) = outbox.close().await {
            tracing::error!(%error, "the outbox was not closed cleanly");
        }
        let held: u64 = outbox.lists().iter().map(|list| list.entries - list.settled).sum();
        if held > 0 {
            return Some(format!(
                "{} that it took without a majority: not handed over{}, and still in {}; keep \
                 that, and start this server once more",
                changes(held),
                because(failed.as_ref()),
                self.outbox_folder().display()
            ));
        }
        (leaving.handed_over > 0).then(|| {
            format!("{} that it took without a majority: handed over", changes(leaving.handed_over))
        })
    }
}

fn because(failed: Option<&Error>) -> String {
    failed.map_or_else(String::new, |error| format!(" ({})", error.message))
}

/// A replica that hands over by others.
struct Leaving<'a> {
    inner: &'a Inner,
    members: Vec<Member>,
    /// The member that is asked next, and the connection to it.
    next: usize,
    conversation: Option<Conversation>,
    /// Entries that members have taken.
    handed_over: u64,
    /// Lists with which it does not go on.
    given_up: Vec<Uuid>,
}

impl Leaving<'_> {
    fn of(inner: &Inner) -> Leaving<'_> {
        let mut members = inner.members();
        for member in &inner.config.members {
            if members.iter().all(|known| known.address != member.address) {
                members.push(member.clone());
            }
        }
        members.retain(|member| member.id != inner.config.id);
        let (next, conversation, handed_over, given_up) = (0, None, 0, Vec::new());
        Leaving { inner, members, next, conversation, handed_over, given_up }
    }

    async fn hand_over(&mut self, outbox: &Outbox, list: Uuid) -> Result<()> {
        let mut settled = self.ask(list, Vec::new()).await?;
        let mut entries = outbox.entries(list, settled + 1);
        loop {
            let done = if planted::is(Bug::DropWhenRemoved) { u64::MAX } else { settled };
            outbox.settle(list, done).await?;
            let part = entries.next(PART_BYTES).await?;
            let Some(last) = part.last().map(|entry| entry.n) else { return Ok(()) };
            let count = part.len() as u64;
            settled = self.ask(list, operations(list, part)?).await?;
            if settled < last {
                let why = format!("the log has taken {settled} of {last} entries of {list}");
                return Err(Error::unavailable(why));
            }
            self.handed_over += count;
        }
    }

    /// Asks one member after the other until one has answered how far the list is settled,
    /// beginning with the one that did last.
    async fn ask(&mut self, list: Uuid, entries: Vec<Operation>) -> Result<u64> {
        let asked = HandOver { list, entries };
        let body = Bytes::from(serde_json::to_vec(&asked).expect("plain data serializes"));
        let asking = async {
            let mut failed = 0;
            loop {
                match self.ask_next(body.clone()).await {
                    Ok(settled) => return settled,
                    Err(error) => {
                        tracing::info!(%error, "a member does not hand over what is left here");
                        self.conversation = None;
                        self.next += 1;
                        failed += 1;
                    }
                }
                if failed % self.members.len().max(1) == 0 {
                    sleep(RETRY).await;
                }
            }
        };
        let late = |_| Error::unavailable("no member has taken it in time");
        timeout(LEAVE_MAX, asking).await.map_err(late)
    }

    async fn ask_next(&mut self, body: Bytes) -> Result<u64> {
        let Inner { host, config, credentials, .. } = self.inner;
        let Some(member) = self.members.get(self.next % self.members.len().max(1)) else {
            return Err(Error::unavailable("no member is known"));
        };
        let conversation = self.conversation.get_or_insert_with(|| {
            let cluster = credentials.introduction().cluster;
            let from =
                Introduction { replica: ADMINISTRATOR, cluster, lineage: None, incarnation: None };
            let spawn = |task| consensus::spawn(host, task);
            Conversation::open(host, &config.keys, from, member, ANSWER_MAX, spawn)
        });
        let answer =
            conversation.call(Call::HandOver, body).await.map_err(|error| match error {
                CallError::Refused(error) => error,
                lost => Error::unavailable(format!("{}: {lost}", member.address)),
            })?;
        let taken: Result<TakenOver, _> = serde_json::from_slice(&answer);
        taken.map(|taken| taken.settled).map_err(|error| Error::internal(error.to_string()))
    }
}

impl Inner {
    /// Proposes entries for a replica that was removed, and says how far its list is settled.
    ///
    /// # Errors
    /// [`ErrorCode::PermissionDenied`] for anything that is no entry of that list and registers
    /// nobody; those of a proposal and of a read that a majority has to confirm.
    pub(in crate::replica) async fn take_over(&self, asked: HandOver) -> Result<TakenOver> {
        let HandOver { list, entries } = asked;
        let may_come = |operation: &Operation| match &operation.action {
            Action::Deliver(delivery) => delivery.place.list == list,
            Action::Register { .. } => true,
            _ => false,
        };
        if !entries.iter().all(may_come) {
            return Err(Error::new(
                ErrorCode::PermissionDenied,
                "only accounts, and what a replica took without a majority, are handed over",
            ));
        }
        let (consensus, deadline) = (self.consensus()?, Instant::now() + PART_MAX);
        let sequence = Sequence::default();
        let ids: Vec<Uuid> = entries.iter().map(|operation| operation.id).collect();
        let proposed = entries.into_iter().map(|it| consensus.propose(it, deadline, &sequence));
        let proposed: Vec<_> = proposed.collect();
        let (mut settled, mut refused) = (None, Vec::new());
        for (id, applied) in ids.into_iter().zip(join_all(proposed).await) {
            match applied?.outcome {
                Outcome::Settled { settled: through } => settled = settled.max(Some(through)),
                Outcome::SessionOpened { .. } => {}
                Outcome::Refused(body) if body.retryable => return Err(body.into()),
                Outcome::Refused(body) => refused.push((id, body)),
                other => return Err(Error::internal(format!("an entry was answered {other:?}"))),
            }
        }
        if settled.is_none() {
            consensus.confirm(deadline).await?;
        }
        let (known, since) = self.machine.look(|look| (look.settled(&list), look.settles_since()));
        Ok(TakenOver { settled: settled.unwrap_or(known), since, refused })
    }
}

fn changes(count: u64) -> String {
    match count {
        1 => "1 change".to_string(),
        _ => format!("{count} changes"),
    }
}
