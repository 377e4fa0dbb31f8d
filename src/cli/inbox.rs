//! `ftchat inbox`.
//!
//! A message is marked as read only after it was printed and the print was handed to
//! the operating system. If something breaks in between, the message is shown again
//! rather than lost from sight. With `--exec` its command must have succeeded as well,
//! and the message is marked before the next command begins. A signal lets the command
//! that runs come to its end. So a command that has succeeded runs again only if this
//! process or all servers die between the two.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::confirming::{ConfirmArgs, note_alone};
use super::context::unexpected;
use super::signals::{Signals, interrupted};
use super::when::{local_zone, parse_when};
use super::{Context, Exit};
use crate::client::{Client, Follow, FollowNotice};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{IDS_PER_REQUEST_MAX, PAGE_MAX_MESSAGES};
use crate::output::{Days, Listed, Printer, is_alone_since, sender};
use crate::protocol::client::{Answer, Confirm, InboxQuery, Message, Request, Which};
use crate::types::{AccountName, Timestamp, Uuid};

/// How long to wait before marking again what could not be marked.
const MARK_AGAIN: Duration = Duration::from_secs(2);

/// Arguments of `inbox`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat inbox                      unread messages, which are then read\n  \
    ftchat inbox --all --from bob --since 2d\n  \
    ftchat inbox --follow --json | jq -r .text\n  \
    ftchat inbox -f --exec 'notify-send \"$FTCHAT_FROM\" \"$FTCHAT_TEXT\"'\n\n\
    In a pipe each message is one line: id, time (UTC), sender (with --sent the recipients) and\n\
    text, separated by tabs. Newlines, tabs and control characters of the text are shown as \\n,\n\
    \\t and \\u{...}; --json keeps the text exactly.\n\n\
    --exec runs CMD with 'sh -c' for each message after printing it, one after the other, with\n\
    FTCHAT_ID, FTCHAT_FROM, FTCHAT_TEXT, FTCHAT_AT and FTCHAT_MENTION (1 if it mentions me, else\n\
    0) in its environment. A message is marked as read when its CMD has succeeded, before the next\n\
    begins; one whose CMD fails stays unread, and the exit code is then 1. A signal waits for the\n\
    CMD that runs, a second one does not. (A NUL character, which no environment can hold, is\n\
    passed as U+FFFD.)\n\n\
    A message that a server accepted without a majority is shown with '~' before its time, and has\n\
    \"confirmed\":false in JSON, until a majority is back. It is shown and CMD is run for it once,\n\
    with FTCHAT_CONFIRMED=0 (else 1), and not again when it is confirmed. Until then it may be\n\
    withdrawn, as when the disk that it is on is lost. For commands that must not act on such a\n\
    message there is --confirmed.")]
pub struct InboxArgs {
    /// Mark nothing as read
    #[arg(long)]
    peek: bool,
    /// Also messages that were read before
    #[arg(long)]
    all: bool,
    /// Messages that I sent, and who has read them: their names below each message, and in JSON
    /// read_by
    #[arg(long, conflicts_with_all = ["all", "from", "peek", "exec"])]
    sent: bool,
    /// Only from this account
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Only since: 2026-11-23, 2026-11-23T18:46:00Z, 2026-11-23T18:46[Europe/Paris], or how long
    /// ago, as 2h or 3d
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only those that mention me: that have my name behind an @
    #[arg(long)]
    mentions: bool,
    /// At most so many, the oldest first; with --follow, end after so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Stay and print new messages as they arrive
    #[arg(long, short)]
    follow: bool,
    /// Run a command for each message
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// Only messages that a majority of the servers has confirmed
    #[arg(long)]
    confirmed: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

impl InboxArgs {
    /// Who has to vouch for what is shown. A list of what is final may come from a server
    /// that is alone; whoever follows wants to hear of what it does not know.
    fn confirm(&self) -> Confirm {
        match self.confirmed && self.follow {
            true => Confirm::Majority,
            false => self.confirm.confirm(),
        }
    }

    /// Whether it runs commands for messages.
    pub fn runs_commands(&self) -> bool {
        self.exec.is_some()
    }
}

/// Prints messages, and marks them as read.
///
/// # Errors
/// When nobody is logged in, no server answers, or output cannot be written.
pub async fn run(args: &InboxArgs, context: &mut Context) -> Result<Exit> {
    let since = match &args.since {
        None => None,
        Some(text) => Some(parse_when(text, context.host.clock.now(), local_zone)?),
    };
    let from = args.from.as_deref().map(AccountName::new).transpose()?;
    let which = match (args.sent, args.all) {
        (true, _) => Which::Sent,
        (_, true) => Which::All,
        _ => Which::Unread,
    };
    let query = InboxQuery {
        after_place: None,
        which,
        after: None,
        from: from.map(|name| name.to_string()),
        since,
        limit: None,
        mentions: args.mentions,
        read_by: args.sent,
    };
    let ending = Ending::default();
    if args.exec.is_none() {
        return read(args, query, context, &ending).await;
    }
    let mut signals = Signals::listen()?;
    let mut reading = std::pin::pin!(read(args, query, context, &ending));
    tokio::select! {
        biased;
        () = signals.next() => {}
        outcome = &mut reading => return outcome,
    }
    if !ending.busy.get() {
        return Err(interrupted());
    }
    // The command goes on to its end, and what it did is remembered. A second signal
    // ends it at once.
    ending.asked.set(true);
    tokio::select! {
        biased;
        () = signals.next() => Err(interrupted()),
        outcome = &mut reading => outcome,
    }
}

async fn read(
    args: &InboxArgs,
    query: InboxQuery,
    context: &mut Context,
    ending: &Ending,
) -> Result<Exit> {
    let (client, _) = context.logged_in(args.confirm()).await?;
    let mut reader = Reader {
        args,
        client,
        printer: &mut context.printer,
        ending,
        left: args.limit.unwrap_or(u64::MAX),
        unmarked: Vec::new(),
        unmarked_ids: Vec::new(),
        unknown_ids: BTreeSet::new(),
        failed: 0,
        shown: 0,
        days: Days::default(),
    };
    let outcome = match args.follow {
        true => reader.follow(query).await,
        false => reader.list(query).await,
    };
    match outcome {
        Err(error) if !reader.printer.is_closed_pipe(&error) => Err(error),
        _ => Ok(reader.end()),
    }
}

/// What a signal finds.
#[derive(Default)]
struct Ending {
    /// A command runs, or what it did is being remembered.
    busy: Cell<bool>,
    /// The end is asked for: no other command begins.
    asked: Cell<bool>,
}

struct Reader<'a> {
    args: &'a InboxArgs,
    client: Client,
    printer: &'a mut Printer,
    ending: &'a Ending,
    /// How many more messages to show.
    left: u64,
    /// Shown and not yet marked as read, by `seq`.
    unmarked: Vec<u64>,
    /// The same of those that have none yet.
    unmarked_ids: Vec<Uuid>,
    /// Of these, those that a majority did not know when they were to be marked.
    unknown_ids: BTreeSet<Uuid>,
    /// Messages whose command failed.
    failed: u64,
    shown: u64,
    days: Days,
}

impl Reader<'_> {
    async fn list(&mut self, mut query: InboxQuery) -> Result<()> {
        let mut told = false;
        while self.left > 0 {
            query.limit = Some(self.left.min(PAGE_MAX_MESSAGES as u64));
            let request = Request::Inbox(query.clone());
            let Answer::Messages { messages, more, alone } = self.client.request(request).await?
            else {
                return Err(unexpected("messages"));
            };
            if alone.is_some() && !std::mem::replace(&mut told, true) {
                note_alone(alone, "messages", &self.client, self.printer);
            }
            // Those that are not confirmed come last.
            let last = messages.iter().rev().find_map(|it| it.seq);
            query.after = last.or(query.after);
            query.after_place = messages.last().and_then(|it| it.place).or(query.after_place);
            self.show(&messages).await?;
            self.mark().await.map_err(|error| {
                let told = "the messages were printed, but could not be marked as read";
                let message = format!("{told}: {}", error.message);
                Error { message, ..error }
            })?;
            if !more || messages.is_empty() {
                break;
            }
        }
        if self.shown == 0 && self.printer.on_terminal() {
            let kind = if self.args.all || self.args.sent { "" } else { "unread " };
            self.printer.notice(&format!("No {kind}messages."));
        }
        Ok(())
    }

    async fn follow(&mut self, query: InboxQuery) -> Result<()> {
        let mut follow = Follow::new(&self.client, query);
        let output = self.printer.reader();
        while self.left > 0 {
            let now = self.client.host().clock.now();
            let (printer, unmarked_ids) = (&mut *self.printer, &mut self.unmarked_ids);
            let (unmarked, unknown_ids) = (&mut self.unmarked, &mut self.unknown_ids);
            let mut patience = Duration::MAX;
            // Giving up the wait for messages loses none.
            if !unmarked.is_empty() || !unmarked_ids.is_empty() {
                patience = MARK_AGAIN;
            }
            let mut notice = |notice: FollowNotice| {
                match &notice {
                    FollowNotice::Refused { id, .. } => {
                        unmarked_ids.retain(|it| it != id);
                        unknown_ids.remove(id);
                    }
                    FollowNotice::Confirmed { id, seq } if unknown_ids.remove(id) => {
                        unmarked.push(*seq);
                    }
                    _ => {}
                }
                if let Some(sentence) = sentence(&notice, now) {
                    printer.notice(&sentence);
                }
            };
            let next = follow.next(&mut notice);
            let messages = tokio::select! {
                biased;
                next = timeout(patience, next) => Some(next.unwrap_or_else(|_| Ok(Vec::new()))?),
                () = output.left() => None,
            };
            let Some(messages) = messages else {
                self.printer.reader_left();
                return self.printer.flush();
            };
            let known = self.unmarked.len() + self.unmarked_ids.len();
            self.show(&messages).await?;
            match self.mark().await {
                Ok(()) => {}
                // Messages go on; what is shown is marked when that works again.
                Err(error) if error.retryable() => {
                    if known == 0 {
                        self.printer.notice(&format!("cannot mark as read yet: {}", error.message));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.mark().await
    }

    fn end(self) -> Exit {
        if self.failed == 0 {
            return Exit::Done;
        }
        let Reader { printer, failed, shown, .. } = self;
        printer.notice(&format!(
            "the command failed for {failed} of {shown} messages, which stay unread"
        ));
        Exit::Refused
    }

    /// Prints messages, at most as many as are left, and notes which are read.
    /// With `--exec`, runs the command for each of them and marks it.
    async fn show(&mut self, messages: &[Message]) -> Result<()> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let final_only = self.args.confirmed;
        // An older server does not know the flag, and tells of no mention.
        let unwanted = |it: &Message| self.args.mentions && !it.mention;
        let wanted = messages.iter().filter(|it| (it.confirmed || !final_only) && !unwanted(it));
        for message in wanted.take(left) {
            let listed = Listed::new(message, self.args.sent);
            self.printer.list(&listed.under(&mut self.days))?;
            self.left -= 1;
            self.shown += 1;
            if let Some(command) = &self.args.exec {
                self.printer.flush()?;
                self.ending.busy.set(true);
                self.execute(command, message).await?;
                self.ending.busy.set(false);
                if self.ending.asked.get() {
                    return Err(interrupted());
                }
            } else {
                self.note_read(message);
            }
        }
        self.printer.flush()
    }

    fn note_read(&mut self, message: &Message) {
        if !message.read && !self.args.peek && !self.args.sent {
            match message.seq {
                Some(seq) => self.unmarked.push(seq),
                None => self.unmarked_ids.push(message.id),
            }
        }
    }

    /// Runs the user's command for one message and, if it succeeded, marks the
    /// message before anything else is begun: what was done is never done again.
    async fn execute(&mut self, command: &str, message: &Message) -> Result<()> {
        if !execute(command, message, self.printer).await? {
            self.failed += 1;
            return Ok(());
        }
        self.note_read(message);
        let mut told = false;
        loop {
            match self.mark().await {
                // A follow has time.
                Err(error) if error.retryable() && self.args.follow && !self.ending.asked.get() => {
                    if !std::mem::replace(&mut told, true) {
                        self.printer.notice(&format!("cannot mark as read yet: {}", error.message));
                    }
                    tokio::time::sleep(MARK_AGAIN).await;
                }
                Err(error) => {
                    let id = message.id;
                    let told = format!("the command succeeded for {id}, which is not marked yet");
                    return Err(Error { message: format!("{told}: {}", error.message), ..error });
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn mark(&mut self) -> Result<()> {
        while !self.unmarked.is_empty() {
            let count = self.unmarked.len().min(IDS_PER_REQUEST_MAX);
            let seqs = self.unmarked[..count].to_vec();
            self.mark_these(seqs, Vec::new()).await?;
            self.unmarked.drain(..count);
        }
        // By themselves: one that is unknown keeps all of its request from being marked.
        let mut at_once = IDS_PER_REQUEST_MAX;
        while !self.unmarked_ids.is_empty() {
            let count = self.unmarked_ids.len().min(at_once);
            let ids = self.unmarked_ids[..count].to_vec();
            match self.mark_these(Vec::new(), ids).await {
                // One of them was withdrawn, or deleted elsewhere: the others go alone.
                Err(error) if error.code == ErrorCode::UnknownMessage && count > 1 => at_once = 1,
                // A majority does not know it: it is marked when it is confirmed, if it is.
                Err(error) if error.code == ErrorCode::UnknownMessage => {
                    let id = self.unmarked_ids.remove(0);
                    self.unknown_ids.insert(id);
                }
                outcome => {
                    outcome?;
                    self.unmarked_ids.drain(..count);
                }
            }
        }
        Ok(())
    }

    async fn mark_these(&mut self, seqs: Vec<u64>, ids: Vec<Uuid>) -> Result<()> {
        let operation: Uuid = self.client.host().uuid();
        self.printer.set_operation(operation);
        match self.client.request(Request::MarkRead { operation, seqs, ids }).await? {
            Answer::Marked { .. } => Ok(()),
            _ => Err(unexpected("the number of marked messages")),
        }
    }
}

/// Runs the user's command for one message; whether it succeeded.
async fn execute(command: &str, message: &Message, printer: &mut Printer) -> Result<bool> {
    // It gets no standard input: a command that reads (as ssh does) would
    // swallow what was typed or piped for others.
    let status = Command::new("sh")
        .args(["-c", command])
        .env("FTCHAT_ID", message.id.to_string())
        .env("FTCHAT_FROM", sender(message))
        .env("FTCHAT_TEXT", message.text.replace('\0', "\u{fffd}"))
        .env("FTCHAT_AT", message.at.to_string())
        .env("FTCHAT_CONFIRMED", if message.confirmed { "1" } else { "0" })
        .env("FTCHAT_MENTION", if message.mention { "1" } else { "0" })
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| Error::failed("cannot run 'sh -c'", &error))?;
    if !status.success() {
        let id = message.id;
        printer.notice(&format!("the command failed for {id} ({status}), which stays unread"));
    }
    Ok(status.success())
}

/// What a user is told of a notice. That a message is confirmed now is no news: it was
/// shown.
fn sentence(notice: &FollowNotice, now: Timestamp) -> Option<String> {
    Some(match notice {
        FollowNotice::Reconnecting { server, reason } => {
            format!("reconnecting: {server}: {reason}")
        }
        FollowNotice::Reconnected { server } => format!("connected to {server}"),
        FollowNotice::Alone { replica, since, .. } => {
            let who = is_alone_since(*replica, *since, Some(now));
            format!("{who}: there may be messages that it does not know")
        }
        FollowNotice::Refused { id, reason } => {
            format!("message {id}, which was shown, is not delivered: {reason}")
        }
        FollowNotice::Confirmed { .. } => return None,
    })
}
