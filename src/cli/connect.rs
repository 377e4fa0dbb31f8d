//! `ftchat connect`.

use super::confirm::{confirm, not_known};
use super::known_servers::KnownServers;
use super::{Context, Exit};
use crate::client::Client;
use crate::config::profiles::{self, check_name};
use crate::config::{NO_PROFILE, Origin, Profiles, Settings};
use crate::error::{Error, ErrorCode, Result};
use crate::output::{Connected, ShownProfile};
use crate::tls::Followed;
use crate::types::{Address, Servers};

/// Longest name that is made of a host's, so that a number fits behind it.
const MADE_NAME_MAX_CHARS: usize = 28;

/// Arguments of `connect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ftchat connect 'ftchat://alpha,beta,gamma#2ZDO-H7YL-...' --name work\n  \
    ftchat connect work\n  \
    ftchat connect default\n\n\
    A word is printed by 'ftchat cluster address'. One server of the cluster must answer; then\n\
    the cluster is kept as a profile and becomes the current one, which all commands speak to\n\
    that are not told otherwise. Without --name the profile is called after the first host. The\n\
    addresses of the cluster's other servers are learned as they change. 'default' is no profile:\n\
    commands speak to the configured servers again, by default to a local cluster.\n\n\
    Servers on other machines are known by the fingerprint. If it is left out, it is shown and\n\
    asked about at a terminal, and refused elsewhere.")]
pub struct ConnectArgs {
    /// The word ftchat://HOST,...#FINGERPRINT of a cluster, or the name of a profile
    #[arg(value_name = "WORD|NAME")]
    cluster: String,
    /// What to call the profile
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Keeps a cluster, or chooses one that is kept.
///
/// # Errors
/// [`ErrorCode::UnknownProfile`]; [`ErrorCode::NameTaken`] when the profile is another
/// cluster's; [`ErrorCode::Unavailable`] and [`ErrorCode::WrongCluster`] when no server of
/// the cluster answers, and then nothing is kept; those of [`profiles::change`].
pub async fn run(args: &ConnectArgs, context: &mut Context) -> Result<Exit> {
    let is_name = !args.cluster.contains([':', '/', ',', '#']);
    if is_name && args.name.is_some() {
        let why = "--name is for a cluster that is named by its word";
        return Err(Error::new(ErrorCode::WrongUsage, why));
    }
    let connected = if !is_name {
        keep(args, context).await?
    } else if args.cluster == NO_PROFILE {
        choose_none(context).await?
    } else {
        choose(&args.cluster, context).await?
    };
    let name = connected.profile.name.clone();
    context.printer.show(&connected);
    note_overriding(&name, context);
    Ok(Exit::Done)
}

/// Asks a server of the cluster, and keeps how to find and know it.
async fn keep(args: &ConnectArgs, context: &mut Context) -> Result<Connected> {
    let mut servers: Servers = args.cluster.parse()?;
    if let Some(name) = &args.name {
        check_name(name)?;
    }
    let path = context.settings.profiles_file.clone();
    let timeout = context.settings.timeout;
    // Nobody need be asked for what could not be kept.
    let wanted = args.name.as_deref();
    name_for(&Profiles::read(&path)?, &servers, wanted)?;
    if servers.fingerprint.is_none() && !servers.addresses.iter().all(Address::is_loopback) {
        let nobody = || {
            let sentence = not_known(&servers, &context.settings.command_lines());
            Error::new(ErrorCode::WrongUsage, sentence)
        };
        servers.fingerprint = Some(confirm(&context.host, &servers, timeout, nobody).await?);
    }
    let followed = Followed::default();
    let host = match servers.fingerprint {
        Some(fingerprint) => context.host_for(fingerprint, &followed),
        None => context.host.clone(),
    };
    let client = Client::new(host, servers.addresses.clone(), timeout)?;
    client.noting(&context.members).cluster().await?;
    if let Some(new) = followed.get() {
        // The word is of before the cluster's last change of key.
        servers.fingerprint = Some(new);
        context.printer.notice(&format!(
            "The cluster has a new key, with the fingerprint {new}, as the one in the word has signed."
        ));
    }
    let name = profiles::change(&path, timeout, |profiles| {
        let name = name_for(profiles, &servers, wanted)?;
        profiles.insert(&name, servers.clone())?;
        profiles.current = Some(name.clone());
        Ok(name)
    });
    let name = name.await?;
    KnownServers::new(&context.settings.known_servers_dir, &servers)
        .learn(context.members.get())?;
    Ok(Connected { profile: ShownProfile::new(&name, servers, true), kept: true })
}

async fn choose(name: &str, context: &Context) -> Result<Connected> {
    let Settings { profiles_file, timeout, .. } = &context.settings;
    let servers = profiles::change(profiles_file, *timeout, |profiles| {
        let servers = profiles.get(name).cloned().map_err(|error| {
            let hint = "one that is new is named by its word, ftchat://HOST,…#FINGERPRINT";
            Error { message: format!("{}; {hint}", error.message), ..error }
        })?;
        profiles.current = Some(name.to_string());
        Ok(servers)
    });
    let profile = ShownProfile::new(name, servers.await?, true);
    Ok(Connected { profile, kept: false })
}

async fn choose_none(context: &Context) -> Result<Connected> {
    let Settings { profiles_file, timeout, servers, .. } = &context.settings;
    let none = |profiles: &mut Profiles| {
        profiles.current = None;
        Ok(())
    };
    profiles::change(profiles_file, *timeout, none).await?;
    let profile = ShownProfile::new(NO_PROFILE, servers.clone(), true);
    Ok(Connected { profile, kept: false })
}

/// What the profile of a cluster is called: as the user wants, else as it is already, else
/// after the first host.
fn name_for(profiles: &Profiles, servers: &Servers, wanted: Option<&str>) -> Result<String> {
    let is_free = |name: &str| {
        profiles.clusters.get(name).is_none_or(|kept| are_of_one_cluster(kept, servers))
    };
    if let Some(name) = wanted {
        return match is_free(name) {
            true => Ok(name.to_string()),
            false => Err(Error::new(
                ErrorCode::NameTaken,
                format!(
                    "there is a profile {name} already, and it is another cluster's: choose \
                     another --name, or remove it first"
                ),
            )),
        };
    }
    let mut kept = profiles.clusters.iter();
    if let Some((name, _)) = kept.find(|(_, kept)| are_of_one_cluster(kept, servers)) {
        return Ok(name.clone());
    }
    let made = name_of_host(servers.addresses[0].host());
    let numbered = (2..).map(|number: u32| format!("{made}-{number}"));
    let mut names = std::iter::once(made.clone()).chain(numbered);
    Ok(names.find(|name| is_free(name)).expect("numbers do not end"))
}

/// Whether servers that are named in two ways are the same cluster's. One that was kept
/// without a fingerprint may get one.
fn are_of_one_cluster(kept: &Servers, named: &Servers) -> bool {
    match kept.fingerprint {
        Some(_) => kept.fingerprint == named.fingerprint,
        None => kept.addresses == named.addresses,
    }
}

/// A profile's name made of a host's, which may have other characters and any length.
fn name_of_host(host: &str) -> String {
    let is_long = host.chars().count() > MADE_NAME_MAX_CHARS;
    let host = if is_long { host.split('.').next().unwrap_or(host) } else { host };
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = host.chars().map(allowed).take(MADE_NAME_MAX_CHARS).collect();
    let name = name.trim_matches(['-', '.']);
    match check_name(name) {
        Ok(()) => name.to_string(),
        Err(_) => "cluster".to_string(),
    }
}

/// Tells what counts more than the profile that was chosen.
fn note_overriding(chosen: &str, context: &mut Context) {
    let values = &context.settings.values;
    let notice = |name: &str| match values.origin(name) {
        // It names the same one.
        _ if name == "profile" && values.text(name) == Some(chosen) => None,
        Origin::Environment(variable) => Some(format!(
            "{variable} is set, which counts more than the current profile: commands speak to \
             that until it is unset."
        )),
        Origin::Flag(flag) => Some(format!(
            "{flag} counts more than the current profile in each command that has it."
        )),
        Origin::File { .. } | Origin::Profile { .. } | Origin::Default => None,
    };
    for notice in ["servers", "profile"].into_iter().filter_map(notice).collect::<Vec<_>>() {
        context.printer.notice(&notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Fingerprint;

    fn servers(list: &str, key: Option<&[u8]>) -> Servers {
        let fingerprint = key.map(Fingerprint::of);
        Servers { fingerprint, ..list.parse().expect("a list") }
    }

    #[test]
    fn a_profile_is_called_after_the_first_host() {
        for (host, name) in [
            ("alpha", "alpha"),
            ("alpha.example.org", "alpha.example.org"),
            ("10.0.0.7", "10.0.0.7"),
            ("::1", "1"),
            ("fe80::1%eth0", "fe80--1-eth0"),
            ("default", "cluster"),
            ("\u{65e5}\u{672c}", "cluster"),
            (".hidden", "hidden"),
            ("a-host.with-a-name.that.is.longer.than.it.may.be", "a-host"),
        ] {
            assert_eq!(name_of_host(host), name, "{host}");
            check_name(name).expect(name);
        }
        assert_eq!(name_of_host(&"x".repeat(300)).len(), MADE_NAME_MAX_CHARS);
    }

    #[test]
    fn no_profile_is_replaced_by_that_of_another_cluster() {
        let mut profiles = Profiles::default();
        for (name, list, key) in
            [("h", "h:1", Some(&b"a"[..])), ("h-2", "h:2", Some(b"b")), ("plain", "l:1", None)]
        {
            profiles.insert(name, servers(list, key)).expect("room");
        }
        let name = |list: &str, key: &[u8], wanted: Option<&str>| {
            name_for(&profiles, &servers(list, Some(key)), wanted)
        };
        // Kept already, under whatever name.
        assert_eq!(name("i:1", b"b", None).expect("known"), "h-2");
        assert_eq!(name("l:1", b"z", None).expect("gets a fingerprint"), "plain");
        assert_eq!(name("h:1", b"c", None).expect("new"), "h-3");
        assert_eq!(name("i:1", b"b", Some("other")).expect("a second name"), "other");
        assert_eq!(name("i:1", b"a", Some("h")).expect("the same cluster"), "h");
        let taken = name("h:1", b"c", Some("h")).expect_err("another cluster's");
        assert_eq!(taken.code, ErrorCode::NameTaken);
        // Without a fingerprint nobody can tell that it is the same.
        let plain = name_for(&profiles, &servers("h:1", None), Some("h"));
        assert_eq!(plain.expect_err("less than is known").code, ErrorCode::NameTaken);
    }
}
