//! On one host two servers are frozen, which proves nothing, so the third goes on alone; then it
//! is killed, which its lock proves. One of the two goes on, adopts its replica, and hands over
//! what that has taken.

use ftchat::planted::{Bug, plant};

use super::scale;
use crate::cluster::Report;
use crate::cluster::alone::stage::Stage;
use crate::recipes::SURVIVORS;
use crate::trace::TraceOptions;
use crate::world::{History, simulate};

/// How often somebody looks, each second, whether it is handed over.
const LOOKS: usize = 20;

pub fn play(seed: u64, bug: Option<Bug>) -> History<Report> {
    let _planted = bug.map(plant);
    simulate(seed, TraceOptions::default(), |world| {
        let mut stage = Stage::begin(world, &SURVIVORS, &scale(), &["ann", "reader"]);
        let [dies, adopts, stays] = [0, 1, 2].map(|it| (seed as usize + it) % 3);
        let [killed, resumed, frozen] =
            [dies, adopts, stays].map(|it| stage.cluster.servers[it].program);
        stage.world.freeze(resumed);
        stage.world.freeze(frozen);
        stage.until_alone(dies);
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.push(stage.taken(("ann", "reader"), &[dies], false));
        }
        stage.world.kill(killed);
        stage.world.resume(resumed);
        let adopted = stage.cluster.observed(|observed| observed.adoptions);
        let mut there = 0;
        for _ in 0..LOOKS {
            stage.world.run_for_ms(1_000);
            there =
                stage.shown("reader", adopts).iter().filter(|(_, confirmed)| *confirmed).count();
            if there == sent.len() {
                break;
            }
        }
        let adoptions = stage.cluster.observed(|observed| observed.adoptions);
        stage.report.expect(adoptions > adopted, "the one who was killed is not adopted");
        let all = there == sent.len();
        stage.report.expect(all, &format!("{there} of what the one had taken is handed over"));
        sent.push(stage.taken(("ann", "reader"), &[adopts], true));
        stage.expect_inbox("reader", &sent, &[]);
        stage.world.resume(frozen);
        stage.start(dies);
        stage.settle();
        stage.expect_inbox("reader", &sent, &[]);
        stage.end()
    })
}
