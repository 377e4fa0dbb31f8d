//! Which replicas the cluster has: [`Membership`] as a part of the state.

use std::sync::Arc;

use super::operation::Outcome;
use super::state::State;
use crate::error::{Error, Result};
use crate::types::{MemberChange, MemberEntry, Membership};

impl State {
    pub(super) fn change_members(
        &mut self,
        expects: u64,
        change: &MemberChange,
        founders: &[MemberEntry],
    ) -> Result<Outcome> {
        let known = &self.data.membership;
        if known.version != expects {
            return Err(Error::unavailable(
                "another change of the membership came first; look at it, then try again",
            ));
        }
        let before = match known.is_known() {
            true => Membership::clone(known),
            false => Membership::founded(founders.to_vec()),
        };
        let after = before.changed(change)?;
        let version = after.version;
        self.data.membership = Arc::new(after);
        Ok(Outcome::MembersChanged { version })
    }

    /// Which replicas the cluster has; nothing is known while that was never changed.
    pub fn membership(&self) -> &Arc<Membership> {
        &self.data.membership
    }
}
