//! What came from servers without a majority, from the lines of a view.

use super::{Restore, check_order, corrupted};
use crate::chat::chunks::Item;
use crate::chat::items::COUNTER_MAX;
use crate::chat::remembered::{Floors, Repeat};
use crate::chat::settled::{Origin, SettledList};
use crate::chat::snapshot::format::{FloorsLine, ListLine, OriginLine, RepeatLine};
use crate::error::Result;

impl Restore {
    pub(super) fn origin(&mut self, line: OriginLine) -> Result<()> {
        let OriginLine { seq, accepted_at, asked } = line;
        let data = &mut self.state.data;
        let last = data.origins.last().map_or(0, Item::key);
        check_order(seq, last, data.counters.last_seq, "the origin of message")?;
        if data.messages.get(seq).is_none() {
            return corrupted(format!("there is no message {seq}, and it has an origin"));
        }
        let origin = Origin { seq, accepted_at, asked: asked.map(|asked| asked.0) };
        data.sum.add(origin.digest());
        data.origins.push(origin);
        Ok(())
    }

    pub(super) fn settled_list(&mut self, ListLine { list, settled }: ListLine) -> Result<()> {
        let state = &mut self.state;
        let number = state.data.lists.last().map_or(0, Item::key) + 1;
        if state.lists.insert(list, number).is_some() {
            return corrupted(format!("the list {list} is there twice"));
        }
        if !(1..COUNTER_MAX).contains(&settled) {
            return corrupted(format!("the list {list} cannot be settled up to {settled}"));
        }
        let list = SettledList { number, list, settled };
        state.data.sum.add(list.digest());
        state.data.lists.push(list);
        Ok(())
    }

    pub(super) fn known_repeat(&mut self, line: RepeatLine) -> Result<()> {
        let RepeatLine { key, account, index, fate } = line;
        if self.state.repeat_ids.contains(&key) {
            return corrupted(format!("{key} was tried more than once, and is there twice"));
        }
        self.check_index(index)?;
        self.state.remember_repeat(Repeat { serial: 0, key, account, index, fate });
        Ok(())
    }

    /// Those of a backup count from the beginning of the log into which it is restored.
    pub(super) fn check_index(&self, index: u64) -> Result<()> {
        match index < if self.backup { 1 } else { COUNTER_MAX } {
            true => Ok(()),
            false => corrupted(format!("no log entry here has the index {index}")),
        }
    }

    pub(super) fn floors(&mut self, line: FloorsLine) -> Result<()> {
        let FloorsLine { window, level, before } = line;
        let floors = &mut self.state.data.floors;
        let foreign = self.backup && window.max(level) > 0;
        if *floors != Floors::default() || foreign || window.max(level).max(before) >= COUNTER_MAX {
            return corrupted("what may be forgotten is there twice, or cannot be");
        }
        *floors = Floors { window, level, before };
        Ok(())
    }
}
