//! `ftchat restore`.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::administrator::KeyFlags;
use super::{Context, Exit};
use crate::backup::{self, Source};
use crate::error::{Error, ErrorCode};

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat cluster up -d --name second --base-port 8191\n  \
    ftchat restore chat.jsonl --name second\n  \
    ftchat restore --check chat.jsonl\n  \
    zcat chat.jsonl.gz | ftchat restore - --name second\n  \
    ftchat restore --abandon --name second\n\n\
    The backup is read to its end and verified before anything is changed; one that was damaged or\n\
    interrupted is refused, with the line. It goes into a new cluster only, where nobody ever had\n\
    an account; until it is whole there, nobody can register or log in. Given again after a\n\
    failure, the same command goes on where it was. Accounts come back with their passwords,\n\
    messages with ids, order, times and what was read; people log in again.")]
pub struct RestoreArgs {
    /// The backup; - for standard input
    #[arg(value_hint = clap::ValueHint::FilePath, required_unless_present = "abandon")]
    file: Option<PathBuf>,
    /// Only verify the backup; needs no server
    #[arg(long, conflicts_with = "abandon")]
    check: bool,
    /// Give up a restore that was begun, and leave the cluster empty
    #[arg(long, conflicts_with = "file")]
    abandon: bool,
    #[command(flatten)]
    key: KeyFlags,
}

/// Runs the command.
///
/// # Errors
/// Those of [`backup::verify`] and [`backup::restore`].
pub async fn run(args: &RestoreArgs, context: &mut Context) -> Result<Exit, Error> {
    let Some(file) = &args.file else {
        let cluster = backup::abandon(&args.key.administrator(context)?).await?;
        context.printer.show(&backup::Abandoned { cluster });
        return Ok(Exit::Done);
    };
    // A user who cannot restore need not wait for the file to be read.
    let administrator = match args.check {
        true => None,
        false => Some(args.key.administrator(context)?),
    };
    if file.as_os_str() == "-" && std::io::stdin().is_terminal() {
        let why = "standard input is a terminal: pipe the backup into this, or name its file";
        return Err(Error::new(ErrorCode::WrongUsage, why));
    }
    let source = match &administrator {
        None => Source::once(file)?,
        Some(_) => Source::again(file, &std::env::temp_dir(), context.host.random_u64())?,
    };
    let bar = context.printer.progress("lines verified", None);
    let verified = backup::verify(source, &|lines| bar.set(lines));
    drop(bar);
    let verified = verified?;
    let restored = match &administrator {
        None => backup::report(&verified, None, false),
        Some(administrator) => {
            let bar = context.printer.progress("lines restored", Some(verified.lines));
            let restored = backup::restore(administrator, &verified, &|lines| bar.set(lines)).await;
            drop(bar);
            restored?
        }
    };
    context.printer.show(&restored);
    Ok(Exit::Done)
}
