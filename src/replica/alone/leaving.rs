//! What a replica took alone, when it turns out that it was removed from the cluster.
//!
//! It is no member any more, so it can propose nothing. But it holds the cluster's key, as an
//! administrator does, and asks a member to propose for it what its outbox holds
//! ([`Call::HandOver`]). An entry is taken once, whoever proposes it and however often. How far
//! a list is settled a member says after a majority has confirmed that its state is the newest;
//! until then the file stays.
//!
//! # How it fails
//! Whoever was removed accepts nothing any more, and ends. If within [`LEAVE_MAX`] no member
//! has taken what is left, the sentence with which it ends says how much that is, and where;
//! when it is started again it tries again.

use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::Alone;
use super::opening::read_entry;
use crate::chat::{Action, Operation, Outcome};
use crate::consensus::{self, Sequence};
use crate::error::{Error, ErrorCode, Result};
use crate::peer;
use crate::protocol::peer::{ADMINISTRATOR, Call, Introduction};
use crate::replica::Inner;
use crate::storage::{ListedEntry, Outbox};
use crate::types::{Place, Uuid};

/// How long a replica that was removed waits until its outbox is open.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// How long it tries to have that handed over.
const LEAVE_MAX: Duration = Duration::from_secs(20);

/// How long one member may take for a part.
const PART_MAX: Duration = Duration::from_secs(5);

/// About how many bytes of entries are handed over at once.
const PART_BYTES: usize = 64 * 1024;

/// Between two rounds of asking all members.
const RETRY: Duration = Duration::from_millis(200);

/// What a replica that was removed asks a member for.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandOver {
    /// A list of its outbox.
    list: Uuid,
    /// Entries of it that are to be proposed, in their order. Without any it only asks.
    entries: Vec<Operation>,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct TakenOver {
    /// Up to where the list is settled.
    settled: u64,
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
    /// nothing any more. Returns what is to be said at the end.
    pub(in crate::replica) async fn leave(&self, removed: Error) -> Error {
        // Whoever takes changes finds none to put them in.
        let Some(outbox) = self.alone.0.outbox.lock().take() else { return removed };
        let left = match outbox.lists().is_empty() {
            true => Ok(0),
            false => match timeout(LEAVE_MAX, self.hand_over_to_members(&outbox)).await {
                Ok(handed_over) => handed_over,
                Err(_) => Err(Error::unavailable("no member has taken it in time")),
            },
        };
        let closed = outbox.close().await;
        let held: u64 = outbox.lists().iter().map(|list| list.entries - list.settled).sum();
        let what = match left.and_then(|handed_over| closed.map(|()| handed_over)) {
            Ok(0) if held == 0 => return removed,
            Ok(handed_over) if held == 0 => {
                format!("{} that it took without a majority: handed over", changes(handed_over))
            }
            left => {
                let why = left.err().map_or_else(String::new, |error| format!(" ({error})"));
                let folder = self.config.data_dir.join("outbox");
                format!(
                    "{} that it took without a majority: not handed over{why}, and still in {}; \
                     keep that, and start this server once more",
                    changes(held),
                    folder.display()
                )
            }
        };
        Error { message: format!("{}; {what}", removed.message), ..removed }
    }

    /// Returns how many entries members have taken.
    async fn hand_over_to_members(&self, outbox: &Outbox) -> Result<u64> {
        let mut handed_over = 0;
        // What was on its way into the outbox may come yet.
        while let Some(held) = outbox.lists().into_iter().next() {
            let list = held.list;
            let mut settled = self.ask_members(list, Vec::new()).await?;
            let mut entries = outbox.entries(list, settled + 1);
            loop {
                let part = entries.next(PART_BYTES).await?;
                let Some(last) = part.last().map(|entry| entry.n) else { break };
                handed_over += part.len() as u64;
                let operation = |ListedEntry { n, entry }| {
                    Ok(read_entry(list, n, &entry)?.delivery(Place { list, number: n }))
                };
                let operations: Result<Vec<Operation>> = part.into_iter().map(operation).collect();
                settled = self.ask_members(list, operations?).await?;
                if settled < last {
                    let why = format!("the log has taken {settled} of {last} entries of {list}");
                    return Err(Error::unavailable(why));
                }
            }
            outbox.settle(list, settled).await?;
        }
        Ok(handed_over)
    }

    /// Asks one member after the other until one has answered.
    ///
    /// # Errors
    /// A refusal that no other member would take back.
    async fn ask_members(&self, list: Uuid, entries: Vec<Operation>) -> Result<u64> {
        let asked = HandOver { list, entries };
        let body = serde_json::to_vec(&asked).expect("plain data serializes");
        let cluster = self.credentials.introduction().cluster;
        let from =
            Introduction { replica: ADMINISTRATOR, cluster, lineage: None, incarnation: None };
        let (host, keys) = (&self.host, &self.config.keys);
        let known = self.members().into_iter().chain(self.config.members.clone());
        let members: Vec<_> = known.filter(|member| member.id != self.config.id).collect();
        loop {
            for member in &members {
                let (from, body) = (from.clone(), body.clone().into());
                let spawn = |task| consensus::spawn(host, task);
                let call = Call::HandOver;
                match peer::ask(host, keys, from, member, call, body, PART_MAX, spawn).await {
                    Ok(answer) => {
                        let taken: TakenOver = serde_json::from_slice(&answer)
                            .map_err(|error| Error::internal(format!("{member:?}: {error}")))?;
                        return Ok(taken.settled);
                    }
                    Err(error) => {
                        tracing::info!(member = %member.id, %error, "it does not hand over for us");
                    }
                }
            }
            sleep(RETRY).await;
        }
    }

    /// Proposes entries for a replica that was removed, and says how far its list is settled.
    ///
    /// # Errors
    /// [`ErrorCode::PermissionDenied`] for anything that is no entry of that list; those of a
    /// proposal and of a read that a majority has to confirm.
    pub(in crate::replica) async fn take_over(&self, asked: HandOver) -> Result<TakenOver> {
        let HandOver { list, entries } = asked;
        let is_entry = |operation: &Operation| matches!(&operation.action, Action::Deliver(delivery) if delivery.place.list == list);
        if !entries.iter().all(is_entry) {
            return Err(Error::new(
                ErrorCode::PermissionDenied,
                "only what a replica took without a majority is handed over for it",
            ));
        }
        let (consensus, deadline) = (self.consensus()?, Instant::now() + PART_MAX);
        let sequence = Sequence::default();
        let proposed = entries.into_iter().map(|it| consensus.propose(it, deadline, &sequence));
        let proposed: Vec<_> = proposed.collect();
        let mut settled = None;
        for applied in join_all(proposed).await {
            match applied?.outcome {
                Outcome::Settled { settled: through } => settled = settled.max(Some(through)),
                Outcome::Refused(body) => return Err(body.into()),
                other => return Err(Error::internal(format!("an entry was answered {other:?}"))),
            }
        }
        if let Some(settled) = settled {
            return Ok(TakenOver { settled });
        }
        consensus.confirm(deadline).await?;
        Ok(TakenOver { settled: self.machine.look(|look| look.settled(&list)) })
    }
}

fn changes(count: u64) -> String {
    match count {
        1 => "1 change".to_string(),
        _ => format!("{count} changes"),
    }
}
