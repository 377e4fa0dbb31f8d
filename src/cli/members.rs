//! `ftchat cluster add`, `remove`, `replace` and `move`: which replicas the cluster has.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::administrator::KeyFlags;
use super::local::{limit, locked_by, supervisor};
use super::{Context, Exit};
use crate::cluster::hosts::{self, Newcomer};
use crate::cluster::membership::MembershipClient;
use crate::config::{ClusterSettings, Settings};
use crate::error::{Error, ErrorCode};
use crate::output::membership::ChangedMembers;
use crate::protocol::peer::MembersChanged;
use crate::types::{Address, DEFAULT_PORT, MemberChange, MemberEntry, ReplicaId};

/// Arguments of `cluster add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat cluster add\n  \
    ftchat cluster add delta:8091 --out delta --cluster-key-file cluster.key\n\n\
    A replica of a local cluster is started, and the command returns when it votes. For another\n\
    cluster a folder is written, to be copied to the new machine; the replica learns when its\n\
    server starts there, and votes when it has caught up.")]
pub(super) struct AddArgs {
    /// Where its server is reached, with a number before it if it is to have that one; in a
    /// local cluster it may be left out
    #[arg(value_name = "[ID=]HOST:PORT")]
    at: Option<Place>,
    #[command(flatten)]
    key: KeyFlags,
    /// The folder that is made for the new machine
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: Option<PathBuf>,
}

/// Arguments of `cluster remove`.
#[derive(Debug, clap::Args)]
pub(super) struct RemoveArgs {
    /// The replica's number
    id: ReplicaId,
    #[command(flatten)]
    key: KeyFlags,
    /// Remove it although the cluster then tolerates no failure any more
    #[arg(long)]
    force: bool,
}

/// Arguments of `cluster replace`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat cluster replace 2\n  \
    ftchat cluster replace 2 delta:8091 --out delta --cluster-key-file cluster.key")]
pub(super) struct ReplaceArgs {
    /// The number of the replica that goes
    id: ReplicaId,
    /// Where the server of the new one is reached; in a local cluster it may be left out
    #[arg(value_name = "HOST:PORT", value_parser = with_port)]
    at: Option<Address>,
    #[command(flatten)]
    key: KeyFlags,
    /// The folder that is made for the new machine
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: Option<PathBuf>,
}

/// Arguments of `cluster move`.
#[derive(Debug, clap::Args)]
pub(super) struct MoveArgs {
    /// The replica's number
    id: ReplicaId,
    /// Where its server is reached from now on
    #[arg(value_name = "HOST:PORT", value_parser = with_port)]
    at: Address,
    #[command(flatten)]
    key: KeyFlags,
}

/// An address, perhaps with a number before it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// 0: the next free one.
    id: ReplicaId,
    address: Address,
}

impl std::str::FromStr for Place {
    type Err = Error;

    /// # Errors
    /// [`ErrorCode::WrongUsage`], with what is wrong.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (id, address) = match text.split_once('=') {
            Some((id, address)) => (id.parse()?, address),
            None => (ReplicaId(0), text),
        };
        Ok(Place { id, address: with_port(address)? })
    }
}

/// Reads an address that may be named without its port.
fn with_port(text: &str) -> Result<Address, Error> {
    Address::with_default_port(text, DEFAULT_PORT)
}

/// Adds a replica.
///
/// # Errors
/// Those of [`Supervisor::add`](crate::cluster::Supervisor::add) and
/// [`MembershipClient::change`].
pub(super) async fn add(args: &AddArgs, context: &mut Context) -> Result<Exit, Error> {
    let at = args.at.clone();
    newcomer(at, None, &args.key, args.out.as_deref(), context).await
}

/// Replaces a replica.
///
/// # Errors
/// As [`add`].
pub(super) async fn replace(args: &ReplaceArgs, context: &mut Context) -> Result<Exit, Error> {
    let at = args.at.clone().map(|address| Place { id: ReplicaId(0), address });
    newcomer(at, Some(args.id), &args.key, args.out.as_deref(), context).await
}

async fn newcomer(
    at: Option<Place>,
    replaces: Option<ReplicaId>,
    key: &KeyFlags,
    out: Option<&Path>,
    context: &mut Context,
) -> Result<Exit, Error> {
    let entry = |Place { id, address }| MemberEntry { id, address, replaces };
    if let Some(local) = key.local(context)? {
        if out.is_some() {
            return Err(Error::new(
                ErrorCode::WrongUsage,
                "--out is for a new machine; the replicas of a local cluster stay in its folder",
            ));
        }
        return change_local(&local, context, async |supervisor| {
            at.as_ref().map_or(Ok(()), |place| require_loopback(&place.address))?;
            supervisor.add(at.map(|Place { id, address }| (id, address)), replaces).await
        })
        .await;
    }
    let (Some(place), Some(out)) = (at, out) else {
        return Err(Error::new(
            ErrorCode::WrongUsage,
            "name the new machine as HOST:PORT, and with --out the folder that is made for it",
        ));
    };
    hosts::check_machine(&place.address)?;
    hosts::check_out(out)?;
    let entry = entry(place);
    let changed = change_elsewhere(key, context, async |client: &MembershipClient<'_>| {
        // A newcomer could not know which of two is used.
        if client.keys.fingerprints().len() > 1 {
            return Err(Error::new(
                ErrorCode::ChangeUnderWay,
                "nothing was changed: the key file holds two keys, of a change of key that is not \
                 done; finish that first",
            ));
        }
        let changed = client.change(&MemberChange::Add(entry.clone()), false).await?;
        let newcomer = Newcomer {
            id: changed.replica,
            address: &entry.address,
            members: &changed.members,
            key: &client.keys.newest(),
        };
        hosts::prepare_one(client.host, &newcomer, out)?;
        Ok(changed)
    })
    .await?;
    let shown = ChangedMembers::new(changed).with_folder(out);
    context.printer.show(&shown);
    Ok(Exit::Done)
}

/// Removes a replica.
///
/// # Errors
/// Those of [`Supervisor::remove`](crate::cluster::Supervisor::remove) and
/// [`MembershipClient::change`].
pub(super) async fn remove(args: &RemoveArgs, context: &mut Context) -> Result<Exit, Error> {
    let RemoveArgs { id, key, force } = args;
    if let Some(local) = key.local(context)? {
        return change_local(&local, context, async |supervisor| {
            supervisor.remove(*id, *force).await
        })
        .await;
    }
    let change = MemberChange::Remove { id: *id };
    let changed = change_elsewhere(key, context, async |client: &MembershipClient<'_>| {
        client.change(&change, *force).await?;
        client.complete(&change).await
    })
    .await?;
    context.printer.show(&ChangedMembers::new(changed));
    Ok(Exit::Done)
}

/// Moves a replica.
///
/// # Errors
/// Those of [`Supervisor::move_to`](crate::cluster::Supervisor::move_to) and
/// [`MembershipClient::change`].
pub(super) async fn move_to(args: &MoveArgs, context: &mut Context) -> Result<Exit, Error> {
    let MoveArgs { id, at, key } = args;
    if let Some(local) = key.local(context)? {
        require_loopback(at)?;
        return change_local(&local, context, async |supervisor| supervisor.move_to(*id, at).await)
            .await;
    }
    hosts::check_machine(at)?;
    let change = MemberChange::Move { id: *id, address: at.clone() };
    let changed = change_elsewhere(key, context, async |client: &MembershipClient<'_>| {
        client.change(&change, false).await
    })
    .await?;
    context.printer.show(&ChangedMembers::new(changed));
    Ok(Exit::Done)
}

fn require_loopback(address: &Address) -> Result<(), Error> {
    if address.is_loopback() {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::WrongUsage,
        format!(
            "{address} is not on this machine, and this cluster is local: name an address as \
             127.0.0.1:PORT"
        ),
    ))
}

async fn change_local(
    local: &ClusterSettings,
    context: &mut Context,
    change: impl AsyncFnOnce(&mut crate::cluster::Supervisor<'_>) -> Result<MembersChanged, Error>,
) -> Result<Exit, Error> {
    let limit = limit(&context.settings);
    let (cluster, _guard) = locked_by(local, limit).await?;
    let Context { settings, printer, host, .. } = context;
    let lines = RefCell::new(printer);
    let progress = |line: &str| lines.borrow_mut().notice(line);
    let mut supervisor = supervisor(cluster, settings, host, limit, &progress)?;
    let changed = change(&mut supervisor).await?;
    drop(supervisor);
    lines.into_inner().show(&ChangedMembers::new(changed));
    Ok(Exit::Done)
}

async fn change_elsewhere<T>(
    key: &KeyFlags,
    context: &mut Context,
    change: impl AsyncFnOnce(&MembershipClient<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let administrator = key.administrator(context)?;
    let Settings { timeout, .. } = context.settings;
    let lines = RefCell::new(&mut context.printer);
    let progress = |line: &str| lines.borrow_mut().notice(line);
    let client = MembershipClient {
        host: &administrator.host,
        keys: administrator.keys,
        servers: administrator.servers,
        limit: crate::cluster::Limit::together(timeout),
        progress: &progress,
    };
    change(&client).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_number_or_gets_one() {
        let read = |text: &str| text.parse::<Place>().map(|it| (it.id.0, it.address.to_string()));
        assert_eq!(read("4=delta:9000").expect("valid"), (4, "delta:9000".to_string()));
        assert_eq!(read("delta").expect("valid"), (0, "delta:8091".to_string()));
        assert_eq!(read("[fd00::1]:1").expect("valid"), (0, "[fd00::1]:1".to_string()));
        for wrong in ["", "4=", "x=delta:1", "0=delta:1", "delta:65536", "fd00::1"] {
            read(wrong).expect_err(wrong);
        }
    }
}
