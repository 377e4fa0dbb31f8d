//! `ftchat profiles`.

use super::known_servers::KnownServers;
use super::{Context, Exit};
use crate::config::{Profiles, profiles};
use crate::error::Result;
use crate::output::{ProfileRemoved, ProfileTable, ShownProfile};

/// Arguments of `profiles`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat profiles\n  \
    ftchat profiles --json | jq -r .connect\n  \
    ftchat profiles remove work\n\n\
    In a pipe each is one line: name, addresses with commas between, fingerprint, and 'current' for\n\
    the one that commands speak to which are not told otherwise.")]
pub struct ProfilesArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Forget a cluster
    ///
    /// Its sessions stay, and count again when it is connected to.
    Remove {
        /// The profile
        name: String,
    },
}

/// Lists the clusters that are kept, or removes one.
///
/// # Errors
/// [`UnknownProfile`](crate::error::ErrorCode::UnknownProfile), and those of the file.
pub async fn run(args: &ProfilesArgs, context: &mut Context) -> Result<Exit> {
    match &args.action {
        None => list(context),
        Some(Action::Remove { name }) => remove(name, context).await,
    }
}

fn list(context: &mut Context) -> Result<Exit> {
    let Profiles { current, clusters, .. } = Profiles::read(&context.settings.profiles_file)?;
    let shown: Vec<ShownProfile> = clusters
        .into_iter()
        .map(|(name, servers)| {
            ShownProfile::new(&name, servers, current.as_deref() == Some(name.as_str()))
        })
        .collect();
    if !context.printer.on_terminal() {
        shown.iter().try_for_each(|profile| context.printer.list(profile))?;
    } else if shown.is_empty() {
        let line = context.settings.command_lines().line("connect", &["WORD"]);
        context.printer.notice(&format!("No profile is kept; {line} keeps one."));
    } else {
        context.printer.show(&ProfileTable(shown));
    }
    Ok(Exit::Done)
}

async fn remove(name: &str, context: &mut Context) -> Result<Exit> {
    let settings = &context.settings;
    let removed = profiles::change(&settings.profiles_file, settings.timeout, |profiles| {
        let (servers, was_current) = profiles.remove(name)?;
        let is_shared = profiles.clusters.values().any(|other| match servers.fingerprint {
            Some(_) => other.fingerprint == servers.fingerprint,
            None => *other == servers,
        });
        Ok((servers, was_current, is_shared))
    });
    let (servers, was_current, is_shared) = removed.await?;
    if !is_shared {
        KnownServers::new(&settings.known_servers_dir, &servers).forget()?;
    }
    context.printer.show(&ProfileRemoved { name: name.to_string(), was_current });
    Ok(Exit::Done)
}
