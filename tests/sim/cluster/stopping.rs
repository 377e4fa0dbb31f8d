//! A server that is told to stop while it starts lets go at once, whatever it
//! is doing: asking a survivor for its directory, or loading its data.

use std::sync::Mutex;

use super::swift::{begin_steady, check, note};
use super::{Report, conclude};
use crate::seeds::{in_parallel, number};
use crate::trace::TraceOptions;
use crate::world::{History, simulate};

/// Within which a server that was told to stop has ended. Some are up by then and have
/// answered somebody, whose connection they leave open for half a second.
const STOPS_WITHIN_MS: u64 = 700;

/// Starts are looked at for so long, millisecond by millisecond.
const START_MS: u64 = 64;

/// How a server is away before it starts.
#[derive(Clone, Copy, Debug)]
enum Away {
    /// Alone: its directory is free.
    Alone,
    /// With another: the third has adopted its replica.
    Adopted,
}

fn play(away: Away, after_ms: u64) -> History<Report> {
    simulate(after_ms, TraceOptions::default(), |world| {
        let (mut cluster, mut nemesis, mut report) = begin_steady(world);
        world.run_for_ms(1_000);
        let [starts, dies, last] = [0, 1, 2].map(|after| (after + after_ms as usize) % 3);
        world.kill(cluster.servers[starts].program);
        if matches!(away, Away::Adopted) {
            world.kill(cluster.servers[dies].program);
            let adopted = world.run_until(5_000, |_| {
                cluster.observed(|observed| observed.hosting.get(&last) == Some(&3))
            });
            report.expect(adopted, "the last server did not adopt the others");
        }
        world.run_for_ms(500);
        let program = cluster.servers[starts].program;
        world.start(program);
        world.run_for_ms(after_ms);
        cluster.servers[starts].stop.send_replace(true);
        let ended = world.run_until(STOPS_WITHIN_MS, |world| !world.lives(program));
        let what = format!("a starting server runs {STOPS_WITHIN_MS} ms after it was told to stop");
        report.expect(ended, &what);
        let exit = world.exit(program);
        report.expect(exit == Some(Ok(())), &format!("it ended with {exit:?}"));
        cluster.servers[starts].stop.send_replace(false);
        world.start(program);
        conclude(world, &mut cluster, &mut nemesis, report, false)
    })
}

#[test]
fn a_server_that_starts_can_be_stopped_at_any_moment() {
    let stride = number("FTCHAT_SIM_STEPS", 4) as usize;
    let starts: Vec<(Away, u64)> = [Away::Alone, Away::Adopted]
        .into_iter()
        .flat_map(|away| (0..START_MS).step_by(stride).map(move |after_ms| (away, after_ms)))
        .collect();
    let wrong = Mutex::new(Vec::new());
    in_parallel(&starts, |(away, after_ms)| {
        note(&wrong, &format!("{away:?}, {after_ms} ms after its start"), play(*away, *after_ms));
    });
    check(wrong, starts.len());
}
