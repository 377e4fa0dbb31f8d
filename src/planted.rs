//! Planted bugs: ways to break what ftchat promises, so that the simulation can
//! prove that it would see them.
//!
//! A test that never fails may check nothing. Each [`Bug`] is a line or two in the
//! module that it breaks, `if planted::is(Bug::…)`, or in the simulated disk. The
//! simulation must find every one of them (`tests/sim/planted.rs`), or a test of its own
//! part, where no simulated server uses that yet.
//!
//! # Why none can become active in the program
//! Without debug assertions, as in a release, [`is`] is the constant `false`, and there is
//! nothing to switch on. With them, a bug is active on the one thread that called `plant`,
//! until the returned guard is dropped. Nothing in the program calls `plant`; a test of the
//! code base checks that.

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(debug_assertions, derive(clap::ValueEnum))]
pub enum Bug {
    /// Entries are reported durable before they are written and synced.
    AcknowledgeBeforeSync,
    /// A leader counts an entry as copied when it has sent it.
    AcknowledgeBeforeMajority,
    /// An operation's id is not looked up before it is applied.
    SkipDeduplication,
    /// A replica that starts does not know whom it has voted for.
    ForgetVote,
    /// A broken record in the middle of a log ends it, as if it were torn.
    TruncateMidLog,
    /// A neighbour that does not answer is adopted although its lock is held:
    /// the simulated disk grants it all the same.
    AdoptWithoutLock,
    /// A leader answers reads without asking whether it still leads.
    ReadFromDeposedLeader,
    /// The oldest id of the de-duplication window is lost in a snapshot.
    DropIdFromSnapshot,
    /// The last entry is applied once more after a restart.
    ApplyTwiceAfterRestart,
    /// A leader that restarts goes on in its old term.
    RestoreLeaderInOldTerm,
    /// A replica that has lost the end of its log votes as if it had it.
    VoteWithoutLogEnd,
    /// What an entry means follows the level that the program knows, and not the
    /// feature level of the state.
    FollowsProgramVersion,
    /// A leader stamps and ends by its own clock, whatever those of the others show.
    TrustOwnClock,
    /// A refused retry clears the doubt that an earlier, lost attempt has left.
    ClearDoubtWhenRefused,
    /// A page that does not fit into a line is cut, and says that nothing follows.
    CutPageWithoutMore,
    /// A follow that cuts a page goes on behind what it has cut off.
    FollowPastTheCut,
    /// A backup is of the state before a majority was asked what is missing in it.
    BackupBeforeConfirmed,
    /// A pipeline that leaves a silent server does not doubt what that has taken.
    NoDoubtOfTheSilent,
    /// Entries of the outbox are reported durable before they are synced.
    AcknowledgeUnsyncedOutbox,
    /// What is left of a refused append is cut off without a sync.
    CutOutboxUnsynced,
    /// A start relies on entries of the outbox that a dead process has not synced.
    TrustUnsyncedOutbox,
    /// A server that finds itself alone leaves what waits for the log where it is.
    LeaveBehindWhatWaits,
    /// A server lets a change go before what it is to follow is settled.
    OvertakeWhatIsNotSettled,
    /// A message does not wait for the one before it that is not confirmed.
    ForgetTheMessageBefore,
    /// A follow shows a message again when it is confirmed.
    ShowAgainWhenConfirmed,
    /// A follow shows what it has shown, when a server that is behind shows it as unconfirmed.
    ShowAgainWhoeverIsBehind,
    /// What was taken alone is delivered to whoever has its recipient's name by then.
    DeliverByName,
    /// What was taken alone is delivered as if whoever has its author's name by then had sent it.
    WriteByName,
    /// The log takes an entry of a list each time that it comes.
    SettleEachTime,
    /// An entry is gone from its server when the leader has it, and not when its own state has.
    ForgetWhatTheLeaderHas,
    /// A server that is alone does not look what its list is to follow.
    TakeAloneOutOfOrder,
    /// What was tried elsewhere counts as if it had not been, when it was taken alone.
    TakeRepeatForFirst,
    /// What was taken alone counts as if it had been tried elsewhere.
    TakeFirstForRepeat,
    /// Ids of what was tried more than once are not remembered beyond the window.
    ForgetRepeats,
    /// A server that is alone takes what its state knows as done.
    TakeWhatIsKnown,
    /// An author gets a notice each time that a message turns out to be undelivered.
    NotifyEachTime,
    /// An author gets no notice.
    NotifyNever,
    /// What a server that is alone refuses is refused for good.
    DecideAlone,
    /// What was taken alone is shown no longer when a majority is back, settled or not.
    HideWhenBack,
    /// A server shows what it has deleted alone.
    ShowDeleted,
    /// A server shows as unconfirmed what its state has.
    ShowUnconfirmedWhatIsKnown,
    /// A session that was ended alone lives on where it was ended.
    LiveOnWhereEnded,
    /// What was taken alone is delivered although a majority has ended its session.
    DeliverForEndedSession,
    /// A mark passes over messages that are not known.
    MarkWhatIsKnown,
    /// A server that is alone does not make durable how far its state goes.
    ForgetHowFarTheStateGoes,
    /// A server that is alone leaves in its log what that has beyond its state.
    LeaveTheEndOfTheLog,
    /// A server that has stood still takes what lies in its sockets.
    TakeWhatLayInSockets,
    /// A replica that was removed hands over nothing.
    KeepWhenRemoved,
    /// A replica that was removed deletes what it holds before a member has it.
    DropWhenRemoved,
    /// A server that is alone takes what a majority has to confirm.
    TakeStrictAlone,
    /// A server whose outbox is damaged takes more into it.
    TakeBesideDamage,
}

/// Whether a bug is planted here.
#[cfg(not(debug_assertions))]
pub const fn is(_bug: Bug) -> bool {
    false
}

#[cfg(debug_assertions)]
pub use enabled::{Planted, is, plant};

#[cfg(debug_assertions)]
mod enabled {
    use std::cell::Cell;
    use std::marker::PhantomData;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether a bug is planted on this thread.
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// A bug that lives until this is dropped. It stays on its thread.
    pub struct Planted(PhantomData<*const ()>);

    /// Plants a bug on this thread.
    ///
    /// # Panics
    /// When one is there already.
    pub fn plant(bug: Bug) -> Planted {
        assert_eq!(PLANTED.replace(Some(bug)), None, "one bug at a time");
        Planted(PhantomData)
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.set(None);
        }
    }
}
