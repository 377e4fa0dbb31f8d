//! Which replicas the cluster has, and how that changes while it runs.
//!
//! # Two facts
//! What an administrator wants is in the replicated state ([`Membership`]). Whom
//! consensus counts majorities by is in its own log, and follows: a replica that was
//! added learns when it starts and votes when it has caught up
//! ([`Consensus::admit`]), and one that was removed is left out by the leader
//! ([`Consensus::leave_out`]). A step that is cut off, by the death of the command or of
//! any server, is taken by the next leader, which sees the same two facts.
//!
//! While the state names no members, as before the first change, those that the server
//! was configured with count.
//!
//! # One change at a time
//! The leader refuses a change while the one before is not done, but for what takes
//! that one back. It also refuses to remove a replica if the rest would be no majority,
//! and, unless it is forced, if the rest could bear no failure any more.
//!
//! # Addresses
//! They are hints: whoever answers proves to be the replica. A peer is looked for where
//! the state says, where the configuration says, and where it said itself that it is.
//! So all replicas may move at once, as long as each finds one that knows more. One that is
//! new, or has lost its disk, may have been configured long ago: until it has the state it
//! also goes to those who call it and prove to be of the cluster.
//!
//! # Whoever was removed
//! It is told so when it calls, and its process ends. Its number is never used again, so
//! that is true for ever, and the word of one peer that has proved to be of the
//! cluster is enough. Until consensus counts without it, it takes part as before.

mod change;
mod rekey;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{Inner, Phase, Replica};
use crate::chat::{Action, Operation, Outcome};
use crate::consensus::{self, Consensus, Sequence};
use crate::error::{Error, ErrorCode, Result};
use crate::peer::Met;
use crate::protocol::client::Member;
use crate::protocol::peer::ADMINISTRATOR;
use crate::storage::ForgottenKeys;
use crate::types::{Address, Departed, MemberChange, MemberEntry, Membership, NodeId, ReplicaId};

/// Pause between two steps of a leader that has something to do.
const STEP_INTERVAL: Duration = Duration::from_millis(50);

/// Longest pause between two looks, where there ever was a change.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a step may take before it is looked at anew.
const STEP_MAX: Duration = Duration::from_secs(5);

/// How long a change may take to get into the log.
const CHANGE_MAX: Duration = Duration::from_secs(3);

/// What is under way.
#[derive(Default)]
pub(super) struct Changes {
    /// Held by whoever changes the membership, from looking at it to having changed it.
    pub(super) alone: tokio::sync::Mutex<()>,
    /// Which keys the cluster has forgotten, as the directory has it.
    pub(super) forgotten_keys: tokio::sync::Mutex<Option<ForgottenKeys>>,
    /// What a change of key waits for, as a leader sees it.
    pub(super) waits_for_keys: watch::Sender<Option<String>>,
}

/// Follows the membership, and the keys, until the replica stops.
pub(super) async fn watch(inner: Arc<Inner>) {
    consensus::spawn(&inner.host, rekey::watch(Arc::downgrade(&inner)));
    let mut stopped = inner.phase.subscribe();
    tokio::select! {
        biased;
        _ = stopped.wait_for(|phase| matches!(phase, Phase::Stopped)) => {}
        () = inner.follow_membership() => {}
        // An adopted one: what is being written goes on to its end, until its host lets it go.
        removed = inner.credentials.removed(), if inner.host_replica.is_some() => {
            inner.fail(removed);
        }
    }
}

impl Replica {
    /// All replicas of the cluster, as far as this one knows.
    pub fn members(&self) -> Vec<Member> {
        self.0.members()
    }

    /// A replica that is a member, or was one when this server was configured.
    pub fn member(&self, id: ReplicaId) -> Option<Member> {
        let configured = self.0.config.members.iter();
        self.members().iter().chain(configured).find(|member| member.id == id).cloned()
    }

    /// The other replicas, with those that have left and still count for a majority.
    pub fn peers(&self) -> Vec<ReplicaId> {
        self.0.links.peers()
    }

    /// Runs a task for each peer as long as it is one, and never ends.
    pub async fn with_each_peer<F: Future<Output = ()> + Send>(
        &self,
        task: impl FnMut(ReplicaId) -> F,
    ) {
        self.0.links.with_each(task).await;
    }
}

impl Inner {
    fn watch_membership(&self) -> watch::Receiver<Arc<Membership>> {
        match &self.host_replica {
            // It has the state.
            Some(host) => host.0.watch_membership(),
            None => self.machine.watch_membership(),
        }
    }

    /// The membership as the state has it, else as it is configured.
    pub(super) fn membership(&self) -> Arc<Membership> {
        let known = self.watch_membership().borrow().clone();
        if known.is_known() { known } else { Arc::new(Membership::founded(self.founders())) }
    }

    /// The members that this replica is configured with.
    fn founders(&self) -> Vec<MemberEntry> {
        let entry = |member: &Member| {
            let Member { id, address } = member.clone();
            MemberEntry { id, address, replaces: None }
        };
        self.config.members.iter().map(entry).collect()
    }

    pub(super) fn members(&self) -> Vec<Member> {
        let member = |entry: &MemberEntry| Member { id: entry.id, address: entry.address.clone() };
        self.membership().members.iter().map(member).collect()
    }

    async fn follow_membership(&self) {
        let mut changes = self.watch_membership();
        let mut callers = self.callers.subscribe();
        let mut phase = self.phase.subscribe();
        loop {
            changes.mark_unchanged();
            callers.mark_unchanged();
            phase.mark_unchanged();
            let consensus = self.consensus().ok();
            let nodes = consensus.as_ref().map(Consensus::nodes).unwrap_or_default();
            self.connect_members(&nodes);
            self.follow_keys();
            let Some(consensus) = consensus else {
                // Neither can end before this replica does.
                tokio::select! {
                    biased;
                    _ = changes.changed() => {}
                    _ = callers.changed() => {}
                    _ = phase.changed() => {}
                }
                continue;
            };
            if self.may_have_to_settle(&consensus) {
                match timeout(STEP_MAX, self.settle(&consensus)).await {
                    Ok(Ok(true)) => continue,
                    Ok(Ok(false)) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "the membership is not settled yet"),
                    Err(_) => tracing::debug!("a step of the membership takes long"),
                }
                sleep(STEP_INTERVAL).await;
                continue;
            }
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                _ = callers.changed() => {}
                _ = phase.changed() => {}
                () = consensus.leader_changed() => {}
                // Whoever leads since the look above sees to it all the same.
                () = sleep(LOOK_INTERVAL), if self.membership().is_known() => {}
                () = consensus.nodes_changed_from(&nodes) => {}
            }
        }
    }

    /// Sees to it that there are connections to all members, and to no others, but those
    /// that count for a majority.
    pub(super) fn connect_members(&self, nodes: &[NodeId]) {
        let membership = self.membership();
        let remaining: BTreeSet<ReplicaId> = nodes.iter().map(|node| node.replica()).collect();
        let mut peers: BTreeSet<ReplicaId> =
            membership.members.iter().map(|member| member.id).chain(remaining.clone()).collect();
        if !membership.is_known() {
            peers.extend(self.callers.borrow().keys().copied());
        }
        peers.remove(&self.config.id);
        let connect = |peer| self.connector.connect(peer, &self.addresses_of(&membership, peer));
        self.links.become_those(&peers, connect);
        for (peer, pair) in self.links.all() {
            let addresses = self.addresses_of(&membership, peer);
            pair.consensus.look_at(addresses.clone());
            pair.service.look_at(addresses);
        }
        self.credentials.be_looked_for_at(self.own_address());
        if nodes.is_empty() {
            // Whom consensus still counts with is not known yet.
            return;
        }
        let departed = Departed { membership, remaining };
        let left = departed.contains(self.config.id);
        self.credentials.leave_out(departed);
        if left {
            self.credentials.note_removed(&self.removed());
        }
    }

    /// Takes a replica of the cluster that calls for one of it, as long as this one does not
    /// know better.
    pub(super) fn note_caller(&self, caller: &Met) {
        let Met { who, address: Some(address), .. } = caller else { return };
        // One without a cluster would be asked to found one.
        let counts = who.replica != ADMINISTRATOR && who.cluster.is_some();
        if counts && self.links.get(who.replica).is_none() && !self.membership().is_known() {
            self.callers.send_modify(|callers| {
                callers.insert(who.replica, address.clone());
            });
        }
    }

    /// Where others are to look for this replica.
    fn own_address(&self) -> Address {
        let membership = self.membership();
        let told = membership.get(self.config.id).map(|member| &member.address);
        told.unwrap_or_else(|| self.config.address()).clone()
    }

    /// Where a replica is looked for, best first.
    fn addresses_of(&self, membership: &Membership, peer: ReplicaId) -> Vec<Address> {
        let told = membership.get(peer).map(|member| &member.address);
        let configured = self.config.members.iter().find(|member| member.id == peer);
        let mut addresses: Vec<Address> = told.cloned().into_iter().collect();
        addresses.extend(configured.map(|member| member.address.clone()));
        if addresses.is_empty() {
            addresses.extend(self.callers.borrow().get(&peer).cloned());
        }
        addresses.dedup();
        addresses
    }

    /// That this replica was removed.
    fn removed(&self) -> Error {
        Error::new(
            ErrorCode::ReplicaRemoved,
            format!(
                "replica {} was removed from the cluster, and its number is never used again; its \
                 data is where it was",
                self.config.id
            ),
        )
    }

    /// Whether this replica leads, has the state, and consensus counts otherwise than the
    /// state wants.
    fn may_have_to_settle(&self, consensus: &Consensus) -> bool {
        let membership = self.membership();
        self.host_replica.is_none()
            && consensus.leads()
            && membership.is_known()
            && (!consensus.is_settled_on(&membership) || self.replaced(consensus).is_some())
    }

    /// A replica whose successor votes in its place.
    fn replaced(&self, consensus: &Consensus) -> Option<ReplicaId> {
        let voters = consensus.voters();
        self.membership().members.iter().find_map(|member| {
            let old = member.replaces?;
            (voters.contains(&member.id) && !voters.contains(&old)).then_some(old)
        })
    }

    /// On the leader: takes the next step towards what the state wants. Returns whether
    /// something was done.
    async fn settle(&self, consensus: &Consensus) -> Result<bool> {
        let Ok(_changing) = self.membership_changes.alone.try_lock() else { return Ok(false) };
        // The state may be behind the log of a leader that is new.
        consensus.confirm(Instant::now() + CHANGE_MAX).await?;
        let membership = self.membership();
        if let Some(id) = self.replaced(consensus) {
            let change = MemberChange::Remove { id };
            self.propose_member_change(consensus, &membership, change).await?;
            return Ok(true);
        }
        consensus.leave_out(&membership).await
    }

    async fn propose_member_change(
        &self,
        consensus: &Consensus,
        seen: &Membership,
        change: MemberChange,
    ) -> Result<()> {
        // What it would say no to says no here, before anything is in a log.
        seen.changed(&change)?;
        let action = Action::ChangeMembers {
            expects: seen.version,
            change,
            founders: if seen.is_known() { Vec::new() } else { self.founders() },
        };
        let operation = Operation { id: self.host.uuid(), action };
        let deadline = Instant::now() + CHANGE_MAX;
        let applied = consensus.propose(operation, deadline, &Sequence::default()).await?;
        match applied.outcome {
            Outcome::MembersChanged { .. } => Ok(()),
            Outcome::Refused(error) => Err(error.into()),
            outcome => Err(Error::internal(format!("asked for a change, got {outcome:?}"))),
        }
    }
}
