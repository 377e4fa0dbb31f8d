//! What a server has in its log. A leader dies when it has just acknowledged messages, and
//! the one server that has them as well does not know yet that they are confirmed: alone, it
//! shows them. And when what it took alone is settled, its machine loses its power: alone
//! again, it still knows how far its state went.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ftchat::client::{Client, Follow};
use ftchat::planted::{Bug, plant};
use ftchat::protocol::client::{Answer, Confirm, InboxQuery, Request, Which};
use ftchat::types::Uuid;

use super::scale;
use crate::cluster::Report;
use crate::cluster::alone::stage::Stage;
use crate::cluster::scale::Scale;
use crate::recipes::NETWORK;
use crate::trace::TraceOptions;
use crate::world::{History, simulate};

pub fn play(seed: u64, bug: Option<Bug>) -> History<Report> {
    let _planted = bug.map(plant);
    simulate(seed, TraceOptions::default(), |world| {
        // No snapshot has what the log has.
        let scale = Scale { snapshot_bytes: 10_000_000, ..scale() };
        let mut stage = Stage::begin(world, &NETWORK, &scale, &["ann", "reader"]);
        let mut delivered = acknowledged_by_who_dies(&mut stage);
        delivered.push(settled_before_the_power_cut(&mut stage, seed));
        let inbox = stage.inbox("reader");
        let mut there: Vec<Uuid> = inbox.iter().map(|it| it.id).collect();
        there.sort_unstable();
        stage.report.expect(there == delivered, &format!("{there:?} are there: {delivered:?}"));
        stage.end()
    })
}

/// For how long the leader's own disk does nothing, and after which part of that it is not heard
/// any more: the other server has the message then, and the leader does not count itself yet.
const STALLED_US: u64 = 300_000;
const HEARD_MS: u64 = 150;

/// How long whoever follows looks for another server.
const FOLLOWS: Duration = Duration::from_secs(5);
const FOLLOWS_WITHIN_MS: u64 = 10_000;

fn acknowledged_by_who_dies(stage: &mut Stage<'_>) -> Vec<Uuid> {
    let (_, leads) = stage.cluster.observed(|observed| observed.leader);
    let leads = leads.expect("somebody leads");
    let [has_it, misses_it] = [1, 2].map(|it| (leads + it) % 3);
    let [from, to] = [leads, has_it].map(|it| stage.cluster.servers[it].machine);
    let shown = follow(stage, leads);
    stage.cut_off(misses_it);
    stage.world.run_for_ms(1_000);
    stage.world.with(|state| {
        let until_us = state.now_us + STALLED_US;
        state.machines[from.0].health.stalled_until_us = until_us;
    });
    let id = stage.id();
    let (to_whom, text) = (vec!["reader".to_string()], format!("ann {id}"));
    let (first, after) = (true, None);
    let request = Request::Send { operation: id, to: to_whom, text, first, after, reply_to: None };
    let asked = stage.begin_to_ask("ann", (&[leads], Confirm::Majority), request);
    stage.world.run_for_ms(HEARD_MS);
    stage.world.with(|state| state.network.set_cut(from, to, true));
    let sent = stage.answer(&asked);
    let confirmed = matches!(&sent, Ok(Answer::Sent(sent)) if sent.confirmed);
    stage.report.expect(confirmed, &format!("sent to who leads and got {sent:?}"));
    let is_shown = stage
        .world
        .run_until(HEARD_MS, |_| !shown.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
    stage.report.expect(is_shown, "who follows the leader is not shown what it has acknowledged");
    stage.world.kill(stage.cluster.servers[leads].program);
    stage.until_alone(has_it);
    let alone = stage.shown("reader", has_it);
    let there = alone.contains(&(id, false));
    stage.report.expect(there, &format!("{id} is on this disk, and is not shown: {alone:?}"));
    // Whoever follows comes to the server that is left.
    stage.world.run_for_ms(FOLLOWS_WITHIN_MS);
    stage.start(leads);
    stage.settle();
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
    stage.report.expect(shown == [id], &format!("following showed {shown:?} for {id}"));
    vec![id]
}

/// Follows the reader's inbox, at first where the leader is. Returns what it shows.
fn follow(stage: &mut Stage<'_>, leads: usize) -> Arc<Mutex<Vec<Uuid>>> {
    let shown: Arc<Mutex<Vec<Uuid>>> = Arc::default();
    let servers = stage.cluster.users.servers.to_vec();
    let (token, cluster) = stage.session("reader");
    let machine = stage.world.add_machine("follower");
    let noted = shown.clone();
    let program = stage.world.install(machine, "follower", move |host| {
        let (servers, token, noted) = (servers.clone(), token.clone(), noted.clone());
        Box::pin(async move {
            let first = servers[leads].clone();
            let client = Client::new(host, servers, FOLLOWS).map_err(|it| it.to_string())?;
            let mut client = client.confirming(Confirm::Any);
            client.set_session(token.into(), cluster);
            client.begin_at(&first);
            let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
            let mut follow = Follow::new(&client, query);
            loop {
                let messages = follow.next(&mut |_| {}).await.map_err(|it| it.to_string())?;
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.extend(messages.iter().map(|message| message.id));
            }
        })
    });
    stage.world.start(program);
    shown
}

/// How long nothing happens before the power is cut.
const QUIET_MS: u64 = 300;

fn settled_before_the_power_cut(stage: &mut Stage<'_>, seed: u64) -> Uuid {
    let server = seed as usize % 3;
    stage.leave_alone(server);
    let id = stage.taken(("ann", "reader"), &[server], false);
    stage.settle();
    // Nothing is being written that would be torn.
    stage.world.run_for_ms(QUIET_MS);
    stage.cut_off(server);
    let machine = stage.cluster.servers[server].machine;
    stage.world.crash(machine);
    stage.world.power_on(machine);
    stage.start(server);
    stage.until_alone(server);
    let shown = stage.shown("reader", server);
    // Its log has it in any case; but a state that goes back is not what others were shown.
    let there = shown.contains(&(id, true));
    stage.report.expect(there, &format!("{id} was confirmed here, and is not: {shown:?}"));
    stage.settle();
    id
}
