//! A node that comes back while its peers are silent.

use std::path::Path;

use super::*;
use crate::config::Timing;
use crate::consensus::engine::links::{Links, Pair};
use crate::consensus::time::Time;
use crate::consensus::types::{Entry, EntryPayload, Vote};
use crate::consensus::wire::entry;
use crate::consensus::{Machine, NodeParts, Stored};
use crate::host::Host;
use crate::limits::Limits;
use crate::peer::{Clocks, ClusterKey, Credentials, Link, LinkTiming, LocalTransport};
use crate::protocol::peer::Introduction;
use crate::storage::testing;

fn own() -> NodeId {
    NodeId::new(ReplicaId(1), 1)
}

fn log_id(term: u64, index: u64) -> LogId {
    entry::log_id(term, own(), index)
}

/// Links to so many peers, at whose addresses nobody listens.
fn links(host: &Host, peers: u32) -> Links {
    let introduction =
        Introduction { replica: ReplicaId(1), cluster: None, lineage: None, incarnation: None };
    let credentials = Credentials::new(ClusterKey::new([1; 32]), introduction);
    let pause = Duration::from_secs(1);
    let timing = LinkTiming { connect: pause, redial: (pause, pause), receive: pause };
    let link = |id| {
        let at = vec!["127.0.0.1:1".parse().expect("an address")];
        let spawn = |task| runtime::spawn(host, task);
        Link::start(
            host.clone(),
            credentials.clone(),
            id,
            at,
            timing,
            LocalTransport::default(),
            spawn,
        )
    };
    let links = Links::default();
    let pair = |id| Pair { consensus: link(id), service: link(id) };
    links.become_those(&(2..2 + peers).map(ReplicaId).collect(), pair);
    links
}

/// A node whose log ends with entry 2 of term 1.
async fn node(folder: &Path, lost_end: bool, peers: u32) -> Consensus {
    let host = Host::real();
    let (log, snapshots) = testing::log_and_snapshots(folder).await;
    let blank = |index| Entry { log_id: log_id(1, index), payload: EntryPayload::Blank };
    let lines = (0..3).map(|index| entry::encode(&blank(index))).collect();
    testing::append_lines(&log, 0, lines).await.expect("durable");
    let vote = serde_json::to_vec(&Vote::new(1, own())).expect("plain data");
    log.write_vote(vote.into()).await.expect("durable");
    if lost_end {
        let tail = DroppedTail { file: String::new(), index: 3, bytes: 1 };
        log.note_dropped_tail(tail).await.expect("durable");
    }
    let stored = Stored { log, snapshots, lost_end, level: Default::default() };
    let timing = Timing {
        heartbeat_interval_ms: 50,
        election_timeout_min_ms: 200,
        election_timeout_max_ms: 400,
    };
    let machine = Machine::new(host.clone(), 1);
    let time = Time::new(host.clone(), Clocks::default(), machine.clone());
    let (links, limits) = (links(&host, peers), Limits::default());
    let parts =
        NodeParts { node: own(), timing, limits: &limits, machine, links, time, host_node: None };
    Consensus::start(&host, stored, parts).await.expect("starts")
}

/// Whether a directory says that an end is lost.
fn is_noted(folder: &Path) -> bool {
    folder.join("dropped-tail.json").exists()
}

#[tokio::test]
async fn who_lost_its_end_votes_for_whoever_is_as_far_as_the_best_that_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node(folder.path(), true, 2).await;
    assert!(node.check_vote(Some(log_id(9, 9))).is_err(), "how far the others are is not known");
    let floor = Some(log_id(2, 5));
    node.change_log_end(LogEnd::Lost { floor: None }, LogEnd::Lost { floor });
    for (candidate, votes) in [
        (None, false),
        (Some(log_id(1, 9)), false),
        (Some(log_id(2, 4)), false),
        (floor, true),
        (Some(log_id(2, 6)), true),
        (Some(log_id(3, 0)), true),
    ] {
        assert_eq!(node.check_vote(candidate).is_ok(), votes, "{candidate:?}");
    }
    assert!(!node.elects(), "it asks for no vote itself");
    node.stop().await;
}

#[tokio::test]
async fn silence_settles_nothing() {
    for (lost, end) in [(true, LogEnd::Lost { floor: None }), (false, LogEnd::Unchecked)] {
        let folder = tempfile::tempdir().expect("a folder");
        let node = node(folder.path(), lost, 2).await;
        node.check_log_end().await.expect("looks");
        assert_eq!(*node.0.log_end.borrow(), end);
        assert!(!node.trusts_its_log() && node.check_vote(None).is_err());
        assert_eq!(is_noted(folder.path()), lost);
        node.stop().await;
    }
}

#[tokio::test]
async fn a_loss_is_settled_for_good_where_nobody_has_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node(folder.path(), true, 0).await;
    let mut end = node.0.log_end.subscribe();
    end.wait_for(|end| *end == LogEnd::Whole).await.expect("the node is there");
    assert!(!is_noted(folder.path()), "the next process must not ask again");
    node.stop().await;
}

#[tokio::test]
async fn a_loss_that_a_leader_tells_of_is_written_down() {
    for (counted, lost) in [(1, false), (2, false), (3, true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let node = node(folder.path(), false, 2).await;
        let mut leader = node.candidacy().await.expect("runs");
        let last = leader.last;
        leader.replicated = vec![(own(), log_id(1, counted))];
        node.note_loss_known_to(&leader, last).await.expect("durable");
        assert_eq!((node.abstains(), is_noted(folder.path())), (lost, lost), "{counted}");
        node.stop().await;
    }
}

#[tokio::test]
async fn an_append_for_an_earlier_process_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node(folder.path(), false, 2).await;
    let run = node.candidacy().await.expect("runs").run;
    assert!(run.is_some());
    node.check_run(run).expect("its own");
    node.check_run(None).expect("of an older program");
    let error = node.check_run(Some(Uuid::nil())).expect_err("another's");
    assert_eq!(error.code, ErrorCode::WrongCluster);
    node.stop().await;
}
