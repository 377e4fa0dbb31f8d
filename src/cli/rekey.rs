//! `ftchat cluster rekey`: a new key for a cluster that runs.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::administrator::KeyFlags;
use super::local::{limit, locked_by, supervisor};
use super::{Context, Exit};
use crate::client::survey::{SERVER_LIMIT, survey};
use crate::cluster::membership::MembershipClient;
use crate::cluster::{Limit, rekey};
use crate::config::{ClusterSettings, Settings};
use crate::error::{Error, ErrorCode};
use crate::host::Host;
use crate::output::rekey::ShownRekey;
use crate::protocol::client::Member;
use crate::protocol::peer::Rekeyed;
use crate::protocol::status::ClusterStatus;
use crate::types::{Address, KeyStage};

/// Arguments of `cluster rekey`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat cluster rekey\n  \
    ftchat cluster rekey --out new-key --cluster-key-file cluster.key\n  \
    ftchat cluster rekey --compromised --out new-key --cluster-key-file cluster.key\n\n\
    A local cluster gets it at once. For another one a folder is written with what each machine\n\
    needs, and README.txt in it says what to do. The servers change over when all of them have it,\n\
    and forget the old key when all have changed over; messages are taken all the while. The same\n\
    command again tells how far that is. Clients follow by themselves, but after a theft: then\n\
    people need the new word.\n\n\
    With --json: stage (announced, used or done), fingerprint, old_fingerprint, compromised, connect\n\
    (the word), waits_for (a sentence, or null when all is done) and dir.")]
pub(super) struct RekeyArgs {
    #[command(flatten)]
    key: KeyFlags,
    /// The folder that is made for the machines, or was made by this command before
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: Option<PathBuf>,
    /// The old key was stolen: no client is to follow it to the new one
    #[arg(long)]
    compromised: bool,
    /// Go on without servers that do not answer
    #[arg(long)]
    force: bool,
}

/// Runs the command.
///
/// # Errors
/// Those of [`Supervisor::rekey`](crate::cluster::Supervisor::rekey),
/// [`MembershipClient::rekey`], [`rekey::begun`] and [`rekey::begin`].
pub(super) async fn run(args: &RekeyArgs, context: &mut Context) -> Result<Exit, Error> {
    if let Some(local) = args.key.local(context)? {
        return run_local(&local, args, context).await;
    }
    let Some(out) = &args.out else {
        return Err(Error::new(
            ErrorCode::WrongUsage,
            "name with --out the folder that is made for the machines",
        ));
    };
    let out = std::path::absolute(out).map_err(|error| Error::own_file("find", out, &error))?;
    run_elsewhere(&out, args, context).await
}

async fn run_local(
    local: &ClusterSettings,
    args: &RekeyArgs,
    context: &mut Context,
) -> Result<Exit, Error> {
    if args.out.is_some() {
        return Err(Error::new(
            ErrorCode::WrongUsage,
            "--out is for other machines; the key of a local cluster stays in its folder",
        ));
    }
    let limit = limit(&context.settings);
    let (cluster, _guard) = locked_by(local, limit).await?;
    let Context { settings, printer, host, .. } = context;
    let lines = RefCell::new(printer);
    let progress = |line: &str| lines.borrow_mut().notice(line);
    let supervisor = supervisor(cluster, settings, host, limit, &progress)?;
    let (rekeying, rekeyed) = supervisor.rekey(args.compromised).await?;
    drop(supervisor);
    let shown = ShownRekey::new(&rekeying, &rekeyed, args.compromised);
    lines.into_inner().show(&shown);
    Ok(Exit::Done)
}

async fn run_elsewhere(out: &Path, args: &RekeyArgs, context: &mut Context) -> Result<Exit, Error> {
    let administrator = args.key.administrator(context)?;
    let rekeying = match rekey::begun(out, args.compromised)? {
        Some(rekeying) => rekeying,
        None => {
            let old = args.key.found(context)?.keys.newest();
            let members = members(&administrator.host, &administrator.servers).await?;
            rekey::begin(&context.host, &old, &members, args.compromised, out)?
        }
    };
    let host = context.host_for_keys(&rekeying.keys);
    let Settings { timeout, .. } = context.settings;
    let lines = RefCell::new(&mut context.printer);
    let progress = |line: &str| lines.borrow_mut().notice(line);
    let client = MembershipClient {
        host: &host,
        keys: rekeying.keys.clone(),
        servers: administrator.servers,
        limit: Limit::together(timeout),
        progress: &progress,
    };
    let rekeyed: Rekeyed = client.rekey(&rekeying, args.force).await?;
    if rekeyed.stage == KeyStage::Done {
        rekey::drop_old_key(out)?;
    }
    let shown = ShownRekey::new(&rekeying, &rekeyed, args.compromised).with_folder(out);
    context.printer.show(&shown);
    Ok(Exit::Done)
}

/// All replicas of the cluster, as its leader knows them.
async fn members(host: &Host, servers: &[Address]) -> Result<Vec<Member>, Error> {
    let ClusterStatus { leader, replicas, .. } = survey(host, servers, SERVER_LIMIT).await;
    if leader.is_none() {
        return Err(Error::unavailable(
            "nothing was changed: no server answers as the leader, and it is to say which machines \
             need the new key",
        ));
    }
    let member = |(id, address)| Member { id, address };
    Ok(replicas.into_iter().map(|it| member((it.id, it.address))).collect())
}
