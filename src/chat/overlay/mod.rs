//! What a server took while it had no majority, shown as if the log had it.
//!
//! An [`Overlay`] holds, in memory and in order, the entries of a server's outbox that its
//! own state has not settled. It stands beside the [`State`](super::State) under the same
//! lock and is no part of it: nothing here is replicated, hashed or in a snapshot. A
//! [`Look`](super::Look) over both decides what a server that is alone may take, and shows
//! what it has taken.
//!
//! # What it promises
//! - **It shows what the log would do now.** Each entry is judged, when it is asked about, by
//!   the rules by which `settling.rs` would take it into the state as it is at that moment:
//!   a message whose id the state knows is not shown twice; one whose author or recipient is
//!   gone, or whose session a majority has ended, goes as far as it would go; marks,
//!   deletions and ended sessions count at once. Nothing of that is kept, so nothing of it
//!   goes stale when others change the state. (`shown.rs`)
//! - **An entry stays until the own state has settled it**, also when a majority is back: so
//!   nothing vanishes and no ended session lives again in between.
//! - **What is taken counts at once; what is shown is on the disk.** Between the two an entry
//!   is hidden: it is no answer to anybody, but its id is known, its session is closed, its
//!   room is used. If it does not come onto the disk it is retracted.
//! - **A refusal decides nothing.** What a majority has done meanwhile is not known here. So
//!   every refusal can be repeated elsewhere, whatever was found: [`NeedsMajority`], or
//!   [`Behind`]. But what the applied state knows of an operation was decided by a majority,
//!   and is answered as it was. (`accept.rs`)
//! - **Accounts, not names.** Names are resolved when an entry is taken; a later owner of a
//!   name has nothing to do with it.
//! - **Room is counted with it.** What the overlay holds takes from what may be stored as if
//!   it were stored. What its deletions would free is not given away before they are done.
//! - **No question takes long.** Reading keeps to the steps of a look. Taking takes about as
//!   many steps as applying would, and [`Look::spent`](super::Look::spent) says how many.
//! - An entry for one recipient takes no more memory than the same message does when it is
//!   confirmed.
//!
//! Two entries of one overlay may have the same id if another server's list came with its
//! directory: the first is judged, and the other is left to the log.
//!
//! # How it fails
//! Only by refusing to take something. It knows nothing of disks and majorities: its owner
//! adds, reveals, retracts and drops entries, and if that is wrong, so is this.
//!
//! [`NeedsMajority`]: crate::error::ErrorCode::NeedsMajority
//! [`Behind`]: crate::error::ErrorCode::Behind

mod accept;
mod entry;
mod held;
mod holdings;
mod page;
mod past;
mod places;
mod places_of;
mod replies;
mod shown;
mod taken;
mod unread;

pub(super) use self::accept::Asking;
pub use self::held::Overlay;
pub(super) use self::held::nothing;
pub(super) use self::page::Question;
pub use self::page::Unconfirmed;
pub(super) use self::shown::{Shown, Touches};
pub use self::taken::{Acceptance, Given, MarkAsked, Taken};
