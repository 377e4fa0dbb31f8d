//! `ftchat backup`.

use std::path::PathBuf;

use super::administrator::KeyFlags;
use super::signals::{Signals, interrupted};
use super::{Context, Exit};
use crate::backup::{self, Target};
use crate::error::Error;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat backup chat.jsonl\n  \
    ftchat backup chat.jsonl --cluster-key-file /etc/ftchat/cluster.key\n  \
    ftchat backup - | gzip > chat.jsonl.gz\n  \
    jq .data chat.jsonl | less\n\n\
    Messages are taken all the while. The backup has everything that was acknowledged before the\n\
    command was given: accounts with hashes of their passwords, messages, which were read; no\n\
    sessions. FILE appears when it is whole, with mode 0600; one that is there is replaced. Whoever\n\
    can read it can read all messages. ftchat restore brings it back; with --check it only verifies.")]
pub struct BackupArgs {
    /// The file; - for standard output
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Take what one server knows, also without a majority that confirms it: when most replicas are
    /// lost for good. It has what that server took alone; the last messages that a majority
    /// acknowledged may be missing
    #[arg(long)]
    unconfirmed: bool,
    #[command(flatten)]
    key: KeyFlags,
}

/// Runs the command.
///
/// # Errors
/// Those of [`backup::take`].
pub async fn run(args: &BackupArgs, context: &mut Context) -> Result<Exit, Error> {
    let administrator = args.key.administrator(context)?;
    let to_stdout = args.file.as_os_str() == "-";
    let target = match to_stdout {
        true => Target::Stream(Box::new(std::io::stdout())),
        false => Target::File(args.file.clone()),
    };
    let bar = context.printer.progress("lines copied", None);
    let progress = |lines| bar.set(lines);
    // However it ends, no unfinished file is left.
    let mut signals = Signals::listen()?;
    let taken = tokio::select! {
        biased;
        () = signals.next() => Err(interrupted()),
        taken = backup::take(&administrator, target, !args.unconfirmed, &progress) => taken,
    };
    drop(bar);
    let taken = taken?;
    match to_stdout {
        // Standard output has the backup and nothing else.
        true => context.printer.notice(&format!(
            "{} accounts, {} messages, {} bytes",
            taken.head.accounts, taken.head.messages, taken.bytes
        )),
        false => context.printer.show(&taken),
    }
    if taken.taken_alone > 0 {
        context.printer.notice(&format!(
            "changes in it that its server took alone, which no majority has confirmed: {}",
            taken.taken_alone
        ));
    }
    Ok(Exit::Done)
}
