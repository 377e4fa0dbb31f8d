//! The state at one instant, and how it is written as lines.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::format::{
    AccountLine, ENTRIES_PER_ITEM, End, FORMAT_FIRST, FloorsLine, Header, InboxLine,
    InvitationLine, LabelLine, ListLine, MarkLine, MessageLine, OriginLine, RememberedLine,
    RepeatLine, ReplyLine, ResetLine, SentLine, SessionLine, SettingsLine, StagedLine,
};
use crate::chat::change::{Record, Settings, StoredInvitation};
use crate::chat::hash::StateHash;
use crate::chat::items::{
    Account, Data, InboxEntry, Label, Message, Reset, SentEntry, Session, Staged,
};
use crate::chat::mark::Mark;
use crate::chat::remembered::{DeduplicationEntry, Floors, Repeat};
use crate::chat::reply::Reply;
use crate::chat::settled::{Origin, SettledList};
use crate::chat::state::State;
use crate::limits::SNAPSHOT_LINE_TARGET_BYTES;
use crate::types::AccountName;

/// The state as it was when the view was taken. Cheap to clone; may be moved to
/// another thread and kept there while the state goes on.
#[derive(Clone)]
pub struct View {
    pub(in crate::chat) data: Data,
}

impl fmt::Debug for View {
    /// Never what is in it: texts and hashes of passwords stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("hash", &self.hash()).finish()
    }
}

impl State {
    /// The state as it is now, unmoved by later changes. Costs a pointer for
    /// every 256 items.
    pub fn view(&self) -> View {
        View::new(self.data.clone())
    }
}

impl View {
    pub(in crate::chat) fn new(data: Data) -> View {
        View { data }
    }

    /// Fingerprint of that state.
    pub fn hash(&self) -> StateHash {
        self.data.hash()
    }

    /// The whole state, one JSON object a line, without newlines; the head of
    /// `format.rs` describes them. Lines are made as they are asked for and have
    /// at most about 64 KiB, twice that where they hold lines of a backup that
    /// is being restored. [`Restore`](super::Restore) reads them.
    pub fn lines(&self) -> impl Iterator<Item = Vec<u8>> + Send + '_ {
        Packed { items: self.items(), held_back: None }
    }

    fn items(&self) -> impl Iterator<Item = Piece> + Send + '_ {
        let data = &self.data;
        let counters = &data.counters;
        let header = Header {
            format: FORMAT_FIRST + data.level,
            last_seq: counters.last_seq,
            last_session: counters.last_session,
            last_account: counters.last_account,
            restored: data.restored,
        };
        let incarnations = counters.incarnations.iter();
        let membership = Some(&data.membership).filter(|it| it.is_known()).into_iter();
        let end = std::iter::once_with(|| Piece::new("end", &End { hash: data.hash() }));
        std::iter::once(Piece::new("header", &header))
            .chain(incarnations.map(|pair| Piece::new("incarnations", &pair)))
            .chain(membership.map(|it| Piece::new("membership", &**it)))
            .chain(settings_piece(&data.settings))
            .chain(data.invitations.iter().map(invitation_piece))
            .chain(data.actions.iter().map(|record| action_piece(record)))
            .chain(data.marks.iter().map(mark_piece))
            .chain(data.accounts.iter().map(|account| account_piece(account)))
            .chain(data.sessions.iter().map(session_piece))
            .chain(self.messages())
            .chain(data.origins.iter().map(origin_piece))
            .chain(data.replies.iter().map(reply_piece))
            .chain(data.accounts.iter().flat_map(inbox_pieces))
            .chain(data.accounts.iter().flat_map(sent_pieces))
            .chain(data.window.iter().map(|remembered| remembered_piece(remembered)))
            .chain(data.lists.iter().map(list_piece))
            .chain(data.repeats.iter().map(repeat_piece))
            .chain(floors_piece(&data.floors))
            .chain(data.restoring.iter().map(|backup| Piece::new("restoring", backup)))
            .chain(data.staged.iter().map(|staged| staged_piece(staged)))
            .chain(end)
    }

    /// Messages, each after the labels that no line before it has.
    fn messages(&self) -> impl Iterator<Item = Piece> + Send + '_ {
        let mut written: BTreeSet<u64> = BTreeSet::new();
        self.data.messages.iter().flat_map(move |message| {
            let mut pieces = Vec::with_capacity(1);
            for label in message.to.labels.iter().chain([&message.from]) {
                if self.data.accounts.get(label.number).is_none() && written.insert(label.number) {
                    pieces.push(label_piece(label));
                }
            }
            pieces.push(message_piece(message));
            pieces
        })
    }
}

/// One item as JSON, and its kind.
struct Piece {
    kind: &'static str,
    json: Vec<u8>,
}

impl Piece {
    fn new<T: Serialize>(kind: &'static str, item: &T) -> Piece {
        Piece { kind, json: serde_json::to_vec(item).expect("plain data serializes") }
    }
}

fn account_piece(account: &Account) -> Piece {
    let Label { number, account: uuid, name, .. } = &*account.label;
    let reset = account.reset.as_deref().copied();
    Piece::new(
        "accounts",
        &AccountLine {
            number: *number,
            account: *uuid,
            name: name.clone(),
            password_hash: Cow::Borrowed(&account.password_hash),
            gone: account.deleted,
            disabled: account.disabled,
            reset: reset.map(|Reset { code_hash, expires }| ResetLine { code_hash, expires }),
            last_login: account.last_login,
            blocked: account.blocked.iter().collect(),
            receipts_off: account.receipts_off,
            ended: account.ended,
            repeats_floor: account.repeats_floor,
        },
    )
}

fn settings_piece(settings: &Settings) -> Option<Piece> {
    let Settings { registration, bounds, last_invitation, last_action } = *settings;
    let line = SettingsLine { registration, bounds, last_invitation, last_action };
    (*settings != Settings::default()).then(|| Piece::new("settings", &line))
}

fn invitation_piece(invitation: &StoredInvitation) -> Piece {
    let StoredInvitation { number, code_hash, uses, used, created, expires } = *invitation;
    let line = InvitationLine { number, code_hash, uses, used, created, expires };
    Piece::new("invitations", &line)
}

fn action_piece(record: &Record) -> Piece {
    Piece::new("actions", &record.shown())
}

fn mark_piece(mark: &Mark) -> Piece {
    let Mark { seq, at, index } = *mark;
    Piece::new("marks", &MarkLine { seq, at, index })
}

fn session_piece(session: &Session) -> Piece {
    let Session { number, account, token_hash, expires, started, used, from } = *session;
    let line = SessionLine { number, account, token_hash, expires, started, used, from };
    Piece::new("sessions", &line)
}

fn label_piece(label: &Label) -> Piece {
    let name: AccountName = label.name.clone();
    Piece::new("labels", &LabelLine { number: label.number, account: label.account, name })
}

fn message_piece(message: &Message) -> Piece {
    Piece::new(
        "messages",
        &MessageLine {
            seq: message.seq,
            id: message.id,
            at: message.at.into(),
            from: message.from.number,
            to: message.to.labels.iter().map(|label| label.number).collect(),
            text: Cow::Borrowed(&message.text),
        },
    )
}

/// A list in parts that do not depend on how it is kept in memory.
fn parts<'a, T: Copy + 'a>(
    mut entries: impl Iterator<Item = &'a T> + 'a,
) -> impl Iterator<Item = Vec<T>> + 'a {
    std::iter::from_fn(move || {
        let part: Vec<T> = entries.by_ref().take(ENTRIES_PER_ITEM).copied().collect();
        (!part.is_empty()).then_some(part)
    })
}

fn inbox_pieces(account: &Arc<Account>) -> impl Iterator<Item = Piece> + Send + '_ {
    parts(account.inbox.iter()).map(|part: Vec<InboxEntry>| {
        let (read, unread): (Vec<_>, Vec<_>) = part.iter().partition(|entry| entry.read());
        let seqs = |entries: Vec<InboxEntry>| entries.into_iter().map(InboxEntry::seq).collect();
        let line =
            InboxLine { account: account.label.number, read: seqs(read), unread: seqs(unread) };
        Piece::new("inboxes", &line)
    })
}

fn sent_pieces(account: &Arc<Account>) -> impl Iterator<Item = Piece> + Send + '_ {
    parts(account.sent.iter()).map(|part: Vec<SentEntry>| {
        let seqs = part.into_iter().map(|SentEntry(seq)| seq).collect();
        Piece::new("sent", &SentLine { account: account.label.number, seqs })
    })
}

fn remembered_piece(remembered: &DeduplicationEntry) -> Piece {
    Piece::new(
        "remembered",
        &RememberedLine {
            id: remembered.id,
            index: remembered.index,
            actor: remembered.actor,
            fingerprint: StateHash(remembered.fingerprint),
            outcome: remembered.outcome.clone(),
        },
    )
}

fn origin_piece(origin: &Origin) -> Piece {
    let Origin { seq, accepted_at, asked } = *origin;
    Piece::new("origins", &OriginLine { seq, accepted_at, asked: asked.map(StateHash) })
}

fn reply_piece(reply: &Reply) -> Piece {
    let Reply { seq, to } = *reply;
    Piece::new("replies", &ReplyLine { seq, to })
}

fn list_piece(list: &SettledList) -> Piece {
    let SettledList { number: _, list, settled } = *list;
    Piece::new("lists", &ListLine { list, settled })
}

fn repeat_piece(repeat: &Repeat) -> Piece {
    let Repeat { serial: _, key, account, index, fate } = *repeat;
    Piece::new("repeats", &RepeatLine { key, account, index, fate })
}

fn floors_piece(floors: &Floors) -> Option<Piece> {
    let Floors { window, level, before } = *floors;
    let any = *floors != Floors::default();
    any.then(|| Piece::new("floors", &FloorsLine { window, level, before }))
}

fn staged_piece(staged: &Staged) -> Piece {
    let Staged { number, line } = staged;
    Piece::new("staged", &StagedLine { number: *number, line: Cow::Borrowed(line) })
}

/// Puts items of one kind that follow each other into one line while they fit.
struct Packed<I> {
    items: I,
    held_back: Option<Piece>,
}

impl<I: Iterator<Item = Piece>> Iterator for Packed<I> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let Piece { kind, json } = self.held_back.take().or_else(|| self.items.next())?;
        let mut line = format!("{{\"{kind}\":[").into_bytes();
        line.extend_from_slice(&json);
        for next in self.items.by_ref() {
            if next.kind != kind || line.len() + next.json.len() > SNAPSHOT_LINE_TARGET_BYTES {
                self.held_back = Some(next);
                break;
            }
            line.push(b',');
            line.extend_from_slice(&next.json);
        }
        line.extend_from_slice(b"]}");
        Some(line)
    }
}
