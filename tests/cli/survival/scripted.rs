//! What a script sees that sends and reads with one-shot commands in a loop,
//! while servers are killed: exit code 0, always.

use super::{await_alone, crash, others, start};
use crate::harness::{Cluster, Steady};

#[test]
fn each_pair_is_killed_at_once_and_no_command_fails() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    for survivor in [2, 3, 1] {
        crash(&cluster, &others(survivor));
        steady.goes_on();
        await_alone(&cluster, survivor);
        steady.goes_on();
        start(&cluster, &others(survivor));
        steady.goes_on();
    }
    steady.all_arrived();
}

#[test]
fn each_pair_is_killed_in_either_order_and_no_command_fails() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    for survivor in 1..=3 {
        let [a, b] = others(survivor);
        for order in [[a, b], [b, a]] {
            for dead in order {
                crash(&cluster, &[dead]);
                steady.goes_on();
            }
            await_alone(&cluster, survivor);
            for back in order {
                cluster.admin(&["start", &back.to_string()]).end().ok();
                steady.goes_on();
            }
            cluster.await_whole();
        }
    }
    steady.all_arrived();
}

/// The role of survivor goes round without the cluster ever being whole: the
/// dead one comes back, and at once its host dies.
#[test]
fn the_host_dies_as_soon_as_one_is_back() {
    let cluster = Cluster::surviving();
    let steady = Steady::start(&cluster);
    let mut host = cluster.leader();
    crash(&cluster, &others(host));
    steady.goes_on();
    for _ in 0..4 {
        let back = host % 3 + 1;
        cluster.admin(&["start", &back.to_string()]).end().ok();
        crash(&cluster, &[host]);
        steady.goes_on();
        await_alone(&cluster, back);
        host = back;
    }
    start(&cluster, &others(host));
    steady.all_arrived();
}
