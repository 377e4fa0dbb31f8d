//! A change as an administrator asks for it: whether the cluster can bear it, and how far it
//! has come.

use std::collections::BTreeSet;

use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout};

use super::CHANGE_MAX;
use crate::consensus::Consensus;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::LEVEL_OF_MEMBERSHIP;
use crate::protocol::peer::{ChangeMembers, MembersChanged};
use crate::replica::Inner;
use crate::types::{MemberChange, MemberEntry, Membership, ReplicaId, majority};

impl Inner {
    /// Does what an administrator asks for, or tells how far it has come.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when this replica does not lead, or nothing can be
    /// changed now; [`ErrorCode::ChangeUnderWay`], [`ErrorCode::UnsafeChange`]; those of
    /// [`Membership::changed`].
    pub(in crate::replica) async fn change_members(
        &self,
        asked: ChangeMembers,
    ) -> Result<MembersChanged> {
        let (consensus, _changing) = self.begin_change(LEVEL_OF_MEMBERSHIP).await?;
        if matches!(asked.change, MemberChange::Key(_)) {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                "a change of key is asked otherwise",
            ));
        }
        let membership = self.membership();
        let change = with_number(&membership, &consensus, asked.change);
        if !is_done(&membership, &change) {
            self.check_alone(&membership, &consensus, &change)?;
            if let MemberChange::Remove { id } = change {
                self.check_bearable(&membership, &consensus, id, asked.force)?;
            }
            self.propose_member_change(&consensus, &membership, change.clone()).await?;
        }
        let membership = self.membership();
        let waits_for = self.waits_for(&membership, &consensus, change.id());
        let replaced = membership.members.iter().filter(|it| it.replaces.is_some()).count();
        Ok(MembersChanged {
            replica: change.id(),
            members: self.members(),
            settled: waits_for.as_ref().is_none_or(|it| it.needs_somebody),
            waits_for: waits_for.map(|it| it.sentence),
            voters: (membership.members.len() - replaced) as u32,
        })
    }

    /// What a replica that was added or removed waits for; `None` when it votes, or is
    /// gone.
    fn waits_for(
        &self,
        membership: &Membership,
        consensus: &Consensus,
        id: ReplicaId,
    ) -> Option<Waiting> {
        let present = consensus.nodes().iter().any(|node| node.replica() == id);
        let voters = consensus.voters();
        let Some(member) = membership.get(id) else {
            return present.then(|| Waiting::of(format!("replica {id} is being left out")));
        };
        let reached = id == self.config.id
            || self.links.get(id).is_some_and(|pair| pair.consensus.peer().is_ok());
        if !voters.contains(&id) {
            let pair_of_voters = voters.len() == 1 && member.replaces.is_none();
            return Some(match (present, reached) {
                (true, true) if pair_of_voters && coming(membership, &voters).len() == 1 => {
                    let sentence = format!(
                        "replica {id} learns, and votes when there is a third: two voters \
                         tolerate less than one"
                    );
                    Waiting { sentence, needs_somebody: true }
                }
                (_, false) => Waiting::of(format!(
                    "nobody answers as replica {id} at {}: start it there",
                    member.address
                )),
                (false, true) => Waiting::of(format!("replica {id} is about to learn")),
                (true, true) => Waiting::of(format!("replica {id} is catching up")),
            });
        }
        match (member.replaces, consensus.is_changing()) {
            (Some(old), _) => Some(Waiting::of(format!("replica {old} is being left out"))),
            (None, true) => Some(Waiting::of(format!("replica {id} is becoming a voter"))),
            (None, false) => None,
        }
    }

    /// On the leader: what every change begins with. Nobody else changes anything until what
    /// is returned is dropped, and all know the level that the change needs.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when this replica does not lead, or nothing can be changed
    /// now.
    pub(super) async fn begin_change(&self, level: u32) -> Result<(Consensus, MutexGuard<'_, ()>)> {
        let consensus = self.consensus()?;
        if !consensus.leads() || self.host_replica.is_some() {
            return Err(Error::unavailable("this replica does not lead"));
        }
        let changing = timeout(CHANGE_MAX, self.membership_changes.alone.lock()).await;
        let changing = changing.map_err(|_| {
            Error::unavailable("the membership is being changed; try again in a moment")
        })?;
        // What an earlier leader has promised is in the state by then.
        consensus.confirm(Instant::now() + CHANGE_MAX).await?;
        self.require_level(level).await?;
        Ok((consensus, changing))
    }

    /// Refuses a change while another one is under way, unless it takes that one back.
    pub(super) fn check_alone(
        &self,
        membership: &Membership,
        consensus: &Consensus,
        change: &MemberChange,
    ) -> Result<()> {
        let voters = consensus.voters();
        // A new server would be given keys of which it cannot know which one to use.
        if let Some(rekey) = membership.key.as_ref().filter(|it| it.is_under_way())
            && matches!(change, MemberChange::Add(_))
        {
            return Err(rekey.under_way());
        }
        if !consensus.is_settled_on(membership) {
            return Err(Error::unavailable(
                "the change before is being finished; try again in a moment",
            ));
        }
        let coming = coming(membership, &voters);
        let Some(first) = coming.first() else { return Ok(()) };
        // Of a single voter two learners become voters together.
        let completes = matches!(change, MemberChange::Add(added) if added.replaces.is_none())
            && (voters.len(), coming.len()) == (1, 1)
            && first.replaces.is_none();
        if completes || coming.iter().any(|it| it.id == change.id()) {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::ChangeUnderWay,
            format!(
                "replica {} is being added and does not vote yet, and one change is made at a \
                 time: wait for it, or take it back by removing replica {}",
                first.id, first.id
            ),
        ))
    }

    /// Refuses to remove a replica that the others cannot do without.
    fn check_bearable(
        &self,
        membership: &Membership,
        consensus: &Consensus,
        id: ReplicaId,
        force: bool,
    ) -> Result<()> {
        let voters = consensus.voters();
        if membership.get(id).is_none() || !voters.contains(&id) {
            return Ok(());
        }
        let rest: BTreeSet<ReplicaId> = voters.iter().copied().filter(|it| *it != id).collect();
        let here = |voters: &BTreeSet<ReplicaId>| {
            voters.iter().filter(|it| self.is_in_step(consensus, **it)).count()
        };
        if id == self.config.id
            && consensus.successor_among(0, |it| rest.contains(&it.replica())).is_none()
        {
            return Err(Error::new(
                ErrorCode::UnsafeChange,
                format!(
                    "replica {id} leads, and no other one that runs on a server of its own could \
                     lead in its place: start one first"
                ),
            ));
        }
        let (here_now, here_then) = (here(&voters), here(&rest));
        let missing = majority(rest.len()).saturating_sub(here_then);
        if missing > 0 {
            return Err(Error::new(
                ErrorCode::UnsafeChange,
                format!(
                    "without replica {id} there would be {} replicas, of which only {here_then} \
                     are here and in step: no majority. Bring another one back, or remove one that \
                     is away, first; nothing can force this",
                    rest.len()
                ),
            ));
        }
        let tolerated = |total: usize, here: usize| match self.adopts_all(&rest) {
            true => here.saturating_sub(1),
            false => here.saturating_sub(majority(total)),
        };
        let now = tolerated(voters.len(), here_now);
        if now > 0 && tolerated(rest.len(), here_then) == 0 && !force {
            return Err(Error::new(
                ErrorCode::UnsafeChange,
                format!(
                    "without replica {id} no failure would be tolerated any more: add another \
                     one first, replace it, or say --force"
                ),
            ));
        }
        Ok(())
    }

    fn is_in_step(&self, consensus: &Consensus, id: ReplicaId) -> bool {
        id == self.config.id
            || (consensus.is_kept_up_with_by(id)
                && self.links.get(id).is_some_and(|pair| pair.consensus.peer().is_ok()))
    }

    /// Whether this server could go on alone, as the others could be adopted.
    fn adopts_all(&self, voters: &BTreeSet<ReplicaId>) -> bool {
        let located = self.located.borrow();
        self.config.survivor.adopts()
            && voters
                .iter()
                .filter(|it| **it != self.config.id)
                .all(|it| located.iter().any(|node| node.replica() == *it))
    }

    /// On the leader: what is not done yet of a change, for users.
    pub(in crate::replica) fn membership_notice(&self) -> Option<String> {
        let consensus = self.consensus().ok()?;
        let membership = self.membership();
        if !membership.is_known() {
            return None;
        }
        let mut concerned: BTreeSet<ReplicaId> =
            membership.members.iter().map(|member| member.id).collect();
        concerned.extend(consensus.nodes().iter().map(|node| node.replica()));
        concerned.into_iter().find_map(|id| {
            let why = self.waits_for(&membership, &consensus, id)?;
            Some(format!("the membership is changing: {}", why.sentence))
        })
    }
}

/// The members that do not vote yet.
fn coming<'a>(membership: &'a Membership, voters: &BTreeSet<ReplicaId>) -> Vec<&'a MemberEntry> {
    membership.members.iter().filter(|it| !voters.contains(&it.id)).collect()
}

/// What a change waits for.
struct Waiting {
    sentence: String,
    /// Whether it is not done before somebody does something else.
    needs_somebody: bool,
}

impl Waiting {
    /// For what comes by itself.
    fn of(sentence: String) -> Waiting {
        Waiting { sentence, needs_somebody: false }
    }
}

/// The change, with the number that a new replica gets: the one that it has already, if
/// it is the same request again.
fn with_number(
    membership: &Membership,
    consensus: &Consensus,
    change: MemberChange,
) -> MemberChange {
    let MemberChange::Add(mut entry) = change else { return change };
    if entry.id == ReplicaId(0) {
        let voters = consensus.voters();
        let same = |it: &&MemberEntry| {
            it.address == entry.address && it.replaces == entry.replaces && !voters.contains(&it.id)
        };
        let begun = membership.members.iter().find(same);
        entry.id = begun.map_or_else(|| membership.next_id(), |begun| begun.id);
    }
    MemberChange::Add(entry)
}

/// Whether the membership is as the change would have it.
fn is_done(membership: &Membership, change: &MemberChange) -> bool {
    match change {
        MemberChange::Add(entry) => membership.get(entry.id).is_some_and(|known| {
            let replaced = entry.replaces.filter(|old| membership.get(*old).is_some());
            known.address == entry.address && known.replaces == replaced
        }),
        MemberChange::Remove { id } => membership.was_removed(*id),
        MemberChange::Move { id, address } => {
            membership.get(*id).is_some_and(|known| known.address == *address)
        }
        MemberChange::Key(_) => false,
    }
}
