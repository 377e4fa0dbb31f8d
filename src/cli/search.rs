//! `ftchat search`.

use super::confirming::ConfirmArgs;
use super::looking_back::LookingBack;
use super::when::{local_zone, parse_when};
use super::{Context, Exit};
use crate::chat::Words;
use crate::error::{Error, ErrorCode, Result};
use crate::output::{Days, Listed};
use crate::protocol::client::PastQuery;
use crate::types::AccountName;

/// Arguments of `search`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat search deploy                  texts that have the word deploy\n  \
    ftchat search deploy done --from bob  both words, in any order, from bob\n  \
    ftchat search 'deploy*' --in bob      deployment as well; in the conversation with bob\n  \
    ftchat search cafe --since 30d --limit 10\n\n\
    Looks at what is in the inbox and what was sent. All words must be in the text; case and\n\
    accents do not matter, so cafe finds Café. A word is found as a whole; '*' at its end or\n\
    beginning stands for the rest of it. Quote it, or the shell takes it for file names. Words\n\
    of Chinese, Japanese or Thai are found anywhere. At most 8 words at once.")]
pub struct SearchArgs {
    /// Words that the text must have, all of them
    #[arg(value_name = "WORD", required = true)]
    words: Vec<String>,
    /// Only in the conversation with this account
    #[arg(long = "in", value_name = "NAME")]
    within: Option<String>,
    /// Only from this account
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Only since: 2026-11-23, 2026-11-23T18:46:00Z, 2026-11-23T18:46[Europe/Paris], or how long
    /// ago, as 2h or 3d
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

/// Prints what is found, the newest first.
///
/// # Errors
/// [`ErrorCode::WrongUsage`] for what cannot be searched for, [`ErrorCode::UnknownAccount`]; when
/// nobody is logged in, no server answers, or output cannot be written.
pub async fn run(args: &SearchArgs, context: &mut Context) -> Result<Exit> {
    Words::new(&args.words).map_err(|error| Error::new(ErrorCode::WrongUsage, error.message))?;
    let name = |name: &Option<String>| {
        let name = name.as_deref().map(AccountName::new).transpose();
        name.map(|name| name.map(|name| name.to_string()))
    };
    let (with, from) = (name(&args.within)?, name(&args.from)?);
    let now = context.host.clock.now();
    let since = args.since.as_deref().map(|it| parse_when(it, now, local_zone)).transpose()?;
    let words = args.words.clone();
    let query = PastQuery { with, words, from, since, ..PastQuery::default() };
    let (client, _) = context.logged_in(args.confirm.confirm()).await?;
    let mut back = LookingBack::new(client, query);
    let (mut left, mut days) = (args.limit.unwrap_or(u64::MAX), Days::default());
    let mut found = 0;
    loop {
        let page = back.next(left, &mut context.printer).await?;
        if page.is_empty() {
            break;
        }
        left -= page.len() as u64;
        found += page.len();
        for message in &page {
            context.printer.list(&Listed::found(message).under(&mut days))?;
        }
        context.printer.flush()?;
    }
    if found == 0 && context.printer.on_terminal() {
        context.printer.notice("Nothing was found.");
    }
    Ok(Exit::Done)
}
