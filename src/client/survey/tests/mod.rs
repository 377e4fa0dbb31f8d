mod alone;

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncWriteExt, BufReader};

use super::*;
use crate::host::{
    BoxFuture, Clock, Disk, DiskFile, FileId, FileLock, FileSystem, Listener, Network, Random,
    Stream, Workers,
};
use crate::limits::PROTOCOL_VERSION;
use crate::protocol::client::{Mode, RequestLine, ResponseBody, ResponseLine, ServerHello};
use crate::protocol::codec::{push_line, read_line};
use crate::protocol::status::Health;
use crate::types::{Timestamp, Uuid};

/// What listens at an address of the test's network.
#[derive(Clone)]
pub(crate) enum Server {
    /// Answers with this status.
    Says(ServerStatus),
    /// Accepts and says nothing, as a stopped process does.
    Frozen,
    /// Says something that is no greeting.
    Garbage,
}

/// A network in memory: whoever is not in it refuses connections.
struct TestNetwork(BTreeMap<Address, Server>);

impl Network for TestNetwork {
    fn connect(&self, address: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        let server = self.0.get(address).cloned();
        Box::pin(async move {
            let Some(server) = server else {
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            crate::host::spawn(serve(server, theirs));
            Ok(Stream::local(ours))
        })
    }
    fn listen(&self, _: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        unreachable!("a survey does not listen")
    }
}

async fn serve(server: Server, stream: tokio::io::DuplexStream) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    let status = match server {
        Server::Says(status) => status,
        Server::Frozen => return std::future::pending().await,
        Server::Garbage => {
            stream.write_all(b"SSH-2.0-moon\n").await.expect("open");
            return;
        }
    };
    assert!(read_line(&mut stream, &mut line, 1000).await.expect("hello"));
    let mut out = Vec::new();
    let hello = ServerHello {
        ftchat: PROTOCOL_VERSION,
        version: "0".to_string(),
        cluster: status.cluster,
        replica: status.replica,
        leader: None,
        members: Vec::new(),
        mode: Mode::Majority,
        alone_since: None,
    };
    push_line(&mut out, &hello);
    stream.write_all(&out).await.expect("open");
    assert!(read_line(&mut stream, &mut line, 1000).await.expect("request"));
    let request: RequestLine = serde_json::from_slice(&line).expect("a request");
    assert!(matches!(request.request, Request::Status {}));
    out.clear();
    let body = ResponseBody::Result(Answer::Status(Box::new(status)));
    push_line(&mut out, &ResponseLine { id: Some(request.id), body });
    stream.write_all(&out).await.expect("open");
}

/// A survey takes nothing from its host but the network.
struct Nothing;
impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        unreachable!("not asked")
    }
}
impl Random for Nothing {
    fn fill(&self, _: &mut [u8]) {
        unreachable!("not asked")
    }
}
impl Workers for Nothing {
    fn spawn(&self, _: &str, _: BoxFuture<'static, ()>) {
        unreachable!("not asked")
    }
    fn compute(&self, _: Box<dyn FnOnce() + Send>) {
        unreachable!("not asked")
    }
}
impl Disk for Nothing {
    fn create_dir_all(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        unreachable!("not asked")
    }
    fn list(&self, _: &Path) -> BoxFuture<'static, io::Result<Vec<String>>> {
        unreachable!("not asked")
    }
    fn create(&self, _: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        unreachable!("not asked")
    }
    fn open(&self, _: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        unreachable!("not asked")
    }
    fn read(&self, _: &Path) -> BoxFuture<'static, io::Result<Vec<u8>>> {
        unreachable!("not asked")
    }
    fn rename(&self, _: &Path, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        unreachable!("not asked")
    }
    fn remove_file(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        unreachable!("not asked")
    }
    fn remove_dir_all(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        unreachable!("not asked")
    }
    fn sync_dir(&self, _: &Path) -> BoxFuture<'static, io::Result<()>> {
        unreachable!("not asked")
    }
    fn try_lock(&self, _: &Path) -> BoxFuture<'static, io::Result<Option<Box<dyn FileLock>>>> {
        unreachable!("not asked")
    }
    fn is_locked(&self, _: &Path) -> BoxFuture<'static, io::Result<bool>> {
        unreachable!("not asked")
    }
    fn file_id(&self, _: &Path) -> BoxFuture<'static, io::Result<FileId>> {
        unreachable!("not asked")
    }
    fn file_system(&self, _: &Path) -> BoxFuture<'static, io::Result<FileSystem>> {
        unreachable!("not asked")
    }
    fn used_bytes(&self, _: &Path) -> BoxFuture<'static, io::Result<u64>> {
        unreachable!("not asked")
    }
}

/// A host on whose network only these servers listen.
pub(crate) fn host_with(servers: BTreeMap<Address, Server>) -> Host {
    Host {
        clock: Arc::new(Nothing),
        random: Arc::new(Nothing),
        network: Arc::new(TestNetwork(servers)),
        disk: Arc::new(Nothing),
        workers: Arc::new(Nothing),
    }
}

fn host(servers: impl IntoIterator<Item = (u32, Server)>) -> Host {
    host_with(servers.into_iter().map(|(n, server)| (address(n), server)).collect())
}

fn address(n: u32) -> Address {
    format!("127.0.0.1:{}", 8090 + n).parse().expect("valid")
}

fn listed() -> Vec<Address> {
    vec![address(1), address(2), address(3)]
}

fn replica(id: u32, host: u32, state: ReplicaState, applied: u64) -> ReplicaStatus {
    let member = Member { id: ReplicaId(id), address: address(id) };
    let mut replica = absent(&member, &[], &[]);
    (replica.state, replica.term, replica.last_log, replica.applied) = (state, 4, applied, applied);
    (replica.hosted_by, replica.pid, replica.error) =
        (Some(ReplicaId(host)), Some(100 + host), None);
    replica
}

/// Server `id` of three, which hosts `hosted` and follows leader 1 in term 4.
fn status(id: u32, hosted: Vec<ReplicaStatus>) -> ServerStatus {
    ServerStatus {
        cluster: Some(Uuid::from_u128(7)),
        replica: ReplicaId(id),
        members: (1..=3).map(|n| Member { id: ReplicaId(n), address: address(n) }).collect(),
        leader: Some(ReplicaId(1)),
        term: 4,
        writable: true,
        commit: 20,
        commit_before: None,
        feature_level: None,
        stored_bytes: None,
        stored_bytes_max: None,
        survivor: Survivor::Never,
        goes_alone: None,
        adoptable: vec![],
        hosted,
        notice: None,
    }
}

pub(crate) fn leader() -> Server {
    Server::Says(status(1, vec![replica(1, 1, ReplicaState::Leader, 20)]))
}

fn follower(id: u32, applied: u64) -> Server {
    Server::Says(status(id, vec![replica(id, id, ReplicaState::Follower, applied)]))
}

async fn look(servers: impl IntoIterator<Item = (u32, Server)>) -> ClusterStatus {
    survey(&host(servers), &listed(), SERVER_LIMIT).await
}

fn states(status: &ClusterStatus) -> Vec<(u32, ReplicaState, u64)> {
    status.replicas.iter().map(|replica| (replica.id.0, replica.state, replica.lag)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_healthy_cluster_is_one_object_with_every_replica() {
    use ReplicaState::*;
    let status = look([(1, leader()), (2, follower(2, 20)), (3, follower(3, 15))]).await;
    assert_eq!(states(&status), [(1, Leader, 0), (2, Follower, 0), (3, Follower, 5)]);
    assert!(status.writable && status.answered());
    assert_eq!((status.leader, status.term, status.commit), (Some(ReplicaId(1)), 4, 20));
    assert_eq!((status.tolerates, status.health()), (1, Health::Healthy));
    let json = serde_json::to_value(&status).expect("plain data");
    for field in ["cluster", "writable", "leader", "term", "commit", "tolerates", "replicas"] {
        assert!(json.get(field).is_some(), "{field}");
    }
    for field in [
        "id",
        "address",
        "state",
        "term",
        "last_log",
        "applied",
        "lag",
        "applied_before",
        "stalled",
        "votes",
        "hosted_by",
        "pid",
        "version",
        "uptime_s",
        "disk_bytes",
        "state_hash",
        "error",
    ] {
        assert!(json["replicas"][0].get(field).is_some(), "{field}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_and_a_frozen_server_are_listed_with_their_reasons() {
    let started = tokio::time::Instant::now();
    let status = look([(1, leader()), (3, Server::Frozen)]).await;
    assert_eq!(started.elapsed(), SERVER_LIMIT);
    let error = |n: usize| status.replicas[n].error.clone().expect("a reason");
    assert_eq!(status.replicas[1].state, ReplicaState::Unreachable);
    assert!(error(1).contains("refused"), "{}", error(1));
    assert_eq!(status.replicas[2].state, ReplicaState::Unreachable);
    assert!(error(2).contains("no answer within 1000 ms"), "{}", error(2));
    assert_eq!((status.replicas[1].hosted_by, status.replicas[1].lag), (None, 20));
}

#[tokio::test(start_paused = true)]
async fn members_that_are_not_on_the_list_are_asked_too() {
    let host = host([(1, leader()), (2, follower(2, 20)), (3, follower(3, 20))]);
    let status = survey(&host, &[address(2)], SERVER_LIMIT).await;
    assert!(status.writable);
    assert!(status.replicas.iter().all(|replica| replica.hosted_by.is_some()));
}

#[tokio::test(start_paused = true)]
async fn when_nobody_answers_every_server_of_the_list_is_shown() {
    let status = look([(2, Server::Garbage)]).await;
    assert!(!status.writable && !status.answered());
    assert_eq!((status.leader, status.cluster, status.tolerates), (None, None, 0));
    assert_eq!(status.replicas.len(), 3);
    assert!(status.replicas.iter().all(|r| r.state == ReplicaState::Unreachable));
    assert!(status.replicas.iter().all(|r| r.error.is_some()));
    assert_eq!(status.health(), Health::Unavailable);
    // The order of the list says nothing about the numbers.
    assert!(status.replicas.iter().all(|r| r.id == UNKNOWN));
    let json = serde_json::to_value(&status).expect("plain data");
    assert_eq!(json["replicas"][0]["id"], serde_json::Value::Null);
    assert_eq!(serde_json::from_value::<ClusterStatus>(json).expect("its own"), status);
    let mut numbered = status.clone();
    let addresses = [address(3), address(2), address(1)];
    numbered.number([(ReplicaId(3), &addresses[0]), (ReplicaId(1), &addresses[2])].into_iter());
    let ids: Vec<_> = numbered.replicas.iter().map(|r| (r.id.0, r.address.clone())).collect();
    assert_eq!(ids, [(0, address(2)), (1, address(1)), (3, address(3))]);
}

#[tokio::test(start_paused = true)]
async fn a_followers_word_about_a_dead_leader_does_not_count() {
    let status = look([(2, follower(2, 20)), (3, follower(3, 20))]).await;
    assert!(!status.writable);
    assert_eq!((status.leader, status.tolerates), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn of_two_leaders_the_one_of_the_later_term_counts() {
    let mut newer = status(2, vec![replica(2, 2, ReplicaState::Leader, 20)]);
    (newer.term, newer.writable, newer.hosted[0].term) = (5, false, 5);
    let status = look([(1, leader()), (2, Server::Says(newer)), (3, follower(3, 20))]).await;
    assert_eq!((status.leader, status.writable, status.term), (Some(ReplicaId(2)), false, 5));
    assert_eq!(status.replicas[0].state, ReplicaState::Follower, "it leads no more");
}

/// A process has heard of a later term for a replica that it has adopted, and its own
/// replica, whose disk is full, has not.
#[tokio::test(start_paused = true)]
async fn a_former_leader_does_not_count_for_what_its_process_has_heard() {
    let mut former = status(
        3,
        vec![replica(3, 3, ReplicaState::Leader, 20), replica(2, 3, ReplicaState::Follower, 20)],
    );
    (former.term, former.writable, former.hosted[1].term) = (5, false, 5);
    let mut leading = status(1, vec![replica(1, 1, ReplicaState::Leader, 20)]);
    (leading.term, leading.writable, leading.hosted[0].term) = (5, true, 5);
    let status = look([(1, Server::Says(leading)), (3, Server::Says(former))]).await;
    assert_eq!((status.leader, status.writable), (Some(ReplicaId(1)), true));
    assert_eq!(status.replicas[2].state, ReplicaState::Follower);
}

#[tokio::test(start_paused = true)]
async fn a_replica_with_a_full_disk_has_no_vote_that_counts() {
    let mut full = replica(3, 3, ReplicaState::Follower, 20);
    full.error = Some("the disk is full".to_string());
    let servers = [(1, leader()), (2, follower(2, 20)), (3, Server::Says(status(3, vec![full])))];
    let status = look(servers).await;
    assert_eq!((status.writable, status.tolerates), (true, 0));
}

#[tokio::test(start_paused = true)]
async fn two_of_three_by_majority_tolerate_nothing_more() {
    let status = look([(1, leader()), (2, follower(2, 20))]).await;
    assert_eq!((status.writable, status.tolerates, status.health()), (true, 0, Health::Degraded));
}

#[tokio::test(start_paused = true)]
async fn with_adoption_on_one_host_two_one_and_no_more_crash_is_tolerated() {
    use ReplicaState::*;
    let auto = |id: u32, hosted: Vec<ReplicaStatus>| {
        let adoptable = (1..=3).map(ReplicaId).filter(|other| other.0 != id).collect();
        Server::Says(ServerStatus { survivor: Survivor::Auto, adoptable, ..status(id, hosted) })
    };
    let lead = || replica(1, 1, Leader, 20);
    let own = |id| replica(id, id, Follower, 20);
    let three =
        look([(1, auto(1, vec![lead()])), (2, auto(2, vec![own(2)])), (3, auto(3, vec![own(3)]))]);
    assert_eq!(three.await.tolerates, 2);
    let two = look([(1, auto(1, vec![lead()])), (2, auto(2, vec![own(2)]))]);
    assert_eq!(two.await.tolerates, 1);
    let one = look([(1, auto(1, vec![lead(), replica(2, 1, Follower, 20)]))]).await;
    assert_eq!((one.tolerates, one.writable, one.health()), (0, true, Health::Degraded));
    assert_eq!(one.replicas[1].hosted_by, Some(ReplicaId(1)));

    // Whoever has not met a neighbour yet could not adopt it.
    let Server::Says(mut shy) = auto(3, vec![own(3)]) else { panic!("it says something") };
    shy.adoptable.retain(|id| id.0 == 1);
    let shy = || Server::Says(shy.clone());
    let three = look([(1, auto(1, vec![lead()])), (2, auto(2, vec![own(2)])), (3, shy())]);
    assert_eq!(three.await.tolerates, 1);
    let two = look([(1, auto(1, vec![lead()])), (3, shy())]);
    assert_eq!(two.await.tolerates, 1, "it knows the only one that is left");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stands_still_or_may_not_vote_makes_nobody_safe() {
    use ReplicaState::*;
    let cluster = |applied: u64, applied_before, votes| {
        let mut leading = status(1, vec![replica(1, 1, Leader, 20)]);
        leading.commit_before = Some(18);
        let behind = ReplicaStatus { applied_before, votes, ..replica(3, 3, Follower, applied) };
        [
            (1, Server::Says(leading)),
            (2, follower(2, 20)),
            (3, Server::Says(status(3, vec![behind]))),
        ]
    };
    for (applied, before, votes, stalled, tolerates) in [
        (15, Some(15), true, true, 0),
        (15, Some(14), true, false, 1),
        (15, None, true, false, 1),
        // All that there was five seconds ago.
        (18, Some(18), true, false, 1),
        (20, Some(20), true, false, 1),
        (20, Some(18), false, false, 0),
    ] {
        let seen = look(cluster(applied, before, votes)).await;
        let what = format!("{applied}, before {before:?}, votes: {votes}");
        assert_eq!((seen.replicas[2].stalled, seen.tolerates), (stalled, tolerates), "{what}");
        let healthy = votes && !stalled;
        assert_eq!(seen.health() == Health::Healthy, healthy, "{what}");
        assert_eq!(seen.notices.iter().any(|it| it.contains("gained nothing")), stalled, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_waits_for_its_replica_is_starting() {
    let mut waiting = status(3, vec![]);
    waiting.notice = Some("waits for server 1 to hand replica 3 back".to_string());
    let status = look([(1, leader()), (2, follower(2, 20)), (3, Server::Says(waiting))]).await;
    assert_eq!(status.replicas[2].state, ReplicaState::Starting);
    assert!(status.replicas[2].error.as_ref().is_some_and(|e| e.contains("hand replica 3 back")));
    assert_eq!(status.notices.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_of_another_cluster_on_the_list_is_left_out_and_named() {
    let mut other = status(2, vec![replica(2, 2, ReplicaState::Leader, 99)]);
    (other.cluster, other.commit, other.term) = (Some(Uuid::from_u128(8)), 99, 99);
    let status = look([(1, leader()), (2, Server::Says(other)), (3, follower(3, 20))]).await;
    assert_eq!((status.commit, status.leader), (20, Some(ReplicaId(1))));
    assert_eq!(status.replicas[1].state, ReplicaState::Unreachable);
    assert!(status.notices[0].contains("another cluster"), "{:?}", status.notices);
}
