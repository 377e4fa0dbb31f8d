//! `ftchat config`.

use std::io::{self, Write};

use serde::Serialize;

use super::{Context, Exit};

use crate::config::{Kind, Values};
use crate::error::Error;
use crate::output::{Show, Style, sanitize};

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ftchat config show\n  ftchat --timeout 3s config show --json")]
pub struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print every value in force and where it comes from
    ///
    /// A flag beats the environment, which beats the configuration file, which
    /// beats the default. Secrets are not shown.
    Show,
}

/// Runs the command.
///
/// # Errors
/// Those of standard output.
pub async fn run(args: &ConfigArgs, context: &mut Context) -> Result<Exit, Error> {
    let Action::Show = args.action;
    for row in rows(&context.settings.values) {
        context.printer.list(&row)?;
    }
    if context.settings.values.file.is_none() {
        context.printer.notice("No configuration file was read.");
    }
    Ok(Exit::Done)
}

/// A key, its value in force and where that comes from.
#[derive(Debug, Serialize)]
struct Row {
    key: &'static str,
    value: Option<String>,
    origin: String,
}

fn rows(values: &Values) -> Vec<Row> {
    let shown = |kind: Kind, text: &str| match kind {
        Kind::Secret => "(set)".to_string(),
        _ => text.to_string(),
    };
    values
        .iter()
        .map(|(key, value)| Row {
            key: key.name,
            value: value.text.as_deref().map(|text| shown(key.kind, text)),
            origin: value.origin.to_string(),
        })
        .collect()
}

impl Show for Row {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let value = sanitize(self.value.as_deref().unwrap_or("-"));
        writeln!(out, "{:<38} {value:<38} {}", self.key, sanitize(&self.origin))
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let value = sanitize(self.value.as_deref().unwrap_or(""));
        writeln!(out, "{}\t{value}\t{}", self.key, sanitize(&self.origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;

    #[test]
    fn every_key_is_shown_and_no_secret() {
        let lookup = |name: &str| match name {
            "FTCHAT_TOKEN" => Some("5ecre7".to_string()),
            "FTCHAT_TIMEOUT" => Some("3s".to_string()),
            _ => None,
        };
        let rows = rows(&Values::collect(&[], &lookup, None).expect("valid"));
        assert_eq!(rows.len(), KEYS.len());
        let text: Vec<String> = rows
            .iter()
            .map(|row| {
                let mut out = Vec::new();
                row.plain(&mut out).expect("a vector takes everything");
                String::from_utf8(out).expect("text")
            })
            .collect();
        assert!(text.contains(&"timeout\t3s\tenvironment FTCHAT_TIMEOUT\n".to_string()));
        assert!(text.contains(&"token\t(set)\tenvironment FTCHAT_TOKEN\n".to_string()));
        assert!(!text.concat().contains("5ecre7"));
    }
}
