//! How a cluster gets a new key, as its replicated state has it: only what anybody may
//! know. How the change goes on stands in [`crate::replica`], `membership/rekey.rs`.

use serde::{Deserialize, Serialize};

use super::{Digest, Fingerprint};
use crate::error::{Error, ErrorCode, Result};

/// Most changes of key that clients can follow one after the other. Whoever has missed more
/// pastes the cluster's word again.
pub const SUCCESSIONS_MAX: usize = 8;

/// The last change of a cluster's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// That of the key that was used before.
    pub old: Fingerprint,
    /// That of the key that takes its place.
    pub new: Fingerprint,
    /// How far the change has come.
    pub stage: KeyStage,
    /// By which clients that know an older key know the new one: oldest first, each of the
    /// key that the one before leads to. Empty after a theft.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub successions: Vec<Succession>,
}

/// How far a change of key has come. Each stage is entered when all servers have what it
/// needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStage {
    /// Servers get to know the new key, and use the old one.
    Announced,
    /// Servers use the new key, and know the old one.
    Used,
    /// Servers have forgotten the old key.
    Done,
}

/// That one key takes the place of another, signed with the older one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// The older identity's public key: the 32 bytes of RFC 8032.
    pub from: Digest,
    /// The newer one.
    pub to: Fingerprint,
    /// The two halves of the signature, R and S of RFC 8032.
    pub signature: [Digest; 2],
}

/// One step of a change of key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStep {
    /// Begins a change.
    Announce {
        /// The key that is used.
        old: Fingerprint,
        /// The key that is to be used.
        new: Fingerprint,
        /// By which clients follow; `None` when the old key proves nothing any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        succession: Option<Succession>,
        /// Whether it takes the place of one that is announced and goes no further.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        instead: bool,
    },
    /// Enters the next stage.
    Enter {
        /// Of the change to this key.
        new: Fingerprint,
        /// Which stage.
        stage: KeyStage,
    },
}

impl KeyChange {
    /// Whether servers still have something to do.
    pub fn is_under_way(&self) -> bool {
        self.stage != KeyStage::Done
    }

    /// What a step makes of the last change.
    ///
    /// # Errors
    /// [`ErrorCode::ChangeUnderWay`] when another change is; [`ErrorCode::WrongCluster`]
    /// when the old key is not the one that the last change led to.
    pub fn after(last: Option<&KeyChange>, step: &KeyStep) -> Result<KeyChange> {
        match step {
            KeyStep::Announce { old, new, succession, instead } => {
                let given_up = last.filter(|last| *instead && last.stage == KeyStage::Announced);
                if let Some(other) = last.filter(|last| last.is_under_way() && given_up.is_none()) {
                    return Err(other.under_way());
                }
                let used = |last: &KeyChange| if given_up.is_some() { last.old } else { last.new };
                if let Some(last) = last.filter(|last| used(last) != *old) {
                    return Err(Error::new(
                        ErrorCode::WrongCluster,
                        format!("the cluster's key is that of {}, and not of {old}", used(last)),
                    ));
                }
                if old == new {
                    return Err(Error::new(
                        ErrorCode::WrongUsage,
                        format!("{new} is the cluster's key already"),
                    ));
                }
                let mut before = last.map(|last| last.successions.clone()).unwrap_or_default();
                // Nobody has ever used what that one led to.
                before.retain(|it| given_up.is_none_or(|given_up| it.to != given_up.new));
                // Through a key that was stolen nothing leads any more.
                let mut successions = succession.as_ref().map(|_| before).unwrap_or_default();
                successions.extend(succession.clone());
                let surplus = successions.len().saturating_sub(SUCCESSIONS_MAX);
                successions.drain(..surplus);
                let (old, new, stage) = (*old, *new, KeyStage::Announced);
                Ok(KeyChange { old, new, stage, successions })
            }
            KeyStep::Enter { new, stage } => match last {
                Some(last) if last.new == *new && last.stage < *stage => {
                    Ok(KeyChange { stage: *stage, ..last.clone() })
                }
                // Said again by another leader it changes nothing.
                Some(last) if last.new == *new => Ok(last.clone()),
                _ => Err(Error::unavailable("the key is being changed otherwise; look again")),
            },
        }
    }

    /// That this change has to end before another one begins.
    pub fn under_way(&self) -> Error {
        Error::new(
            ErrorCode::ChangeUnderWay,
            format!(
                "the cluster's key is being changed from {} to {}, and one change is made at a \
                 time: finish it with the folder that `cluster rekey` has written for it{}",
                self.old,
                self.new,
                match self.stage {
                    KeyStage::Announced => "; if that is lost, give another folder and --force",
                    KeyStage::Used | KeyStage::Done => "",
                }
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Fingerprint {
        Fingerprint::of(name.as_bytes())
    }

    fn succession(from: &str, to: &str) -> Succession {
        let from = Digest::of(from.as_bytes());
        Succession { from, to: key(to), signature: [from, from] }
    }

    fn announce(old: &str, new: &str, planned: bool) -> KeyStep {
        let succession = planned.then(|| succession(old, new));
        KeyStep::Announce { old: key(old), new: key(new), succession, instead: false }
    }

    #[test]
    fn a_change_that_nobody_can_finish_is_given_up_for_another_while_no_server_uses_its_key() {
        let change = |last: Option<&KeyChange>, step: &KeyStep| KeyChange::after(last, step);
        let instead = |new: &str| match announce("b", new, true) {
            KeyStep::Announce { old, new, succession, .. } => {
                KeyStep::Announce { old, new, succession, instead: true }
            }
            KeyStep::Enter { .. } => unreachable!("it announces"),
        };
        let first = done(None, &announce("a", "b", true));
        let lost = change(Some(&first), &announce("b", "lost", true)).expect("possible");
        let next = change(Some(&lost), &instead("c")).expect("nobody uses the lost one");
        assert_eq!((next.old, next.new, next.stage), (key("b"), key("c"), KeyStage::Announced));
        assert_eq!(next.successions, [succession("a", "b"), succession("b", "c")]);
        let used = KeyStep::Enter { new: key("lost"), stage: KeyStage::Used };
        change(Some(&next), &used).expect_err("it was given up");
        let used = change(Some(&lost), &used).expect("possible");
        let refused = change(Some(&used), &instead("c")).expect_err("it is used");
        assert_eq!(refused.code, ErrorCode::ChangeUnderWay);
    }

    fn done(last: Option<&KeyChange>, step: &KeyStep) -> KeyChange {
        let begun = KeyChange::after(last, step).expect("possible");
        assert_eq!(begun.stage, KeyStage::Announced);
        let enter = KeyStep::Enter { new: begun.new, stage: KeyStage::Done };
        KeyChange::after(Some(&begun), &enter).expect("possible")
    }

    #[test]
    fn one_change_of_key_follows_another_and_none_goes_back() {
        let first = KeyChange::after(None, &announce("a", "b", true)).expect("possible");
        let refused = KeyChange::after(Some(&first), &announce("a", "c", true)).expect_err("two");
        assert_eq!(refused.code, ErrorCode::ChangeUnderWay);
        let enter = |stage| KeyStep::Enter { new: key("b"), stage };
        let used = KeyChange::after(Some(&first), &enter(KeyStage::Used)).expect("possible");
        let again = KeyChange::after(Some(&used), &enter(KeyStage::Announced)).expect("possible");
        assert_eq!(again, used, "no stage is left once it was entered");
        let done = KeyChange::after(Some(&used), &enter(KeyStage::Done)).expect("possible");
        assert!(!done.is_under_way());
        let refused = KeyChange::after(Some(&done), &announce("a", "c", true)).expect_err("old");
        assert_eq!(refused.code, ErrorCode::WrongCluster);
        KeyChange::after(Some(&done), &announce("b", "b", true)).expect_err("no change");
        let other = KeyStep::Enter { new: key("c"), stage: KeyStage::Used };
        KeyChange::after(Some(&used), &other).expect_err("another change");
        KeyChange::after(None, &other).expect_err("no change");
    }

    #[test]
    fn what_leads_to_a_key_is_bounded_and_ends_at_a_theft() {
        let names: Vec<String> = (0..20).map(|it| it.to_string()).collect();
        let mut last: Option<KeyChange> = None;
        for pair in names.windows(2) {
            last = Some(done(last.as_ref(), &announce(&pair[0], &pair[1], true)));
        }
        let last = last.expect("nineteen");
        assert_eq!(last.successions.len(), SUCCESSIONS_MAX);
        assert_eq!(last.successions.last(), Some(&succession("18", "19")));
        let stolen = done(Some(&last), &announce("19", "20", false));
        assert_eq!(stolen.successions, []);
        let next = done(Some(&stolen), &announce("20", "21", true));
        assert_eq!(next.successions, [succession("20", "21")]);
    }
}
