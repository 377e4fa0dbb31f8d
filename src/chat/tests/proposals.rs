//! What configurations propose for how much may be stored.

use super::bounds::{at_level, bounds_of, set_bounds, with_room};
use super::*;
use crate::protocol::administration::{Bounds, Recorded};

#[test]
fn the_lowest_proposal_counts_until_an_administrator_says_something() {
    let mut chat = at_level();
    let heeds = |chat: &Chat, account, total| chat.state.heeds(&bounds_of(account, total, true));
    let recorded = |chat: &Chat| {
        let actions = chat.state.look(|look| look.actions(0));
        actions.into_iter().map(|it| (it.by, it.what)).collect::<Vec<_>>()
    };
    assert_eq!(heeds(&chat, 0, 0), Ok(true));
    // The first one knows no memory, and runs on loopback.
    chat.apply(set_bounds(Some(0), Some(0), true));
    assert_eq!(chat.state.bounds(), bounds_of(0, 0, true));
    assert_eq!(recorded(&chat), [], "nothing held before");
    chat.apply(set_bounds(Some(100), Some(3_000), true));
    chat.apply(set_bounds(Some(50), Some(4_000), true));
    assert_eq!(chat.state.bounds(), bounds_of(50, 3_000, true), "of each the lowest");
    for (account, total, heeded) in
        [(50, 3_000, false), (0, 0, false), (60, 4_000, false), (40, 0, true), (0, 2_000, true)]
    {
        assert_eq!(heeds(&chat, account, total), Ok(heeded), "{account} {total}");
    }
    chat.apply(set_bounds(Some(50), Some(2_000), true));
    let lowered = recorded(&chat);
    assert_eq!(lowered.len(), 3, "{lowered:?}");
    let last = Recorded::SetBounds { account_bytes: 50, total_bytes: 2_000, keep_messages_days: 0 };
    assert_eq!(lowered[2], ("root@alpha".to_string(), last), "it is said who has lowered it");
    // An administrator sets one; the other is still what configurations say.
    chat.apply(set_bounds(Some(70), None, false));
    chat.apply(set_bounds(Some(1), Some(1_000), true));
    let half = Bounds { account_proposed: false, ..bounds_of(70, 1_000, true) };
    assert_eq!(chat.state.bounds(), half);
    chat.apply(set_bounds(None, Some(9_000), false));
    chat.apply(set_bounds(Some(1), Some(1), true));
    assert_eq!(chat.state.bounds(), bounds_of(70, 9_000, false));
    assert_eq!(heeds(&chat, 1, 1), Ok(false));
    let count = recorded(&chat).len();
    chat.apply(set_bounds(None, Some(9_000), false));
    assert_eq!(recorded(&chat).len(), count, "once is enough");
}

#[test]
fn a_small_machine_lowers_no_bound_below_what_is_stored() {
    let mut chat = at_level();
    chat.apply(set_bounds(Some(0), Some(1 << 20), true));
    let alice = chat.register("alice");
    for _ in 0..10 {
        chat.send(alice, &["alice"], "x");
    }
    let stored = chat.state.stored_bytes();
    let low = with_room(stored - 1);
    let (code, sentence) = refusal(chat.apply(set_bounds(Some(0), Some(low), true)));
    assert_eq!(code, ErrorCode::StorageFull);
    assert!(sentence.contains("what was set before holds"), "{sentence}");
    assert!(chat.state.heeds(&bounds_of(0, low, true)).is_err());
    assert_eq!(chat.state.bounds(), bounds_of(0, 1 << 20, true));
    chat.send(alice, &["alice"], "x");
    // Once it fits, it counts.
    let fits = with_room(chat.state.stored_bytes());
    assert_eq!(chat.apply(set_bounds(Some(0), Some(fits), true)), Outcome::Done);
    assert_eq!(chat.state.bounds(), bounds_of(0, fits, true));
}
