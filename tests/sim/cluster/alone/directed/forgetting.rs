//! Ids of operations are remembered for some log entries only, here for very few. While one
//! server is alone, or stands still, so many pass. Whatever was tried at both ends is delivered
//! once all the same, or its author is told that nobody can know; what was tried at one end only
//! is delivered; and nothing that was deleted comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ftchat::client::Client;
use ftchat::limits::ACCOUNT_BYTES_MIN;
use ftchat::planted::{Bug, plant};
use ftchat::protocol::client::{Confirm, Request};
use ftchat::types::Uuid;

use super::scale;
use crate::cluster::Report;
use crate::cluster::alone::stage::Stage;
use crate::cluster::scale::Scale;
use crate::recipes::NETWORK;
use crate::trace::TraceOptions;
use crate::world::{History, ProgramId, simulate};

/// For how many entries an id is remembered, and how many pass.
const WINDOW: u64 = 30;
const PASS: u64 = WINDOW + 20;

/// For how long a server stands still: that it notices.
const FROZEN_MS: u64 = 7_000;

pub fn play(seed: u64, bug: Option<Bug>) -> History<Report> {
    let _planted = bug.map(plant);
    simulate(seed, TraceOptions::default(), |world| {
        let scale = Scale { window_entries: WINDOW, ..scale() };
        let mut stage = Stage::begin(world, &NETWORK, &scale, &["ann", "reader", "sink"]);
        // Whoever has sent a message knows its id for as long as there is room.
        stage.bound(ACCOUNT_BYTES_MIN);
        let delivered = while_alone(&mut stage, seed);
        while_frozen(&mut stage, seed, &delivered);
        stage.end()
    })
}

/// One server is alone while the others forget.
fn while_alone(stage: &mut Stage<'_>, seed: u64) -> [Uuid; 3] {
    let (alone, others) = split(seed);
    let to_reader = ("ann", "reader");
    let known = stage.taken(to_reader, &stage.all(), true);
    stage.world.run_for_ms(1_000);
    stage.leave_alone(alone);
    // What its state knows it does not take again.
    stage.again(to_reader, &[alone], (known, false), true);
    // What its state does not know may be known all the same.
    stage.register("new");
    let unknown = stage.taken(("ann", "new"), &others, true);
    let refused = stage.send(("ann", "new"), &[alone], (unknown, false));
    stage.expect_open("sent to somebody whom the server does not know", refused);
    // Done there, and deleted; tried here much later.
    let late = stage.taken(to_reader, &others, true);
    stage.delete("reader", &others, late);
    // Tried here, then done there, and deleted.
    let twice = stage.taken(to_reader, &[alone], false);
    stage.again(to_reader, &others, (twice, false), true);
    stage.delete("reader", &others, twice);
    // Tried here alone.
    let once = stage.taken(to_reader, &[alone], false);
    stage.fill(&others, PASS);
    stage.again(to_reader, &[alone], (late, false), false);
    stage.settle();
    stage.expect_inbox("reader", &[known, once], &[]);
    stage.expect_inbox("ann", &[], &[(late, 1)]);
    stage.expect_inbox("new", &[unknown], &[]);
    [known, once, late]
}

/// One server has a second try of a message in its sockets while the others forget.
fn while_frozen(stage: &mut Stage<'_>, seed: u64, [known, once, late]: &[Uuid; 3]) {
    let (frozen, others) = split(seed + 1);
    let id = stage.id();
    let go = Arc::new(AtomicU32::new(0));
    let asker = second_try(stage, frozen, id, &go);
    let ready = stage.world.run_until(10_000, |_| go.load(Ordering::Relaxed) == 1);
    stage.report.expect(ready, "nobody is connected to the server that stands still");
    stage.again(("ann", "reader"), &others, (id, true), true);
    let program = stage.cluster.servers[frozen].program;
    stage.world.freeze(program);
    let since_ms = stage.world.now_ms();
    go.store(2, Ordering::Relaxed);
    let gone = stage.world.run_until(10_000, |world| world.exit(asker).is_some());
    stage.report.expect(gone, "a client waits for ever");
    stage.delete("reader", &others, id);
    stage.fill(&others, PASS);
    let passed_ms = stage.world.now_ms() - since_ms;
    stage.world.run_for_ms(FROZEN_MS.saturating_sub(passed_ms));
    stage.world.resume(program);
    stage.world.run_for_ms(5_000);
    stage.settle();
    stage.expect_inbox("reader", &[*known, *once], &[]);
    stage.expect_inbox("ann", &[], &[(*late, 1)]);
}

fn split(seed: u64) -> (usize, [usize; 2]) {
    let one = seed as usize % 3;
    (one, [(one + 1) % 3, (one + 2) % 3])
}

/// A client that is connected to one server sends there, when it is told to, what was sent
/// elsewhere; and does not wait long.
fn second_try(stage: &mut Stage<'_>, server: usize, id: Uuid, go: &Arc<AtomicU32>) -> ProgramId {
    let address = stage.cluster.users.servers[server].clone();
    let (token, cluster) = stage.session("ann");
    let machine = stage.world.add_machine("second try");
    let go = go.clone();
    let program = stage.world.install(machine, "second try", move |host| {
        let (servers, token, go) = (vec![address.clone()], token.clone(), go.clone());
        Box::pin(async move {
            let client = Client::new(host, servers, Duration::from_secs(2));
            let mut client = client.map_err(|error| error.to_string())?.confirming(Confirm::Any);
            client.set_session(token.into(), cluster);
            client.request(Request::Whoami {}).await.map_err(|error| error.to_string())?;
            go.store(1, Ordering::Relaxed);
            while go.load(Ordering::Relaxed) < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let (to, text) = (vec!["reader".to_string()], format!("ann {id}"));
            let (first, after) = (false, None);
            let sent = Request::Send { operation: id, to, text, first, after, reply_to: None };
            match client.request(sent).await {
                Err(_) => Ok(()),
                Ok(answer) => Err(format!("a frozen server has answered {answer:?}")),
            }
        })
    });
    stage.world.start(program);
    program
}
