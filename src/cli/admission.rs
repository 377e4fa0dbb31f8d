//! `ftchat cluster invite`, `invites`, `registration`, `account` and `actions`: who may
//! come in, for whoever holds the cluster's key.

use std::time::Duration;

use super::administrator::KeyFlags;
use super::context::unexpected;
use super::{Context, Exit};
use crate::administration::{ask, change};
use crate::config::duration;
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::Result;
use crate::limits::{CODE_LIFETIME_MAX, INVITATION_USES_MAX};
use crate::output::{AccountChanged, AccountReset, Invited, RegistrationShown, Revoked};
use crate::protocol::administration::{
    Changed, Inspected, Question, Registration, RequestedChange,
};
use crate::types::{AccountName, CODE_BYTES, Code};

/// Arguments of `cluster invite`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat cluster invite\n  \
    ftchat cluster invite --uses 20 --expires 72h\n\n\
    The code is printed once and kept nowhere: the cluster knows its hash alone. Whoever is\n\
    invited registers with it: ftchat register NAME --invite CODE")]
pub(super) struct InviteArgs {
    /// How many accounts may be made with it
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(INVITATION_USES_MAX)))]
    uses: u32,
    /// How long it is good, such as 30m or 72h
    #[arg(long, value_name = "DURATION", default_value = "168h", value_parser = lifetime)]
    expires: Duration,
    #[command(flatten)]
    key: KeyFlags,
}

/// Arguments of `cluster invites`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  \
    ftchat cluster invites\n  \
    ftchat cluster invites revoke 3")]
pub(super) struct InvitesArgs {
    #[command(flatten)]
    key: KeyFlags,
    #[command(subcommand)]
    action: Option<InvitesAction>,
}

#[derive(Debug, clap::Subcommand)]
enum InvitesAction {
    /// Take an invitation back
    ///
    /// Accounts that were made with it stay.
    Revoke {
        /// Its number
        id: u64,
        #[command(flatten)]
        key: KeyFlags,
    },
}

/// Arguments of `cluster registration`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat cluster registration\n  \
    ftchat cluster registration invited")]
pub(super) struct RegistrationArgs {
    /// Who may register from now on: open (anybody), invited (whoever has the code of an
    /// invitation) or closed (nobody); without it, what holds is printed
    #[arg(value_name = "WHO", value_parser = Registration::NAMES, hide_possible_values = true)]
    registration: Option<String>,
    #[command(flatten)]
    key: KeyFlags,
}

/// Arguments of `cluster actions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  ftchat cluster actions --json | jq 'select(.action == \"reset_account\")'\n\n\
    Each has its time, who did it and what was done, oldest first; the last thousand are kept.\n\
    Who that was is what their machine said: nobody has checked it."
)]
pub(super) struct ActionsArgs {
    #[command(flatten)]
    key: KeyFlags,
}

/// Arguments of `cluster account`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat cluster account list 'al*'\n  \
    ftchat cluster account reset alice\n  \
    ftchat cluster account disable mallory")]
pub(super) struct AccountArgs {
    #[command(subcommand)]
    action: AccountAction,
}

#[derive(Debug, clap::Subcommand)]
enum AccountAction {
    /// List accounts with what they take
    List {
        /// Only names that match: '*' stands for any characters, '?' for one; case is ignored
        glob: Option<String>,
        #[command(flatten)]
        key: KeyFlags,
    },
    /// Take an account's password away and print a code for a new one
    ///
    /// Its sessions end at once. Its owner logs in with the code in the place of the
    /// password, once, and sets a new password there.
    Reset {
        #[command(flatten)]
        account: OneAccount,
        /// How long the code is good, such as 30m or 72h
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = lifetime)]
        expires: Duration,
    },
    /// Shut an account out
    ///
    /// Its sessions end and nobody logs in to it. What is sent to it is stored all the same.
    Disable(OneAccount),
    /// Let an account in again
    Enable(OneAccount),
    /// Delete an account with its inbox
    ///
    /// What it sent to others stays with them. The name is free again, and a later owner
    /// sees nothing of it.
    Delete(OneAccount),
}

#[derive(Debug, clap::Args)]
struct OneAccount {
    /// The account's name
    #[arg(value_name = "NAME")]
    account: String,
    #[command(flatten)]
    key: KeyFlags,
}

/// Reads how long a code is good.
fn lifetime(text: &str) -> Result<Duration, String> {
    duration::parse(text).filter(|it| !it.is_zero() && *it <= CODE_LIFETIME_MAX).ok_or_else(|| {
        let most = duration::format(CODE_LIFETIME_MAX);
        format!("how long a code is good is a duration such as 30m or 72h, at most {most}")
    })
}

/// Makes an invitation and prints its code.
///
/// # Errors
/// Those of [`change`].
pub(super) async fn invite(args: &InviteArgs, context: &mut Context) -> Result<Exit> {
    let code = new_code(context);
    let asked = RequestedChange::Invite {
        code_hash: code.hash(),
        uses: args.uses,
        lifetime_ms: milliseconds(args.expires),
    };
    let Changed::Invited { invitation: id, created, expires } =
        make(&args.key, context, asked).await?
    else {
        return Err(unexpected("an invitation"));
    };
    let code = code.reveal();
    let how =
        context.settings.command_lines().line(&format!("register --invite {code}"), &["NAME"]);
    context.printer.show(&Invited { code, id, uses: args.uses, expires, created });
    context.printer.notice(&format!("Whoever has the code registers with it: {how}"));
    Ok(Exit::Done)
}

/// Lists invitations, or takes one back.
///
/// # Errors
/// Those of [`change`] and [`ask`].
pub(super) async fn invites(args: &InvitesArgs, context: &mut Context) -> Result<Exit> {
    if let Some(InvitesAction::Revoke { id, key }) = &args.action {
        let invitation = *id;
        make(key, context, RequestedChange::RevokeInvitation { invitation }).await?;
        context.printer.show(&Revoked { id: invitation });
        return Ok(Exit::Done);
    }
    let administrator = args.key.administrator(context)?;
    let mut after = 0;
    loop {
        let question = Question::Invitations { after };
        let Inspected::Invitations(page) = ask(&administrator, &question).await? else {
            return Err(unexpected("invitations"));
        };
        let Some(last) = page.last() else { return Ok(Exit::Done) };
        after = last.id;
        page.iter().try_for_each(|invitation| context.printer.list(invitation))?;
    }
}

/// Shows who may register, or changes it.
///
/// # Errors
/// Those of [`change`] and [`ask`].
pub(super) async fn registration(args: &RegistrationArgs, context: &mut Context) -> Result<Exit> {
    let registration = match args.registration.as_deref().and_then(Registration::named) {
        Some(registration) => {
            make(&args.key, context, RequestedChange::SetRegistration { registration }).await?;
            registration
        }
        None => {
            let administrator = args.key.administrator(context)?;
            match ask(&administrator, &Question::Registration {}).await? {
                Inspected::Registration { registration } => registration,
                _ => return Err(unexpected("who may register")),
            }
        }
    };
    let is_set = args.registration.is_some();
    context.printer.show(&RegistrationShown { registration, is_set });
    Ok(Exit::Done)
}

/// Lists what administrators have done.
///
/// # Errors
/// Those of [`ask`].
pub(super) async fn actions(args: &ActionsArgs, context: &mut Context) -> Result<Exit> {
    let administrator = args.key.administrator(context)?;
    let mut after = 0;
    loop {
        let question = Question::Actions { after };
        let Inspected::Actions(page) = ask(&administrator, &question).await? else {
            return Err(unexpected("actions"));
        };
        let Some(last) = page.last() else { return Ok(Exit::Done) };
        after = last.id;
        page.iter().try_for_each(|action| context.printer.list(action))?;
    }
}

/// Lists accounts, or changes one.
///
/// # Errors
/// Those of [`change`] and [`ask`]; [`ErrorCode::InvalidName`].
pub(super) async fn account(args: &AccountArgs, context: &mut Context) -> Result<Exit> {
    let (account, what): (_, fn(AccountName) -> RequestedChange) = match &args.action {
        AccountAction::List { glob, key } => return list(glob.as_deref(), key, context).await,
        AccountAction::Reset { account, expires } => {
            return reset(account, *expires, context).await;
        }
        AccountAction::Disable(account) => {
            (account, |name| RequestedChange::DisableAccount { name })
        }
        AccountAction::Enable(account) => (account, |name| RequestedChange::EnableAccount { name }),
        AccountAction::Delete(account) => (account, |name| RequestedChange::DeleteAccount { name }),
    };
    let name = AccountName::new(&account.account)?;
    make(&account.key, context, what(name.clone())).await?;
    let what = match &args.action {
        AccountAction::Disable(_) => "disabled",
        AccountAction::Enable(_) => "enabled",
        _ => "deleted",
    };
    context.printer.show(&AccountChanged { name, account: what });
    Ok(Exit::Done)
}

async fn list(glob: Option<&str>, key: &KeyFlags, context: &mut Context) -> Result<Exit> {
    let administrator = key.administrator(context)?;
    let mut after = None;
    loop {
        let question = Question::Accounts { glob: glob.map(str::to_string), after };
        let Inspected::Accounts { accounts, next } = ask(&administrator, &question).await? else {
            return Err(unexpected("accounts"));
        };
        accounts.iter().try_for_each(|account| context.printer.list(account))?;
        after = next;
        if after.is_none() {
            return Ok(Exit::Done);
        }
    }
}

async fn reset(account: &OneAccount, expires: Duration, context: &mut Context) -> Result<Exit> {
    let name = AccountName::new(&account.account)?;
    let code = new_code(context);
    let asked = RequestedChange::ResetAccount {
        name: name.clone(),
        code_hash: code.hash(),
        lifetime_ms: milliseconds(expires),
    };
    make(&account.key, context, asked).await?;
    let how = context.settings.command_lines().line("login", &[name.as_str()]);
    context.printer.show(&AccountReset { code: code.reveal(), name });
    context.printer.notice(&format!(
        "Its owner logs in with this code as the password, and sets a new one: {how}"
    ));
    Ok(Exit::Done)
}

fn new_code(context: &Context) -> Code {
    let mut random = zeroize::Zeroizing::new([0; CODE_BYTES]);
    context.host.random.fill(&mut *random);
    Code::new(&random)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) async fn make(
    key: &KeyFlags,
    context: &Context,
    asked: RequestedChange,
) -> Result<Changed> {
    let administrator = key.administrator(context)?;
    change(&administrator, &this_user(), asked).await
}

/// How this machine calls whoever gives the command, as mail does: `root@alpha`.
pub(super) fn this_user() -> String {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME"));
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().into_owned();
    // Names of both are shorter on every system; a variable may be anything.
    let user: String = user.chars().take(64).collect();
    format!("{user}@{host}")
}
