//! What administrators have set and done, and how old messages are, from the lines of a view.

use std::sync::Arc;

use super::{Restore, check_order, corrupted};
use crate::chat::change::{Record, Settings, StoredInvitation};
use crate::chat::chunks::Item;
use crate::chat::items::COUNTER_MAX;
use crate::chat::mark::Mark;
use crate::chat::snapshot::format::{InvitationLine, MarkLine, SettingsLine};
use crate::error::Result;
use crate::limits::{LEVEL_OF_BOUNDS, LEVEL_OF_KEEPING, MARKS_MAX};
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
        let level = self.state.data.level;
        let keeps = bounds.is_some_and(|bounds| bounds.keep_messages_days > 0);
        if (bounds.is_some() && level < LEVEL_OF_BOUNDS) || (keeps && level < LEVEL_OF_KEEPING) {
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

    pub(super) fn mark(&mut self, line: MarkLine) -> Result<()> {
        let MarkLine { seq, at, index } = line;
        let data = &mut self.state.data;
        if data.level < LEVEL_OF_KEEPING {
            return corrupted("it says what its feature level does not know");
        }
        let last = data.marks.last();
        check_order(seq, last.map_or(0, Item::key), data.counters.last_seq, "mark")?;
        if last.is_some_and(|last| last.at >= at) || data.marks.len() >= MARKS_MAX {
            return corrupted("marks are out of order, or too many");
        }
        let mark = Mark { seq, at, index };
        data.sum.add(mark.digest());
        data.marks.push(mark);
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
