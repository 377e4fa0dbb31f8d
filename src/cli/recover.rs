//! `ftchat cluster recover`: a new cluster out of what is left of an old one.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::{Context, Exit};
use crate::cluster::hosts::Hosts;
use crate::cluster::{Description, recovered};
use crate::config::ClusterSettings;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::Limits;
use crate::output::recovery::{RecoveredCluster, found_lines};
use crate::output::sanitize;
use crate::recovery::{Aim, Left};
use crate::storage::SET_ASIDE;
use crate::types::Uuid;

/// Digits of a cluster's id that stand for one without a name.
const SHORT_ID_DIGITS: usize = 8;

/// Arguments of `cluster recover`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat cluster recover --from old/replica-3 --out new --base-port 9091\n  \
    ftchat cluster up -d --dir new\n  \
    ftchat cluster recover --from /srv/rescued/alpha /srv/rescued/beta \\\n    \
    --hosts gamma,delta,epsilon --out new --others-are-gone 6f1c09d2\n\n\
    For when most servers of a cluster are gone for good: unreachable is not gone. What only they\n\
    had is missing, and the command says what that may be. Servers must be stopped; nothing in\n\
    their directories is changed. The new cluster has another key and id, so no server of the old\n\
    one takes part in it. Accounts come over with their passwords, messages with ids, order, times\n\
    and what was read, also those that a server had taken alone; people log in again.\n\n\
    While the last server still runs, ftchat backup --unconfirmed saves the same. When no directory\n\
    is left, there is only the last backup. ftchat-operations(7) compares the three.")]
pub(super) struct RecoverArgs {
    /// Data directories of the old cluster's servers, or the folder of a local cluster
    #[arg(long, value_name = "DIR", num_args = 1.., required = true)]
    #[arg(value_hint = clap::ValueHint::DirPath)]
    from: Vec<PathBuf>,
    /// The folder of the new cluster, which is made
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: PathBuf,
    /// The old cluster's name again, in place of typing it: its other servers are gone for good.
    /// Of a cluster on several machines it is the beginning of its id, which the command tells
    #[arg(long, value_name = "NAME")]
    others_are_gone: Option<String>,
    /// The machines of the new cluster, as for cluster init; without it, it is a local one
    #[arg(long, value_name = "LIST")]
    hosts: Option<Hosts>,
    /// What people call the new cluster
    #[arg(long, value_name = "NAME")]
    #[arg(value_parser = crate::config::keys::parse_cluster_name)]
    name: Option<String>,
    #[arg(long, value_name = "N", help = crate::config::keys::help("cluster.replicas"))]
    #[arg(conflicts_with = "hosts")]
    replicas: Option<String>,
    #[arg(long, value_name = "PORT", help = crate::config::keys::help("cluster.base_port"))]
    #[arg(conflicts_with = "hosts")]
    base_port: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// [`ErrorCode::NotConfirmed`] when another name was given; [`ErrorCode::NotEmpty`]; those of
/// [`Left`] and of [`recovered`].
pub(super) async fn run(args: &RecoverArgs, context: &mut Context) -> Result<Exit> {
    let settings = new_settings(args, context)?;
    recovered::check_out(&args.out)?;
    let named = named(&args.from)?;
    let paths = named.paths();
    check_outside(&args.out, &paths)?;
    let Context { host, printer, .. } = context;
    let left = Left::open(host, &paths).await?;
    let (id, can_ask) = (left.cluster(), std::io::stdin().is_terminal() && !printer.json());
    let name = named.of_usable(&left).unwrap_or_else(|| short(id));
    match &args.others_are_gone {
        Some(given) => check_name(given, &name, id)?,
        None if !can_ask => {
            return Err(Error::new(
                ErrorCode::WrongUsage,
                "unreachable is not gone, and there is no terminal to ask at: if the other servers \
                 of the old cluster are gone for good, say so with --others-are-gone NAME",
            ));
        }
        None => {}
    }
    let window = Limits::default().deduplication_window_entries;
    let found = left.recover(host, Aim { window, now: host.clock.now(), elsewhere: None }).await?;
    if args.others_are_gone.is_none() {
        check_name(&ask_name(&name, &found_lines(found.found()))?, &name, id)?;
    }
    let lines = RefCell::new(printer);
    let (founding, found) = found.found_anew(host).await?;
    let made = match &args.hosts {
        Some(hosts) => {
            recovered::make_hosts(host, &settings.name, hosts, &founding, &args.out).await?
        }
        None => recovered::make_local(host, &settings, &founding, &args.out).await?,
    };
    let shown = RecoveredCluster {
        name: settings.name.clone(),
        cluster: founding.cluster,
        made,
        from: found,
        old_name: name,
        told: args.others_are_gone.is_none(),
        next: args.hosts.is_none().then(|| settings.command_lines.line("cluster up -d", &[])),
    };
    lines.into_inner().show(&shown);
    Ok(Exit::Done)
}

/// What the new cluster is to be like.
fn new_settings(args: &RecoverArgs, context: &Context) -> Result<ClusterSettings> {
    let mut flags = vec![("cluster.dir", args.out.display().to_string())];
    for (key, value) in [
        ("cluster.name", &args.name),
        ("cluster.replicas", &args.replicas),
        ("cluster.base_port", &args.base_port),
    ] {
        flags.extend(value.clone().map(|text| (key, text)));
    }
    ClusterSettings::resolve(&context.settings, &flags)
}

/// The directories that are meant, each with what its cluster is called, where that is known.
pub(super) struct Named(Vec<(PathBuf, Option<String>)>);

/// Looks what was named: data directories, or folders of local clusters.
pub(super) fn named(from: &[PathBuf]) -> Result<Named> {
    let mut named = Vec::new();
    for path in from {
        let Some(cluster) = Description::load(path)? else {
            named.push((path.clone(), name_beside(path)));
            continue;
        };
        // One that was removed may hold what it took alone and nobody has asked it for.
        let replicas = cluster.replicas.iter().cloned().chain(cluster.removed_replicas());
        let folders = replicas.map(|replica| cluster.data_dir(&replica));
        let there = folders.filter(|folder| folder.is_dir());
        named.extend(there.map(|folder| (folder, Some(cluster.name.clone()))));
    }
    let with_aside = |(path, name): (PathBuf, Option<String>)| {
        let aside: Vec<_> = set_aside_in(&path).into_iter().map(|it| (it, name.clone())).collect();
        [(path, name)].into_iter().chain(aside)
    };
    let named: Vec<_> = named.into_iter().flat_map(with_aside).collect();
    match named.is_empty() {
        false => Ok(Named(named)),
        true => Err(Error::new(
            ErrorCode::Corrupted,
            "nothing can be recovered; of the local cluster that is named no data directory is left",
        )),
    }
}

impl Named {
    /// The directories.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.0.iter().map(|(path, _)| path.clone()).collect()
    }

    /// What the cluster is called whose directories can be used; `None` where that is not
    /// known, or they say different things.
    fn of_usable(&self, left: &Left) -> Option<String> {
        let usable: Vec<&Path> = left.usable().collect();
        let of_usable = self.0.iter().filter(|(path, _)| usable.contains(&path.as_path()));
        let names: BTreeSet<&String> = of_usable.filter_map(|(_, name)| name.as_ref()).collect();
        (names.len() == 1).then(|| names.into_iter().next().cloned()).flatten()
    }
}

/// The new cluster is made outside of what it is made from, where nothing is changed.
fn check_outside(out: &Path, from: &[PathBuf]) -> Result<()> {
    // What is not there yet is in the nearest folder that is.
    let there = out.ancestors().find_map(|folder| match folder.as_os_str().is_empty() {
        true => Path::new(".").canonicalize().ok(),
        false => folder.canonicalize().ok(),
    });
    let within = |path: &&PathBuf| {
        let path = path.canonicalize().ok();
        there.as_ref().zip(path).is_some_and(|(there, path)| there.starts_with(path))
    };
    match from.iter().find(within) {
        None => Ok(()),
        Some(path) => Err(Error::new(
            ErrorCode::WrongUsage,
            format!(
                "{} is in {}, in which nothing is changed; name another folder with --out",
                out.display(),
                path.display()
            ),
        )),
    }
}

/// What a server has set aside in its directory as damaged.
fn set_aside_in(path: &Path) -> Vec<PathBuf> {
    // What is wrong with the directory itself is told when it is opened.
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let aside = entries.map(|entry| entry.path()).filter(|aside| {
        let name = aside.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(SET_ASIDE) && aside.join("identity.json").is_file()
    });
    let mut aside: Vec<PathBuf> = aside.collect();
    aside.sort();
    aside
}

/// The name of the local cluster in whose folder a data directory is.
fn name_beside(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    // A description that cannot be read only has no name to give.
    let cluster = Description::load(path.parent()?).ok()??;
    let is_of_it = cluster.replicas.iter().any(|it| path.ends_with(&it.data_dir));
    is_of_it.then_some(cluster.name)
}

/// What stands for the name of a cluster that has none.
fn short(cluster: Uuid) -> String {
    cluster.to_string().chars().take(SHORT_ID_DIGITS).collect()
}

fn check_name(given: &str, name: &str, cluster: Uuid) -> Result<()> {
    let given = given.trim();
    if given == name || given == short(cluster) || given == cluster.to_string() {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::NotConfirmed,
        format!("{given:?} is not the old cluster's name, {name}: nothing was done"),
    ))
}

/// Asks at the terminal, and says first what there is, also to somebody who wants little said.
fn ask_name(name: &str, found: &[String]) -> Result<String> {
    let failed = |error| Error::failed("cannot ask for the name", &error);
    let mut question: String = found.iter().map(|line| format!("{}\n", sanitize(line))).collect();
    question += &format!(
        "Are all other servers of the cluster {} gone for good? One that comes back later takes no \
         part in the new one.\nType the old cluster's name to go on: ",
        sanitize(name)
    );
    let mut prompt = std::io::stderr();
    prompt.write_all(question.as_bytes()).and_then(|()| prompt.flush()).map_err(failed)?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed).map_err(failed)?;
    match typed.trim() {
        "" => {
            let why = "no name was typed: nothing was done";
            Err(Error::new(ErrorCode::NotConfirmed, why))
        }
        name => Ok(name.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_confirmed_by_its_name_or_its_id() {
        let id: Uuid = "6f1c09d2-0000-4000-8000-000000000001".parse().expect("an id");
        for good in ["ours", " ours\n", "6f1c09d2", "6f1c09d2-0000-4000-8000-000000000001"] {
            assert_eq!(check_name(good, "ours", id), Ok(()), "{good}");
        }
        for bad in ["", "Ours", "our", "6f1c09d", "default"] {
            let error = check_name(bad, "ours", id).expect_err(bad);
            assert_eq!(error.code, ErrorCode::NotConfirmed);
        }
    }
}
