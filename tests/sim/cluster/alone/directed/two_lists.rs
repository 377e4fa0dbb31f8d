//! Two of five servers take the same message without a majority, to somebody who is gone when
//! they are back, and whose name somebody else has: its author is told once, whoever has the
//! name gets nothing, and what the one of before wrote there is sent by nobody.

use ftchat::planted::{Bug, plant};
use ftchat::protocol::client::{Answer, Confirm, Request};

use super::scale;
use crate::cluster::Report;
use crate::cluster::alone::stage::Stage;
use crate::cluster::users::PASSWORD;
use crate::recipes::NETWORK_OF_FIVE;
use crate::trace::TraceOptions;
use crate::world::{History, simulate};

pub fn play(seed: u64, bug: Option<Bug>) -> History<Report> {
    let _planted = bug.map(plant);
    simulate(seed, TraceOptions::default(), |world| {
        let names = ["ann", "gus", "reader"];
        let mut stage = Stage::begin(world, &NETWORK_OF_FIVE, &scale(), &names);
        let [one, two] = [0, 1].map(|it| (seed as usize + it) % 5);
        let others: Vec<usize> =
            stage.all().into_iter().filter(|it| ![one, two].contains(it)).collect();
        stage.cut_off(one);
        stage.leave_alone(two);
        stage.until_alone(one);
        let lost = stage.taken(("ann", "gus"), &[one], false);
        stage.again(("ann", "gus"), &[two], (lost, false), false);
        let both = stage.taken(("ann", "reader"), &[one], false);
        stage.again(("ann", "reader"), &[two], (both, false), false);
        stage.taken(("gus", "reader"), &[one], false);
        let (operation, password) = (stage.id(), PASSWORD.to_string());
        let leaves = Request::DeleteAccount { operation, password };
        let left = stage.ask("gus", (&others, Confirm::Majority), leaves);
        let gone = matches!(left, Ok(Answer::Done { confirmed: true }));
        stage.report.expect(gone, &format!("left and got {left:?}"));
        stage.register("gus");
        stage.settle();
        stage.expect_inbox("ann", &[], &[(lost, 1)]);
        stage.expect_inbox("reader", &[both], &[]);
        stage.expect_inbox("gus", &[], &[]);
        stage.end()
    })
}
