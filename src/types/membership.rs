//! Which replicas a cluster has, as its administrators want it, and how that changes.
//!
//! It is a part of the replicated state. What consensus counts majorities by follows
//! it: [`crate::consensus`], `membership.rs`, makes replicas learn, vote and leave until
//! the voters are those that stand here.
//!
//! A number is never used again. So whoever finds its own number missing here was
//! removed, for ever, whatever else it knows.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Address, KeyChange, KeyStep, ReplicaId, SUCCESSIONS_MAX};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{REPLICA_ID_JUMP_MAX, REPLICAS_MAX};

/// The replicas of a cluster. The default is that of a cluster whose membership has
/// never been changed: nothing is known here, and what it was founded with counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// How often it was changed.
    pub version: u64,
    /// The highest number that any replica ever had.
    pub highest: ReplicaId,
    /// Sorted by number.
    pub members: Vec<MemberEntry>,
    /// The last change of the cluster's key, if it ever was changed. From feature level
    /// [`LEVEL_OF_REKEY`](crate::limits::LEVEL_OF_REKEY) on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyChange>,
}

/// One replica of a [`Membership`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberEntry {
    /// Its number.
    pub id: ReplicaId,
    /// Where others and clients look for it. It may be elsewhere.
    pub address: Address,
    /// The replica that leaves when this one votes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ReplicaId>,
}

/// A change of a [`Membership`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberChange {
    /// One more.
    Add(MemberEntry),
    /// One less.
    Remove {
        /// Which.
        id: ReplicaId,
    },
    /// One is to be looked for elsewhere.
    Move {
        /// Which.
        id: ReplicaId,
        /// Where.
        address: Address,
    },
    /// The cluster gets a new key. From feature level
    /// [`LEVEL_OF_REKEY`](crate::limits::LEVEL_OF_REKEY) on.
    Key(KeyStep),
}

impl MemberChange {
    /// The replica that it is about; number 0 if it is about all.
    pub fn id(&self) -> ReplicaId {
        match self {
            MemberChange::Add(entry) => entry.id,
            MemberChange::Remove { id } | MemberChange::Move { id, .. } => *id,
            MemberChange::Key(_) => ReplicaId(0),
        }
    }
}

impl Membership {
    /// That of a cluster as it was founded.
    pub fn founded(mut members: Vec<MemberEntry>) -> Membership {
        members.sort_by_key(|member| member.id);
        let highest = members.last().map_or(ReplicaId(0), |member| member.id);
        Membership { version: 0, highest, members, key: None }
    }

    /// Whether it was ever changed.
    pub fn is_known(&self) -> bool {
        self.version > 0
    }

    /// Whether changes can have led to it.
    pub fn is_possible(&self) -> bool {
        let sorted = self.members.is_sorted_by(|a, b| a.id < b.id);
        let last = self.members.last().map(|member| member.id);
        let successions = self.key.as_ref().map_or(0, |change| change.successions.len());
        self.is_known()
            && sorted
            && last.is_some_and(|last| last <= self.highest)
            && successions <= SUCCESSIONS_MAX
    }

    /// The replica of a number.
    pub fn get(&self, id: ReplicaId) -> Option<&MemberEntry> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Whether that replica was one once and is none any more. Of a number that was never
    /// given, nobody can tell.
    pub fn was_removed(&self, id: ReplicaId) -> bool {
        let was_given = id.0 > 0 && id <= self.highest;
        self.is_known() && was_given && self.get(id).is_none()
    }

    /// The replica that is to take the place of another.
    pub fn successor(&self, id: ReplicaId) -> Option<ReplicaId> {
        self.members.iter().find(|member| member.replaces == Some(id)).map(|member| member.id)
    }

    /// The membership after a change.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownReplica`]; [`ErrorCode::IdConflict`] for a number that was given
    /// and an address where another replica is; [`ErrorCode::TooMany`].
    pub fn changed(&self, change: &MemberChange) -> Result<Membership> {
        let mut next = Membership { version: self.version + 1, ..self.clone() };
        match change {
            MemberChange::Add(entry) => {
                self.check_new(entry)?;
                next.highest = entry.id;
                // The highest number of all: sorted it stays.
                next.members.push(entry.clone());
            }
            MemberChange::Remove { id } => {
                self.check_known(*id)?;
                if self.members.len() == 1 {
                    return Err(Error::new(
                        ErrorCode::NotConfirmed,
                        format!("replica {id} is the only one; without it there is no cluster"),
                    ));
                }
                next.members.retain(|member| member.id != *id);
                for member in &mut next.members {
                    member.replaces = member.replaces.filter(|replaced| replaced != id);
                }
            }
            MemberChange::Move { id, address } => {
                self.check_known(*id)?;
                self.check_address(*id, address)?;
                let moved = next.members.iter_mut().filter(|member| member.id == *id);
                moved.for_each(|member| member.address = address.clone());
            }
            MemberChange::Key(step) => next.key = Some(KeyChange::after(self.key.as_ref(), step)?),
        }
        Ok(next)
    }

    fn check_new(&self, entry: &MemberEntry) -> Result<()> {
        let MemberEntry { id, address, replaces } = entry;
        if *id <= self.highest {
            let why = match self.get(*id) {
                Some(member) => format!("is in use, at {}", member.address),
                None => "is of the past, and no number is used twice".to_string(),
            };
            return Err(Error::new(
                ErrorCode::IdConflict,
                format!("the number {id} {why}; the next free one is {}", self.next_id()),
            ));
        }
        if id.0 - self.highest.0 > REPLICA_ID_JUMP_MAX {
            return Err(Error::new(
                ErrorCode::IdConflict,
                format!(
                    "the number {id} is far beyond {}, and those between could never be used; \
                     the next free one is {}",
                    self.highest,
                    self.next_id()
                ),
            ));
        }
        self.check_address(*id, address)?;
        if self.members.len() >= REPLICAS_MAX {
            return Err(Error::new(
                ErrorCode::TooMany,
                format!("a cluster has at most {REPLICAS_MAX} replicas; remove one first"),
            ));
        }
        match replaces {
            None => Ok(()),
            Some(replaced) => match self.successor(*replaced) {
                None => self.check_known(*replaced),
                Some(successor) => Err(Error::new(
                    ErrorCode::IdConflict,
                    format!("replica {replaced} is being replaced by replica {successor} already"),
                )),
            },
        }
    }

    fn check_known(&self, id: ReplicaId) -> Result<()> {
        if self.get(id).is_some() {
            return Ok(());
        }
        let known: Vec<String> = self.members.iter().map(|member| member.id.to_string()).collect();
        let why = if self.was_removed(id) { "was removed" } else { "is not there" };
        Err(Error::new(
            ErrorCode::UnknownReplica,
            format!("replica {id} {why}; the cluster has {}", known.join(", ")),
        ))
    }

    fn check_address(&self, id: ReplicaId, address: &Address) -> Result<()> {
        let there = self.members.iter().find(|it| it.id != id && it.address == *address);
        match there {
            None => Ok(()),
            Some(other) => Err(Error::new(
                ErrorCode::IdConflict,
                format!("replica {} is at {address} already", other.id),
            )),
        }
    }

    /// The lowest number that no replica ever had.
    pub fn next_id(&self) -> ReplicaId {
        ReplicaId(self.highest.0.saturating_add(1))
    }
}

/// The replicas that have left a cluster: removed, and counted in no majority any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departed {
    /// What the state says.
    pub membership: Arc<Membership>,
    /// Replicas that consensus still has to do with, whatever the state says.
    pub remaining: BTreeSet<ReplicaId>,
}

impl Departed {
    /// Whether that one has left.
    pub fn contains(&self, id: ReplicaId) -> bool {
        self.membership.was_removed(id) && !self.remaining.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u32, replaces: Option<u32>) -> MemberEntry {
        let address = format!("h{id}:1").parse().expect("an address");
        MemberEntry { id: ReplicaId(id), address, replaces: replaces.map(ReplicaId) }
    }

    fn of_three() -> Membership {
        Membership::founded(vec![entry(3, None), entry(1, None), entry(2, None)])
    }

    fn remove(id: u32) -> MemberChange {
        MemberChange::Remove { id: ReplicaId(id) }
    }

    fn ids(membership: &Membership) -> Vec<u32> {
        membership.members.iter().map(|member| member.id.0).collect()
    }

    #[test]
    fn replicas_come_and_go_and_their_numbers_do_not_come_back() {
        let added = of_three().changed(&MemberChange::Add(entry(4, Some(2)))).expect("free");
        assert_eq!((ids(&added), added.version), (vec![1, 2, 3, 4], 1));
        assert_eq!(added.successor(ReplicaId(2)), Some(ReplicaId(4)));
        let replaced = added.changed(&remove(2)).expect("there");
        assert_eq!(ids(&replaced), [1, 3, 4]);
        assert_eq!(replaced.get(ReplicaId(4)).expect("there").replaces, None);
        assert!(replaced.was_removed(ReplicaId(2)));
        assert!(!replaced.was_removed(ReplicaId(3)) && !replaced.was_removed(ReplicaId(5)));
        // Also when the highest of all is taken back.
        let without = replaced.changed(&remove(4)).expect("there");
        assert_eq!((ids(&without), without.next_id()), (vec![1, 3], ReplicaId(5)));
    }

    #[test]
    fn a_founded_membership_has_removed_nobody() {
        let founded = Membership::founded(vec![entry(1, None), entry(5, None)]);
        assert!(!founded.is_known() && !founded.was_removed(ReplicaId(2)));
        assert!(!Membership::default().was_removed(ReplicaId(0)));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        let three = of_three();
        let taken = MemberEntry { address: "h1:1".parse().expect("valid"), ..entry(4, None) };
        let moved = |id: u32, to: &str| MemberChange::Move {
            id: ReplicaId(id),
            address: to.parse().expect("an address"),
        };
        let gone = three.changed(&remove(2)).expect("there");
        let pending = three.changed(&MemberChange::Add(entry(4, Some(2)))).expect("free");
        for (membership, change, code, why) in [
            (&three, MemberChange::Add(entry(2, None)), ErrorCode::IdConflict, "in use, at h2:1"),
            (&gone, MemberChange::Add(entry(2, None)), ErrorCode::IdConflict, "of the past"),
            (&three, MemberChange::Add(entry(104, None)), ErrorCode::IdConflict, "far beyond 3"),
            (&three, MemberChange::Add(taken), ErrorCode::IdConflict, "replica 1 is at h1:1"),
            (&three, MemberChange::Add(entry(4, Some(7))), ErrorCode::UnknownReplica, "replica 7"),
            (&pending, MemberChange::Add(entry(5, Some(2))), ErrorCode::IdConflict, "by replica 4"),
            (&three, remove(7), ErrorCode::UnknownReplica, "is not there; the cluster has 1, 2, 3"),
            (&gone, remove(2), ErrorCode::UnknownReplica, "was removed"),
            (&three, moved(1, "h3:1"), ErrorCode::IdConflict, "replica 3 is at h3:1"),
            (&gone, moved(2, "h9:1"), ErrorCode::UnknownReplica, "was removed"),
        ] {
            let refused = membership.changed(&change).expect_err(why);
            assert_eq!(refused.code, code, "{why}");
            assert!(refused.message.contains(why), "{}", refused.message);
        }
        let last = Membership::founded(vec![entry(1, None)]);
        assert_eq!(last.changed(&remove(1)).expect_err("last").code, ErrorCode::NotConfirmed);
        let mut full = last;
        while full.members.len() < REPLICAS_MAX {
            let next = entry(full.next_id().0, None);
            full = full.changed(&MemberChange::Add(next)).expect("room");
        }
        let one_more = MemberChange::Add(entry(full.next_id().0, None));
        assert_eq!(full.changed(&one_more).expect_err("full").code, ErrorCode::TooMany);
    }

    #[test]
    fn a_replica_moves_where_nobody_is_and_stays_itself() {
        let to = "elsewhere:9".parse::<Address>().expect("valid");
        let change = MemberChange::Move { id: ReplicaId(2), address: to.clone() };
        let moved = of_three().changed(&change).expect("free");
        assert_eq!(moved.get(ReplicaId(2)).expect("there").address, to);
        // Said twice it is as if said once, but for the count.
        let again = moved.changed(&change).expect("there already");
        assert_eq!(again.members, moved.members);
    }
}
