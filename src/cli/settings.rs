//! `ftchat settings`.

use super::context::unexpected;
use super::{Context, Exit};
use crate::error::{Error, ErrorCode, Result};
use crate::output::SettingShown;
use crate::protocol::client::{Answer, Confirm, Request, Setting, setting};

/// Arguments of `settings`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat settings\n  \
    ftchat settings receipts\n  \
    ftchat settings receipts off\n\n\
    Settings are the account's, wherever it is logged in:\n  \
    receipts   'on': 'inbox --sent' of others says which of their messages are marked as read\n             \
    here; 'off': it does not, also of those that were read before\n\n\
    In a pipe each is one line: its name and its value.")]
pub struct SettingsArgs {
    /// Which setting; all of them without it
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key: Option<String>,
    /// What it is to be from now on
    value: Option<String>,
}

/// Shows settings, or changes one.
///
/// # Errors
/// [`ErrorCode::WrongUsage`] lists what can be set; and what stops any request.
pub async fn run(args: &SettingsArgs, context: &mut Context) -> Result<Exit> {
    if let (Some(key), Some(value)) = (&args.key, &args.value) {
        setting(key, value)?;
        return change(key, value, context).await;
    }
    let (mut client, _) = context.logged_in(Confirm::Majority).await?;
    let Answer::Settings { settings } = client.request(Request::Settings {}).await? else {
        return Err(unexpected("settings"));
    };
    let listed = |setting| SettingShown { setting, changed: false };
    let named = |setting: &&Setting| args.key.as_ref().is_none_or(|key| setting.key == *key);
    let shown: Vec<SettingShown> = settings.iter().filter(named).cloned().map(listed).collect();
    if let (Some(key), true) = (&args.key, shown.is_empty()) {
        let known: Vec<&str> = settings.iter().map(|setting| setting.key.as_str()).collect();
        return Err(Error::new(
            ErrorCode::WrongUsage,
            format!("there is no setting {key:?}; there is: {}", known.join(", ")),
        ));
    }
    shown.iter().try_for_each(|setting| context.printer.list(setting))?;
    Ok(Exit::Done)
}

async fn change(key: &str, value: &str, context: &mut Context) -> Result<Exit> {
    let (mut client, _) = context.logged_in(Confirm::Majority).await?;
    let operation = context.host.uuid();
    context.printer.set_operation(operation);
    let (key, value) = (key.to_string(), value.to_string());
    let request = Request::ChangeSetting { operation, key: key.clone(), value: value.clone() };
    let Answer::Done { .. } = client.request(request).await? else {
        return Err(unexpected("a word that it is done"));
    };
    context.printer.show(&SettingShown { setting: Setting { key, value }, changed: true });
    Ok(Exit::Done)
}
