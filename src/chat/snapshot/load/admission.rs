//! What administrators have set and done, from the lines of a view.

use std::sync::Arc;

use super::{Restore, check_order, corrupted};
use crate::chat::change::{Record, Settings, StoredInvitation};
use crate::chat::chunks::Item;
use crate::chat::items::COUNTER_MAX;
use crate::chat::snapshot::format::{InvitationLine, SettingsLine};
use crate::error::Result;
use crate::limits::LEVEL_OF_BOUNDS;
use crate::protocol::administration::AdministrativeAction;

impl Restore {
    pub(super) fn settings(&mut self, line: SettingsLine) -> Result<()> {
        let SettingsLine { registration, bounds, last_invitation, last_action } = line;
        if self.state.data.settings != Settings::default() {
            return corrupted("the settings are there twice");
        }
        if last_invitation.max(last_action) >= COUNTER_MAX {
            return corrupted("a counter is impossibly high");
        }
        if bounds.is_some() && self.state.data.level < LEVEL_OF_BOUNDS {
            return corrupted("it says what its feature level does not know");
        }
        self.state.data.settings = Settings { registration, bounds, last_invitation, last_action };
        Ok(())
    }

    pub(super) fn invitation(&mut self, line: InvitationLine) -> Result<()> {
        let InvitationLine { number, code_hash, uses, used, created, expires } = line;
        let state = &mut self.state;
        let last = state.data.invitations.last().map_or(0, Item::key);
        check_order(number, last, state.data.settings.last_invitation, "invitation")?;
        if state.invitation_codes.insert(code_hash, number).is_some() {
            return corrupted(format!("invitation {number} has the code of another"));
        }
        let invitation = StoredInvitation { number, code_hash, uses, used, created, expires };
        state.data.sum.add(invitation.digest());
        state.data.invitations.push(invitation);
        Ok(())
    }

    pub(super) fn action(&mut self, line: AdministrativeAction) -> Result<()> {
        let AdministrativeAction { id: number, at, by, what } = line;
        let data = &mut self.state.data;
        let last = data.actions.last().map_or(0, Item::key);
        check_order(number, last, data.settings.last_action, "action")?;
        let record = Record { number, at, by: by.into(), what };
        data.sum.add(record.digest());
        data.actions.push(Arc::new(record));
        Ok(())
    }
}
