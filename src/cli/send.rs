//! `ftchat send`.

use std::io::IsTerminal;
use std::time::Duration;

use tokio::io::BufReader;

use super::confirming::SendConfirmArgs;
use super::context::unexpected;
use super::last_sent::LastSent;
use super::looking_back::{check_id, whole_id};
use super::text::{check_text, read_text};
use super::{Context, Exit};
use crate::client::{Client, Pipeline, SentBehind, patience};
use crate::config::duration;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{FEATURE_LEVEL_LOOK_INTERVAL, LEVEL_OF_CONVERSATIONS, RECIPIENTS_MAX};
use crate::output::{SentLine, SentShown, accepted_alone};
use crate::protocol::client::{Answer, Confirm, PastQuery, Request, Sent};
use crate::types::{AccountName, Address, Uuid};

/// Arguments of `send`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat send bob 'see you at six'\n  \
    ftchat send bob,carol < minutes.txt       all of it is one message\n  \
    tail -f app.log | ftchat send ops --lines   every line is a message\n  \
    ftchat send bob 'at six' --reply-to 3f2a91bc   an answer, shown with what it answers\n  \
    ftchat send bob -- '--not a flag'\n\n\
    A message has 1 to 8192 bytes. From standard input, one newline at the end is not part of\n\
    it. With --lines, '\\n' or '\\r\\n' ends a line, an empty line is refused, and the error names\n\
    the line; everything before it is sent.\n\n\
    Exit code 6 means that the message may or may not have been accepted: repeat the command\n\
    with the --id that the error names, and it is delivered once. After a refusal for lack of room (inbox_full,\n\
    storage_full) an --id is used up: send it again with a new one.\n\n\
    Where a majority of the servers is missing and it is not proved that they are off, a server\n\
    that is left accepts messages alone. They are delivered once, in their order, as soon as it\n\
    meets a majority; until then they are on its disk only. --json says \"confirmed\":false of\n\
    such a message, and a terminal is told. With --confirm majority none is accepted so: the\n\
    exit code is then 3, and nothing was done.")]
pub struct SendArgs {
    /// Recipients' names, separated by commas: all of them get it, or none
    #[arg(value_name = "TO[,TO...]")]
    to: String,
    /// The message; without it, or with '-', standard input to its end
    text: Option<String>,
    /// Send every line of standard input as a message of its own
    #[arg(long)]
    lines: bool,
    /// The message's id: the same id again is the same message, delivered once. With --lines
    /// the ids of all lines follow from it
    #[arg(long, value_name = "UUID")]
    id: Option<Uuid>,
    /// The message that this one answers: its id, or the beginning of it if it is in the inbox
    #[arg(long, value_name = "ID", conflicts_with = "lines")]
    reply_to: Option<String>,
    #[command(flatten)]
    confirm: SendConfirmArgs,
}

/// Sends, and prints the id of each message once it is acknowledged.
///
/// # Errors
/// The service's refusal; what was wrong with standard input.
pub async fn run(args: &SendArgs, context: &mut Context) -> Result<Exit> {
    let to = recipients(&args.to)?;
    let confirm = args.confirm.confirm(&context.settings)?;
    let operation = args.id.unwrap_or_else(|| context.host.uuid());
    context.printer.set_operation(operation);
    let text = args.text.as_deref().filter(|text| *text != "-");
    if args.lines {
        if text.is_some() {
            return Err(Error::new(
                ErrorCode::WrongUsage,
                "--lines reads standard input: leave the text out",
            ));
        }
        let lines = Lines { to, base: operation, repeated: args.id.is_some(), confirm };
        return send_lines(lines, context).await;
    }
    let text = match text {
        Some(text) => text.to_string(),
        None => {
            if std::io::stdin().is_terminal() {
                context.printer.notice("Type the message; Ctrl-D on a line of its own ends it.");
            }
            // Nothing has been awaited yet, so Ctrl-C still ends the program.
            read_text(std::io::stdin().lock())?
        }
    };
    check_text(&text)?;
    args.reply_to.as_deref().map(check_id).transpose()?;
    let (mut client, session) = context.logged_in(confirm).await?;
    let reply_to = match &args.reply_to {
        Some(id) => {
            Some(answered(&mut client, id, args.id.is_some(), context.settings.timeout).await?)
        }
        None => None,
    };
    let mut last = LastSent::of(session, &mut client, context, operation).await?;
    let again = args.id.is_some();
    let request = Request::Send { operation, to, text, first: !again, after: None, reply_to };
    let before = last.as_ref().and_then(LastSent::before);
    let server_before = last.as_ref().and_then(LastSent::server);
    let SentBehind { sent, overtakes } = client.send_behind(before, request).await;
    let sent = sent?;
    context.printer.show(&SentShown(&sent));
    if let Some(last) = &mut last {
        if overtakes {
            last.is_overtaken();
        }
        last.note(&sent, client.server().map(|(_, address)| address), again);
    }
    keep(last, overtakes.then_some(server_before), context);
    if !sent.confirmed {
        let told = accepted_alone(&sent, client.server(), &context.members.get());
        context.printer.remark(&told);
    }
    Ok(Exit::Done)
}

/// The id of a message that is to be answered. Whoever repeats an answer is not asked whether it
/// may be seen any more.
///
/// # Errors
/// Those of [`whole_id`]; [`ErrorCode::UnknownMessage`] of one that was neither received nor
/// sent; [`ErrorCode::Unavailable`] where a server runs a program that knows no answers, and
/// would take it for any other message.
async fn answered(
    client: &mut Client,
    asked: &str,
    again: bool,
    patience: Duration,
) -> Result<Uuid> {
    let id = whole_id(client, asked).await?;
    // A new cluster reaches it within a second or two.
    let reached = async {
        loop {
            let Answer::Status(status) = client.request(Request::Status {}).await? else {
                return Err(unexpected("a status"));
            };
            if status.feature_level.unwrap_or(0) >= LEVEL_OF_CONVERSATIONS {
                return Ok(());
            }
            tokio::time::sleep(FEATURE_LEVEL_LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(patience, reached).await.map_err(|_| {
        Error::unavailable(format!(
            "a message can be answered from feature level {LEVEL_OF_CONVERSATIONS} on, when every \
             server is updated; nothing was sent"
        ))
    })??;
    if again {
        return Ok(id);
    }
    // Also of what no majority has confirmed, as far as it was received.
    let prefixes = vec![id.to_string()];
    let found = client.request(Request::Find { prefixes }).await?;
    if !matches!(&found, Answer::Found { matches, .. } if matches.concat().contains(&id)) {
        let query = PastQuery { before_id: Some(id), limit: Some(1), ..PastQuery::default() };
        client.request(Request::Past(query)).await.map_err(|error| {
            let message = format!("{}; nothing was sent", error.message);
            Error { message, ..error }
        })?;
    }
    Ok(id)
}

/// What `--lines` has to know.
struct Lines {
    to: Vec<String>,
    /// From which the id of each follows.
    base: Uuid,
    /// Whether they may have been sent before.
    repeated: bool,
    confirm: Confirm,
}

async fn send_lines(lines: Lines, context: &mut Context) -> Result<Exit> {
    let Lines { to, base, repeated, confirm } = lines;
    let (mut client, session) = context.logged_in(confirm).await?;
    let mut last = LastSent::of(session, &mut client, context, base).await?;
    let before = last.as_ref().and_then(LastSent::before);
    let server_before = last.as_ref().and_then(LastSent::server);
    let progress = context.printer.progress("sending", None);
    let printer = &mut context.printer;
    let report = |sent: &Sent| {
        if let Some(last) = &mut last {
            last.note(sent, None, repeated);
            // Whoever is ended by a signal keeps nothing at the end.
            if last.is_news()
                && let Err(error) = last.keep()
            {
                tracing::debug!(%error, "where the last line stands is not kept");
            }
        }
        progress.step();
        // At once: with input that goes on for ever, as of `tail -f`, the reader of the
        // ids would otherwise wait for a buffer to fill. Without a reader the lines are
        // sent all the same.
        progress.aside(|| printer.show_now(&SentLine::new(sent)));
        Ok(())
    };
    let input = BufReader::new(tokio::io::stdin());
    let pipeline = Pipeline::new(&client, to, base, input, report).behind(before);
    let summary = match repeated {
        true => pipeline.repeated().run().await,
        false => pipeline.run().await,
    };
    drop(progress);
    let overtakes = summary.as_ref().is_ok_and(|summary| summary.overtakes);
    keep(last, overtakes.then_some(server_before), context);
    let summary = summary?;
    if let Err(error) = context.printer.flush()
        && !context.printer.pipe_closed()
    {
        let accepted = lines_are(summary.sent);
        let message = format!(
            "{accepted} accepted, but their ids are lost: {}; the same lines with --id {base} \
             print them and send nothing twice",
            error.message
        );
        return Err(Error { message, ..error });
    }
    if summary.unconfirmed > 0 {
        context.printer.remark(&format!(
            "{} of {} lines were accepted by a server that is alone; they are delivered when a \
             majority of the servers is back",
            summary.unconfirmed, summary.sent
        ));
    }
    if summary.out_of_order > 0 {
        context.printer.notice(&format!(
            "{} of {} lines were delivered before the line above them, because a server failed \
             while they were under way",
            summary.out_of_order, summary.sent
        ));
    }
    Ok(Exit::Done)
}

/// Keeps where the last message stands, for the next one; and says so if the first waited in
/// vain for the one before it, which a server has that may be known.
fn keep(last: Option<LastSent>, overtaken: Option<Option<Address>>, context: &mut Context) {
    if let Some(server) = overtaken {
        let server = server.map_or("a server".to_string(), |server| format!("the server {server}"));
        let waited = duration::format(patience(context.settings.timeout));
        context.printer.notice(&format!(
            "the message sent before this one was accepted by {server} when it was alone, and may be \
             delivered after this one, which has waited {waited} for that server to come back"
        ));
    }
    if let Some(Err(error)) = last.map(|mut last| last.keep()) {
        context.printer.notice(&format!(
            "where this message stands is not kept, so the next one may be delivered before it: {}",
            error.message
        ));
    }
}

fn lines_are(count: u64) -> String {
    match count {
        1 => "1 line is".to_string(),
        _ => format!("{count} lines are"),
    }
}

fn recipients(list: &str) -> Result<Vec<String>> {
    let names: Vec<String> = list.split(',').map(|name| name.trim().to_string()).collect();
    for name in &names {
        AccountName::new(name)?;
    }
    if names.len() > RECIPIENTS_MAX {
        return Err(Error::new(
            ErrorCode::TooMany,
            format!("a message has at most {RECIPIENTS_MAX} recipients, not {}", names.len()),
        ));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_separated_by_commas() {
        assert_eq!(recipients("bob").expect("one"), ["bob"]);
        assert_eq!(recipients("bob,Carol, dave").expect("three"), ["bob", "Carol", "dave"]);
        for wrong in ["", "bob,", "bob,,carol", "bob;carol"] {
            assert_eq!(recipients(wrong).expect_err(wrong).code, ErrorCode::InvalidName);
        }
        let many = vec!["x"; RECIPIENTS_MAX + 1].join(",");
        assert_eq!(recipients(&many).expect_err("too many").code, ErrorCode::TooMany);
    }
}
