//! A bit of an outbox flips while its server is down. What stands before it is delivered, once,
//! and what others have taken is not touched. The server takes nothing more alone, and says so.

use std::path::Path;

use ftchat::planted::{Bug, plant};
use ftchat::types::Uuid;

use super::scale;
use crate::cluster::Report;
use crate::cluster::alone::stage::Stage;
use crate::recipes::NETWORK;
use crate::trace::TraceOptions;
use crate::world::{History, simulate};

/// Messages that the server takes alone.
const TAKEN: usize = 8;

pub fn play(seed: u64, bug: Option<Bug>) -> History<Report> {
    let _planted = bug.map(plant);
    simulate(seed, TraceOptions::default(), |world| {
        let mut stage = Stage::begin(world, &NETWORK, &scale(), &["ann", "reader"]);
        let damaged = seed as usize % 3;
        let others: Vec<usize> = stage.all().into_iter().filter(|it| *it != damaged).collect();
        stage.leave_alone(damaged);
        let mut taken = Vec::new();
        for _ in 0..TAKEN {
            taken.push(stage.taken(("ann", "reader"), &[damaged], false));
        }
        let elsewhere = stage.taken(("ann", "reader"), &others, true);
        let program = stage.cluster.servers[damaged].program;
        stage.world.kill(program);
        flip(&mut stage, damaged, seed);
        stage.start(damaged);
        stage.until_alone(damaged);
        let id = stage.id();
        let refused = stage.send(("ann", "reader"), &[damaged], (id, true));
        stage.expect_open("sent to a server whose outbox is damaged", refused);
        stage.settle();
        let inbox: Vec<Uuid> = stage.inbox("reader").iter().map(|it| it.id).collect();
        let whole = inbox.len().saturating_sub(1);
        let order = [&[elsewhere], &taken[..whole.min(TAKEN)]].concat();
        stage.report.expect(inbox == order, &format!("{inbox:?} of {order:?} are there"));
        stage.report.expect(whole > 0, "nothing of what is whole was delivered");
        stage.report.expect(whole < TAKEN, "nothing was damaged");
        stage.end()
    })
}

/// Flips a bit in the middle of the server's list.
fn flip(stage: &mut Stage<'_>, server: usize, seed: u64) {
    let (machine, folder) = {
        let server = &stage.cluster.servers[server];
        (server.machine, server.folder.join("outbox"))
    };
    let flipped = stage.world.with(|state| {
        let disk = &mut state.machines[machine.0].disk;
        let (name, inode) = disk.files_below(&folder).ok()?.into_iter().next()?;
        let body = disk.body_mut(inode, Path::new(&name)).ok()?;
        let middle = body.current.len() / 2 + seed as usize % 16;
        *body.current.get_mut(middle)? ^= 4;
        Some(())
    });
    stage.report.expect(flipped.is_some(), "no list was found");
}
