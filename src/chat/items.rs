//! What the state consists of. Everything here is plain data with a digest.
//! Nothing that holds a text, a token's sum or a password's hash can be printed
//! for debugging, so that none of them gets into a log.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::blocked::Blocked;
use super::change::{Record, Settings, StoredInvitation};
use super::chunks::{Chunks, Item};
use super::compact_timestamp::CompactTimestamp;
use super::delivery::SessionNumber;
use super::fingerprint::{encode_key_change, encode_member};
use super::hash::{Encoder, Kind, StateHash};
use super::mark::Mark;
use super::meter::{self, NAMES_PER_STEP};
use super::operation::Outcome;
use super::remembered::{DeduplicationEntry, Floors, Repeat};
use super::reply::Reply;
use super::settled::{Origin, SettledList};
use crate::limits::{MESSAGE_OVERHEAD_BYTES, RECIPIENT_OVERHEAD_BYTES};
use crate::types::{AccountName, Digest, Membership, Names, ReplicaId, Timestamp, Uuid};

/// An account's number within the state; counts from 1, never reused.
pub(super) type AccountNumber = u64;

/// Numbers and places in the order stay below this, so that a counter read
/// from a broken snapshot cannot overflow later; nobody gets there by counting.
pub(super) const COUNTER_MAX: u64 = 1 << 62;

/// Whom a message names: an account as it was when the message was sent. It
/// outlives the account as long as a message names it, and is shared by all.
pub(super) struct Label {
    pub(super) number: AccountNumber,
    pub(super) account: Uuid,
    pub(super) name: AccountName,
    digest: u128,
}

impl Label {
    pub(super) fn new(number: AccountNumber, account: Uuid, name: AccountName) -> Arc<Label> {
        let encoder = Encoder::new(Kind::Label).number(number).fixed(account.as_bytes());
        let digest = encoder.text(name.as_str()).finish();
        Arc::new(Label { number, account, name, digest })
    }
}

/// To whom a message went.
pub(super) struct Recipients {
    pub(super) labels: Box<[Arc<Label>]>,
    /// The name of the only one. Those of many would take five times as much
    /// memory as their labels, so they are listed when they are asked for.
    sole_name: Option<Names>,
}

impl Recipients {
    /// Whether an account is not the only one.
    pub(super) fn has_others_than(&self, account: AccountNumber) -> bool {
        // Each is there once.
        self.labels.len() > 1 || self.labels.iter().any(|label| label.number != account)
    }

    /// One account alone. All messages to it share this.
    pub(super) fn one(label: Arc<Label>) -> Arc<Recipients> {
        let sole_name = Some(Names::from_iter([label.name.clone()]));
        Arc::new(Recipients { labels: Box::new([label]), sole_name })
    }

    pub(super) fn many(labels: Vec<Arc<Label>>) -> Arc<Recipients> {
        Arc::new(Recipients { labels: labels.into(), sole_name: None })
    }

    pub(super) fn names(&self) -> Names {
        match &self.sole_name {
            Some(name) => name.clone(),
            None => {
                meter::work(self.labels.len() / NAMES_PER_STEP);
                self.labels.iter().map(|label| label.name.clone()).collect()
            }
        }
    }
}

/// Someone who can send and receive.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) label: Arc<Label>,
    /// The recipients of a message to this account alone.
    pub(super) sole_recipient: Arc<Recipients>,
    /// Argon2id in PHC form.
    pub(super) password_hash: Arc<str>,
    /// Nobody finds it any more, and its lists are being emptied.
    pub(super) deleted: bool,
    /// An administrator has shut it out.
    pub(super) disabled: bool,
    /// An administrator has taken its password away.
    pub(super) reset: Option<Box<Reset>>,
    /// When a session was opened last; not known of those before feature level
    /// [`LEVEL_OF_ADMISSION`](crate::limits::LEVEL_OF_ADMISSION).
    pub(super) last_login: Option<Timestamp>,
    /// From whom nothing comes into its inbox.
    pub(super) blocked: Arc<Blocked>,
    /// Nobody is told what it has read.
    pub(super) receipts_off: bool,
    /// Sessions up to the first number were ended by their owner, but for the second: by a new
    /// password, or by ending all others. So what a server took for one of them while it was
    /// alone is known, also when that session would have run out by itself.
    pub(super) ended: (SessionNumber, SessionNumber),
    /// Ids of its messages that were tried more than once may be forgotten if a log entry
    /// below this has met them.
    pub(super) repeats_floor: u64,
    /// Ascending. At most [`crate::limits::SESSIONS_PER_ACCOUNT_MAX`].
    pub(super) sessions: Vec<SessionNumber>,
    /// Flagged: unread.
    pub(super) inbox: Chunks<InboxEntry>,
    pub(super) sent: Chunks<SentEntry>,
    /// What the messages of the inbox take, as of [`Message::stored_bytes`]. Follows from
    /// those, so it is neither in the digest nor in a snapshot.
    pub(super) inbox_bytes: u64,
    /// The same of the sent list.
    pub(super) sent_bytes: u64,
}

/// The way back into an account without a password.
#[derive(Clone, Copy)]
pub(super) struct Reset {
    /// What its code is known by.
    pub(super) code_hash: Digest,
    /// When the code ends.
    pub(super) expires: Timestamp,
}

impl Account {
    pub(super) fn new(label: Arc<Label>, password_hash: Arc<str>) -> Account {
        Account {
            sole_recipient: Recipients::one(label.clone()),
            label,
            password_hash,
            deleted: false,
            disabled: false,
            reset: None,
            last_login: None,
            blocked: Arc::default(),
            receipts_off: false,
            ended: (0, 0),
            repeats_floor: 0,
            sessions: Vec::new(),
            inbox: Chunks::default(),
            sent: Chunks::default(),
            inbox_bytes: 0,
            sent_bytes: 0,
        }
    }

    /// Of the account itself; sessions and list entries have their own.
    pub(super) fn digest(&self) -> u128 {
        let mut encoder = Encoder::new(Kind::Account)
            .number(self.label.number)
            .fixed(&self.label.digest.to_le_bytes())
            .text(&self.password_hash)
            .number(u64::from(self.deleted));
        // Nothing of what a lower feature level does not have.
        if self.disabled {
            encoder = encoder.text("disabled");
        }
        if let Some(Reset { code_hash, expires }) = self.reset.as_deref() {
            encoder = encoder.text("reset").fixed(&code_hash.0).number(expires.0);
        }
        if let Some(last_login) = self.last_login {
            encoder = encoder.text("last login").number(last_login.0);
        }
        encoder = self.blocked.encode(encoder);
        if self.receipts_off {
            encoder = encoder.text("receipts off");
        }
        if self.ended.0 > 0 {
            encoder = encoder.text("ended").number(self.ended.0).number(self.ended.1);
        }
        if self.repeats_floor > 0 {
            encoder = encoder.text("repeats").number(self.repeats_floor);
        }
        encoder.finish()
    }
}

impl Item for Arc<Account> {
    fn key(&self) -> u64 {
        self.label.number
    }
}

/// A login.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) number: SessionNumber,
    pub(super) account: AccountNumber,
    pub(super) token_hash: Digest,
    pub(super) expires: Timestamp,
    /// When it began; not known of those before feature level
    /// [`LEVEL_OF_CONVERSATIONS`](crate::limits::LEVEL_OF_CONVERSATIONS).
    pub(super) started: Option<Timestamp>,
    /// When it was noted last that something was changed with it.
    pub(super) used: Option<Timestamp>,
    /// From where it was opened.
    pub(super) from: Option<IpAddr>,
}

impl Session {
    pub(super) fn digest(&self) -> u128 {
        let mut encoder = Encoder::new(Kind::Session)
            .number(self.number)
            .number(self.account)
            .fixed(&self.token_hash.0)
            .number(self.expires.0);
        // Nothing of what a lower feature level does not have.
        if let Some(started) = self.started {
            encoder = encoder.text("started").number(started.0);
        }
        if let Some(used) = self.used {
            encoder = encoder.text("used").number(used.0);
        }
        if let Some(from) = self.from {
            encoder = encoder.text("from").text(&from.to_string());
        }
        encoder.finish()
    }
}

impl Item for Session {
    fn key(&self) -> u64 {
        self.number
    }
}

/// A message, kept once however many lists hold it. Sixty-four bytes, so that
/// those of a chunk fill a block of the allocator, and the text; a copy copies
/// both.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) seq: u64,
    pub(super) id: Uuid,
    pub(super) at: CompactTimestamp,
    pub(super) from: Arc<Label>,
    pub(super) to: Arc<Recipients>,
    pub(super) text: Box<str>,
    /// How many inboxes and sent lists hold it. Follows from those, so it is
    /// neither in the digest nor in a snapshot.
    pub(super) holders: u16,
}

const _: () = assert!(size_of::<Message>() == 64, "256 messages fill a block of 16 KiB");

impl Message {
    pub(super) fn digest(&self) -> u128 {
        let mut encoder = Encoder::new(Kind::Message)
            .number(self.seq)
            .fixed(self.id.as_bytes())
            .number(Timestamp::from(self.at).0)
            .fixed(&self.from.digest.to_le_bytes())
            .number(self.to.labels.len() as u64);
        for label in &self.to.labels {
            encoder = encoder.fixed(&label.digest.to_le_bytes());
        }
        encoder.text(&self.text).finish()
    }

    /// About what it takes in memory, its place in one list included.
    pub(super) fn stored_bytes(&self) -> u64 {
        stored_bytes(&self.text)
    }

    /// About what it takes in memory in all, once however many lists hold it.
    pub(super) fn kept_bytes(&self) -> u64 {
        kept_bytes(&self.text, self.to.labels.len())
    }

    /// What its sender was told.
    pub(super) fn outcome(&self) -> Outcome {
        Outcome::Sent { seq: self.seq, at: self.at.into(), to: self.to.names() }
    }
}

/// About what a message with this text takes in memory, its place in one list included.
pub(super) fn stored_bytes(text: &str) -> u64 {
    text.len() as u64 + MESSAGE_OVERHEAD_BYTES
}

/// About what a message takes in memory in all.
pub(super) fn kept_bytes(text: &str, recipients: usize) -> u64 {
    stored_bytes(text) + RECIPIENT_OVERHEAD_BYTES * recipients as u64
}

impl Item for Message {
    fn key(&self) -> u64 {
        self.seq
    }
}

/// A message in an inbox: `seq << 2 | mention << 1 | read`. That it mentions the owner
/// follows from its text, so that is neither in the digest nor in a snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct InboxEntry(u64);

impl InboxEntry {
    pub(super) fn new(seq: u64, read: bool) -> InboxEntry {
        InboxEntry(seq << 2 | u64::from(read))
    }
    /// The same of a message that mentions the owner of the inbox, or does not.
    pub(super) fn mentioning(self, mention: bool) -> InboxEntry {
        InboxEntry(self.0 & !2 | u64::from(mention) << 1)
    }
    /// The same, read.
    pub(super) fn marked(self) -> InboxEntry {
        InboxEntry(self.0 | 1)
    }
    pub(super) fn seq(self) -> u64 {
        self.0 >> 2
    }
    pub(super) fn read(self) -> bool {
        self.0 & 1 == 1
    }
    pub(super) fn mention(self) -> bool {
        self.0 & 2 == 2
    }
    pub(super) fn digest(self, owner: AccountNumber) -> u128 {
        let place = self.seq() << 1 | u64::from(self.read());
        Encoder::new(Kind::InboxEntry).number(owner).number(place).finish()
    }
}

impl Item for InboxEntry {
    fn key(&self) -> u64 {
        self.seq()
    }
    fn flagged(&self) -> bool {
        !self.read()
    }
}

/// A message in a sent list: its place in the total order.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentEntry(pub(super) u64);

impl SentEntry {
    pub(super) fn digest(self, owner: AccountNumber) -> u128 {
        Encoder::new(Kind::SentEntry).number(owner).number(self.0).finish()
    }
}

impl Item for SentEntry {
    fn key(&self) -> u64 {
        self.0
    }
}

/// Numbers that only grow.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) last_seq: u64,
    pub(super) last_session: SessionNumber,
    pub(super) last_account: AccountNumber,
    /// The highest incarnation handed out, where any was.
    pub(super) incarnations: BTreeMap<ReplicaId, u32>,
}

impl Counters {
    fn digest(&self) -> u128 {
        let encoder = Encoder::new(Kind::Counters)
            .number(self.last_seq)
            .number(self.last_session)
            .number(self.last_account);
        self.incarnations
            .iter()
            .fold(encoder, |encoder, (replica, incarnation)| {
                encoder.number(u64::from(replica.0)).number(u64::from(*incarnation))
            })
            .finish()
    }
}

/// A line of a backup that has not come to its end.
pub(super) struct Staged {
    /// Counts from 1.
    pub(super) number: u64,
    pub(super) line: Box<str>,
}

impl Staged {
    pub(super) fn digest(&self) -> u128 {
        Encoder::new(Kind::Staged).number(self.number).text(&self.line).finish()
    }
}

impl Item for Arc<Staged> {
    fn key(&self) -> u64 {
        self.number
    }
}

/// Of the backup that a state was made from, and of the one it is to become.
/// Zero when there was never any.
fn backups_digest(restored: Option<Uuid>, restoring: Option<Uuid>) -> u128 {
    if restored.is_none() && restoring.is_none() {
        return 0;
    }
    let [restored, restoring] = [restored, restoring].map(Option::unwrap_or_default);
    let encoder = Encoder::new(Kind::Restoring).fixed(restored.as_bytes());
    encoder.fixed(restoring.as_bytes()).finish()
}

/// Zero while the membership was never changed.
fn membership_digest(membership: &Membership) -> u128 {
    if !membership.is_known() {
        return 0;
    }
    let Membership { version, highest, members, key } = membership;
    let encoder = Encoder::new(Kind::Membership).number(*version).number(u64::from(highest.0));
    let encoder = members.iter().fold(encoder, encode_member);
    key.iter().fold(encoder, encode_key_change).finish()
}

/// Everything that replicas must agree on, and nothing else. A copy shares all
/// its parts with the original, and costs a pointer for every 256 items.
#[derive(Clone, Default)]
pub(super) struct Data {
    pub(super) accounts: Chunks<Arc<Account>>,
    pub(super) sessions: Chunks<Session>,
    pub(super) messages: Chunks<Message>,
    /// How old messages are at least.
    pub(super) marks: Chunks<Mark>,
    /// The de-duplication window, oldest first.
    pub(super) window: Chunks<Arc<DeduplicationEntry>>,
    pub(super) counters: Counters,
    /// The backup that the state was restored from.
    pub(super) restored: Option<Uuid>,
    /// The backup that is being restored, and its lines so far.
    pub(super) restoring: Option<Uuid>,
    pub(super) staged: Chunks<Arc<Staged>>,
    /// Sum of the digests of the staged lines, which go all at once.
    pub(super) staged_sum: StateHash,
    /// Which replicas the cluster has.
    pub(super) membership: Arc<Membership>,
    /// The feature level.
    pub(super) level: u32,
    /// What administrators have set.
    pub(super) settings: Settings,
    pub(super) invitations: Chunks<StoredInvitation>,
    /// What administrators have done, oldest first.
    pub(super) actions: Chunks<Arc<Record>>,
    /// Lists that servers kept while they had no majority.
    pub(super) lists: Chunks<SettledList>,
    /// Of messages that no majority took at first, and of notices.
    pub(super) origins: Chunks<Origin>,
    /// Of messages that answer others.
    pub(super) replies: Chunks<Reply>,
    /// Ids that were tried more than once, oldest first.
    pub(super) repeats: Chunks<Repeat>,
    /// Up to where ids may be forgotten.
    pub(super) floors: Floors,
    /// Sum of the digests of all items; without the counters and the names of
    /// backups, whose digests are made when they are asked for.
    pub(super) sum: StateHash,
}

impl Data {
    pub(super) fn hash(&self) -> StateHash {
        self.hash_at(self.level)
    }

    /// The hash of the same data at a feature level.
    pub(super) fn hash_at(&self, level: u32) -> StateHash {
        let mut hash = self.sum;
        if level > 0 {
            // Nothing at level 0, which programs have that know no levels.
            hash.add(Encoder::new(Kind::Level).number(u64::from(level)).finish());
        }
        hash.add(self.settings.digest());
        hash.add(self.floors.digest());
        hash.add(self.counters.digest());
        hash.add(membership_digest(&self.membership));
        hash.add(self.staged_sum.0);
        hash.add(backups_digest(self.restored, self.restoring));
        hash
    }

    /// Changes an account, copying it first if a view shares it.
    pub(super) fn update_account<R>(
        &mut self,
        number: AccountNumber,
        change: impl FnOnce(&mut Account) -> R,
    ) -> Option<R> {
        self.accounts.update(number, |account| change(Arc::make_mut(account)))
    }
}
