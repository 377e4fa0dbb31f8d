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
        let OriginLine { seq, accepted_at, notice } = line;
        let data = &mut self.state.data;
        let last = data.origins.last().map_or(0, Item::key);
        check_order(seq, last, data.counters.last_seq, "the origin of message")?;
        if data.messages.get(seq).is_none() {
            return corrupted(format!("there is no message {seq}, and it has an origin"));
        }
        let origin = Origin { seq, accepted_at, notice };
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
        let RepeatLine { id, index, refused } = line;
        if self.state.repeat(&id).is_some() {
            return corrupted(format!("operation {id} is there twice"));
        }
        if index >= COUNTER_MAX {
            return corrupted("a log index is impossibly high");
        }
        self.state.remember_repeat(Repeat { serial: 0, id, index, refused });
        Ok(())
    }

    pub(super) fn floors(&mut self, FloorsLine { window, repeats }: FloorsLine) -> Result<()> {
        let floors = &mut self.state.data.floors;
        if *floors != Floors::default() || window.max(repeats) >= COUNTER_MAX {
            return corrupted("what may be forgotten is there twice, or cannot be");
        }
        *floors = Floors { window, repeats };
        Ok(())
    }
}
