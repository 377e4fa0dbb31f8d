//! What people of these worlds did and saw, for the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use ftchat::protocol::client::{Message, Sent};
use ftchat::types::{ReplicaId, Uuid};

/// Whose inbox gets most messages, is followed and is tidied up.
pub const READER: &str = "reader";

/// All who are written to and stay.
pub const READERS: &[&str] = &[READER, "eve", "fay"];

/// A message that somebody was told is accepted.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub text: String,
    pub to: Vec<String>,
    /// Who sent it: a name, or of one with several owners `name#2`.
    pub by: String,
    /// Its place, if a majority had it.
    pub seq: Option<u64>,
    /// When it was asked for first, and when it was acknowledged.
    pub asked: (u64, u64),
    /// Its stream, and where it is in that.
    pub stream: Option<(Uuid, u64)>,
}

impl Acknowledged {
    pub fn is_for(&self, name: &str) -> bool {
        self.to.iter().any(|to| to == name)
    }

    pub fn is_confirmed(&self) -> bool {
        self.seq.is_some()
    }
}

/// A message as a majority has it.
#[derive(Clone, Debug)]
pub struct Confirmed {
    pub id: Uuid,
    pub seq: u64,
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
    pub read: bool,
    pub notice: bool,
}

impl Confirmed {
    /// # Panics
    /// When no majority has it.
    pub fn of(message: Message) -> Confirmed {
        Confirmed {
            id: message.id,
            seq: message.seq.expect("a majority has it"),
            from: message.from.to_string(),
            to: message.to.iter().map(ToString::to_string).collect(),
            text: message.text,
            read: message.read,
            notice: message.notice,
        }
    }

    /// The message that a notice is about.
    pub fn is_about(&self) -> Option<Uuid> {
        let id = self.text.strip_prefix("Your message ")?.split(' ').next()?;
        id.parse().ok()
    }
}

/// One owner of the name that comes and goes.
#[derive(Clone, Debug)]
pub struct Stay {
    /// When it began to register.
    pub comes: u64,
    /// When it was told that its account is gone.
    pub gone: Option<u64>,
    /// Its inbox, as it was before that.
    pub inbox: Vec<Confirmed>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A majority knows it.
    ForAll,
    /// A server knows it, which was alone.
    At(ReplicaId),
    /// A server may have taken it alone, and some do not know it yet.
    Somewhere,
}

/// A session that somebody has ended.
#[derive(Clone, Debug)]
pub struct Session {
    pub token: String,
    /// Since when, and how.
    pub ended: Option<(u64, Ended)>,
}

/// What was sent with a session that ends.
#[derive(Clone, Debug)]
pub struct WithSession {
    pub id: Uuid,
    /// Which session.
    pub session: usize,
    /// When it was asked for, and at which server.
    pub asked: u64,
    pub at: ReplicaId,
    /// What was said of it; nothing if it is in doubt, or was refused.
    pub sent: Option<Sent>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Diary {
    /// Counts beginnings and ends.
    now: u64,
    pub acknowledged: BTreeMap<Uuid, Acknowledged>,
    /// What each writer sent, in the order in which it was acknowledged, and whether it did
    /// not wait for the one before.
    pub order: BTreeMap<String, Vec<(Uuid, bool)>>,
    /// What was given up, as nothing was done of it.
    pub given_up: BTreeSet<Uuid>,
    /// Of that, what needed a majority and found none.
    pub found_no_majority: BTreeSet<Uuid>,
    /// What was refused, as its recipient is not known.
    pub refused: BTreeSet<Uuid>,
    /// What was marked as read, as somebody said.
    pub marked: BTreeSet<Uuid>,
    /// What somebody was asked to delete, and of that what somebody said is deleted.
    pub deleting: BTreeSet<Uuid>,
    pub deleted: BTreeSet<Uuid>,
    /// How often following showed a message.
    pub shown: BTreeMap<Uuid, u64>,
    /// Of those, the ones that were not confirmed when they were shown.
    pub shown_early: BTreeSet<Uuid>,
    /// Of those, the ones of which following said that they go to nobody.
    pub withdrawn: BTreeSet<Uuid>,
    /// What a server has shown as unconfirmed, and later neither so nor as confirmed.
    pub vanished: BTreeSet<Uuid>,
    /// Owners of the name that comes and goes, in their order.
    pub stays: Vec<Stay>,
    pub sessions: Vec<Session>,
    pub with_sessions: Vec<WithSession>,
    /// By name, the inboxes as they are in the end.
    pub inboxes: BTreeMap<String, Vec<Confirmed>>,
    /// What the last owner of the name that comes and goes is said to have sent.
    pub sent_by_last: Vec<Confirmed>,
    /// Who has registered, and the tokens of their sessions.
    pub tokens: BTreeMap<String, String>,
    /// What was seen that may not be.
    pub wrong: Vec<String>,
    /// How often what happened that nothing else tells.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Diary {
    /// The next moment.
    pub fn moment(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}

/// See [`Diary`]. Clones are the same.
#[derive(Clone, Default)]
pub struct SharedDiary(Arc<Mutex<Diary>>);

impl SharedDiary {
    pub fn look<T>(&self, look: impl FnOnce(&mut Diary) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Now, behind all that was noted before.
    pub fn now(&self) -> u64 {
        self.look(Diary::moment)
    }
}
