//! The end of a log that the most advanced one does not have: what people asked for in it.

use crate::chat::{Acceptance, Action, MarkAsked, Operation, Overlay, Taken};
use crate::consensus::remains::{LeftState, batches_behind};
use crate::error::{Error, ErrorCode, Result};
use crate::storage::Remains;
use crate::types::{Place, Timestamp};

/// What comes of the end of a log.
#[derive(Default)]
pub(super) struct Tail {
    /// In the order of the log.
    pub(super) taken: Vec<Taken>,
    /// Changes that people made there and that cannot be taken by themselves: they give rights,
    /// or must be unique.
    pub(super) left_out: u64,
    /// What is wrong with that log, in sentences.
    pub(super) problems: Vec<String>,
}

/// Tests what stands in a log behind an index against the state before it, as a server that
/// goes alone tests the end of its own log.
///
/// # Errors
/// There is no state before it; those of reading. `is_settled`: whether what a server took alone
/// is in the state that all comes together in.
pub(super) async fn taken(
    remains: &Remains,
    behind: u64,
    window: u64,
    is_settled: impl Fn(&Place) -> bool,
) -> Result<Tail> {
    let mut before = LeftState::load(remains, window, 0).await?;
    let problems = before.replay(remains, behind).await?;
    if before.at.is_none_or(|at| at.index() < behind) {
        let why = format!("what comes before cannot be read: {}", problems.join("; "));
        return Err(Error::new(ErrorCode::Corrupted, why));
    }
    before.state.begin_to_settle();
    let (batches, problems) = batches_behind(remains, behind).await?;
    let (mut overlay, mut tail) = (Overlay::default(), Tail { problems, ..Tail::default() });
    for batch in batches {
        for operation in &batch.operations {
            tail.test(&before, &mut overlay, operation, batch.at, behind, &is_settled);
        }
    }
    Ok(tail)
}

impl Tail {
    fn test(
        &mut self,
        before: &LeftState,
        overlay: &mut Overlay,
        operation: &Operation,
        at: Timestamp,
        since: u64,
        is_settled: &impl Fn(&Place) -> bool,
    ) {
        let accepted = match &operation.action {
            Action::Deliver(delivery) if is_settled(&delivery.place) => return,
            // Another server had taken it. Whose list it is may not be here; if it is, what is
            // known of the entry by then is not taken once more.
            Action::Deliver(delivery) => {
                let (author, session) = (delivery.author.clone(), delivery.session.clone());
                let (accepted_at, act) = (delivery.accepted_at, delivery.act.clone());
                let (id, since, again) = (operation.id, delivery.since, delivery.again);
                let seen_to = 0;
                self.taken.push(Taken {
                    id,
                    again,
                    since,
                    seen_to,
                    accepted_at,
                    author,
                    session,
                    act,
                });
                return;
            }
            Action::MarkRead { session, seqs } => {
                let asked = MarkAsked { id: operation.id, session: *session, seqs, ids: &[] };
                before.state.look_over(overlay, |look| look.take_mark(&asked, at, at, since))
            }
            Action::Send { .. } | Action::Delete { .. } | Action::CloseSession { .. } => {
                before.state.look_over(overlay, |look| look.take(operation, at, at, since))
            }
            Action::Register { .. }
            | Action::ResetPassword { .. }
            | Action::DeleteAccount { .. }
            | Action::Own { .. }
            | Action::Administer { .. } => {
                self.left_out += 1;
                return;
            }
            // Of the old cluster alone, or of sessions, which do not come over.
            Action::OpenSession { .. }
            | Action::AllocateIncarnation { .. }
            | Action::Restore(_)
            | Action::ChangeMembers { .. }
            | Action::NoteTime { .. }
            | Action::RaiseLevel { .. } => return,
        };
        match accepted {
            Ok(Acceptance::New { taken, .. }) => {
                let taken = Taken { again: true, ..*taken };
                overlay.add(taken.clone());
                self.taken.push(taken);
            }
            Ok(Acceptance::Known(_) | Acceptance::Held { .. }) => {}
            // Nobody was told that it is done, as that log was never committed there.
            Err(error) => {
                tracing::info!(id = %operation.id, %error, "the end of a log is not taken whole");
                self.left_out += 1;
            }
        }
    }
}
