//! `ftchat completions`: what shells complete.
//!
//! The scripts come from the parser, so they know every flag. Account names and replica
//! ids, which only the servers know, are added by hand for each shell and asked for when
//! they are needed, with a short time limit; so are the names of profiles.

use std::path::PathBuf;

use clap::ValueHint;
use clap_complete::aot;

use super::man::write_files;
use super::{Context, Exit};
use crate::error::Error;

/// How fish's script reads a line. It does not take one that ends after an option whose
/// value is asked for, so that no value would be offered.
const FISH_READS_THE_LINE: &str =
    "    argparse -s (__fish_ftchat_global_optspecs) -- $cmd 2>/dev/null\n    or return\n";

/// The same, then without the option at the end of the line.
const FISH_READS_ALSO_WITHOUT_A_VALUE: &str = "    \
    argparse -s (__fish_ftchat_global_optspecs) -- $cmd 2>/dev/null
    or argparse -s (__fish_ftchat_global_optspecs) -- $cmd[1..-2] 2>/dev/null
    or return
";

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    source <(ftchat completions bash)\n  \
    ftchat completions zsh > \"${fpath[1]}/_ftchat\"\n  \
    ftchat completions fish > ~/.config/fish/completions/ftchat.fish\n\n\
    Account names and replica ids are completed as well, by asking the servers, and profiles.")]
pub struct CompletionsArgs {
    /// The shell whose script is printed
    #[arg(required_unless_present = "dir")]
    shell: Option<Shell>,
    /// Write the scripts of all shells into this folder
    #[arg(long, conflicts_with = "shell", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// A shell with a script.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Shell {
    /// GNU Bash, 4 or newer.
    Bash,
    /// The Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// Prints a script, or writes all of them.
///
/// # Errors
/// [`ErrorCode::Io`](crate::error::ErrorCode::Io).
pub async fn run(args: &CompletionsArgs, context: &mut Context) -> Result<Exit, Error> {
    if let Some(dir) = &args.dir {
        write_files(dir, files(), context)?;
    } else if let Some(shell) = args.shell {
        context.printer.raw(&script(shell));
    }
    Ok(Exit::Done)
}

/// Every script with its file's name, as they lie in `completions/`.
pub fn files() -> Vec<(String, String)> {
    [(Shell::Bash, "ftchat.bash"), (Shell::Zsh, "_ftchat"), (Shell::Fish, "ftchat.fish")]
        .into_iter()
        .map(|(shell, name)| (name.to_string(), script(shell)))
        .collect()
}

/// The script of a shell.
pub fn script(shell: Shell) -> String {
    let mut command = with_hints(super::command());
    let mut script = Vec::new();
    match shell {
        Shell::Bash => aot::generate(aot::Bash, &mut command, "ftchat", &mut script),
        Shell::Zsh => aot::generate(aot::Zsh, &mut command, "ftchat", &mut script),
        Shell::Fish => aot::generate(aot::Fish, &mut command, "ftchat", &mut script),
    }
    let script = String::from_utf8(script).expect("scripts are made of the parser's own text");
    match shell {
        Shell::Bash => script + &by_hand(include_str!("completions/dynamic.bash")),
        Shell::Zsh => {
            let head = "autoload -U is-at-least\n\n";
            let functions = format!("{head}{}", include_str!("completions/dynamic.zsh"));
            script
                .replacen(head, &functions, 1)
                .replace(":_users", ":_ftchat_accounts")
                .replace(":_hosts", ":_ftchat_replicas")
                .replace(":_email_addresses", ":_ftchat_profiles")
        }
        Shell::Fish => {
            let script = script.replacen(FISH_READS_THE_LINE, FISH_READS_ALSO_WITHOUT_A_VALUE, 1);
            script + &by_hand(include_str!("completions/dynamic.fish"))
        }
    }
}

/// Verbs that name accounts, and the argument in which they do.
const NAMES_AN_ACCOUNT: &[(&str, &str)] = &[
    ("send", "to"),
    ("inbox", "from"),
    ("accounts", "glob"),
    ("history", "name"),
    ("search", "within"),
    ("search", "from"),
    ("block", "name"),
    ("unblock", "name"),
];

/// Marks the arguments that are account names, replica ids or profiles with the three
/// hints that no other argument has, so that they can be found in zsh's script.
fn with_hints(command: clap::Command) -> clap::Command {
    // Not `mut_arg`, which puts the argument last and so reorders positions.
    let mark = |command: clap::Command, id: &'static str, hint| {
        command.mut_args(move |arg| match arg.get_id() == id {
            true => arg.value_hint(hint),
            false => arg,
        })
    };
    let command = NAMES_AN_ACCOUNT.iter().fold(command, |command, (verb, id)| {
        command.mut_subcommand(verb, |verb| mark(verb, id, ValueHint::Username))
    });
    let command = mark(command, "profile", ValueHint::EmailAddress)
        .mut_subcommand("connect", |connect| mark(connect, "cluster", ValueHint::EmailAddress))
        .mut_subcommand("profiles", |profiles| {
            profiles.mut_subcommand("remove", |it| mark(it, "name", ValueHint::EmailAddress))
        });
    command.mut_subcommand("cluster", |cluster| {
        actions_on_a_replica().iter().fold(cluster, |cluster, action| {
            cluster.mut_subcommand(action, |action| mark(action, "id", ValueHint::Hostname))
        })
    })
}

/// What is written by hand, with the names that the parser knows.
fn by_hand(text: &str) -> String {
    text.replace("ACTIONS_ON_A_REPLICA", &actions_on_a_replica().join(" "))
}

/// The verbs below `cluster` that take the id of a replica.
fn actions_on_a_replica() -> Vec<String> {
    let command = super::command();
    let cluster = command.find_subcommand("cluster").expect("cluster is a verb");
    let takes_an_id =
        |action: &&clap::Command| action.get_arguments().any(|arg| arg.get_id() == "id");
    let actions = cluster.get_subcommands().filter(takes_an_id);
    actions.map(|action| action.get_name().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zsh_completes_names_and_ids() {
        let script = script(Shell::Zsh);
        assert!(script.starts_with("#compdef ftchat\n"));
        assert!(script.contains("\n_ftchat_accounts() {"));
        assert_eq!(script.matches(":_ftchat_accounts'").count(), NAMES_AN_ACCOUNT.len());
        assert_eq!(script.matches(":_ftchat_replicas'").count(), 9);
        assert!(script.contains("\n_ftchat_profiles() {"));
        let lines: Vec<&str> =
            script.lines().filter(|it| it.contains(":_ftchat_profiles'")).collect();
        let beginning = |with: &str| lines.iter().filter(|line| line.starts_with(with)).count();
        assert_eq!((beginning("':cluster -- "), beginning("':name -- ")), (1, 1), "{lines:?}");
        assert!(beginning("'--profile=[") > 1, "every verb takes the flag");
        let replaced = ["_users", "_hosts", "_email_addresses"];
        assert!(replaced.iter().all(|function| !script.contains(function)));
        // A colon in a value's name would end it, and zsh would run the rest.
        let command = super::super::command();
        for verb in command.get_subcommands().chain([&command]) {
            for arg in verb.get_arguments() {
                let names = arg.get_value_names().unwrap_or_default();
                assert!(names.iter().all(|name| !name.contains(':')), "{arg}");
            }
        }
    }

    #[test]
    fn fish_completes_names_and_ids() {
        let script = script(Shell::Fish);
        for function in ["__ftchat_accounts", "__ftchat_replicas", "__ftchat_profiles"] {
            assert!(script.contains(&format!("({function})")), "{function}");
        }
        assert!(script.contains(FISH_READS_ALSO_WITHOUT_A_VALUE));
    }

    /// What bash offers for a line, with a program `ftchat` that pretends.
    fn bash_offers(line: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let words: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
        // A function stands in for the program; only a shell function, so that
        // nothing has to be executed that was just written.
        let text = format!(
            "{}\nftchat() {{ case \"$1\" in\n\
             accounts) for n in alice albert bob; do case $n in $2) echo $n;; esac; done;;\n\
             status) echo '{{\"leader\":1,\"replicas\":[{{\"id\":1,\"address\":\"h:1\"}},\
             {{\"id\":2,\"address\":\"h:2\"}}]}}';;\n\
             profiles) printf 'home\\th:1\\t\\t\\nwork\\th:2\\t\\tcurrent\\n';;\nesac; }}\n\
             COMP_WORDS=({}); COMP_CWORD={}\n\
             _ftchat_dynamic ftchat \"${{COMP_WORDS[COMP_CWORD]}}\" \
             \"${{COMP_WORDS[COMP_CWORD-1]}}\"\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            script(Shell::Bash),
            words.join(" "),
            line.len() - 1,
        );
        let path = folder.path().join("complete.bash");
        std::fs::write(&path, text).expect("own folder");
        let output = std::process::Command::new("bash").arg(&path).output().expect("bash");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(str::to_string).collect()
    }

    #[test]
    fn bash_completes_names_ids_and_everything_else() {
        assert_eq!(bash_offers(&["ftchat", "send", "al"]), ["alice", "albert"]);
        assert_eq!(bash_offers(&["ftchat", "send", "bob,al"]), ["bob,alice", "bob,albert"]);
        assert_eq!(bash_offers(&["ftchat", "--servers", "h:1", "send", "b"]), ["bob"]);
        assert_eq!(bash_offers(&["ftchat", "inbox", "--from", "ali"]), ["alice"]);
        assert_eq!(bash_offers(&["ftchat", "history", "ali"]), ["alice"]);
        assert_eq!(bash_offers(&["ftchat", "search", "word", "--in", "ali"]), ["alice"]);
        assert_eq!(bash_offers(&["ftchat", "search", "--from", "ali"]), ["alice"]);
        assert_eq!(bash_offers(&["ftchat", "cluster", "start", ""]), ["1", "2"]);
        assert_eq!(bash_offers(&["ftchat", "cluster", "kill", "2"]), ["2"]);
        assert_eq!(bash_offers(&["ftchat", "cluster", "transfer", ""]), ["1", "2"]);
        assert_eq!(bash_offers(&["ftchat", "connect", ""]), ["default", "home", "work"]);
        assert_eq!(bash_offers(&["ftchat", "profiles", "remove", ""]), ["home", "work"]);
        assert_eq!(bash_offers(&["ftchat", "send", "--profile", "w"]), ["work"]);
        assert_eq!(bash_offers(&["ftchat", "--profile", ""]), ["default", "home", "work"]);
        assert_eq!(bash_offers(&["ftchat", "--profile", "work", "send", "b"]), ["bob"]);
        assert_eq!(bash_offers(&["ftchat", "sta"]), ["status"]);
        assert!(bash_offers(&["ftchat", "send", "--"]).contains(&"--lines".to_string()));
    }
}
