//! The command line: one file per verb, and no logic but the user's.
//!
//! A verb is its arguments and a function `run` over a [`Context`]. It returns how the
//! program ends, or an error. The error is printed here, in one place, and decides the
//! exit code through [`Exit::of`]. Results go through the printer.
//!
//! Wrong usage ends with 2 and never does half of what was asked: arguments are
//! checked, and standard input and passwords are read, before a server is asked.

mod accounts;
mod administrator;
mod admission;
mod backup;
mod bench;
mod block;
mod bounds;
mod cluster;
pub mod completions;
mod config;
mod confirm;
mod confirming;
mod connect;
mod context;
mod delete;
mod delete_account;
mod drill;
mod exit;
mod hand_over;
mod history;
mod inbox;
mod init;
mod kept;
mod known_servers;
mod last_sent;
mod local;
mod login;
mod logout;
mod looking_back;
pub mod man;
mod members;
mod passwd;
mod password;
mod profiles;
mod recover;
mod register;
mod rekey;
mod restore;
mod search;
mod send;
mod serve;
mod service;
mod sessions;
mod settings;
mod signals;
mod status;
mod text;
mod token_store;
mod unread;
mod when;
mod whoami;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

pub use context::Context;
pub use exit::Exit;
pub use token_store::{Session, Sessions};

use crate::config::keys::removed_flag;
use crate::config::{ColorChoice, GlobalArgs, Settings, check_environment, process_environment};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{FILE_SIZE_LIMIT_REACHED, Host, close_inherited, outlive_descriptors};
use crate::output::log::{LogForm, LogWriter};
use crate::output::{Printer, sanitize};

/// Chat that outlives its servers.
#[derive(Debug, Parser)]
#[command(
    name = "ftchat",
    version,
    about,
    long_about = "Chat that outlives its servers: a message that `send` acknowledges is delivered \
                  exactly once, whichever server crashes.",
    after_help = "Examples:\n  \
        ftchat cluster up -d          start three servers on this machine\n  \
        ftchat register alice         make an account and log in\n  \
        ftchat send bob 'hello'       send a message\n  \
        ftchat inbox                  read what came, and mark it as read\n  \
        ftchat inbox --follow         stay and read what comes\n  \
        ftchat history bob            look back at the conversation with bob\n  \
        ftchat connect WORD           speak to the cluster that the word ftchat://... names\n\n\
        Exit codes: 0 done, 1 refused, 2 wrong usage, 3 unavailable (nothing was done), 4 not\n\
        logged in, 5 no such thing, 6 outcome unknown (repeat with the same --id), 130 interrupted.",
    subcommand_required = true,
    arg_required_else_help = true,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create an account and log in
    Register(register::RegisterArgs),
    /// Log in
    Login(login::LoginArgs),
    /// End the session
    Logout(logout::LogoutArgs),
    /// Print the name of the account that commands act as
    Whoami(whoami::WhoamiArgs),
    /// List the names of accounts
    Accounts(accounts::AccountsArgs),
    /// Send a message
    Send(send::SendArgs),
    /// Read messages
    Inbox(inbox::InboxArgs),
    /// Show how much is unread, by who sent it
    Unread(unread::UnreadArgs),
    /// Show the conversation with an account
    History(history::HistoryArgs),
    /// Find messages by words
    Search(search::SearchArgs),
    /// Remove messages from the inbox
    Delete(delete::DeleteArgs),
    /// Change the password
    Passwd(passwd::PasswdArgs),
    /// List the account's sessions, or end some
    Sessions(sessions::SessionsArgs),
    /// Let nothing come any more that an account sends
    Block(block::BlockArgs),
    /// Let it come again
    Unblock(block::UnblockArgs),
    /// List the names of accounts that are blocked
    Blocked(block::BlockedArgs),
    /// Show or change what the account has set
    Settings(settings::SettingsArgs),
    /// Delete the account with its inbox and sessions
    DeleteAccount(delete_account::DeleteAccountArgs),
    /// Show the state of the cluster and of each replica
    Status(status::StatusArgs),
    /// Keep a cluster by name and make it the one that commands speak to
    Connect(connect::ConnectArgs),
    /// List the clusters that are kept
    Profiles(profiles::ProfilesArgs),
    /// Copy everything of a running cluster into one file
    Backup(backup::BackupArgs),
    /// Bring a backup into a new cluster
    Restore(restore::RestoreArgs),
    /// Run one replica in the foreground
    Serve(serve::ServeArgs),
    /// Run and control a local cluster
    Cluster(cluster::ClusterArgs),
    /// Do to a cluster of its own all that may go wrong, and prove that nothing is lost
    Drill(drill::DrillArgs),
    /// Put load on the servers and measure how fast they answer
    Bench(bench::BenchArgs),
    /// Show the configuration in force and where it comes from
    Config(config::ConfigArgs),
    /// Print a shell's completion script
    Completions(completions::CompletionsArgs),
    /// Write the manual pages
    Man(man::ManArgs),
}

impl Command {
    /// Whether the command runs servers.
    fn runs_servers(&self) -> bool {
        matches!(self, Command::Serve(_) | Command::Cluster(_) | Command::Drill(_))
    }

    /// Whether a profile may say which servers it speaks to. What the file of profiles says
    /// must not keep a server from starting, nor what would mend it from being done.
    fn uses_profile(&self) -> bool {
        use Command::{Cluster, Completions, Connect, Drill, Man, Profiles, Serve};
        match self {
            Connect(_) | Profiles(_) | Serve(_) | Drill(_) | Completions(_) | Man(_) => false,
            Cluster(args) => args.uses_servers(),
            _ => true,
        }
    }

    /// Whether one processor is not enough: for servers, and for a benchmark whose
    /// followers would each be a process of their own.
    fn needs_all_processors(&self) -> bool {
        self.runs_servers() || matches!(self, Command::Bench(args) if args.has_followers())
    }

    /// Whether times are among what it shows to users.
    fn shows_times(&self) -> bool {
        use Command::{
            Accounts, Cluster, Delete, History, Inbox, Login, Register, Restore, Search, Sessions,
            Status, Unread, Whoami,
        };
        let of_the_cluster = matches!(self, Restore(_) | Cluster(_) | Status(_));
        // Of a server that is alone they say since when.
        let alone = matches!(self, Accounts(_) | Delete(_) | Unread(_) | Whoami(_));
        let of_messages = matches!(self, History(_) | Inbox(_) | Search(_));
        let of_sessions = matches!(self, Login(_) | Register(_) | Sessions(_));
        of_messages || of_sessions || of_the_cluster || alone
    }

    /// Threads for its tasks; `None`: one a processor.
    fn threads(&self, settings: &Settings) -> Option<usize> {
        match self {
            Command::Serve(args) => Some(serve::threads(args, settings)),
            _ => None,
        }
    }

    /// Whether the command ends in its own way on a signal, because there is
    /// something to be put in order first.
    fn handles_signals(&self) -> bool {
        match self {
            Command::Bench(_) | Command::Backup(_) => true,
            Command::Inbox(args) => args.runs_commands(),
            _ => self.runs_servers(),
        }
    }

    async fn run(&self, context: &mut Context) -> Result<Exit> {
        let outcome = self.run_verb(context).await;
        context.follow_new_key().await;
        outcome
    }

    async fn run_verb(&self, context: &mut Context) -> Result<Exit> {
        match self {
            Command::Register(args) => register::run(args, context).await,
            Command::Login(args) => login::run(args, context).await,
            Command::Logout(args) => logout::run(args, context).await,
            Command::Whoami(args) => whoami::run(args, context).await,
            Command::Accounts(args) => accounts::run(args, context).await,
            Command::Send(args) => send::run(args, context).await,
            Command::Inbox(args) => inbox::run(args, context).await,
            Command::Unread(args) => unread::run(args, context).await,
            Command::History(args) => history::run(args, context).await,
            Command::Search(args) => search::run(args, context).await,
            Command::Delete(args) => delete::run(args, context).await,
            Command::Passwd(args) => passwd::run(args, context).await,
            Command::Sessions(args) => sessions::run(args, context).await,
            Command::Block(args) => block::block(args, context).await,
            Command::Unblock(args) => block::unblock(args, context).await,
            Command::Blocked(args) => block::list(args, context).await,
            Command::Settings(args) => settings::run(args, context).await,
            Command::DeleteAccount(args) => delete_account::run(args, context).await,
            Command::Status(args) => status::run(args, context).await,
            Command::Connect(args) => connect::run(args, context).await,
            Command::Profiles(args) => profiles::run(args, context).await,
            Command::Backup(args) => backup::run(args, context).await,
            Command::Restore(args) => restore::run(args, context).await,
            Command::Serve(args) => serve::run(args, context).await,
            Command::Cluster(args) => cluster::run(args, context).await,
            Command::Drill(args) => drill::run(args, context).await,
            Command::Bench(args) => bench::run(args, context).await,
            Command::Config(args) => config::run(args, context).await,
            Command::Completions(args) => completions::run(args, context).await,
            Command::Man(args) => man::run(args, context).await,
        }
    }
}

/// The parser, for the manual and the completions.
pub(crate) fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// The whole program: parses, resolves, runs, and says how it ended.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error, &arguments).into(),
    };
    let resolve = || Settings::resolve(&cli.global, &process_environment);
    let choose = |settings: Settings| match cli.command.uses_profile() {
        true => settings.choose_profile(),
        false => Ok(settings),
    };
    let settings = match check_environment().and_then(|()| resolve()).and_then(choose) {
        Ok(settings) => settings,
        Err(error) => {
            Printer::new(cli.global.json, false, ColorChoice::Auto).error(&error);
            return Exit::of(&error).into();
        }
    };
    let printer = Printer::new(settings.json, settings.quiet, settings.color);
    let mut context = Context::new(settings, printer, Host::real());
    if context.printer.on_terminal()
        && cli.command.shows_times()
        && let Err(error) = when::local_zone()
    {
        context.printer.notice(&format!("{}; times are shown in UTC", error.message));
    }
    let outcome = run(&cli.command, &mut context);
    let outcome = outcome.map_err(|error| context.advised(error));
    let told = outcome.as_ref().err().map(|error| error.message.clone());
    context.note_servers(&told.unwrap_or_default());
    end(outcome, &mut context.printer).into()
}

/// How the program ends, after what there is to say is said.
fn end(outcome: Result<Exit>, printer: &mut Printer) -> Exit {
    // What is still in a buffer may be lost as well.
    let written = printer.flush();
    let error = match (outcome, written) {
        (Ok(exit), Ok(())) => return exit,
        // What was asked for may have another result than its output.
        (Ok(exit), Err(_)) if printer.pipe_closed() => return exit,
        (Ok(exit), Err(error)) if exit != Exit::Done => {
            printer.error(&error);
            return exit;
        }
        (Err(error), _) if printer.is_closed_pipe(&error) => return Exit::Done,
        (Ok(_), Err(error)) | (Err(error), _) => error,
    };
    // A user who pressed Ctrl-C knows it; a script is told as of any other error.
    if error.code != ErrorCode::Interrupted || printer.json() {
        printer.error(&error);
    }
    Exit::of(&error)
}

fn run(command: &Command, context: &mut Context) -> Result<Exit> {
    // Before anything is opened here.
    if let Command::Serve(args) = command {
        close_inherited(serve::key_file(args, &context.settings).as_deref());
        context.early = outlive_descriptors().err();
    }
    let mut builder = match command.needs_all_processors() {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    if let Some(threads) = command.threads(&context.settings) {
        builder.worker_threads(threads);
    }
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Error::internal(format!("cannot start the runtime: {error}")))?;
    if !command.runs_servers() {
        log_to_stderr(context.settings.verbose);
    }
    let outcome = runtime.block_on(async {
        // From here on it does not end this process any more; the write that
        // brought it fails, and tells.
        let file_size = SignalKind::from_raw(FILE_SIZE_LIMIT_REACHED);
        let _listening = signal(file_size).map_err(signals::cannot_listen)?;
        if command.handles_signals() {
            return command.run(context).await;
        }
        // Whatever the command holds is dropped with it: a prompt that is
        // interrupted gives the terminal its echo back.
        tokio::select! {
            biased;
            outcome = command.run(context) => outcome,
            Ok(()) = tokio::signal::ctrl_c() => {
                Err(Error::new(ErrorCode::Interrupted, "interrupted"))
            }
        }
    });
    // A thread may still wait for standard input, for ever.
    runtime.shutdown_background();
    outcome
}

/// With `-v`, what the client tries and why it tries again.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    // Fails only where a test has set one up, which then serves as well.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        // What servers say is in it.
        .with_writer(|| LogWriter::new(std::io::stderr(), LogForm::Text))
        .with_ansi(false)
        .try_init();
}

/// Help, version, or wrong usage.
fn not_parsed(error: &clap::Error, arguments: &[OsString]) -> Exit {
    let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.as_str(),
        _ => "",
    };
    let json = arguments.iter().skip(1).take_while(|a| *a != "--").any(|a| a == "--json");
    if json && !help {
        let error = removed_flag(unknown)
            .unwrap_or_else(|| Error::new(ErrorCode::WrongUsage, usage_sentence(error)));
        Printer::new(true, false, ColorChoice::Never).error(&error);
        return Exit::Usage;
    }
    if let Some(gone) = removed_flag(unknown) {
        Printer::new(false, false, ColorChoice::Auto).error(&gone);
        return Exit::Usage;
    }
    // The message quotes arguments, and scripts pass on what others wrote.
    let hostile = |argument: &OsString| {
        matches!(sanitize(&argument.to_string_lossy()), std::borrow::Cow::Owned(_))
    };
    if help {
        let printed = error.print().and_then(|()| std::io::stdout().flush());
        return match printed {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                let error = format!("cannot write to standard output: {error}");
                let error = Error::new(ErrorCode::Io, error);
                Printer::new(json, false, ColorChoice::Auto).error(&error);
                Exit::of(&error)
            }
            // A reader that is gone misses nothing.
            _ => Exit::Done,
        };
    }
    // If this cannot be written, nothing else depends on it.
    if arguments.iter().any(hostile) {
        for line in error.render().to_string().lines() {
            let _ = writeln!(std::io::stderr(), "{}", sanitize(line));
        }
    } else {
        let _ = error.print();
    }
    Exit::Usage
}

/// The parser's message without its decoration.
fn usage_sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = text.lines().take_while(|line| !line.starts_with("Usage:"));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
