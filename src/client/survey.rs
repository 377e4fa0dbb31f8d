//! Asks every server how it is, and makes one picture of the answers.
//!
//! All servers are asked at once, also those that are not on the list but that
//! an answer names as members. Each has its own time limit: a frozen process
//! accepts connections and never answers, and must not keep the others' answers
//! from being shown.
//!
//! The picture shows what is not known as not known. A replica that no server
//! speaks for is listed as unreachable, with the reason. Writes count as confirmed
//! only when the leader itself answered and said so: a follower goes on naming
//! a leader for a while after it has died. Without that, messages count as taken if a
//! server says that it is alone.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};

use super::Connection;
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::limits::LEVEL_OF_SETTLING;
use crate::protocol::client::{
    Answer, Member, ReplicaState, ReplicaStatus, Request, ServerStatus, Survivor, UNKNOWN,
};
use crate::protocol::status::ClusterStatus;
use crate::types::{Address, ReplicaId, majority};

/// How long one server may take to answer. A healthy one takes a millisecond;
/// on a machine under full load it can take hundreds.
pub const SERVER_LIMIT: Duration = Duration::from_secs(1);

/// Most servers that are asked, whatever answers name: a server that invents
/// members must not keep us asking for ever.
const SERVERS_MAX: usize = 64;

/// Asks all servers and every member that they name, each for at most
/// `server_limit`; takes at most twice as long.
pub async fn survey(host: &Host, servers: &[Address], server_limit: Duration) -> ClusterStatus {
    let mut asked: Vec<Address> = Vec::new();
    let mut answers: BTreeMap<usize, Result<ServerStatus>> = BTreeMap::new();
    let mut running = FuturesUnordered::new();
    let mut next = servers.to_vec();
    loop {
        for address in next.drain(..) {
            if asked.contains(&address) || asked.len() >= SERVERS_MAX {
                continue;
            }
            let place = asked.len();
            asked.push(address.clone());
            running.push(async move { (place, ask(host, &address, server_limit).await) });
        }
        let Some((place, answer)) = running.next().await else { break };
        if let Ok(status) = &answer {
            next.extend(status.members.iter().map(|member| member.address.clone()));
        }
        answers.insert(place, answer);
    }
    let answers = asked
        .into_iter()
        .enumerate()
        .filter_map(|(place, address)| Some((address, answers.remove(&place)?)))
        .collect();
    merge(servers, answers)
}

/// Asks one server for its status.
///
/// # Errors
/// A sentence about why there is no answer, in [`Error::message`].
pub async fn ask(host: &Host, address: &Address, limit: Duration) -> Result<ServerStatus> {
    let asking = async {
        let connection = Connection::open(host, address).await?;
        connection.call(&Request::Status {}, Some(limit)).await
    };
    match tokio::time::timeout(limit, asking).await {
        Ok(Ok(Answer::Status(status))) => Ok(*status),
        Ok(Ok(_)) => Err(Error::internal("answered something else than its status")),
        Ok(Err(failure)) => Err(failure.into_error()),
        Err(_) => Err(Error::unavailable(format!(
            "gave no answer within {} ms; it may be frozen, overloaded or cut off",
            limit.as_millis()
        ))),
    }
}

/// Makes one picture of the answers, given in the order of asking.
fn merge(listed: &[Address], answers: Vec<(Address, Result<ServerStatus>)>) -> ClusterStatus {
    let mut notices = Vec::new();
    let (mut known, mut silent) = (Vec::new(), Vec::new());
    for (address, answer) in answers {
        match answer {
            Ok(status) => known.push((address, status)),
            Err(error) => silent.push((address, error)),
        }
    }
    // The first server on the list that belongs to a cluster decides which cluster
    // this is about. One of another cluster is named as such.
    let cluster = known.iter().find_map(|(_, status)| status.cluster);
    known.retain(|(address, status)| {
        let ours = status.cluster.is_none() || status.cluster == cluster;
        if !ours {
            notices.push(format!("{address} belongs to another cluster and is left out"));
        }
        ours
    });
    let statuses: Vec<&ServerStatus> = known.iter().map(|(_, status)| status).collect();
    let members = members(listed, &statuses);
    note_silent_unknown(listed, &members, &silent, &mut notices);
    pass_on_notices(&statuses, &mut notices);

    let commit = statuses.iter().map(|status| status.commit).max().unwrap_or(0);
    let term = statuses.iter().map(|status| status.term).max().unwrap_or(0);
    let leading = leading(&statuses);
    let confirming = leading.is_some_and(|(status, _)| status.writable);
    let leader = leading.map(|(_, replica)| replica.id);
    let commit_before = statuses.iter().filter_map(|status| status.commit_before).max();
    let replicas: Vec<ReplicaStatus> = members
        .iter()
        .map(|member| {
            let mut replica =
                hosted(&statuses, member.id).unwrap_or_else(|| absent(member, &statuses, &silent));
            replica.lag = commit.saturating_sub(replica.applied);
            if replica.state == ReplicaState::Leader && leader != Some(replica.id) {
                // Replaced, and cannot know it: cut off, or its disk takes no vote.
                replica.state = ReplicaState::Follower;
            }
            replica.stalled = is_stalled(&replica, commit_before);
            replica
        })
        .collect();
    note_stalled(&replicas, &mut notices);
    let levels = statuses.iter().map(|status| status.feature_level.unwrap_or(0));
    let feature_level = levels.max();
    let survivor = survivor(&statuses);
    let (stored_bytes, stored_bytes_max) = stored(&statuses);
    let adopts = survivor.is_some_and(Survivor::adopts)
        && one_host(&members)
        && statuses.iter().all(|status| knows_all(status, &replicas));
    let tolerates = if confirming { tolerates(&replicas, adopts) } else { 0 };
    let writable = confirming || replicas.iter().any(takes_messages_alone);
    let tolerates_alone = match writable && go_alone(&statuses, feature_level) {
        true => tolerates.max(processes(&replicas).len().saturating_sub(1) as u32),
        false => tolerates,
    };
    ClusterStatus {
        cluster,
        writable,
        confirming,
        unconfirmed: replicas.iter().map(|replica| replica.outbox).sum(),
        leader,
        term,
        commit,
        tolerates,
        tolerates_alone,
        feature_level,
        stored_bytes,
        stored_bytes_max,
        replicas,
        survivor,
        notices,
    }
}

/// Names listed addresses where nobody answers, and nobody of the cluster would.
fn note_silent_unknown(
    listed: &[Address],
    members: &[Member],
    silent: &[(Address, Error)],
    notices: &mut Vec<String>,
) {
    let unknown = |address: &&Address| !members.iter().any(|member| member.address == **address);
    for address in listed.iter().filter(unknown) {
        match silent.iter().find(|(silent, _)| silent == address) {
            Some((_, error)) if error.code == ErrorCode::WrongCluster => {
                notices.push(format!("{address} {} and is left out", error.message));
            }
            Some(_) => {
                notices.push(format!("{address} does not answer and is no address of this cluster"))
            }
            None => {}
        }
    }
}

/// Names replicas that miss something and do not get on.
fn note_stalled(replicas: &[ReplicaStatus], notices: &mut Vec<String>) {
    for replica in replicas.iter().filter(|replica| replica.stalled) {
        notices.push(format!(
            "replica {} lags by {} entries and has gained nothing for 5 s; if it does not get on, \
             look into the log of its server",
            replica.id, replica.lag
        ));
    }
}

/// Repeats what the servers themselves want users to know.
fn pass_on_notices(statuses: &[&ServerStatus], notices: &mut Vec<String>) {
    for status in statuses {
        if let Some(notice) = &status.notice {
            // A server that serves the addresses of dead ones answers there too.
            let line = format!("server {}: {notice}", status.replica);
            if !notices.contains(&line) {
                notices.push(line);
            }
        }
    }
}

/// The configured replicas. When nobody answers only addresses are known: their order
/// on the list says nothing about the numbers.
fn members(listed: &[Address], statuses: &[&ServerStatus]) -> Vec<Member> {
    let mut members: BTreeMap<ReplicaId, Member> = BTreeMap::new();
    for member in statuses.iter().flat_map(|status| &status.members) {
        members.entry(member.id).or_insert_with(|| member.clone());
    }
    if members.is_empty() {
        let unnumbered = |address: &Address| Member { id: UNKNOWN, address: address.clone() };
        return listed.iter().map(unnumbered).collect();
    }
    members.into_values().collect()
}

/// What servers do that are left without a majority. If one does less than the others, no
/// more than that can be counted on.
fn survivor(statuses: &[&ServerStatus]) -> Option<Survivor> {
    statuses.iter().map(|status| status.survivor()).reduce(|a, b| match (a, b) {
        (Survivor::Never, _) | (_, Survivor::Never) => Survivor::Never,
        (Survivor::Adopt, _) | (_, Survivor::Adopt) => Survivor::Adopt,
        (Survivor::Auto, Survivor::Auto) => Survivor::Auto,
    })
}

/// Whether each server that answers goes on alone, as soon as it has no majority.
fn go_alone(statuses: &[&ServerStatus], feature_level: Option<u32>) -> bool {
    feature_level >= Some(LEVEL_OF_SETTLING)
        && statuses.iter().all(|status| status.goes_alone == Some(true))
}

/// Whether a server without a majority takes messages into the outbox of its replica.
fn takes_messages_alone(replica: &ReplicaStatus) -> bool {
    replica.alone_since.is_some() && replica.error.is_none() && !replica.outbox_unusable
}

/// The replica that leads a majority, and the process that runs it. Two may call themselves
/// leader; the later term is right, and one whose server is alone leads nobody. It is that of the replica: one that has not heard of it may run
/// in a process with others that have.
fn leading<'a>(statuses: &[&'a ServerStatus]) -> Option<(&'a ServerStatus, &'a ReplicaStatus)> {
    let hosted = |status: &&'a ServerStatus| {
        let status = *status;
        status.hosted.iter().map(move |replica| (status, replica))
    };
    let leads = |(_, replica): &(_, &ReplicaStatus)| {
        replica.state == ReplicaState::Leader && replica.alone_since.is_none()
    };
    let all = statuses.iter().flat_map(hosted).filter(leads);
    all.max_by_key(|(_, replica)| (replica.term, replica.id))
}

/// The status of a replica, from the process that runs it. While a replica moves from
/// one process to another both may report it: the one with the longer log is newer.
fn hosted(statuses: &[&ServerStatus], id: ReplicaId) -> Option<ReplicaStatus> {
    statuses
        .iter()
        .flat_map(|status| &status.hosted)
        .filter(|replica| replica.id == id)
        .max_by_key(|replica| (replica.term, replica.last_log, replica.hosted_by == Some(id)))
        .cloned()
}

/// What is stored and how much that may be, as the server says that has applied most.
fn stored(statuses: &[&ServerStatus]) -> (Option<u64>, Option<u64>) {
    let counting = statuses.iter().filter(|status| status.stored_bytes.is_some());
    let first = counting.max_by_key(|status| status.hosted.iter().map(|it| it.applied).max());
    (first.and_then(|it| it.stored_bytes), first.and_then(|it| it.stored_bytes_max))
}

/// A replica that no process runs, as far as anybody says.
fn absent(
    member: &Member,
    statuses: &[&ServerStatus],
    silent: &[(Address, Error)],
) -> ReplicaStatus {
    // Its server answers but does not run it: it waits for something.
    let waiting = statuses.iter().find(|status| status.replica == member.id);
    let reason = silent.iter().find(|(address, _)| *address == member.address);
    let error = match (waiting, reason) {
        (Some(status), _) => {
            let notice = status.notice.clone();
            notice.unwrap_or_else(|| "its server does not run it yet".to_string())
        }
        (None, Some((_, reason))) => reason.message.clone(),
        (None, None) => format!("another server answers at {}", member.address),
    };
    ReplicaStatus {
        id: member.id,
        address: member.address.clone(),
        state: if waiting.is_some() { ReplicaState::Starting } else { ReplicaState::Unreachable },
        term: 0,
        last_log: 0,
        applied: 0,
        lag: 0,
        applied_before: None,
        stalled: false,
        votes: true,
        hosted_by: None,
        pid: None,
        version: None,
        uptime_s: None,
        alone_since: None,
        outbox: 0,
        outbox_unusable: false,
        disk_bytes: None,
        state_hash: None,
        error: Some(error),
    }
}

/// Whether all replicas live on one machine, as their addresses tell.
fn one_host(members: &[Member]) -> bool {
    members.iter().all(|member| member.address.is_loopback())
        || members.windows(2).all(|pair| pair[0].address.host() == pair[1].address.host())
}

/// Whether a replica misses what was committed five seconds ago, and has applied
/// nothing since then. One that catches up, however far it is behind, has.
fn is_stalled(replica: &ReplicaStatus, commit_before: Option<u64>) -> bool {
    replica.applied_before == Some(replica.applied) && Some(replica.applied) < commit_before
}

/// Whether a replica's vote counts. One that stands still may never be in step
/// again, and one with an error, such as a full disk, cannot note for whom it votes.
fn votes(replica: &&ReplicaStatus) -> bool {
    use ReplicaState::*;
    let is_well = replica.votes && !replica.stalled && replica.error.is_none();
    matches!(replica.state, Leader | Follower | Candidate) && is_well
}

/// Whether a server could adopt every other one that has a vote now. For a
/// moment after they have met for the first time it cannot, and a cluster that
/// lost two servers then would stop: it must not call itself safe yet.
fn knows_all(status: &ServerStatus, replicas: &[ReplicaStatus]) -> bool {
    let mut others =
        replicas.iter().filter(votes).filter(|it| it.hosted_by != Some(status.replica));
    others.all(|other| status.adoptable.contains(&other.id))
}

/// The processes that run replicas whose votes count, and how many of these.
fn processes(replicas: &[ReplicaStatus]) -> BTreeMap<ReplicaId, usize> {
    let mut votes_per_process: BTreeMap<ReplicaId, usize> = BTreeMap::new();
    for replica in replicas.iter().filter(votes) {
        *votes_per_process.entry(replica.hosted_by.unwrap_or(replica.id)).or_default() += 1;
    }
    votes_per_process
}

/// How many more processes may crash in the worst order.
fn tolerates(replicas: &[ReplicaStatus], adopts: bool) -> u32 {
    let votes_per_process = processes(replicas);
    let majority = majority(replicas.len());
    let mut alive: usize = votes_per_process.values().sum();
    if alive < majority {
        return 0;
    }
    if adopts {
        // The last process adopts every replica whose process died. One that is
        // missing now may be frozen and keep its lock, so it does not count.
        return votes_per_process.len().saturating_sub(1) as u32;
    }
    let mut worst_first: Vec<usize> = votes_per_process.into_values().collect();
    worst_first.sort_unstable_by(|a, b| b.cmp(a));
    let mut tolerated = 0;
    for votes in worst_first {
        alive -= votes;
        if alive < majority {
            break;
        }
        tolerated += 1;
    }
    tolerated
}

#[cfg(test)]
pub(crate) mod tests;
