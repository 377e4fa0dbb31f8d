//! Which messages answer which others, from the lines of a view.

use super::{Restore, check_order, corrupted};
use crate::chat::chunks::Item;
use crate::chat::reply::Reply;
use crate::chat::snapshot::format::ReplyLine;
use crate::error::Result;

impl Restore {
    pub(super) fn reply(&mut self, ReplyLine { seq, to }: ReplyLine) -> Result<()> {
        let data = &mut self.state.data;
        let last = data.replies.last().map_or(0, Item::key);
        check_order(seq, last, data.counters.last_seq, "the answer")?;
        if data.messages.get(seq).is_none() {
            return corrupted(format!("there is no message {seq}, and it answers another"));
        }
        let reply = Reply { seq, to };
        data.sum.add(reply.digest());
        data.replies.push(reply);
        Ok(())
    }
}
