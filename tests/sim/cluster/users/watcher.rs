//! An operator with the cluster's key, who asks all servers how they are and takes
//! backups, whatever goes wrong meanwhile.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ftchat::backup::{self, Target};
use ftchat::client::survey::{SERVER_LIMIT, survey};
use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::types::Uuid;

use super::{TIMEOUT, Users, draw};
use crate::cluster::restoring::{Shared, administrator, ids_in};
use crate::oracle::{Call, Operation, Reply, comes_back};

/// See the head of this file.
pub struct Watcher;

impl Watcher {
    /// Watches until all is quiet.
    pub async fn run(host: Host, users: Users) -> Result<(), String> {
        let mut number = 0;
        while !users.quiet.load(Ordering::Relaxed) {
            number += 1;
            check_status(&host, &users).await?;
            if number % users.scale.surveys_per_backup == 0 {
                take_backup(&host, &users).await?;
            }
            tokio::time::sleep(Duration::from_millis(draw(&host, 1_500))).await;
        }
        Ok(())
    }
}

/// One picture of all servers, which must not contradict what they say one by one.
async fn check_status(host: &Host, users: &Users) -> Result<(), String> {
    let status = survey(host, &users.servers, SERVER_LIMIT).await;
    users.count("surveys");
    if status.replicas.len() != users.servers.len() {
        return Err(format!("a survey of {} replicas: {status:?}", status.replicas.len()));
    }
    if status.tolerates as usize >= users.servers.len() {
        return Err(format!("a survey that tolerates the loss of all: {status:?}"));
    }
    let mut server_reports = users.server_reports.lock().unwrap_or_else(PoisonError::into_inner);
    for replica in &status.replicas {
        if let Some(hash) = replica.state_hash.as_ref().filter(|_| replica.applied > 0) {
            server_reports.replicas.state("a survey", replica.applied, hash);
        }
    }
    Ok(())
}

/// A backup has everything that was acknowledged, or restored, before it was asked for,
/// and is of a state that replicas had.
async fn take_backup(host: &Host, users: &Users) -> Result<(), String> {
    let administrator = administrator(host, users, TIMEOUT / 2);
    let kept = || users.recorder.look(|operations| acknowledged(operations, &users.residents));
    let restored = users.restored.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let before = kept();
    let buffer = Shared::default();
    let target = Target::Stream(Box::new(buffer.clone()));
    let head = match backup::take(&administrator, target, true, &|_| {}).await {
        Ok(taken) => taken.head,
        Err(error)
            if matches!(error.code, ErrorCode::Unavailable | ErrorCode::ReadNotConfirmed) =>
        {
            users.count("backups refused");
            return Ok(());
        }
        Err(error) => return Err(format!("taking a backup, {}: {error}", error.code)),
    };
    users.count("backups");
    let ids = ids_in(&buffer.bytes())?;
    // Somebody may have deleted the last of it meanwhile.
    let still: BTreeSet<Uuid> = kept().into_iter().collect();
    let mut expected = before.iter().filter(|id| still.contains(id)).chain(&restored);
    if let Some(missing) = expected.find(|id| !ids.contains(id)) {
        return Err(format!("{missing} was acknowledged and is not in a backup begun after that"));
    }
    let mut server_reports = users.server_reports.lock().unwrap_or_else(PoisonError::into_inner);
    server_reports.replicas.state("a backup", head.index, &head.state_hash);
    Ok(())
}

/// Messages that the cluster keeps for their sender, who stays.
fn acknowledged(operations: &[Operation], residents: &[String]) -> Vec<Uuid> {
    let is_bounded = operations.iter().any(|it| matches!(it.call, Call::SetBounds {}));
    let deleted: BTreeSet<(&String, Uuid)> = operations
        .iter()
        .filter_map(|operation| match &operation.call {
            Call::Delete { owner, id } => Some((owner, *id)),
            _ => None,
        })
        .collect();
    // Where bounds are set a message stays as long as somebody has it in an inbox.
    let stays = |id: Uuid, to: &[String], users: &[String]| {
        !is_bounded || to.iter().any(|it| users.contains(it) && !deleted.contains(&(it, id)))
    };
    let kept = |operation: &Operation| match (&operation.call, &operation.ended) {
        (Call::Send { id, from, to, .. }, Some((_, Reply::Sent { .. })))
            if !comes_back(from) && stays(*id, to, residents) =>
        {
            Some(*id)
        }
        _ => None,
    };
    operations.iter().filter_map(kept).collect()
}
