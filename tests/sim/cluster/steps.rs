//! A death at every step of an adoption and of a hand-back.
//!
//! The recipes draw when a process dies; here all such points are enumerated. A cluster
//! runs on one host, and two servers are killed. The server that adopts them, or that
//! gives a replica back, or that takes its own back, dies at the n-th call of a seam
//! from then on: every read and write of a file, every byte sent, every lock. Each call
//! is a world of its own.
//!
//! ```text
//! FTCHAT_SIM_STEPS=1 cargo test --test sim -- steps --nocapture
//! ```
//!
//! This tries each of the first [`CALLS_MAX`] calls; without the variable it tries
//! every [`STRIDE`]-th.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{ALONE_MAX_MS, Report, begin, conclude};
use crate::seeds::{in_parallel, number};
use crate::trace::TraceOptions;
use crate::world::{History, World, simulate};

/// Calls that are tried. Adopting two replicas, or giving one back and being
/// followed by it again, takes fewer.
const CALLS_MAX: u64 = 600;

/// Which calls an ordinary test run tries: every so-many-th.
const STRIDE: u64 = 53;

/// Who dies.
#[derive(Clone, Copy, Debug)]
enum Dies {
    /// The last server, while it takes over the two others' replicas.
    Adopter,
    /// The last server, while an owner takes its replica back.
    Holder,
    /// That owner.
    Owner,
}

/// Plays one death.
fn play(dies: Dies, call: u64) -> History<Report> {
    simulate(call, TraceOptions::default(), |world| {
        let (mut cluster, mut nemesis, mut report) = begin(world);
        // Each of the three is the last one in turn.
        let last = (call % 3) as usize;
        let [owner, other, last] =
            [(last + 1) % 3, (last + 2) % 3, last].map(|at| (at, cluster.servers[at].program));
        world.kill(owner.1);
        world.kill(other.1);
        let victim = match dies {
            Dies::Adopter => last.1,
            Dies::Holder | Dies::Owner => {
                let hosts = |world: &mut World| {
                    cluster.observed(|observed| observed.hosting.get(&last.0) == Some(&3))
                        && world.lives(last.1)
                };
                let adopted = world.run_until(ALONE_MAX_MS, hosts);
                report.expect(adopted, "the last server did not adopt the others");
                world.start(owner.1);
                if matches!(dies, Dies::Holder) { last.1 } else { owner.1 }
            }
        };
        world.kill_at_call(victim, call);
        let died = world.run_until(5_000, |world| !world.lives(victim));
        report.expect(died, "nobody died");
        world.run_for_ms(call % 50);
        world.start(victim);
        // One or two servers are there again, and that is enough.
        let since = cluster.users.recorder.look(<[_]>::len);
        let wrote = world.run_until(ALONE_MAX_MS, |world| {
            world.now_ms().is_multiple_of(100) && cluster.senders_since(since) > 0
        });
        report.expect(wrote, "nobody could send after the death");
        conclude(world, &mut cluster, &mut nemesis, report, false)
    })
}

#[test]
fn nobody_is_lost_whichever_step_is_the_last() {
    let stride = number("FTCHAT_SIM_STEPS", STRIDE);
    let calls: Vec<(Dies, u64)> = [Dies::Adopter, Dies::Holder, Dies::Owner]
        .into_iter()
        .flat_map(|dies| (1..=CALLS_MAX).step_by(stride as usize).map(move |call| (dies, call)))
        .collect();
    let (wrong, changed_hands) = (Mutex::new(Vec::new()), AtomicU64::new(0));
    in_parallel(&calls, |(dies, call)| {
        let history = play(*dies, *call);
        let Report { violations, counts } = history.value;
        changed_hands.fetch_add(counts["adoptions"], Ordering::Relaxed);
        let defects = [violations, history.failures].concat();
        if let Some(first) = defects.first() {
            let told = format!("{dies:?} at call {call}: {first}");
            wrong.lock().expect("no panic while held").push(told);
        }
    });
    let wrong = wrong.into_inner().expect("no panic while held");
    let changed_hands = changed_hands.into_inner();
    println!("{} deaths around {changed_hands} adoptions", calls.len());
    // The others die before they have adopted anybody.
    assert!(changed_hands as usize > calls.len(), "{changed_hands} adoptions");
    assert!(wrong.is_empty(), "{} of {} failed: {wrong:#?}", wrong.len(), calls.len());
}
