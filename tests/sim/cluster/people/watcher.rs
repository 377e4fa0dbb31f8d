//! Somebody with the cluster's key, who asks all servers how they are and takes
//! backups, whatever goes wrong meanwhile.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ftchat::backup::{self, Target};
use ftchat::client::survey::{SERVER_LIMIT, survey};
use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::types::Uuid;

use super::{Society, TIMEOUT, draw};
use crate::cluster::restoring::{Shared, administrator, ids_in};
use crate::oracle::{Call, Operation, Reply, comes_back};

/// See the head of this file.
pub struct Watcher;

impl Watcher {
    /// Watches until all is quiet.
    pub async fn run(host: Host, society: Society) -> Result<(), String> {
        let mut number = 0;
        while !society.quiet.load(Ordering::Relaxed) {
            number += 1;
            look(&host, &society).await?;
            if number % society.scale.surveys_per_backup == 0 {
                take_backup(&host, &society).await?;
            }
            tokio::time::sleep(Duration::from_millis(draw(&host, 1_500))).await;
        }
        Ok(())
    }
}

/// One picture of all servers, which must not contradict what they say one by one.
async fn look(host: &Host, society: &Society) -> Result<(), String> {
    let status = survey(host, &society.servers, SERVER_LIMIT).await;
    society.count("surveys");
    if status.replicas.len() != society.servers.len() {
        return Err(format!("a survey of {} replicas: {status:?}", status.replicas.len()));
    }
    if status.tolerates as usize >= society.servers.len() {
        return Err(format!("a survey that tolerates the loss of all: {status:?}"));
    }
    let mut claims = society.claims.lock().unwrap_or_else(PoisonError::into_inner);
    for replica in &status.replicas {
        if let Some(hash) = replica.state_hash.as_ref().filter(|_| replica.applied > 0) {
            claims.replicas.state("a survey", replica.applied, hash);
        }
    }
    Ok(())
}

/// A backup has everything that was acknowledged, or restored, before it was asked for,
/// and is of a
/// state that replicas had.
async fn take_backup(host: &Host, society: &Society) -> Result<(), String> {
    let administrator = administrator(host, society, TIMEOUT / 2);
    let mut expected = society.recorder.look(acknowledged);
    expected.extend(society.restored.lock().unwrap_or_else(PoisonError::into_inner).iter());
    let buffer = Shared::default();
    let target = Target::Stream(Box::new(buffer.clone()));
    let head = match backup::take(&administrator, target, true, &|_| {}).await {
        Ok(taken) => taken.head,
        Err(error)
            if matches!(error.code, ErrorCode::Unavailable | ErrorCode::ReadNotConfirmed) =>
        {
            society.count("backups refused");
            return Ok(());
        }
        Err(error) => return Err(format!("taking a backup, {}: {error}", error.code)),
    };
    society.count("backups");
    let ids = ids_in(&buffer.bytes())?;
    if let Some(missing) = expected.iter().find(|id| !ids.contains(id)) {
        return Err(format!("{missing} was acknowledged and is not in a backup begun after that"));
    }
    let mut claims = society.claims.lock().unwrap_or_else(PoisonError::into_inner);
    claims.replicas.state("a backup", head.index, &head.state_hash);
    Ok(())
}

/// Messages that the cluster keeps for their sender, who stays.
fn acknowledged(operations: &[Operation]) -> Vec<Uuid> {
    let kept = |operation: &Operation| match (&operation.call, &operation.ended) {
        (Call::Send { id, from, .. }, Some((_, Reply::Sent { .. }))) if !comes_back(from) => {
            Some(*id)
        }
        _ => None,
    };
    operations.iter().filter_map(kept).collect()
}
