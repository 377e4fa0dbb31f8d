//! `ftchat cluster init`: folders for the machines of a new cluster.

use std::path::PathBuf;

use super::{Context, Exit};
use crate::cluster::hosts::{self, Hosts};
use crate::error::Error;
use crate::output::cluster::NewHosts;

/// Arguments of `cluster init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    ftchat cluster init --hosts alpha,beta,gamma:9000 --out new-cluster\n\n\
    Nothing is sent anywhere: the folders are for you to copy, and README.txt among them says\n\
    how. Run twice it makes two clusters, which refuse each other.")]
pub(super) struct InitArgs {
    /// The machines, as they reach each other: HOST or HOST:PORT, with commas between
    #[arg(long, value_name = "LIST")]
    hosts: Hosts,
    /// The folder that is made
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: PathBuf,
    /// What people call the cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    #[arg(value_parser = crate::config::keys::parse_cluster_name)]
    name: String,
}

/// Runs the command.
///
/// # Errors
/// Those of [`hosts::prepare`].
pub(super) fn run(args: &InitArgs, context: &mut Context) -> Result<Exit, Error> {
    let prepared = hosts::prepare(&context.host, &args.name, &args.hosts, &args.out)?;
    context.printer.show(&NewHosts::new(&args.name, prepared));
    Ok(Exit::Done)
}
