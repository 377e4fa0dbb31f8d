//! Bugs that break the rules of going alone, and how soon they are found.
//!
//! ```text
//! FTCHAT_SIM_BUGS=2000 cargo test --test sim -- cluster::alone::planted --nocapture
//! ```
//!
//! This plays up to that many worlds with each, and says which one has found it, and by what.
//! `FTCHAT_SIM_BUG` names one of them. Without the variable only those are hunted that show
//! soon.

use std::sync::Mutex;

use ftchat::planted::Bug;

use super::Where::Apart as Chance;
use super::directed::{self, Scenario};
use super::play;
use crate::cluster::Report;
use crate::seeds::{in_parallel, number};
use crate::world::History;

/// What a bug shows itself in.
#[derive(Clone, Copy, Debug)]
enum Hunt {
    /// Worlds of chance, between machines.
    Apart,
    /// A scenario that is directed, as worlds of chance do not come there.
    Directed(Scenario),
}

use Hunt::{Apart, Directed};

impl Hunt {
    fn play(self, seed: u64, bug: Bug) -> History<Report> {
        match self {
            Apart => play(Chance, seed, Some(bug)),
            Directed(scenario) => directed::play(scenario, seed, Some(bug)),
        }
    }
}

/// What a bug shows itself in, the first world, and whether it shows soon: then an ordinary run
/// hunts it, within [`SEEDS_DEFAULT`] worlds.
const TABLE: &[(Bug, Hunt, u64, bool)] = &[
    (Bug::LeaveBehindWhatWaits, Apart, 15, true),
    (Bug::OvertakeWhatIsNotSettled, Apart, 1, true),
    (Bug::ForgetTheMessageBefore, Apart, 1, true),
    (Bug::ShowAgainWhenConfirmed, Apart, 1, true),
    (Bug::WriteByName, Apart, 3, false),
    (Bug::SettleEachTime, Apart, 1, false),
    (Bug::ForgetWhatTheLeaderHas, Apart, 44, false),
    (Bug::TakeAloneOutOfOrder, Apart, 1, false),
    (Bug::NotifyNever, Apart, 1, true),
    (Bug::HideWhenBack, Apart, 3, false),
    (Bug::ShowDeleted, Apart, 1, true),
    (Bug::ShowUnconfirmedWhatIsKnown, Apart, 3, false),
    (Bug::LiveOnWhereEnded, Apart, 1, true),
    (Bug::DeliverForEndedSession, Apart, 4, false),
    (Bug::MarkWhatIsKnown, Apart, 3, false),
    (Bug::TakeStrictAlone, Apart, 1, true),
    (Bug::TakeWhatIsKnown, Directed(Scenario::Forgetting), 1, true),
    (Bug::DecideAlone, Directed(Scenario::Forgetting), 1, true),
    (Bug::TakeRepeatForFirst, Directed(Scenario::Forgetting), 1, true),
    (Bug::TakeFirstForRepeat, Directed(Scenario::Forgetting), 1, true),
    (Bug::ForgetRepeats, Directed(Scenario::Forgetting), 1, true),
    (Bug::TakeWhatLayInSockets, Directed(Scenario::Forgetting), 1, true),
    (Bug::DeliverByName, Directed(Scenario::TwoLists), 1, true),
    (Bug::NotifyEachTime, Directed(Scenario::TwoLists), 1, true),
    (Bug::ShowAgainWhoeverIsBehind, Directed(Scenario::LogEnd), 1, true),
    (Bug::LeaveTheEndOfTheLog, Directed(Scenario::LogEnd), 1, true),
    (Bug::ForgetHowFarTheStateGoes, Directed(Scenario::LogEnd), 1, true),
    (Bug::KeepWhenRemoved, Directed(Scenario::Removing), 1, true),
    (Bug::DropWhenRemoved, Directed(Scenario::Removing), 1, true),
    (Bug::TakeBesideDamage, Directed(Scenario::Damage), 1, true),
];

/// Worlds within which a bug that shows soon is found.
const SEEDS_DEFAULT: u64 = 25;

/// All that are hunted here.
pub fn bugs() -> impl Iterator<Item = Bug> {
    TABLE.iter().map(|(bug, ..)| *bug)
}

#[test]
fn whatever_breaks_a_rule_of_going_alone_is_found() {
    let seeds_max = number("FTCHAT_SIM_BUGS", 0);
    let only = std::env::var("FTCHAT_SIM_BUG").ok();
    let hunted: Vec<_> = TABLE
        .iter()
        .filter(|(bug, _, _, soon)| {
            let named = only.as_ref().is_none_or(|only| format!("{bug:?}") == *only);
            named && (*soon || seeds_max > 0)
        })
        .collect();
    assert!(
        !hunted.is_empty(),
        "FTCHAT_SIM_BUG={only:?} hunts nothing: a bug has another name (src/planted.rs), or it does \
         not show soon and FTCHAT_SIM_BUGS has to say how many worlds to play"
    );
    let worlds = if seeds_max > 0 { seeds_max } else { SEEDS_DEFAULT };
    let unseen = Mutex::new(Vec::new());
    in_parallel(&hunted, |(bug, hunt, first, _)| {
        let found = (*first..first + worlds).find_map(|seed| {
            let history = hunt.play(seed, *bug);
            let told = [history.value.violations, history.failures].concat();
            told.into_iter().next().map(|told| (seed, told))
        });
        match found {
            Some((seed, told)) => {
                let told: String = told.chars().take(160).collect();
                println!("{:<28} {hunt:?} {seed:>5}  {told:?}", format!("{bug:?}"));
            }
            None => unseen.lock().expect("no panic while held").push(*bug),
        }
    });
    assert_eq!(unseen.into_inner().expect("no panic while held"), Vec::<Bug>::new());
}
