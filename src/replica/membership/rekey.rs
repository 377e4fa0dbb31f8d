//! A new key for a cluster that runs, without a pause.
//!
//! # What is where
//! A key is a file that an administrator carries to each server, and the memory of the
//! servers that have read it. It is in no log, snapshot, backup or frame. What
//! replicas agree on are fingerprints: [`KeyChange`], a part of the
//! [`Membership`].
//!
//! The file of a server holds one key, or, during a change, two: the new one in the first
//! line, the old one in the second. A running server looks at its file each second, and one
//! that is restarted reads the same file; so neither a second setting nor another unit
//! of the service manager is needed, and where the manager hands the server a copy of the
//! file, a restart does it.
//!
//! # The stages
//! ```text
//! announced   servers get to know the new key        use: old   know: old, then both
//!     │       all members say that they know it
//! used        servers change over                    use: new   know: both
//!     │       all members say that they use it
//! done        the old key is forgotten               use: new   know: new
//! ```
//! The command announces the change. Then whoever leads asks every member which keys its
//! server knows, and writes the next stage into the log when all have what it needs. A
//! replica does what a stage asks for when it applies the entry. Which key a connection
//! is proved by the two ends find out by themselves ([`crate::peer`], `keys.rs`): any that
//! both know will do. So servers in two neighbouring stages always understand each other:
//!
//! | | announced, not known yet | announced, known | used | done |
//! |---|---|---|---|---|
//! | announced, not known yet | old | old | – | – |
//! | announced, known | | old | old or new | new |
//! | used | | | new | new |
//! | done | | | | new |
//!
//! The two that do not are never there at once: "used" begins when no member is left
//! that does not know the new key.
//!
//! # What happens when somebody dies
//! - **The command**: before it has announced the change, nothing has happened; the folder
//!   it wrote has the new key, and the same command takes that one. Afterwards the cluster
//!   goes on by itself, and the same command looks on.
//! - **The leader**: the next one sees the same stage and asks again. A stage that was in
//!   no majority's log was not entered, and is entered again.
//! - **A server that does not know the new key**: the stage stays "announced" until it is
//!   back and has its file, or is removed. Nothing is lost meanwhile, as all use the old
//!   key.
//! - **A server that knows it, in any stage**: it comes back with the file that has both
//!   keys, understands everybody, and catches up with the stage as with the rest of the log.
//! - **A server that is left out by force** because it does not answer: it comes back with
//!   the old key alone, and nobody understands it. It says so, and which file has to be
//!   replaced. It looks at that each second, so the new file lets it in without a restart.
//! - **A server whose replica is run by another one** of its machine counts as one that
//!   does not answer: its own file may hold other keys. In a local cluster all servers
//!   have one file, so its command goes on without it.
//! - **A majority**: no entry is written, so no stage is entered. That is also why force
//!   cannot help without one.
//!
//! # What is forgotten stays so
//! Whoever forgets the old key ends all connections that were proved by it, and writes its
//! fingerprint down (`forgotten-keys.json`). So a restart does not know it again from a file
//! that still holds both, not even while the state is being loaded. Such a file is told in
//! `status`, as a server that has lost its disk would believe it until it has the state.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::CHANGE_MAX;
use crate::consensus::Consensus;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::LEVEL_OF_REKEY;
use crate::protocol::peer::{Call, KnownKeys, Rekey, Rekeyed};
use crate::replica::{Inner, Phase};
use crate::tls;
use crate::types::{
    Fingerprint, KeyChange, KeyStage, KeyStep, MemberChange, Membership, ReplicaId, majority,
};

/// Pause between two looks at a change.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long a server may take to say which keys it knows.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Does what the stage of a change asks for, and, on the leader, enters the next one. Ends
/// with the replica.
pub(super) async fn watch(replica: Weak<Inner>) {
    loop {
        sleep(LOOK_INTERVAL).await;
        let Some(inner) = replica.upgrade() else { return };
        if matches!(*inner.phase.borrow(), Phase::Stopped) {
            return;
        }
        // Also where nothing has changed but the file of the keys.
        inner.follow_keys();
        inner.write_down_forgotten().await;
        if let Err(error) = inner.go_on_with_keys().await {
            tracing::debug!(%error, "the change of key does not go on yet");
        }
    }
}

impl Inner {
    /// Which keys this server knows.
    pub(in crate::replica) fn known_keys(&self) -> KnownKeys {
        let known = self.credentials.keys().fingerprints();
        KnownKeys { known, adopted: self.host_replica.is_some() }
    }

    /// Does what the stage in the state asks for.
    pub(in crate::replica) fn follow_keys(&self) {
        if let Some(change) = &self.membership().key {
            self.credentials.keys().follow(change);
        }
    }

    async fn write_down_forgotten(&self) {
        let forgotten = self.credentials.keys().forgotten();
        if let Some(file) = &mut *self.membership_changes.forgotten_keys.lock().await
            && let Err(error) = file.remember(&forgotten).await
        {
            tracing::warn!(%error, "which keys are forgotten was not written down");
        }
    }

    async fn go_on_with_keys(&self) -> Result<()> {
        let consensus = self.consensus()?;
        let under_way =
            |membership: &Membership| membership.key.as_ref().is_some_and(KeyChange::is_under_way);
        let leads = self.host_replica.is_none() && consensus.leads();
        if !leads || !under_way(&self.membership()) {
            self.membership_changes.waits_for_keys.send_replace(None);
            return Ok(());
        }
        let Ok(_changing) = self.membership_changes.alone.try_lock() else { return Ok(()) };
        consensus.confirm(Instant::now() + CHANGE_MAX).await?;
        self.take_key_step(&consensus, false).await
    }

    /// Does what an administrator asks for, or tells how far it has come.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when this replica does not lead, or nothing can be changed
    /// now; [`ErrorCode::ChangeUnderWay`]; [`ErrorCode::WrongCluster`] when the old key
    /// is not the cluster's.
    pub(in crate::replica) async fn rekey(&self, asked: Rekey) -> Result<Rekeyed> {
        let (consensus, _changing) = self.begin_change(LEVEL_OF_REKEY).await?;
        let membership = self.membership();
        let is_asked = |it: &&KeyChange| (it.old, it.new) == (asked.old, asked.new);
        match membership.key.as_ref().filter(is_asked) {
            Some(begun) => check_same_kind(begun, &asked)?,
            None => self.announce(&consensus, &membership, &asked).await?,
        }
        self.take_key_step(&consensus, asked.force).await?;
        let stage = self.membership().key.as_ref().map(|change| change.stage);
        let waits_for = self.membership_changes.waits_for_keys.borrow().clone();
        let stage = stage.ok_or_else(|| Error::internal("a change of key left no trace"))?;
        Ok(Rekeyed { stage, members: self.members(), waits_for })
    }

    async fn announce(
        &self,
        consensus: &Consensus,
        membership: &Membership,
        asked: &Rekey,
    ) -> Result<()> {
        let Rekey { old, new, succession, force: instead } = asked;
        if let Some(other) = membership.key.as_ref().filter(|it| it.is_under_way()) {
            let nobody_uses_it = other.stage == KeyStage::Announced && other.old == *old;
            if !(*instead && nobody_uses_it) {
                return Err(other.under_way());
            }
        }
        if self.credentials.keys().forgotten().contains(new) {
            return Err(Error::new(
                ErrorCode::WrongUsage,
                format!("the key of {new} was given up or replaced before: make another one"),
            ));
        }
        let used = self.credentials.keys().used();
        if used != *old {
            return Err(Error::new(
                ErrorCode::WrongCluster,
                format!("the cluster's key is that of {used}, and not of {old}"),
            ));
        }
        let signed =
            |it: &crate::types::Succession| it.to == *new && tls::signed_by(it) == Some(*old);
        if !succession.as_ref().is_none_or(signed) {
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                "what is to lead clients to the new key is not signed with the old one",
            ));
        }
        let step = KeyStep::Announce {
            old: *old,
            new: *new,
            succession: succession.clone(),
            instead: *instead,
        };
        let change = MemberChange::Key(step);
        self.check_alone(membership, consensus, &change)?;
        self.propose_member_change(consensus, membership, change).await?;
        tracing::info!(%old, %new, "the cluster gets a new key");
        Ok(())
    }

    /// On the leader: enters the next stages, as far as all have what they need.
    async fn take_key_step(&self, consensus: &Consensus, force: bool) -> Result<()> {
        loop {
            let membership = self.membership();
            let Some(change) = membership.key.as_ref().filter(|it| it.is_under_way()) else {
                self.membership_changes.waits_for_keys.send_replace(None);
                return Ok(());
            };
            // This server is the first to do it.
            self.follow_keys();
            let answers = self.ask_for_keys(&membership).await;
            if let Some(waits_for) = waits_for(change, &answers, force) {
                self.membership_changes.waits_for_keys.send_replace(Some(waits_for));
                return Ok(());
            }
            let stage = match change.stage {
                KeyStage::Announced => KeyStage::Used,
                KeyStage::Used | KeyStage::Done => KeyStage::Done,
            };
            let enter = MemberChange::Key(KeyStep::Enter { new: change.new, stage });
            self.propose_member_change(consensus, &membership, enter).await?;
            tracing::info!(new = %change.new, ?stage, "the change of key went on");
        }
    }

    /// What each member's server knows; nothing of one that does not answer.
    async fn ask_for_keys(&self, membership: &Membership) -> Answers {
        let asking = membership.members.iter().map(async |member| {
            let answer = match member.id == self.config.id {
                true => Some(self.known_keys()),
                false => self.ask_one_for_keys(member.id).await,
            };
            (member.id, answer)
        });
        join_all(asking).await.into_iter().collect()
    }

    async fn ask_one_for_keys(&self, id: ReplicaId) -> Option<KnownKeys> {
        let pair = self.links.get(id)?;
        let call = pair.service.call(Call::Keys, "{}".into());
        let answer = timeout(ANSWER_MAX, call).await.ok()?.ok()?;
        serde_json::from_slice(&answer).ok()
    }

    /// What is not done yet of a change of key, or left to do after it, for users.
    pub(in crate::replica) fn keys_notice(&self) -> Option<String> {
        let id = self.config.id;
        if let Some(waits_for) = &*self.membership_changes.waits_for_keys.borrow() {
            return Some(format!("the cluster's key is being changed: {waits_for}"));
        }
        self.credentials.keys().file_is_behind().then(|| {
            format!(
                "the key file of server {id} still holds the old key, which proves nothing any \
                 more: leave only the new one in it, its first line"
            )
        })
    }
}

/// Whether a change that is under way was begun as it is asked for now.
fn check_same_kind(begun: &KeyChange, asked: &Rekey) -> Result<()> {
    let is_followed = begun.successions.last().is_some_and(|it| it.to == begun.new);
    if is_followed == asked.succession.is_some() {
        return Ok(());
    }
    let (flag, other) = if is_followed { ("without", "with") } else { ("with", "without") };
    if !begun.is_under_way() {
        return Err(Error::new(
            ErrorCode::WrongUsage,
            format!(
                "this change of key was made {flag} --compromised and is done: make another one \
                 {other} it, with another key"
            ),
        ));
    }
    Err(Error::new(
        ErrorCode::ChangeUnderWay,
        format!(
            "this change of key was begun {flag} --compromised: finish it so; then another one can \
             be made {other} it"
        ),
    ))
}

type Answers = BTreeMap<ReplicaId, Option<KnownKeys>>;

/// Who lacks what the next stage needs, as a sentence; `None` when nobody does.
fn waits_for(change: &KeyChange, answers: &Answers, force: bool) -> Option<String> {
    let (mut lacking, mut absent, mut ready) = (Vec::new(), Vec::new(), 0);
    for (id, answer) in answers {
        let has_it = answer.as_ref().is_some_and(|answer| is_ready(change, &answer.known));
        ready += usize::from(has_it);
        match answer {
            Some(KnownKeys { adopted: false, .. }) if has_it => {}
            Some(KnownKeys { adopted: false, .. }) => lacking.push(*id),
            Some(_) | None => absent.push(*id),
        }
    }
    if !lacking.is_empty() {
        let (who, verb) = servers(&lacking);
        return Some(match change.stage {
            KeyStage::Announced => format!(
                "{who} {verb} not know the new key yet: put the new cluster.key in the place of \
                 the one there"
            ),
            KeyStage::Used | KeyStage::Done => format!("{who} {verb} not use the new key yet"),
        });
    }
    if absent.is_empty() {
        return None;
    }
    let (who, _) = servers(&absent);
    let missing = majority(answers.len()).saturating_sub(ready);
    match (force, missing) {
        (true, 0) => None,
        (true, _) => Some(format!(
            "{who} must be back first: the others are no majority, and nothing can force this"
        )),
        (false, _) => Some(format!(
            "nothing is heard from {who}: start it with the new cluster.key, remove it, or go on \
             without it with --force"
        )),
    }
}

fn is_ready(change: &KeyChange, known: &[Fingerprint]) -> bool {
    match change.stage {
        KeyStage::Announced => known.contains(&change.new),
        KeyStage::Used | KeyStage::Done => known.first() == Some(&change.new),
    }
}

/// Servers as the beginning of a sentence, and its verb.
fn servers(ids: &[ReplicaId]) -> (String, &'static str) {
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [one] => (format!("server {one}"), "does"),
        [first @ .., last] => (format!("servers {} and {last}", first.join(", ")), "do"),
        [] => (String::new(), "do"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(name: &str) -> Fingerprint {
        Fingerprint::of(name.as_bytes())
    }

    fn change(stage: KeyStage) -> KeyChange {
        KeyChange { old: print("old"), new: print("new"), stage, successions: Vec::new() }
    }

    /// Of servers 1, 2, …: what each knows, and whether another runs its replica.
    fn answers(known: &[Option<(&[&str], bool)>]) -> Answers {
        let answer = |(known, adopted): (&[&str], bool)| KnownKeys {
            known: known.iter().map(|name| print(name)).collect(),
            adopted,
        };
        (1..).map(ReplicaId).zip(known.iter().map(|it| it.map(answer))).collect()
    }

    const OLD: Option<(&[&str], bool)> = Some((&["old"], false));
    const BOTH: Option<(&[&str], bool)> = Some((&["old", "new"], false));
    const NEW: Option<(&[&str], bool)> = Some((&["new", "old"], false));
    const ADOPTED: Option<(&[&str], bool)> = Some((&["old", "new"], true));

    #[test]
    fn nobody_uses_the_new_key_before_every_server_knows_it() {
        let announced = change(KeyStage::Announced);
        let waits = |known: &[_], force| waits_for(&announced, &answers(known), force);
        assert_eq!(waits(&[BOTH, BOTH, BOTH], false), None);
        let who = waits(&[BOTH, OLD, OLD], true).expect("force is not for these");
        assert!(who.starts_with("servers 2 and 3 do not know the new key"), "{who}");
        let who = waits(&[BOTH, BOTH, None], false).expect("it may know it or not");
        assert!(who.contains("from server 3") && who.contains("--force"), "{who}");
        assert!(waits(&[BOTH, BOTH, ADOPTED], false).is_some(), "its own file is elsewhere");
        assert_eq!(waits(&[BOTH, BOTH, None], true), None);
        assert_eq!(waits(&[BOTH, ADOPTED, ADOPTED], true), None);
        let who = waits(&[BOTH, None, None], true).expect("no majority");
        assert!(who.contains("no majority"), "{who}");
    }

    #[test]
    fn nobody_forgets_the_old_key_before_every_server_uses_the_new_one() {
        let used = change(KeyStage::Used);
        let waits = |known: &[_], force| waits_for(&used, &answers(known), force);
        assert_eq!(waits(&[NEW, NEW, NEW], false), None);
        let who = waits(&[NEW, BOTH, NEW], true).expect("it still uses the old one");
        assert!(who.contains("server 2"), "{who}");
        assert!(waits(&[NEW, NEW, None], false).is_some());
        assert_eq!(waits(&[NEW, NEW, None], true), None);
    }
}
