//! The replicated state machine: accounts, sessions, mailboxes, and the operations
//! that were done already.
//!
//! The log has what was asked for, in one order; this module decides what becomes of
//! it. [`State::apply`] takes one entry after the other and answers each of its
//! operations with an [`Outcome`]. It is pure, total and deterministic: it has no
//! clock (an entry carries its time), no randomness (identities come with the
//! operations), no input or output, and no sequence of entries makes it panic. So
//! replicas that have applied the same log are equal, and compare themselves by
//! sixteen bytes, [`State::hash`].
//!
//! # What it promises
//! - **Once.** An operation id is applied once, however often it is in the log, and
//!   gets the same answer each time: for as long as its message is stored, and for a
//!   window of log entries otherwise. The same id with another content is refused.
//!   (`deduplication.rs`)
//! - **All or none.** A refused operation changes nothing but that window.
//! - **One order.** A message's `seq` is its place among all messages of the
//!   cluster, and every inbox is in that order.
//! - **Authority at the time of application.** A session that ended in an earlier
//!   entry can do nothing in a later one, whatever a server checked when it took the
//!   request.
//! - **An account is an identity, a name is a label on it.** Messages keep the names
//!   as they were; a later owner of a name sees nothing of the former one.
//! - **Who may come in is decided here.** Invitations, closed accounts and the like change
//!   by entries, so every replica takes and refuses the same newcomers. (`admission.rs`)
//! - **What a server took without a majority is settled once.** Each entry is delivered, or
//!   its author is told why not. (`settling.rs`)
//! - **What a server took is shown before that**, beside the state and not in it: as the
//!   log would settle it now. (`overlay/`)
//! - **What is stored is bounded.** Whoever sends more than an inbox or all servers may
//!   hold is refused, by every replica alike. (`bounds.rs`)
//! - **What is somebody's own is decided by its owner.** A password that was changed opens
//!   nothing from that entry on, whatever a server checked before; and what a blocked account
//!   sends comes into no inbox of whoever has blocked it. (`affairs.rs`)
//! - **How long messages are kept is decided here.** By times that the clocks of a majority
//!   have reached, never by one server's clock. (`keeping.rs`)
//! - **No entry takes long.** Work that could be large (emptying a deleted account's
//!   lists, ending expired sessions) is spread over the entries that follow, with the
//!   same portion on every replica.
//! - **No question takes long.** The state is read through a [`Look`] only, which
//!   makes a bounded number of steps; longer work goes on in the next one. (`look.rs`)
//! - **A snapshot stops nobody.** [`State::view`] copies a pointer for every 256
//!   items; its lines are written elsewhere, later. (`chunks.rs`)
//! - **A backup comes back whole or not at all**, into a state that was never
//!   used. (`import.rs`)
//!
//! # How it fails
//! Operations fail with a refusal, which is an outcome like any other. Reading a
//! snapshot fails with [`ErrorCode::Corrupted`], and what was read is dropped. Nothing
//! else can fail. All it needs is memory: about 145 bytes and the text for a message
//! to one recipient.
//!
//! [`ErrorCode::Corrupted`]: crate::error::ErrorCode::Corrupted

mod accounts;
mod admission;
mod affairs;
mod blocked;
mod bounds;
mod budget;
mod change;
mod chunks;
mod compact_timestamp;
mod conversations;
mod deduplication;
mod delivery;
mod effects;
mod fingerprint;
mod glob;
mod hash;
mod holders;
mod ids;
mod import;
mod items;
mod keeping;
mod look;
mod mail;
mod mark;
mod membership;
mod mentions;
pub(crate) mod meter;
mod old_order;
mod operation;
mod overlay;
mod own;
mod past;
mod past_page;
mod query;
mod remembered;
mod repeats;
mod replies;
mod reply;
mod search;
mod settled;
mod settling;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod undelivered;
mod unread;
mod usage;
mod words;

pub use budget::Step;
pub use change::Change;
pub use delivery::{Act, Delivery, Party, SessionNumber, SessionUsed};
pub use effects::{Effects, News, Withdrawn};
pub use glob::Glob;
pub use hash::StateHash;
pub use look::Look;
pub use old_order::{OldOrder, Placed, Reached, StoredAccount};
pub use operation::{Action, Batch, Operation, Outcome, RestoreStep};
pub use overlay::{Acceptance, Given, MarkAsked, Overlay, Taken, Unconfirmed};
pub use own::{OwnChange, verified_against};
pub use past_page::{Past, PastPage};
pub use query::{AccountView, Counts, Page, SessionView};
pub use search::{IdSearch, NameSearch};
pub use snapshot::{ParsedLine, Restore, View};
pub use state::State;
pub use unread::UnreadCount;
pub use words::Words;
